"""A training that is given more epochs than it was begun with.

The configuration remembers each extension: how many epochs there were to be (`optimizer.extended_from`), and how many
mini-batches were done by then (`optimizer.extended_at`). A mini-batch follows the schedule that was in force when it
came. So the same configuration trained in one go has the same bits.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from spikesim.ep.config.parsing import Config
from spikesim.ep.config.sections import OptimizerSettings
from spikesim.ep.training.training_state import Position, position_of
from spikesim.errors import InputError
from spikesim.io.checkpoint import checkpoint_folder, load_latest

__all__ = ["before_extension", "ends_training", "extended", "progress"]


def progress(settings: OptimizerSettings, position: Position, batches: int) -> float:
    """Share of the training that is done at a position, by the epochs that it was to have by then.

    Parameters
    ----------
    batches : int
        Mini-batches of an epoch. Once all of them are done, the position is still that of the last one.
    """
    number = position.done - (position.batch == batches)
    return (position.epoch + position.batch / batches) / _planned(settings, number)


def ends_training(settings: OptimizerSettings, position: Position) -> bool:
    """Whether an epoch whose test is due is the last one, or was to be the last one at that time."""
    ends = zip(settings.extended_from, settings.extended_at, strict=True)
    return position.epoch + 1 == settings.epochs or (position.epoch + 1, position.done) in ends


def extended(config: Config, run: Path, epochs: int) -> Config:
    """The configuration of a run with more epochs from its last checkpoint on.

    Raises
    ------
    InputError
        It has as many, there is no checkpoint, or its patience has ended it.
    """
    settings = config.optimizer
    if epochs <= settings.epochs:
        raise InputError(
            f"--epochs is {epochs}, and {run} has {settings.epochs}; give a larger number, or leave it out"
        )
    folder = checkpoint_folder(run)
    found = load_latest(folder)
    if found is None:
        raise InputError(
            f"{run} has no checkpoint in {folder} to resume from; restore that folder, or start a new training"
        )
    position = position_of(found)
    if position.best.ends(settings.patience, position.epoch):
        raise InputError(
            f"{run} ended after epoch {position.epoch} by optimizer.patience, which is {settings.patience}; more "
            "epochs change nothing: leave out --epochs, or start a new training with another --patience"
        )
    return replace(
        config,
        optimizer=replace(
            settings,
            epochs=epochs,
            extended_from=(*settings.extended_from, settings.epochs),
            extended_at=(*settings.extended_at, position.done),
        ),
    )


def before_extension(config: Config) -> Mapping[str, Any] | None:
    """The configuration, in its canonical form, before it was last given more epochs; None if it never was."""
    settings = config.optimizer
    if not settings.extended_from:
        return None
    before = replace(
        settings,
        epochs=settings.extended_from[-1],
        extended_from=settings.extended_from[:-1],
        extended_at=settings.extended_at[:-1],
    )
    return replace(config, optimizer=before).to_dict()


def _planned(settings: OptimizerSettings, number: int) -> int:
    """Epochs that the training was to have when a mini-batch came, counted from 0 over all epochs."""
    for epochs, at in zip(settings.extended_from, settings.extended_at, strict=True):
        if number < at:
            return epochs
    return settings.epochs
