"""Sweeps: many runs of one command with different settings."""

import itertools
from pathlib import Path
from typing import Any

from spikesim.errors import InputError
from spikesim.io.config_diff import flat_settings
from spikesim.io.fields import shown
from spikesim.io.validation import items, table, tables

__all__ = ["MEMBERS_MAX", "member_path", "read_sweep", "setting_text", "unfinished"]

MEMBERS_MAX = 100_000

Settings = dict[str, Any]


def read_sweep(path: Path) -> list[Settings]:
    """The members of a sweep file: dotted keys of the configuration and their values.

    ``[grid]`` has a list of values for each key, and every combination is a member; each ``[[runs]]`` has a value for
    each key. With both, every run is combined with the grid.

    Raises
    ------
    InputError
        The file is not a sweep.
    """
    from spikesim.io.toml import read_toml

    given = read_toml(path)
    strange = sorted(set(given) - {"grid", "runs"})
    grid, runs = given.get("grid", {}), given.get("runs", [{}])
    if strange or not given:
        what = f"has {shown(strange[0])}" if strange else "is empty"
        raise InputError(f"{path} {what}; a sweep has a table [grid] of lists, tables [[runs]], or both")
    axes = dict(flat_settings(table(grid, f"{path}: grid", "[grid]")))
    runs = tables(runs, f"{path}: runs", "[[runs]]")
    for key, values in axes.items():
        items(values, f"{path}: grid.{key}", "values", lambda value, what: value, filled=True)
    lists = [[(key, value) for value in values] for key, values in axes.items()]
    count = len(runs)
    for values in lists:
        count *= len(values)
        if count > MEMBERS_MAX:
            raise InputError(f"{path} has more than {MEMBERS_MAX} members; split it")
    members = [
        {**dict(flat_settings(run)), **dict(combination)} for run in runs for combination in itertools.product(*lists)
    ]
    if not members:
        raise InputError(f"{path} has no members; runs is empty")
    return members


def setting_text(key: str, value: Any) -> str:
    """A setting as ``--set`` takes it."""
    from spikesim.io.toml import toml_text

    return f"{key}={toml_text(value)}"


def member_path(folder: Path, number: int) -> Path:
    """Run file of a member."""
    return folder / f"run-{number}.h5"


def unfinished(folder: Path, members: int) -> list[int]:
    """Members whose run is neither finished nor in progress."""
    from spikesim.ep.runs.reader import RunReader
    from spikesim.io.lock import lock_holder

    found = []
    for number in range(members):
        path = member_path(folder, number)
        if lock_holder(path) is not None:
            continue
        if path.exists():
            with RunReader(path) as run:
                if run.status == "finished":
                    continue
        found.append(number)
    return found
