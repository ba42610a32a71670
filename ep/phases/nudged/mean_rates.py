"""The mean rates of a free phase, and a population that sends them as graded events."""

import numpy as np

from spikesim.engine.events import list_spikes
from spikesim.engine.plan import FIRING_RATES
from spikesim.jit.compilation import kernel
from spikesim.numerics.fixed_point import P_MAX

__all__ = ["mean_rates", "send_probabilities"]


@kernel
def mean_rates(state, n_samples, window, rates):
    """Mean rates over the window of a phase, int32 (n, state size), 1.0 = 2**16."""
    half, steps = np.float64(window // 2), np.float64(window)
    for sample in range(n_samples):
        early, late, out = state.window[0, sample], state.window[1, sample], rates[sample]
        for i in range(out.shape[0]):  # the whole part of a quotient of small integers is exact in floating point
            total = np.float64(early[i] + late[i])
            out[i] = min(np.int32((total + half) / steps), np.int32(P_MAX))


@kernel
def send_probabilities(engine, population, sample):
    """Make graded events of a population's rates, which its membranes hold."""
    plan, state = engine.plan, engine.state
    pop = plan.populations[population]
    pixels, lanes, blocks = pop.height * pop.width, pop.lanes, pop.blocks
    words_a_pixel = blocks * lanes // 16
    words = state.words[sample, pop.words :]
    for block in range(blocks):
        for pixel in range(pixels):
            potential = state.membrane[sample, pop.state + (block * pixels + pixel) * lanes :]
            for word in range(lanes // 16):
                bits = 0
                for lane in range(16):
                    bits |= (potential[word * 16 + lane] > 0) << lane
                words[pixel * words_a_pixel + block * lanes // 16 + word] = np.uint16(bits)
    list_spikes(plan, state, FIRING_RATES, population, sample, np.int64(0))


@kernel
def deviations(window, rates, steps, out):
    """Sums over both halves of a window of so many steps, less those of the mean rates; int32 (n, state size)."""
    for sample in range(len(out)):
        first, second, mean, own = window[0, sample], window[1, sample], rates[sample], out[sample]
        for i in range(len(own)):
            own[i] = first[i] + second[i] - np.int32(mean[i] * steps)
