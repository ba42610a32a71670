"""Phases that end for each sample when it has settled.

Every half window the two halves of the latest window are compared. The answer has settled when, with q_1, q_2 the
probabilities of the read-out (its outputs, where the cost is a squared error),

    1/2 sum_j |q_1j - q_2j|  <=  tolerance,

the total variation distance. The network has settled when in each layer, with r_1i, r_2i the mean p of its n neurons in
the halves,

    1/n sum_i |r_1i - r_2i|  <=  residual tolerance.

Of the two the answer is the sharper measure for a user: mean rates stand still long before the few neurons do that make
the difference. The residual is what the phases of equilibrium propagation want, whose contrast takes all neurons; with
spikes it has a floor, their noise.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikesim.engine.phase import Moment
from spikesim.engine.run import load_inputs
from spikesim.engine.settling import is_full, largest_residual, rest, rolling_half
from spikesim.engine.step import step
from spikesim.ep.network import heads as hd
from spikesim.ep.phases.readout import find_features, say
from spikesim.jit.compilation import kernel
from spikesim.numerics.portable_math import softmax


class Criterion(NamedTuple):
    """When a sample has settled, and memory to find out, of any content."""

    tolerance: float  # of the answer; infinity: any
    residual: float  # tolerance of the residual of each layer; infinity: any
    heads: hd.Heads
    readout: int  # which of the heads the read-out is
    features: NDArray[np.int64]  # (features of the read-out,)
    answers: NDArray[np.float64]  # (2, classes): to the halves of the window


@kernel
def settling_steps(engine, phase, n_samples, window, criterion, inputs, stop):
    """Steps of a free phase until every sample has settled, at most `window.steps`.

    The halves of the state's window are summed in turn, so that together they hold the latest window (an even number
    of steps) whenever they are looked at: every half window, counted back from the last step, the first after a whole
    window behind the onset.

    inputs: `InputSpikes`.

    Returns
    -------
    bool
        False: stopped in the middle, the state is of no use.
    """
    state, steps, length = engine.state, window.steps, window.length // 2
    begin = phase.onset + (steps - phase.onset) % length
    for t in range(steps):
        if stop[0]:
            return False
        position = t - begin
        now = Moment(t, rolling_half(state, n_samples, position, length), is_full(position, length))
        load_inputs(engine, phase, inputs, n_samples, now)
        step(engine, phase, n_samples, now)
        if not now.measure:
            continue
        running = 0
        for sample in range(n_samples):
            if not state.active[sample]:
                continue
            if t < steps - 1 and not has_settled(engine.plan, state, criterion, sample, length):
                running += 1
                continue
            rest(engine, sample)
        if running == 0:
            break
    return True


@kernel
def has_settled(plan, state, criterion, sample, steps):
    """Whether the halves, of `steps` steps, of a sample's window are as close as the criterion wants."""
    if criterion.residual < np.inf and largest_residual(plan, state, sample, steps) > criterion.residual:
        return False
    return criterion.tolerance == np.inf or answer_change(plan, state, criterion, sample, steps) <= criterion.tolerance


@kernel
def answer_change(plan, state, criterion, sample, steps):
    """Total variation distance between the read-out's answers to the halves, of `steps` steps, of a sample's window."""
    heads, features, answers = criterion.heads, criterion.features, criterion.answers
    head = criterion.readout
    for half in range(2):
        find_features(plan, heads, head, state.extent[sample], state.window[half, sample], features)
        say(heads, head, features, steps, answers[half])
        if heads.table[head].squared == 0:
            softmax(answers[half], answers[half])
    change = 0.0
    for j in range(answers.shape[1]):
        change += abs(answers[0, j] - answers[1, j])
    return 0.5 * change
