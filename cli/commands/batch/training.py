"""The training that follows ``--``: its options, and the rehearsal of all that is to be started."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from spikesim.errors import InputError
from spikesim.runtime.stopping import DRY_RUN

if TYPE_CHECKING:
    from spikesim.ep.runs.plan import Member

__all__ = ["Training", "read_training", "rehearse"]


class Training(NamedTuple):
    """A command line of train.

    Attributes
    ----------
    arguments : list of str
        ``train`` and its options, without ``--resume``.
    options : dict
        Their values, by the names of the parameters.
    out : Path
        Absolute; of a sweep the folder of its runs.
    """

    arguments: list[str]
    options: Mapping[str, Any]
    out: Path

    @property
    def keys(self) -> dict[str, Any]:
        """Options that stand for keys of the configuration."""
        return {key: value for key, value in self.options.items() if "__" in key or key in ("seed", "preset")}

    def member_arguments(self, member: "Member") -> list[str]:
        """What a member of a sweep is started with, besides the common arguments. The last --out counts."""
        settings = [word for text in member.settings for word in ("--set", text)]
        return [*settings, "--out", str(member.path(self.out))]


def read_training(command: tuple[str, ...], verb: str, *, is_sweep: bool, others: tuple[str, ...] = ()) -> Training:
    """Read a command line of train, with what does not belong into a job refused.

    Parameters
    ----------
    command : tuple of str
        What follows ``--``.
    verb : str
        What cannot be done with another command: ``"submitted"``.
    is_sweep : bool
        --out is the folder of the runs.
    others : tuple of str
        Commands that could stand in the place of train.

    Raises
    ------
    InputError, click.UsageError
    """
    from spikesim.cli.commands.train import train

    if command[0] != "train":
        known = "train" if not others else f"{', '.join(['train', *others[:-1]])} or {others[-1]}"
        toml = "; a sweep file ends in .toml" if verb == "swept" else ""
        raise InputError(f"'{command[0]}' cannot be {verb}; the command after -- is {known} and its options{toml}")
    if "--overwrite" in command:
        raise InputError("--overwrite would replace runs that should be resumed; remove their files instead")
    if DRY_RUN in command:
        raise InputError(f"--dry-run trains nothing to be {verb}; leave it out, or run train alone")
    arguments = [argument for argument in command if argument != "--resume"]
    options = dict(train.make_context("spikesim train", arguments[1:]).params)
    if is_sweep and (options["log"] or options["tensorboard"]):
        raise InputError("--log and --tensorboard are for a single run, and a sweep has many; leave them out")
    out = Path(os.path.abspath(options["out"]))
    if not out.parent.is_dir():
        raise InputError(f"the folder {out.parent} does not exist; make it, or choose another --out")
    if is_sweep and out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; --out of a sweep must be the folder of the run files")
    return Training(arguments, options, out)


def rehearse(training: Training, members: "Iterable[Member] | None", *, skip_data: bool) -> None:
    """Refuse now what would fail later.

    Parameters
    ----------
    members : iterable of Member, or None
        Those of a sweep that are to be started; None for the run alone.
    skip_data : bool
        The data set and the teacher are not here.

    Raises
    ------
    InputError
        As train would, with the name of the member.
    """
    from spikesim.cli.cluster.rehearsal import Rehearsal
    from spikesim.cli.configuration import resolve

    options, keys = training.options, training.keys
    rehearsal = Rehearsal(options["data_dir"], options["teacher_file"], skip_data=skip_data)
    if members is None:
        rehearsal.start(resolve(options["config_file"], options["settings"], keys), training.out)
        return
    given = {key for key, value in keys.items() if value is not None}
    for member in members:
        swept = [text.partition("=")[0] for text in member.settings]
        hidden = [key for key in swept if key.replace(".", "__") in given]
        if hidden:
            raise InputError(f"{hidden[0]} is in the sweep and among the options of train; leave it out of one of them")
        settings = (*options["settings"], *member.settings)
        try:
            rehearsal.start(resolve(options["config_file"], settings, keys), member.path(training.out))
        except InputError as error:
            raise InputError(f"member {member.name} of the sweep: {error}") from None
