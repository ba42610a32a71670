"""Biases that keep the activity of every channel within bounds, and a layer's mean at the wanted rate.

A rule of its own beside the contrast: it sees only the mean firing probability of the channel, or of its layer, in the
free phase. Between floor and ceiling it does nothing.
"""

import numpy as np
from numpy.typing import NDArray

from spikesim.ep.options import Stability

STEP_MAX = 0.02
"""Largest change of a bias in a mini-batch: larger ones silence deep layers."""


def is_active(stability: Stability) -> bool:
    """Whether biases can move at all."""
    return stability.homeostasis > 0 or stability.target_rate is not None


def bias_change(stability: Stability, activity: NDArray[np.float64]) -> NDArray[np.float32]:
    """Change of the biases of one layer.

    Parameters
    ----------
    activity : float64 (C,)
        Mean firing probability of each channel in the free phase.

    Returns
    -------
    float32 (C,)
    """
    beyond = np.maximum(stability.activity_floor - activity, 0.0) - np.maximum(
        activity - stability.activity_ceiling, 0.0
    )
    change = stability.homeostasis * beyond
    if stability.target_rate is not None:
        change = change - stability.target_strength * max(float(activity.mean()) - stability.target_rate, 0.0)
    return np.clip(change, -STEP_MAX, STEP_MAX).astype(np.float32)
