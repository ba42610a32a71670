"""Parameters of neurons as users give them: numbers, arrays and distributions, checked and drawn."""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikesim.errors import InputError
from spikesim.io.numbers import integer, real, reals, shown
from spikesim.io.validation import Limits, refuse
from spikesim.sparse.connections.distributions import Distribution
from spikesim.sparse.neurons.iaf import width_shared
from spikesim.sparse.neurons.lif import LeakyIntegrateAndFire
from spikesim.sparse.neurons.model import General, Model, Parameter
from spikesim.sparse.neurons.probabilistic import Probabilistic

STREAM = 0xFB000000
"""Last word of the counters of parameters that are drawn, plus 256 times the population plus the parameter."""
BIAS = Parameter("", Limits(), by_neuron=True, whole=False, needed=True)


class Place(NamedTuple):
    """Which neurons they are."""

    name: str
    population: int  # its number
    size: int
    seed: int  # of the network
    dt: float | None  # ms


@dataclass(frozen=True)
class Neurons:
    """The neurons of a population.

    Attributes
    ----------
    model : Model
        With the numbers that it has in the end.
    drive, initial : float64 (1,) or (neurons,)
        Biases and potentials at the start.
    general : General or None
        None: `spikesim.sparse.engine.updating` moves them.
    """

    model: Model
    drive: NDArray[np.float64]
    initial: NDArray[np.float64]
    general: General | None


def resolve(model: Model, place: Place) -> Neurons:
    """Check the parameters of a model and draw those that are distributions.

    Raises
    ------
    InputError
    """
    name = place.name
    if model.weight_unit and place.dt is None:
        raise InputError(
            f"{name} has parameters in ms and mV, and the network has no step in ms; give it one, as in Network(dt=0.1)"
        )
    values: dict[str, NDArray[np.float64]] = {}
    if isinstance(model, Probabilistic | LeakyIntegrateAndFire):
        model = replace(model, leak=_leak(model, name))
        values["bias"] = _values(model.bias, f"biases of {name}", BIAS, place, 0)
    for number, (what, own) in enumerate(model.parameters().items(), 1):
        given = getattr(model, what)
        if given is None and not own.needed:
            continue
        found = _values(given, f"{what} of {name}", own, place, number)
        values[what] = found
        plain = int if own.whole else float
        model = replace(model, **{what: plain(found[0]) if len(found) == 1 else found})
    try:
        if "width" in values:
            width_shared(values["width"])
        general = model.general(values, place.dt or 1.0)
    except InputError as error:
        raise InputError(f"{name}: {error}") from None
    if general is None:
        return Neurons(model, values["bias"], values["initial"], None)
    return Neurons(model, general.bias, general.initial, general)


def _leak(model: Any, name: str) -> int | None:
    if model.tau is not None:
        if model.leak is not None:
            raise InputError(f"{name} has a leak and a tau; give one of them")
        return None
    return integer(model.default_leak if model.leak is None else model.leak, f"leak of {name}", 0, 15)


def _values(given: Any, what: str, own: Parameter, place: Place, number: int) -> NDArray[np.float64]:
    """A parameter as float64, (1,) or (neurons,)."""
    size, limits = place.size, own.limits
    if isinstance(given, Distribution):
        if not own.by_neuron:
            raise InputError(f"{what} is the same for all neurons; give a number in place of {shown(given)}")
        low = limits.low if limits.above is None else limits.above
        try:
            law = given.law(-np.inf if low is None else low, np.inf if limits.high is None else limits.high)
        except InputError as error:
            raise InputError(f"{what}: {error}") from None
        found = law.draw(0, size, place.seed, STREAM + (place.population << 8) + number)
        found = np.rint(found) if own.whole else found
    elif isinstance(given, list | tuple | np.ndarray) and own.by_neuron:
        found = reals(given, what)
        if found.shape not in ((), (1,), (size,)):
            have = "have" if own is BIAS else "has"
            raise InputError(f"{what} {have} shape {found.shape}; it must be () or ({size},)")
        found = found.reshape(-1)
    else:
        found = np.full(1, integer(given, what, 0, 2**31 - 1) if own.whole else real(given, what))
    if own is not BIAS:  # has a message of its own
        for one in (found.min(), found.max()):
            if not np.isfinite(one):
                refuse(float(one), what, "finite")
            limits.check(int(one) if own.whole else float(one), what)
        if own.whole and np.any(found != np.rint(found)):
            refuse(float(found[found != np.rint(found)][0]), what, "a whole number")
    return np.asarray(found, np.float64)
