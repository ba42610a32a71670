"""From the settings of a sweep to the members of its folder: names, and what there is of each run."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click

from spikesim.cli.sweeps.sweep_file import Settings, setting_text
from spikesim.ep.runs.plan import NAME_MAX, PLAN, Member, read_plan, write_plan
from spikesim.io.toml import toml_text
from spikesim.runtime.text import listed

__all__ = ["Sweep", "plan_sweep", "state_of"]

VALUE_MAX = 24
"""Letters of a value in a name, at most; of a longer one the name has a hash."""
HASH = 8


class Sweep(NamedTuple):
    """The members that a sweep asks for, in a folder that may have others.

    Attributes
    ----------
    folder : Path
    members : list of Member
        In the order of the sweep.
    others : list of Member
        Planned before, begun, and not of this sweep; they stay in the plan.
    dropped : list of str
        Names of members that were planned before, have not begun, and are not of this sweep.
    """

    folder: Path
    members: list[Member]
    others: list[Member]
    dropped: list[str]

    def begin(self) -> None:
        """Write the plan into the folder.

        Raises
        ------
        InputError
            It cannot be written.
        """
        write_plan(self.folder, [*self.members, *self.others])
        if self.dropped:
            named = listed(self.dropped)
            click.echo(f"no longer in the plan, and never started: {named}", err=True)


def plan_sweep(folder: Path, members: Sequence[Settings]) -> Sweep:
    """Give each member a name; what the folder has already keeps its own.

    Raises
    ------
    InputError
        The plan of the folder cannot be read.
    """
    wanted = [tuple(setting_text(key, value) for key, value in sorted(member.items())) for member in members]
    if not (folder / PLAN).exists() and any(folder.glob("run-[0-9]*.h5")):  # begun when members were numbered
        numbered = [Member(f"run-{number}", settings) for number, settings in enumerate(wanted)]
        return Sweep(folder, numbered, [], [])
    known = {tuple(sorted(member.settings)): member for member in read_plan(folder)}
    asked = set(wanted)
    rest = [member for settings, member in known.items() if settings not in asked]
    others = [member for member in rest if member.path(folder).exists()]
    new = [number for number, settings in enumerate(wanted) if settings not in known]
    taken = {member.name.lower() for member in known.values()}
    names = dict(zip(new, _names([members[number] for number in new], members, taken), strict=True))
    return Sweep(
        folder,
        [known.get(settings) or Member(names[number], settings) for number, settings in enumerate(wanted)],
        others,
        [member.name for member in rest if member not in others],
    )


def state_of(path: Path) -> str:
    """What there is of a run: ``"absent"``, ``"running"``, ``"finished"``, or ``"unfinished"``."""
    from spikesim.ep.runs.reader import RunReader
    from spikesim.errors import DamagedError
    from spikesim.io.lock import lock_holder

    if lock_holder(path) is not None:
        return "running"
    if not path.exists():
        return "absent"
    try:
        with RunReader(path) as run:
            return "finished" if run.status == "finished" else "unfinished"
    except DamagedError:  # it may go on from its checkpoint; the training says if it cannot
        return "unfinished"


def _names(new: Sequence[Settings], members: Sequence[Settings], taken: Iterable[str]) -> list[str]:
    """Names of members by the settings in which the sweep's differ."""
    keys = list(dict.fromkeys(key for member in members for key in member))
    differing = [key for key in keys if len({_text(member, key) for member in members}) > 1] or keys
    last = [key.rpartition(".")[2] for key in differing]
    short = {key: word if last.count(word) == 1 else key for key, word in zip(differing, last, strict=True)}
    plain = [
        "_".join(f"{_safe(short[key])}-{_value(member[key])}" for key in differing if key in member) or "run"
        for member in new
    ]
    found, used = [], set(taken)
    lower = [name.lower() for name in plain]
    for member, name in zip(new, plain, strict=True):
        if len(name) > NAME_MAX or name.lower() in used or lower.count(name.lower()) > 1:
            name = f"{name[: NAME_MAX - HASH - 1]}_{_hash(member)}"
        used.add(name.lower())
        found.append(name)
    return found


def _text(member: Settings, key: str) -> str:
    return toml_text(member[key]) if key in member else ""


def _value(value: Any) -> str:
    if isinstance(value, bool):
        text = str(value).lower()
    elif isinstance(value, int | float):
        text = f"{value:.6g}" if isinstance(value, float) else str(value)
    elif isinstance(value, list) and not any(isinstance(one, list | dict) for one in value):
        text = ",".join(map(_value, value))
    else:
        text = _safe(str(value))
    return text if len(text) <= VALUE_MAX and not isinstance(value, dict) else _hash(value)


def _safe(text: str) -> str:
    """With a hyphen for whatever means something to a shell or a file system."""
    return re.sub(r"[^A-Za-z0-9.,+_]+", "-", text).strip("-.") or "-"


def _hash(value: Any) -> str:
    return hashlib.sha256(toml_text(value).encode()).hexdigest()[:HASH]
