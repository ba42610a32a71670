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
from spikesim.ep.phases.rate_sums import RateSums

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
    rates : RateSums
        Firing probabilities of the neurons over the window of the free phase.
    potentials : PotentialSums
        At the end of the free phase; zeros unless they are needed.
    counts : list of PhaseCounts
        By phase.
    correct : int64 (heads + 1,)
        Samples that each head has right, and those that the network's answer has right.
    """

    layers: LayerSums
    penalties: dict[int, Correlation]
    heads: list[HeadSums]
    rates: RateSums
    potentials: PotentialSums
    counts: list[PhaseCounts]
    correct: NDArray[np.int64]

    @classmethod
    def zero(
        cls, model: Model, layers: LayerSums, penalties: dict[int, Correlation], heads: list[HeadSums]
    ) -> "BatchSums":
        """With nothing counted yet."""
        sizes = model.compiled.sizes
        return cls(
            layers=layers,
            penalties=penalties,
            heads=heads,
            rates=RateSums.zero(sizes["state"]),
            potentials=PotentialSums.zero(sizes["bias"]),
            counts=[PhaseCounts.zero(model.layers) for _ in range(PHASES)],
            correct=np.zeros(len(model.heads) + 1, np.int64),
        )

    def add(self, rates: RateSums, potentials: PotentialSums, counts: list[PhaseCounts]) -> None:
        """Add what some samples counted."""
        for sums, added in ((self.rates, rates), (self.potentials, potentials)):
            for total, own in zip(sums.arrays(), added.arrays(), strict=True):
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
        yield from self.rates.arrays()
        yield from self.potentials.arrays()
        for phase in self.counts:
            yield from phase
        yield self.correct
