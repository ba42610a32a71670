"""Free phases that end for each sample when its answer has settled.

A network is at equilibrium, for its user, when the answer no longer moves. Every half window the read-out is asked
what it makes of the two halves of the latest window; with q_1, q_2 its probabilities (its outputs, where the cost is a
squared error) a sample rests when

    1/2 sum_j |q_1j - q_2j|  <=  tolerance,

the total variation distance. Mean rates are no such measure: those of the network as a whole stand still long before
the few neurons do that make the difference.
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
from spikesim.numerics.portable_math import softmax


class Criterion(NamedTuple):
    """When a sample has settled, and memory to find out, of any content."""

    tolerance: float
    heads: hd.Heads
    readout: int  # which of the heads the read-out is
    features: NDArray[np.int64]  # (features of the read-out,)
    answers: NDArray[np.float64]  # (2, classes): to the halves of the window


@kernel
def settling_steps(engine, phase, n_samples, window, criterion, inputs, stop):
    """Steps of a free phase until the answer of every sample has settled, at most `window.steps`.

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
        position = t - begin  # in the succession of halves; negative before it
        half = position // length % 2 if position >= 0 else -1
        if half >= 0 and position % length == 0:
            for sample in range(n_samples):
                if state.active[sample]:
                    state.window[half, sample] = 0
                    state.unclipped[half, sample] = 0
                    state.wins[half, sample] = 0
        looked = position >= window.length - 1 and position % length == length - 1
        now = Moment(t, half, looked)
        load_inputs(engine, phase, inputs, n_samples, now)
        step(engine, phase, n_samples, now)
        if not looked:
            continue
        running = 0
        for sample in range(n_samples):
            if not state.active[sample]:
                continue
            if (
                t < steps - 1
                and answer_change(engine.plan, state.window, criterion, sample, length) > criterion.tolerance
            ):
                running += 1
                continue
            measure_residual(engine.plan, engine.state, engine.counts, sample)
            state.active[sample] = 0
        if running == 0:
            break
    return True


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
