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
from spikesim.engine.step import measure_residual, step
from spikesim.ep.network import heads as hd
from spikesim.ep.phases.readout import add_features, say
from spikesim.jit.compilation import kernel
from spikesim.numerics.fixed_point import ONE
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
            if t < steps - 1 and not has_settled(engine.plan, state.window, criterion, sample, length):
                running += 1
                continue
            rest(engine, sample)
        if running == 0:
            break
    return True


@kernel
def rolling_half(state, n_samples, position, length):
    """Half of the window, 0 or 1, that a step belongs to when halves of this length follow each other; -1: to none.

    position: of the step in the succession of halves; negative before it. The half that the step begins is emptied.
    """
    if position < 0:
        return -1
    half = position // length % 2
    if position % length == 0:
        for sample in range(n_samples):
            if state.active[sample]:
                state.window[half, sample] = 0
                state.unclipped[half, sample] = 0
                state.wins[half, sample] = 0
    return half


@kernel
def is_full(position, length):
    """Whether the step ends a half and the other half has been filled before."""
    return position >= 2 * length - 1 and position % length == length - 1


@kernel
def has_settled(plan, window, criterion, sample, steps):
    """Whether the halves, of `steps` steps, of a sample's window are as close as the criterion wants."""
    if criterion.residual < np.inf and largest_residual(plan, window, sample, steps) > criterion.residual:
        return False
    return criterion.tolerance == np.inf or answer_change(plan, window, criterion, sample, steps) <= criterion.tolerance


@kernel
def rest(engine, sample):
    """End the phase of a sample."""
    measure_residual(engine.plan, engine.state, engine.counts, sample)
    engine.state.active[sample] = 0


@kernel
def largest_residual(plan, window, sample, steps):
    """Mean |difference of p| between the halves, of `steps` steps, of a sample's window in the layer with the largest.

    Lanes without a channel are 0 in both halves.
    """
    largest = 0.0
    for population in range(plan.populations.shape[0]):
        pop = plan.populations[population]
        if pop.spike_input:
            continue
        begin = pop.state
        total = np.int64(0)
        for i in range(begin, begin + pop.height * pop.width * pop.blocks * pop.lanes):
            total += abs(np.int64(window[1, sample, i]) - np.int64(window[0, sample, i]))
        mean = np.float64(total) / (np.float64(ONE) * steps * pop.height * pop.width * pop.channels)
        largest = max(largest, mean)
    return largest


@kernel
def answer_change(plan, window, criterion, sample, steps):
    """Total variation distance between the read-out's answers to the halves, of `steps` steps, of a sample's window."""
    heads, features, answers = criterion.heads, criterion.features, criterion.answers
    head = criterion.readout
    for half in range(2):
        features[:] = 0
        add_features(plan, heads, head, window[half, sample], features)
        say(heads, head, features, steps, answers[half])
        if heads.table[head].squared == 0:
            softmax(answers[half], answers[half])
    change = 0.0
    for j in range(answers.shape[1]):
        change += abs(answers[0, j] - answers[1, j])
    return 0.5 * change
