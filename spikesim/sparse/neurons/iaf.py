"""What integrate-and-fire neurons in physical units have in common, under NEST's names of their parameters."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikesim.errors import InputError
from spikesim.numerics.fixed_point import ONE, P_MAX
from spikesim.sparse.neurons import step
from spikesim.sparse.neurons.model import POTENTIAL, Model, Values, parameter, potential
from spikesim.sparse.neurons.multipliers import rate

TAU: dict[str, Any] = {"above": 0.0, "high": 1e6}
"""Limits of a time constant, in ms."""
STEPS_MAX = 1e5
"""Of a time constant: one step more or less changes the integer of its rate."""


@dataclass(frozen=True)
class Threshold(Model):
    """The potentials at which a neuron fires, and at which it begins anew."""

    V_th: ArrayLike = parameter(-55.0, "mV", by_neuron=True, **POTENTIAL)
    V_reset: ArrayLike = parameter(-70.0, "mV", by_neuron=True, **POTENTIAL)
    t_ref: ArrayLike = parameter(2.0, "ms", by_neuron=True, low=0.0, high=1e6)
    width: float = parameter(0.0, "mV", low=0.0, high=1024.0)
    q_sfa: ArrayLike = parameter(0.0, "mV", by_neuron=True, low=0.0, high=1e3)
    tau_sfa: ArrayLike = parameter(100.0, "ms", by_neuron=True, **TAU)

    @staticmethod
    def chance(values: Values) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
        """From potentials of rest to probabilities of a spike in a step of it."""
        return partial(resting_probability, {"threshold": values["V_th"], "width": values["width"]})


@dataclass(frozen=True)
class CurrentBased(Threshold):
    """A membrane that leaks, and synapses whose currents do not depend on its potential."""

    weight_unit: ClassVar[str] = "pA"

    C_m: float = parameter(250.0, "pF", above=0.0, high=1e9)
    tau_m: ArrayLike = parameter(10.0, "ms", by_neuron=True, **TAU)
    E_L: ArrayLike = parameter(-70.0, "mV", by_neuron=True, **POTENTIAL)
    I_e: ArrayLike = parameter(0.0, "pA", by_neuron=True)
    V_m: ArrayLike | None = parameter(None, "mV", by_neuron=True, **POTENTIAL)

    def rest(self, values: Values) -> NDArray[np.float64]:
        """Where the potential comes to rest, in mV."""
        return np.asarray(values["E_L"] + values["I_e"] * values["tau_m"] / self.C_m)


@dataclass(frozen=True)
class SynapticCurrents(CurrentBased):
    """Currents of excitation and of inhibition, with a time constant of their own each."""

    tau_syn_ex: float = parameter(2.0, "ms", **TAU)
    tau_syn_in: float = parameter(2.0, "ms", **TAU)


def steps(tau: NDArray[np.float64], dt: float, what: str) -> NDArray[np.float64]:
    """A time constant in steps.

    Raises
    ------
    InputError
        It is too long.
    """
    found = tau / dt
    if found.max() > STEPS_MAX:
        raise InputError(f"{what} is {tau.max():g} ms, {found.max():g} steps; it must be at most {STEPS_MAX:g} steps")
    return np.asarray(found)


def threshold_columns(values: Values, dt: float) -> dict[int, NDArray[np.int64]]:
    """What neurons may differ in of their thresholds.

    Raises
    ------
    InputError
        A reset to the threshold or above it, or a threshold that is too narrow.
    """
    if not np.all(values["V_reset"] < values["V_th"]):
        raise InputError(
            f"V_reset reaches {values['V_reset'].max():g} mV, and V_th {values['V_th'].min():g} mV; a reset must be "
            "below the threshold"
        )
    return {
        step.THRESHOLD: potential(values["V_th"]),
        step.RESET: potential(values["V_reset"]),
        step.REFRACTORY: np.rint(values["t_ref"] / dt).astype(np.int64),
        step.ADAPTATION_RATE: rate(steps(values["tau_sfa"], dt, "tau_sfa")),
        step.ADAPTATION_STEP: potential(values["q_sfa"]),
    }


def threshold_shared(values: Values) -> dict[int, int]:
    """What they share."""
    return {step.ADAPTS: int(values["q_sfa"].any()), **width_shared(values["width"])}


def width_shared(width: NDArray[np.float64]) -> dict[int, int]:
    """The width of a threshold, (1,), and the slope that follows from it; 0 is a sharp one.

    Raises
    ------
    InputError
        Another one below 2**-16.
    """
    own = float(width[0])
    if 0 < own < 1 / ONE:
        raise InputError(f"width is {own:g}; it must be 0, or at least 2**-16")
    return {step.WIDTH: math.ceil(own * ONE), step.SLOPE: round(2**32 / own) if own else 0}


def resting_probability(given: Mapping[str, NDArray[np.float64]], rest: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probability of a spike in a step of a neuron at rest, given its `threshold` and `width`."""
    threshold, width = given["threshold"], given["width"]
    excess = (rest - threshold) / np.where(width > 0, width, 1.0)
    sharp = np.rint(rest * ONE) >= np.rint(threshold * ONE)
    return np.where(width > 0, np.clip(excess, 0.0, P_MAX / ONE), sharp)
