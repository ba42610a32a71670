"""Exact integration of linear equations over a step: time constants and what passes from one variable to the next.

All times are in steps. The results are real numbers with the same bits on all machines; `step.RATE_BITS` says what
becomes of them.
"""

import numpy as np
from numpy.typing import NDArray

from spikesim.jit.compilation import kernel
from spikesim.numerics.portable_math import exp
from spikesim.sparse.neurons.step import RATE_BITS

SMALL = 0.05
"""Arguments below which a series takes the place of a quotient."""
Reals = NDArray[np.float64]


@kernel
def _exps(x, out):
    for i in range(x.shape[0]):
        out[i] = exp(x[i])


def exps(x: Reals) -> Reals:
    """e**x, the same bits on all machines."""
    out = np.empty_like(x)
    _exps(x, out)
    return out


def rate(tau: Reals) -> NDArray[np.int64]:
    """The share 1 - exp(-1 / tau) that is lost in a step, unit 2**-RATE_BITS."""
    return scaled(1.0 - exps(-1.0 / tau), RATE_BITS)


def scaled(values: Reals, bits: int) -> NDArray[np.int64]:
    """Real numbers as integers, 1.0 = 2**bits."""
    return np.rint(np.ldexp(values, bits)).astype(np.int64)


def mean_decay(tau: Reals) -> Reals:
    """Mean over a step of what decays from 1."""
    return _first(1.0 / tau)


def from_current(tau: Reals, tau_current: Reals) -> Reals:
    """What a current that decays from 1 a step adds, within a step, to what decays with `tau`."""
    return exps(-1.0 / tau) * _first(1.0 / tau_current - 1.0 / tau)


def from_rise(tau: Reals, tau_current: Reals) -> Reals:
    """What a current that rises from 0 by 1 a step, while it decays, adds within a step to what decays with `tau`."""
    return exps(-1.0 / tau) * _second(1.0 / tau_current - 1.0 / tau)


def _first(x: Reals) -> Reals:
    """(1 - e**-x) / x."""
    series = 1 - x / 2 * (1 - x / 3 * (1 - x / 4 * (1 - x / 5 * (1 - x / 6 * (1 - x / 7)))))
    large = np.where(np.abs(x) < SMALL, 1.0, x)
    return np.where(np.abs(x) < SMALL, series, (1 - exps(-large)) / large)


def _second(x: Reals) -> Reals:
    """(1 - (1 + x) e**-x) / x**2."""
    series = sum((-x) ** k / (_factorial(k) * (k + 2)) for k in range(9))
    large = np.where(np.abs(x) < SMALL, 1.0, x)
    return np.where(np.abs(x) < SMALL, series, (1 - (1 + large) * exps(-large)) / large**2)


def _factorial(k: int) -> float:
    return float(np.prod(np.arange(1, k + 1)))
