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

from spikesim.errors import InputError
from spikesim.jit.compilation import kernel
from spikesim.numerics.fixed_point import ONE, ONE_BITS
from spikesim.sparse.neurons import step
from spikesim.sparse.neurons.model import General, Model, Values, parameter, potential
from spikesim.sparse.neurons.multipliers import scaled

NAME = "izhikevich"
RECOVERY = 0
"""The variable: u minus U_REST, 1.0 = 2**16."""
SQUARE, LINEAR, CONSTANT, RECOVERS = range(step.OWN_SHARED, step.OWN_SHARED + 4)
JUMP = step.ADAPTATION_STEP
SENSITIVITY, SPEED, V_REST, U_REST, I_REST = range(step.OWN, step.OWN + 5)
NOWHERE = -(2**31)
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
        if dt > 1 or max(np.max(a), np.max(np.abs(a * b))) * dt >= 1:
            fastest = max(np.max(a), np.max(np.abs(a * b)))
            raise InputError(
                f"a step of {dt:g} ms is too long for a and a b up to {fastest:g} per ms; it must be at most 1 ms, and "
                "shorter than the inverse of these"
            )
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
            shared={
                SQUARE: round(0.04 * dt * 2 ** (BITS - ONE_BITS + SQUARE_BITS)),
                LINEAR: round(5 * dt * 2**BITS),
                CONSTANT: round(140 * dt * 2 ** (ONE_BITS + BITS)),
                RECOVERS: round(dt * 2**BITS),
            },
            columns={
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
def visit(shared, columns, variables, cells, dither):
    """One step of some neurons."""
    potential, bias, sums, p, still = cells.potential, cells.bias, cells.excitation, cells.p, cells.still
    count = potential.shape[0]
    recovery, threshold = step.row(variables, RECOVERY, count), step.row(columns, step.THRESHOLD, count)
    sensitivity, speed = step.row(columns, SENSITIVITY, count), step.row(columns, SPEED, count)
    v_rest, u_rest, i_rest = (
        step.row(columns, V_REST, count),
        step.row(columns, U_REST, count),
        step.row(columns, I_REST, count),
    )
    gain, shift = step.narrow(shared[step.GAIN_EX]), shared[step.SHIFT_EX]
    part, carry = step.carried(shift, dither.carry), dither.carry >> (32 - SQUARE_BITS)
    for i in range(count):
        v, u = np.int64(potential[i]), np.int64(recovery[i]) + np.int64(u_rest[i])
        square = (v * v + carry) >> SQUARE_BITS
        drive = square * shared[SQUARE] + v * shared[LINEAR] + (np.int64(bias[i]) - u) * shared[RECOVERS]
        change = (drive + shared[CONSTANT] + (dither.leak >> (step.RATE_BITS - BITS))) >> BITS
        moved = v + change + ((np.int64(sums[i]) * gain + part) >> shift)
        moved = min(max(moved, np.int64(-LARGEST)), np.int64(LARGEST))
        turned = v * np.int64(sensitivity[i]) - u * np.int64(speed[i]) + (dither.carry >> 1)
        away = step.held(np.int64(recovery[i]) + (turned >> step.RATE_BITS))
        near = (abs(moved - np.int64(v_rest[i])) <= NEAR) & (abs(away) <= NEAR)
        rests = near & (sums[i] == 0) & (bias[i] == i_rest[i])
        potential[i] = np.int32(np.int64(v_rest[i]) if rests else moved)
        recovery[i] = np.int32(np.int64(0) if rests else away)
        still[i] = np.uint8(rests)
    for i in range(count):
        p[i] = np.int32(step.CERTAIN) if potential[i] >= threshold[i] else np.int32(0)


@kernel
def fire(shared, columns, variables, cells, i):
    """What a spike does to a neuron."""
    u = np.int64(variables.array[RECOVERY, variables.at + i]) + np.int64(columns.array[JUMP, columns.at + i])
    variables.array[RECOVERY, variables.at + i] = np.int32(step.held(u))
    cells.potential[i] = columns.array[step.RESET, columns.at + i]
