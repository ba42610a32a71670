"""Biases that keep the activity of every channel within bounds.

A rule of its own beside the contrast: it sees only the mean firing probability of the channel in the free phase.
Between floor and ceiling it does nothing. What brings a layer to a target rate is in
`spikesim.ep.gradients.activity_penalty`.
"""

import numpy as np
from numpy.typing import NDArray

from spikesim.ep.config.sections import StabilitySettings

FLOOR_SHARE = 0.5
"""The floor is at most this share of a target rate: channels that are all held at the mean could not differ."""
STEP_MAX = 0.02
"""Largest change of a bias in a mini-batch: larger ones silence deep layers."""


def bias_change(stability: StabilitySettings, activity: NDArray[np.float64]) -> NDArray[np.float32]:
    """Change of the biases of one layer.

    Parameters
    ----------
    activity : float64 (C,)
        Mean firing probability of each channel in the free phase.

    Returns
    -------
    float32 (C,)
    """
    floor = stability.activity_floor
    if stability.target_rate is not None:
        floor = min(floor, FLOOR_SHARE * stability.target_rate)
    beyond = np.maximum(floor - activity, 0.0) - np.maximum(activity - stability.activity_ceiling, 0.0)
    return np.clip(stability.homeostasis * beyond, -STEP_MAX, STEP_MAX).astype(np.float32)
