"""What a training goes on from: parameters, moments, controllers and position, as arrays by name.

Nothing that is random has a state, so this and the rows written are all that a checkpoint holds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesim.ep.runs.best_epoch import BestEpoch
from spikesim.ep.runs.last_test import LastTest
from spikesim.ep.training.learning.learner import Learner
from spikesim.errors import InputError
from spikesim.io.checkpoint import Checkpoint

__all__ = ["Position", "TrainingState", "position_of"]

_PARAMETERS, _MOMENTS, _CONTROLLERS, _LOSSES = "parameters/", "moments/", "controllers/", "losses"
_STATISTICS = "statistics/"
_POSITION, _STEPS = "position", "optimizer_steps"


@dataclass
class Position:
    """Where a run stands, between two mini-batches; `batch` equal to the number of batches: the test is due."""

    epoch: int = 0
    batch: int = 0
    done: int = 0
    losses: list[float] = field(default_factory=list)  # sums by mini-batch of the present epoch
    correct: int = 0
    best: BestEpoch = field(default_factory=BestEpoch)  # of the epochs that have ended
    last_test: LastTest = field(default_factory=LastTest)
    spectral_norm: float | None = None  # the largest, as it was last measured
    limited: int = 0  # mini-batches that were done when its limit was last applied

    def end_epoch(self) -> None:
        """Move on to the first mini-batch of the next epoch."""
        self.epoch += 1
        self.batch = self.correct = 0
        self.losses.clear()


@dataclass(frozen=True)
class TrainingState:
    """A learner and its position, to be saved and taken up.

    Attributes
    ----------
    learner : Learner
    position : Position
    """

    learner: Learner
    position: Position

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays of a checkpoint."""
        learner = self.learner
        return {
            _LOSSES: np.array(self.position.losses, np.float64),
            **_under(_PARAMETERS, learner.optimizer.parameters),
            **_under(_MOMENTS, learner.optimizer.state()),
            **_under(_CONTROLLERS, learner.controllers.state()),
            **_under(_STATISTICS, learner.normalization.statistics()),
            **self.position.best.to_arrays(),
            **self.position.last_test.to_arrays(),
        }

    def to_meta(self) -> dict[str, Any]:
        """The numbers of a checkpoint."""
        where = self.position
        position = {
            "epoch": where.epoch,
            "batch": where.batch,
            "done": where.done,
            "correct": where.correct,
            "spectral_norm": where.spectral_norm,
            "limited": where.limited,
        }
        return {_POSITION: position, _STEPS: self.learner.optimizer.steps}

    def take_up(self, found: Checkpoint) -> None:
        """Take over a checkpoint, in place.

        Raises
        ------
        KeyError, TypeError, ValueError
            It is that of another run.
        """
        learner, position, own = self.learner, self.position, found.arrays
        for name, array in learner.optimizer.parameters.items():
            array[...] = own[f"{_PARAMETERS}{name}"].reshape(array.shape)
        learner.optimizer.restore(_from(_MOMENTS, own), int(found.meta[_STEPS]))
        learner.controllers.restore(_from(_CONTROLLERS, own))
        learner.normalization.restore(_from(_STATISTICS, own))
        there = _position(found)
        for item in fields(Position):
            setattr(position, item.name, getattr(there, item.name))


def _position(found: Checkpoint) -> Position:
    where = found.meta[_POSITION]
    return Position(
        epoch=int(where["epoch"]),
        batch=int(where["batch"]),
        done=int(where["done"]),
        losses=found.arrays[_LOSSES].tolist(),
        correct=int(where["correct"]),
        best=BestEpoch.of_arrays(found.arrays),
        last_test=LastTest.of_arrays(found.arrays),
        spectral_norm=where.get("spectral_norm"),  # not in checkpoints of versions that measured it after tests only
        limited=int(where.get("limited", 0)),
    )


def position_of(found: Checkpoint) -> Position:
    """Where a checkpoint stands.

    Raises
    ------
    InputError
        It is not one of a training.
    """
    try:
        return _position(found)
    except (KeyError, TypeError, ValueError):
        raise InputError(f"the checkpoint {found.position} is not one of a training; restore its folder") from None


def _under(prefix: str, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {f"{prefix}{name}": array for name, array in arrays.items()}


def _from(prefix: str, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
