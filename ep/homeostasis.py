"""Biases that keep the activity of every channel within bounds, and a layer's mean at the wanted rate.

A rule of its own beside the contrast: it sees only the mean firing probability of the channel, or of its layer, in the
free phase. Between floor and ceiling it does nothing.
"""

import numpy as np
from numpy.typing import NDArray

from spikesim.ep.config import Config, per_layer
from spikesim.ep.options import Stability

FLOOR_SHARE = 0.5
"""The floor is at most this share of a target rate: channels that are all held at the mean could not differ."""
STEP_MAX = 0.02
"""Largest change of a bias in a mini-batch: larger ones silence deep layers."""


def is_active(stability: Stability) -> bool:
    """Whether biases can move at all."""
    return stability.homeostasis > 0 or stability.target_rate is not None


def wanted_activity(config: Config, layers: int) -> NDArray[np.float64]:
    """Mean firing probability to which each layer is calibrated, float64 (layers,): no more than a target rate.

    Training away from a higher activity later costs accuracy.
    """
    wanted = np.array(per_layer(config.model.activity, layers, "model.activity"), dtype=np.float64)
    target = config.stability.target_rate
    return wanted if target is None else np.minimum(wanted, target)


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
    floor, target = stability.activity_floor, stability.target_rate
    if target is not None:
        floor = min(floor, FLOOR_SHARE * target)
    beyond = np.maximum(floor - activity, 0.0) - np.maximum(activity - stability.activity_ceiling, 0.0)
    change = stability.homeostasis * beyond
    if target is not None:
        change = change - stability.target_strength * max(float(activity.mean()) - target, 0.0)
    return np.clip(change, -STEP_MAX, STEP_MAX).astype(np.float32)
