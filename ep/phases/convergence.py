"""Free phases that end for each sample when its answer has settled.

A network is at equilibrium, for its user, when the answer no longer moves. Every half window the read-out is asked
what it makes of the two halves of the latest window; with q_1, q_2 its probabilities (its outputs, where the cost is a
squared error) a sample rests when

    1/2 sum_j |q_1j - q_2j|  <=  tolerance,

the total variation distance. Mean rates are no such measure: those of the network as a whole stand still long before
the few neurons do that make the difference.
"""

from spikesim.engine.run import load_streams
from spikesim.engine.step import measure_residual, step
from spikesim.ep.phases.readout import add_features, say
from spikesim.jit.compilation import kernel
from spikesim.numerics.portable_math import softmax


@kernel
def settling_steps(
    plan, state, counts, scratch, clock, n_samples, steps, window, tolerance, heads, features, answers,
    stream_populations, stream_events, stream_pointers, stop,
):  # fmt: skip
    """Steps of a free phase until the answer of every sample has settled, at most `steps`.

    The halves of the state's window are summed in turn, so that together they hold the latest window (an even number
    of steps) whenever they are looked at: every half window, counted back from the last step, the first after a whole
    window behind the onset.

    stream_populations, stream_events, stream_pointers: as `simulator.run_steps`.
    features: int64 (features of the read-out,), answers: float64 (2, classes); any values.

    Returns
    -------
    bool
        False: stopped in the middle, the state is of no use.
    """
    length = window // 2
    begin = clock.onset + (steps - clock.onset) % length
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
        load_streams(plan, state, counts, clock, n_samples, stream_populations, stream_events, stream_pointers, t, half)
        looked = position >= window - 1 and position % length == length - 1
        step(plan, state, counts, scratch, clock, n_samples, t, half, looked)
        if not looked:
            continue
        running = 0
        for sample in range(n_samples):
            if not state.active[sample]:
                continue
            if t < steps - 1 and answer_change(plan, state, heads, sample, length, features, answers) > tolerance:
                running += 1
                continue
            measure_residual(plan, state, counts, sample)
            state.active[sample] = 0
        if running == 0:
            break
    return True


@kernel
def answer_change(plan, state, heads, sample, steps, features, answers):
    """Total variation distance between the read-out's answers to the halves, of `steps` steps, of a sample's window."""
    head = heads.table.shape[0] - 1
    for half in range(2):
        features[:] = 0
        add_features(plan, heads, head, state.window[half, sample], features)
        say(heads, head, features, steps, answers[half])
        if heads.table[head].squared == 0:
            softmax(answers[half], answers[half])
    change = 0.0
    for j in range(answers.shape[1]):
        change += abs(answers[0, j] - answers[1, j])
    return 0.5 * change
