"""Plasticity that depends on the timing of spikes, as a user gives it."""

from dataclasses import dataclass, field
from typing import Any

from spikesim.errors import InputError
from spikesim.io.numbers import integer, real, shown
from spikesim.sparse.connections.distributions import set_fields
from spikesim.sparse.connections.synapses import DELAY_MAX

PAIRINGS = ("all", "nearest")
TAU_MAX, MU_MAX, ALPHA_MAX = 1e5, 10.0, 1e6
RATE_MIN = 1e-9
"""The smallest learning rate but 0: a change of less than the unit of a weight."""


@dataclass(frozen=True)
class STDP:
    """Spike-timing-dependent plasticity of pairs of spikes, `stdp_synapse` of NEST (Guetig et al. 2003).

    A weight w = x Wmax moves when spikes reach its synapse, with traces K of them that grow by 1 a spike and decay:

        a spike of the target    x <- min(x + lambda (1 - x)**mu_plus K_plus, 1)
        a spike of the source    x <- max(x - alpha lambda x**mu_minus K_minus, Wmin / Wmax)

    mu = 0 is the additive rule, mu = 1 the multiplicative one. Spikes that reach a synapse in the same step are no
    pair.

    Attributes
    ----------
    Wmax : float
        The largest weight; of inhibition below zero.
    Wmin : float
        The smallest one, of the same sign.
    tau_plus, tau_minus : float
        Time constants of the traces of source and target: in ms if the network has a `dt`, else in steps.
    lambda_ : float
        Learning rate, 1e-9 .. 1, or 0; in a file `lambda`.
    alpha : float
        Depression over potentiation; alpha times lambda is in 1e-9 .. 1, or 0.
    mu_plus, mu_minus : float
        0 .. 10.
    pairing : str
        "all": each spike pairs with all before it; "nearest": with the last one of the other side
        (`stdp_nn_symm_synapse`).
    dendritic_delay : int, optional
        Steps that a spike of the target takes to the synapse. What is left of the delay of the synapse is axonal: it
        lies between a spike of the source and the synapse. Unless given, all of the delay is dendritic, as in NEST;
        0 is Brian2's usual `delay`.

    Raises
    ------
    InputError
        A value out of range.
    """

    Wmax: float
    Wmin: float = 0.0
    tau_plus: float = 20.0
    tau_minus: float = 20.0
    lambda_: float = 0.01
    alpha: float = 1.0
    mu_plus: float = 1.0
    mu_minus: float = 1.0
    pairing: str = field(default="all", kw_only=True)
    dendritic_delay: int | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        numbers = {name: real(getattr(self, name), name) for name in NUMBERS}
        for name, low, high in (
            ("lambda_", 0, 1),
            ("alpha", 0, ALPHA_MAX),
            ("mu_plus", 0, MU_MAX),
            ("mu_minus", 0, MU_MAX),
        ):
            if not low <= numbers[name] <= high:
                raise InputError(f"{name.rstrip('_')} is {numbers[name]:g}; it must be in {low} .. {high:g}")
        for name in ("tau_plus", "tau_minus"):
            if numbers[name] <= 0:
                raise InputError(f"{name} is {numbers[name]:g}; it must be above 0")
        for name, rate in (
            ("lambda", numbers["lambda_"]),
            ("alpha times lambda", numbers["alpha"] * numbers["lambda_"]),
        ):
            if rate and not RATE_MIN <= rate <= 1:
                raise InputError(f"{name} is {rate:g}; it must be 0 or in {RATE_MIN:g} .. 1")
        if not 0 <= numbers["Wmin"] * _sign(numbers["Wmax"]) < abs(numbers["Wmax"]):
            raise InputError(
                f"Wmin is {numbers['Wmin']:g} and Wmax {numbers['Wmax']:g}; Wmax is not 0, and Wmin lies between "
                "0 and it"
            )
        if self.pairing not in PAIRINGS:
            raise InputError(f"pairing is {shown(self.pairing)}; it must be one of {', '.join(PAIRINGS)}")
        delay: Any = self.dendritic_delay
        if delay is not None:
            delay = integer(delay, "dendritic_delay", 0, DELAY_MAX)
        set_fields(self, **numbers, dendritic_delay=delay)

    def steps(self, dt: float | None, where: str) -> tuple[float, float]:
        """The time constants in steps.

        Raises
        ------
        InputError
            One is longer than 100,000 steps.
        """
        found = self.tau_plus / (dt or 1.0), self.tau_minus / (dt or 1.0)
        if max(found) > TAU_MAX:
            raise InputError(f"a time constant of {where} has {max(found):g} steps; at most {TAU_MAX:g} can be")
        return found


NUMBERS = ("Wmax", "Wmin", "tau_plus", "tau_minus", "lambda_", "alpha", "mu_plus", "mu_minus")


def _sign(value: float) -> float:
    return -1.0 if value < 0 else 1.0
