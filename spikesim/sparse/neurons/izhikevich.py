"""The neuron of Izhikevich (2003), by Euler's method, as NEST's `izhikevich` with consistent integration.

In a step of dt ms

    v' = v + dt (0.04 v**2 + 5 v + 140 - u + I_e) + s
    u' = u + dt a (b v - u)
    fires if v' >= V_th;  then v' = c and u' += d

with s the weights of what arrives. Where a neuron would rest, v and u are put to that point as soon as nothing arrives
and both are within 2 units of 2**-16 of it.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from spikesim.jit.compilation import kernel
from spikesim.numerics.fixed_point import ONE, ONE_BITS
from spikesim.sparse.neurons import step
from spikesim.sparse.neurons.model import General, Model, Values, parameter, potential
from spikesim.sparse.neurons.multipliers import scaled

NAME = "izhikevich"
RECOVERY = 0
"""The variable: u minus U_REST, 1.0 = 2**16."""
SQUARE, LINEAR, CONSTANT, RECOVERS, SENSITIVITY, SPEED, V_REST, U_REST = range(step.OWN, step.OWN + 8)
JUMP, I_REST = step.ADAPTATION_STEP, step.WIDTH  # columns that it has no other use for
NOWHERE = -(2**40)
"""A current that no neuron has."""
SQUARE_BITS, BITS = 20, 28
LARGEST = 2**26
"""Of v: 1024 mV. Its square fits, and leaves room for the coefficient."""
NEAR = 2
_POTENTIAL: dict[str, Any] = {"low": -1000.0, "high": 1000.0}


@dataclass(frozen=True)
class Izhikevich(Model):
    """The neurons of Izhikevich (2003): NEST's `izhikevich`.

    Weights are in mV. Every parameter may be an array or a distribution.

    Attributes
    ----------
    a : float
        Speed of the recovery u, 1/ms.
    b : float
        How much u follows v, 1/ms.
    c, d : float
        What a spike puts v to, mV, and what it adds to u, mV/ms.
    I_e : float
        A constant current, mV/ms.
    V_th : float
        v at which a neuron fires, mV.
    V_m, U_m : float, optional
        v and u at the start; -65 mV unless given, and b V_m.
    """

    weight_unit: ClassVar[str] = "mV"

    a: ArrayLike = parameter(0.02, "1/ms", by_neuron=True, low=0.0, high=10.0)
    b: ArrayLike = parameter(0.2, "1/ms", by_neuron=True, low=-10.0, high=10.0)
    c: ArrayLike = parameter(-65.0, "mV", by_neuron=True, **_POTENTIAL)
    d: ArrayLike = parameter(8.0, "mV/ms", by_neuron=True, **_POTENTIAL)
    I_e: ArrayLike = parameter(0.0, "mV/ms", by_neuron=True, **_POTENTIAL)
    V_th: ArrayLike = parameter(30.0, "mV", by_neuron=True, **_POTENTIAL)
    V_m: ArrayLike = parameter(-65.0, "mV", by_neuron=True, **_POTENTIAL)
    U_m: ArrayLike | None = parameter(None, "mV/ms", by_neuron=True, **_POTENTIAL)

    def general(self, values: Values, dt: float) -> General:
        """The integers of such neurons."""
        a, b, current = values["a"], values["b"], values["I_e"]
        discriminant = (5 - b) ** 2 - 0.16 * (140 + current)
        rest = np.where(discriminant > 0, (b - 5 - np.sqrt(np.maximum(discriminant, 0.0))) / 0.08, 0.0)
        slope = 0.08 * rest + 5
        stable = (discriminant > 0) & (slope < a) & (a * (b - slope) > 0) & (rest < values["V_th"])
        rest = np.where(stable, rest, 0.0)
        recovery = np.where(stable, potential(b * rest), 0)
        return General(
            kernels=NAME,
            bias=current,
            per_current=np.ones(1),
            initial=values["V_m"],
            chance=np.zeros_like,
            columns={
                SQUARE: scaled(np.full(1, 0.04 * dt), BITS - ONE_BITS + SQUARE_BITS),
                LINEAR: scaled(np.full(1, 5 * dt), BITS),
                CONSTANT: scaled(np.full(1, 140 * dt), ONE_BITS + BITS),
                RECOVERS: scaled(np.full(1, dt), BITS),
                SENSITIVITY: scaled(a * b * dt, step.RATE_BITS),
                SPEED: scaled(a * dt, step.RATE_BITS),
                JUMP: potential(values["d"]),
                V_REST: potential(rest),
                U_REST: recovery,
                I_REST: np.where(stable, potential(current), NOWHERE),
                step.THRESHOLD: potential(values["V_th"]),
                step.RESET: potential(values["c"]),
            },
            gains=(float(ONE),),
            variables=1,
            start={RECOVERY: potential(values["U_m"] if "U_m" in values else b * values["V_m"]) - recovery},
            reach_limit=2.0**12,
        )


@kernel
def visit(p, x, cell, arrived, dither):
    """One step of a neuron."""
    v, u = cell.potential, np.int64(x[RECOVERY]) + p[U_REST]
    square = (v * v + (dither.carry >> (32 - SQUARE_BITS))) >> SQUARE_BITS
    drive = square * p[SQUARE] + v * p[LINEAR] + (cell.bias - u) * p[RECOVERS] + p[CONSTANT]
    jump = step.gained(arrived.excitatory, p[step.GAIN_EX], p[step.SHIFT_EX], dither.carry)
    moved = v + ((drive + (dither.leak >> (step.RATE_BITS - BITS))) >> BITS) + jump
    moved = min(max(moved, np.int64(-LARGEST)), np.int64(LARGEST))
    recovered = u + ((v * p[SENSITIVITY] - u * p[SPEED] + (dither.carry >> 1)) >> step.RATE_BITS)
    away = step.held(recovered - p[U_REST])
    still = arrived.excitatory == 0 and cell.bias == p[I_REST] and abs(moved - p[V_REST]) <= NEAR and abs(away) <= NEAR
    if still:
        moved, away = p[V_REST], np.int64(0)
    x[RECOVERY] = np.int32(away)
    fires = np.int64(step.CERTAIN) if moved >= p[step.THRESHOLD] else np.int64(0)
    return step.Moved(moved, np.int64(0), fires, still)


@kernel
def fire(p, x, cell, arrived, dither):
    """What a spike does to a neuron."""
    x[RECOVERY] = np.int32(step.held(np.int64(x[RECOVERY]) + p[JUMP]))
    return step.Fired(p[step.RESET], np.int64(0))
