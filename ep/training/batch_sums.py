"""What the samples of a mini-batch add up to: all that crosses the threads and the ranks, in integers."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikesim.ep.gradients.correlation import Correlation
from spikesim.ep.gradients.estimator import HeadSums, LayerSums
from spikesim.ep.network.model import Model
from spikesim.ep.phases.counters import PhaseCounts
from spikesim.ep.phases.potentials import PotentialSums

PHASES = 3


@dataclass
class BatchSums:
    """Sums over samples.

    Attributes
    ----------
    layers : LayerSums
        Contrast of the phases.
    penalties : dict of Correlation
        By index of the connections into layers whose activity has a penalty.
    heads : list of HeadSums
    channels : list of int64 (C,)
        By layer, then of an input of spikes: firing probabilities of a channel over the window of the free phase; then
        by layer those of the winners of its cells.
    potentials : PotentialSums
        At the end of the free phase; zeros unless they are needed.
    counts : list of PhaseCounts
        By phase.
    correct : int64 (heads,)
    """

    layers: LayerSums
    penalties: dict[int, Correlation]
    heads: list[HeadSums]
    channels: list[NDArray[np.int64]]
    potentials: PotentialSums
    counts: list[PhaseCounts]
    correct: NDArray[np.int64]

    @classmethod
    def zero(
        cls, model: Model, layers: LayerSums, penalties: dict[int, Correlation], heads: list[HeadSums]
    ) -> "BatchSums":
        """With nothing counted yet."""
        return cls(
            layers=layers,
            penalties=penalties,
            heads=heads,
            channels=[
                np.zeros(own.shape[2], np.int64)
                for own in (*model.graph.populations, *model.inputs, *model.graph.populations)
            ],
            potentials=PotentialSums.zero(model.compiled.sizes["bias"]),
            counts=[PhaseCounts.zero(model.layers) for _ in range(PHASES)],
            correct=np.zeros(len(model.heads), np.int64),
        )

    def add(self, channels: list[NDArray[np.int64]], potentials: PotentialSums, counts: list[PhaseCounts]) -> None:
        """Add what some samples counted."""
        for total, own in zip(self.potentials.arrays(), potentials.arrays(), strict=True):
            total += own
        for total, own in zip(self.channels, channels, strict=True):
            total += own
        for phase, count in zip(self.counts, counts, strict=True):
            phase.add(count)

    def arrays(self) -> Iterator[NDArray[np.int64]]:
        """Everything, to be added up over the ranks; the same shapes in the same order in all of them."""
        yield from self.layers.arrays()
        for correlation in self.penalties.values():
            yield from correlation
        for head in self.heads:
            yield from head
        yield from self.channels
        yield from self.potentials.arrays()
        for phase in self.counts:
            yield from phase
        yield self.correct
