"""What a model of neurons declares: its parameters with units and limits, and the integers that they become."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikesim.errors import InputError
from spikesim.io.validation import Limits
from spikesim.numerics.fixed_point import ONE, ONE_BITS, SHARE_LIMIT
from spikesim.sparse.neurons import step

Values = Mapping[str, NDArray[np.float64]]
"""Parameters by name: (1,), or (neurons,) where they differ."""

SHIFT_MAX = 28
"""Bits that a sum of weights may have below the resolution of what it is added to."""
POTENTIAL: dict[str, Any] = {"low": -SHARE_LIMIT / ONE, "high": SHARE_LIMIT / ONE}
"""Limits of a potential."""


class Parameter(NamedTuple):
    """A parameter of a model."""

    unit: str
    limits: Limits
    by_neuron: bool  # whether neurons may differ
    whole: bool  # an integer
    needed: bool  # None is no value


def parameter(default: Any, unit: str = "", *, by_neuron: bool = False, whole: bool = False, **limits: float) -> Any:
    """A field of the dataclass of a model; `limits` are those of `Limits`. A default of None says: may be left out."""
    own = Parameter(unit, Limits(**limits), by_neuron, whole, default is not None)
    return field(default=default, metadata={"parameter": own})


@dataclass(frozen=True)
class Model:
    """What all models have in common."""

    weight_unit: ClassVar[str] = ""
    """Unit of the weights of synapses onto such neurons; empty: potentials are numbers, and times are steps."""

    @classmethod
    def parameters(cls) -> dict[str, Parameter]:
        """Its parameters by name."""
        return {own.name: own.metadata["parameter"] for own in fields(cls) if "parameter" in own.metadata}

    def general(self, values: Values, dt: float) -> "General | None":
        """The integers of such neurons.

        Parameters
        ----------
        values : Values
            Its parameters, checked.
        dt : float
            Milliseconds a step; 1 for a model without units.

        Returns
        -------
        General or None
            None: `spikesim.sparse.engine.updating` moves them, by kernels of its own.

        Raises
        ------
        InputError
            They do not go together.
        """
        raise NotImplementedError

    def shared(self) -> dict[str, int]:
        """What neurons that are not general have in common, by field of `spikesim.sparse.engine.layout.PART`."""
        raise NotImplementedError

    def resting(self, bias: NDArray[np.float64]) -> NDArray[np.float64]:
        """Probability of a spike in a step of neurons at rest that are not general."""
        raise NotImplementedError


@dataclass(frozen=True)
class General:
    """Neurons as integers, and what these follow from; `spikesim.sparse.engine.visiting` moves them.

    Attributes
    ----------
    kernels : str
        Name of what visits them, in `spikesim.sparse.neurons.KERNELS`.
    bias : float64 (1,) or (neurons,)
        What drives a neuron alone: the potential at which it comes to rest, or a current.
    per_current : float64 (1,) or (neurons,)
        What a current of 1 adds to that.
    initial : float64 (1,) or (neurons,)
        Potential at the start.
    chance : function
        From biases to probabilities of a spike in a step of rest.
    shared : dict
        Integers that all neurons share, by their place.
    columns : dict
        Integers of a neuron by column, (1,) or (neurons,).
    gains : tuple of float
        What a weight of 1 adds to the variable that receives it, in units of that; of excitation and of inhibition.
    variables : int
        Numbers that a neuron has besides its potential; at rest all are 0.
    start : dict
        What they are at the start, by variable, (1,) or (neurons,); 0 unless given.
    reach_limit : float
        All weights onto a neuron together stay below this.
    """

    kernels: str
    bias: NDArray[np.float64]
    per_current: NDArray[np.float64]
    initial: NDArray[np.float64]
    chance: Callable[[NDArray[np.float64]], NDArray[np.float64]]
    shared: dict[int, int]
    columns: dict[int, NDArray[np.int64]]
    gains: tuple[float, ...]
    variables: int
    start: dict[int, NDArray[np.int64]] = field(default_factory=dict)
    reach_limit: float = 2.0**40

    @property
    def lanes(self) -> int:
        """Sums of weights that a neuron has in a step: 2 if inhibition, weights below zero, has one of its own."""
        return len(self.gains)

    @property
    def finest(self) -> int:
        """Exponent of the finest sums that are of use."""
        return SHIFT_MAX + math.frexp(max(map(abs, self.gains)))[1] - 1

    @property
    def varies(self) -> bool:
        """Whether neurons differ in their columns."""
        return max(map(len, self.columns.values())) > 1

    def shared_integers(self, exponent: int) -> NDArray[np.int64]:
        """What all neurons share, for sums of weights with this exponent, int64 (SHARED,).

        Raises
        ------
        InputError
            A weight adds so much or so little that integers cannot say it.
        """
        found = np.zeros(step.SHARED, np.int64)
        for place, own in self.shared.items():
            found[place] = own
        for gain, place, shift in zip(
            (self.gains * 2)[:2], (step.GAIN_EX, step.GAIN_IN), (step.SHIFT_EX, step.SHIFT_IN), strict=True
        ):
            found[place], found[shift] = multiplier(math.ldexp(gain, -exponent))
        return found

    def column_integers(self) -> NDArray[np.int32]:
        """The columns, int32 (COLUMNS, 1) or (COLUMNS, neurons)."""
        found = np.zeros((step.COLUMNS, max(map(len, self.columns.values()))), np.int32)
        for column, own in self.columns.items():
            found[column] = np.clip(own, -(2**31), 2**31 - 1)
        return found


def multiplier(ratio: float) -> tuple[int, int]:
    """An integer of 30 bits and a number of bits, so that ``integer * 2**-bits`` is the ratio.

    Raises
    ------
    InputError
        There are none.
    """
    fraction, exponent = math.frexp(ratio)
    bits = step.GAIN_BITS - exponent
    if not 0 <= bits <= step.SHIFT_LARGEST:
        raise InputError(
            f"a unit of the sum of weights onto these neurons is {ratio:.3g} units of what it is added to, which "
            "integers do not hold; use other units or time constants"
        )
    return round(math.ldexp(fraction, step.GAIN_BITS)), bits


def potential(value: NDArray[np.float64]) -> NDArray[np.int64]:
    """Potentials as integers, 1.0 = 2**ONE_BITS."""
    return np.rint(np.ldexp(value, ONE_BITS)).astype(np.int64)
