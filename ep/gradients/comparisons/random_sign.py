"""+beta or -beta, drawn a mini-batch, against the free phase: the error of first order averages out (Laborieux et al.
2021)."""

import numpy as np

from spikesim.ep.gradients.comparisons.one_sided import OneSided
from spikesim.numerics.philox import philox_words

TAG_SIGN = 0xFD000000
"""Last word of the counters of these random numbers, which belong to no neuron."""


class RandomSign(OneSided):
    """One nudged phase with a random sign, compared with the free one."""

    def sign(self, seed: int, epoch: int, batch: int) -> int:
        word = philox_words(np.array([[batch, epoch, 0, TAG_SIGN]], np.uint32), seed)[0, 0]
        return 1 if word & 1 else -1
