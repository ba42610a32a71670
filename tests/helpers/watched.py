"""Trainings that are stopped after so many mini-batches."""

import pytest

from spikesim.ep.training.observer import Observer, Progress
from spikesim.ep.training.trainer import Trainer
from spikesim.errors import Stopped


class StopAfter(Observer):
    """Asks for a stop after so many mini-batches; None: never."""

    def __init__(self, batches: int | None = None) -> None:
        self.left = batches
        self.trainer: Trainer | None = None

    def batch(self, progress: Progress) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left == 0:
                assert self.trainer is not None
                self.trainer.request_stop()


def run_watched(trainer: Trainer, observer: StopAfter) -> None:
    """Run a trainer that this observer watches: to its end, or up to the stop that the observer asks for."""
    observer.trainer = trainer
    if observer.left is None:
        trainer.run()
    else:
        with pytest.raises(Stopped):
            trainer.run()
