"""The best epoch of a training by its validation set, its weights, and how long it takes for a better one.

Better is the higher accuracy, of equal ones the lower loss, of equal losses the earlier epoch. All that is kept follows
from the tests in their order, so a run that goes on has the same as one that was never stopped.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["BestEpoch"]

Weights = Mapping[str, NDArray[np.float32]]
_STATE, _WEIGHTS = "best", "best/"


@dataclass(frozen=True)
class BestEpoch:
    """The best epoch so far.

    Attributes
    ----------
    epoch : int
        From 1; 0 before the first test.
    correct : int
        Validation samples that were right.
    loss : float
        Mean cost of the read-out.
    rose : int
        The epoch whose test had so many right for the first time: this one, or an earlier one with a higher loss.
    weights : mapping of str to float32 arrays
        As the test had them; nothing where they are lost, in a run of a version that did not keep them.
    """

    epoch: int = 0
    correct: int = 0
    loss: float = math.inf
    rose: int = 0
    weights: Weights = field(default_factory=dict)

    @property
    def kept(self) -> int:
        """The epoch, if its weights are there; else 0."""
        return self.epoch if self.weights else 0

    def after(self, epoch: int, correct: int, loss: float, weights: Weights) -> "BestEpoch":
        """The best epoch after one more test; `weights` are copied if it is that."""
        loss = math.inf if math.isnan(loss) else loss
        if self.epoch and (correct, -loss) <= (self.correct, -self.loss):
            return self
        rose = self.rose if self.epoch and correct == self.correct else epoch
        return BestEpoch(epoch, correct, loss, rose, {name: array.copy() for name, array in weights.items()})

    def ends(self, patience: int | None, epochs: int) -> bool:
        """Whether the training ends after so many epochs, since the accuracy has not risen in the last `patience`."""
        return patience is not None and epochs - self.rose >= patience

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """As arrays of a checkpoint; none before the first test."""
        if not self.epoch:
            return {}
        state = np.array([self.epoch, self.correct, self.loss, self.rose], np.float64)
        return {_STATE: state, **{f"{_WEIGHTS}{name}": array for name, array in self.weights.items()}}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> "BestEpoch":
        """Out of a checkpoint. One without is that of a run without validation, or before the first test, or older.

        Raises
        ------
        TypeError, ValueError
            It is that of another run.
        """
        if _STATE not in arrays:
            return cls()
        epoch, correct, loss, rose = (float(value) for value in arrays[_STATE])
        weights = {name.removeprefix(_WEIGHTS): own for name, own in arrays.items() if name.startswith(_WEIGHTS)}
        return cls(int(epoch), int(correct), loss, int(rose), weights)

    @classmethod
    def of_rows(cls, epochs: Mapping[str, NDArray[Any]]) -> "BestEpoch":
        """That of the epochs of a run file, by its columns; without weights."""
        best = cls()
        columns = (epochs["epoch"], epochs["test_correct"], epochs["test_loss"])
        for epoch, correct, loss in zip(*columns, strict=True):
            best = best.after(int(epoch), int(correct), float(loss), {})
        return best
