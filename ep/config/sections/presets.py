"""Named sets of keys, each an experiment of the literature or what comes of several of them.

A preset stands below all that is given: a file, ``--set`` and options change single keys of it. What each key does, and
what still differs from the papers, is the subject of docs/papers.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

__all__ = ["DEFAULT", "PRESETS", "Preset"]

DEFAULT = "default"
"""The preset that sets nothing."""


@dataclass(frozen=True)
class Preset:
    """A set of keys.

    Attributes
    ----------
    text : str
        What it is, a sentence.
    keys : mapping
        Values by dotted key.
    """

    text: str
    keys: Mapping[str, Any]

    def section(self, name: str) -> dict[str, Any]:
        """The keys of a section, without its name."""
        return {key.partition(".")[2]: value for key, value in self.keys.items() if key.startswith(f"{name}.")}


_LIVE: dict[str, Any] = {
    "model.normalization": "none",
    "model.gain": 1.0,
    "model.gain_growth": 1.0,
    "model.activity": 0.25,
    "dynamics.nudged_phase": "live-spikes",
    "dynamics.order": "synchronous",
    "dynamics.feedback_gain": 1.0,
    "dynamics.rule": "symmetric",
    "dynamics.steps_onset": 0,
    "optimizer.centering": False,
    "stability.activity_floor": 0.005,
    "stability.activity_ceiling": 0.5,
    "error_signals.answer": "readout",
}
"""All synapses live in both directions in all phases, the update is the gradient of one energy function, initial
weights leave the feedback its size, and the biases of channels are steered only far from the initial activity."""

_SPIKES: dict[str, Any] = {
    **_LIVE,
    "model.readout_gain": 3.0,
    "dynamics.firing": "iid",
    "dynamics.leak": 2,
    "dynamics.steps_free": 60,
    "dynamics.window_free": 32,
}

_ALONE: dict[str, Any] = {"error_signals.kind": "none"}
_NOISY: dict[str, Any] = {
    "dynamics.noise": "independent",
    "dynamics.contrast": "spikes",
    "dynamics.steps_nudged": 64,
    "dynamics.beta": 1.0,
}
_COMMON: dict[str, Any] = {
    "dynamics.noise": "common",
    "dynamics.contrast": "probability",
    "dynamics.steps_nudged": 20,
    "dynamics.beta": 2.0,
}
_DETERMINISTIC: dict[str, Any] = {
    **_LIVE,
    "dynamics.inference": "mean-field",
    "dynamics.leak": 0,
    "dynamics.steps_free": 40,
    "dynamics.window_free": 2,
    "dynamics.steps_nudged": 12,
    "dynamics.window_nudged": 2,
    "dynamics.beta": 0.25,
    "error_signals.kind": "local",
}

PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        DEFAULT: Preset("Graded errors, sent down once, by the linear response of the free phase.", {}),
        "stochep": Preset(
            "Probabilistic spikes with independent noise in live nudged phases (arXiv 2511.11320).",
            {**_SPIKES, **_ALONE, **_NOISY},
        ),
        "stochep-crn": Preset(
            "stochep with common random numbers, and firing probabilities in the contrast.",
            {**_SPIKES, **_ALONE, **_COMMON},
        ),
        "intermediate-signals": Preset(
            "Deterministic equilibrium propagation with a local head at each layer (arXiv 2508.15989).", _DETERMINISTIC
        ),
        "stochep-signals": Preset(
            "stochep with a local head at each layer: both papers together.",
            {**_SPIKES, **_NOISY, "error_signals.kind": "local"},
        ),
    }
)
