"""The plan of a sweep: its members with their settings and the names of their run files, beside these."""

import itertools
import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from spikesim.errors import InputError
from spikesim.io.atomic import replacing
from spikesim.io.validation import items, table, tables, word

__all__ = ["NAME_MAX", "PLAN", "Member", "read_plan", "write_plan"]

PLAN = "sweep.json"
SCRIPT = "sweep.sbatch"
"""Where the members of a sweep from before there were plans are told: in the batch script."""
FORMAT, VERSION = "spikesim-sweep", 1
NAME_MAX = 120
"""Letters of a member's name, at most."""

_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9.,+_-]{{0,{NAME_MAX - 1}}}")
_CASE = re.compile(r"\d+\) set -- (.*) ;;")


class Member(NamedTuple):
    """A run of a sweep.

    Attributes
    ----------
    name : str
        Of its run file, without the ending.
    settings : tuple of str
        As ``--set`` takes them.
    """

    name: str
    settings: tuple[str, ...]

    def path(self, folder: Path) -> Path:
        """Its run file."""
        return folder / f"{self.name}.h5"

    def log(self, folder: Path) -> Path:
        """What its training prints."""
        return folder / f"{self.name}.log"


def read_plan(folder: Path) -> list[Member]:
    """The members of the sweep of a folder; empty if the folder has no plan.

    Raises
    ------
    InputError
        What should be the plan is none.
    """
    path = folder / PLAN
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return _of_script(folder / SCRIPT)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}; remove it") from None
    try:
        plan = table(json.loads(text), "it", "an object")
        if plan.get("format") != FORMAT or plan.get("version") != VERSION:
            raise InputError(f"it has another format or version than {FORMAT!r}, {VERSION}")
        members = [_member(entry) for entry in tables(plan.get("members"), "members")]
        if len({member.name.lower() for member in members}) < len(members):
            raise InputError("two members have one name")
        return members
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not the plan of a sweep ({error}); remove it") from None


def write_plan(folder: Path, members: Sequence[Member]) -> None:
    """Write the plan of a sweep into its folder, which is made if need be.

    Raises
    ------
    InputError
        It cannot be written.
    """
    path = folder / PLAN
    plan = {"format": FORMAT, "version": VERSION, "members": [member._asdict() for member in members]}
    try:
        folder.mkdir(exist_ok=True)
        with replacing(path) as part:
            part.write_text(json.dumps(plan, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; choose another --out") from None


def _member(entry: Any) -> Member:
    name = word(entry.get("name"), "a name")
    if not _NAME.fullmatch(name):
        raise InputError(f"{name!r} is not the name of a member")
    return Member(name, tuple(items(entry.get("settings"), "settings", "texts", word)))


def _of_script(path: Path) -> list[Member]:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    members = []
    for found in filter(None, map(_CASE.fullmatch, lines)):
        try:
            words = shlex.split(found[1])
        except ValueError:  # a quotation mark too few
            continue
        settings = tuple(after for option, after in itertools.pairwise(words) if option == "--set")
        members.append(Member(Path(words[-1]).stem, settings))
    return members
