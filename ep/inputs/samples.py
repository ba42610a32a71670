"""Samples that go through the phases together, with what belongs to each of them."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikesim.ep.inputs.encoding import Input

__all__ = ["MiniBatch", "Samples"]


@dataclass(frozen=True, eq=False)
class Samples:
    """Some samples.

    Attributes
    ----------
    inputs : images int16 (n, H, W, C), 1.0 = 2**12, or spikes
    ids : int64 (n,)
        Numbers in the set, which key their random numbers.
    labels : int64 (n,)
    soft_targets : float64 (n, classes) or None
        The teacher's softened logits, where the signals have a teacher.
    """

    inputs: Input
    ids: NDArray[np.int64]
    labels: NDArray[np.int64]
    soft_targets: NDArray[np.float64] | None = None

    def part(self, samples: slice) -> "Samples":
        """Some of them; views."""
        targets = None if self.soft_targets is None else self.soft_targets[samples]
        return Samples(self.inputs[samples], self.ids[samples], self.labels[samples], targets)


class MiniBatch(NamedTuple):
    """A mini-batch as a rank is given it.

    Attributes
    ----------
    epoch, number : int
        Its place in the training, from 0.
    inputs : images int16 (own, H, W, C), 1.0 = 2**12, or spikes
        Of this rank's share of the samples (`spikesim.ep.parallel.communicator.share`), all of them if it is alone.
    ids, labels : int64 (n,)
        Of all samples.
    """

    epoch: int
    number: int
    inputs: Input
    ids: NDArray[np.int64]
    labels: NDArray[np.int64]

    def own(self, share: slice, soft_targets: NDArray[np.float64] | None) -> Samples:
        """This rank's samples; `soft_targets`: of all training samples."""
        ids = self.ids[share]
        return Samples(self.inputs, ids, self.labels[share], None if soft_targets is None else soft_targets[ids])
