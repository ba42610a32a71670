"""Sweep files: which members a sweep has."""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from spikesim.cli.sweeps.ranges import drawn, is_range, spaced
from spikesim.errors import InputError
from spikesim.io.config_diff import flat_settings
from spikesim.io.fields import INTEGER_MAX, INTEGER_MIN, shown
from spikesim.io.toml import toml_text
from spikesim.io.validation import Limits, table, tables, whole

__all__ = ["MEMBERS_MAX", "read_sweep", "search_seed_option", "seeds_option", "setting_text"]

MEMBERS_MAX = 100_000

Settings = dict[str, Any]
_FORM = "a sweep has tables [grid] and [random], [[runs]], or several of these"
_SEEDS = re.compile(r"(\d{1,18})(?:-(\d{1,18}))?", re.ASCII)


def read_sweep(path: Path | None, seeds: Sequence[int] = (), search_seed: int | None = None) -> list[Settings]:
    """The members of a sweep: dotted keys of the configuration and their values.

    ``[grid]`` has a list of values or a range for each key, and every combination is a member; each ``[[runs]]`` has a
    value for each key; ``[random]`` has choices or a range for each key, of which ``samples`` are drawn. Of several,
    every combination is a member. Members with the same settings are one.

    Parameters
    ----------
    path : Path or None
        The TOML file; None has no settings.
    seeds : sequence of int
        One more axis, if not empty.
    search_seed : int, optional
        Seed of the random search, instead of that of the file.

    Raises
    ------
    InputError
        The file is not a sweep.
    """
    from spikesim.io.toml import read_toml

    given = {} if path is None else read_toml(path)
    where = "the sweep" if path is None else str(path)
    strange = sorted(set(given) - {"grid", "random", "runs", "samples", "search_seed"})
    if strange or not (given or seeds):
        what = f"has {shown(strange[0])}" if strange else "is empty"
        raise InputError(f"{where} {what}; {_FORM}")
    runs = [dict(flat_settings(run)) for run in tables(given.get("runs", [{}]), f"{where}: runs", "[[runs]]")]
    if not runs:
        raise InputError(f"{where} has no members; runs is empty")
    grid = dict(_axes(table(given.get("grid", {}), f"{where}: grid", "[grid]")))
    lists = [[{key: one} for one in spaced(value, f"{where}: grid.{key}")] for key, value in grid.items()]
    samples = _samples(given, where, search_seed)
    parts = {"[[runs]]": _keys(runs), "[grid]": set(grid), "[random]": _keys(samples)}
    if seeds:
        lists.append([{"seed": seed} for seed in seeds])
        parts["--seeds"] = {"seed"}
    _refuse_twice(parts, where)
    axes = [runs, samples, *lists]
    count = 1
    for axis in axes:
        count *= len(axis)
        if count > MEMBERS_MAX:
            raise InputError(f"{where} has more than {MEMBERS_MAX} members; split it")
    members = [
        {key: value for part in combination for key, value in part.items()} for combination in itertools.product(*axes)
    ]
    return list({toml_text(member): member for member in members}.values())


def setting_text(key: str, value: Any) -> str:
    """A setting as ``--set`` takes it."""
    return f"{key}={toml_text(value)}"


def _seeds(context: click.Context, option: click.Parameter, text: str | None) -> tuple[int, ...]:
    """Seeds as numbers and ranges, each once."""
    seeds: dict[int, None] = {}
    for part in [] if text is None else text.split(","):
        found = _SEEDS.fullmatch(part.strip())
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (0, -1)
        if not 0 <= last - first < MEMBERS_MAX:
            raise InputError(f"--seeds is {shown(text)}; it must be numbers and ranges, such as 0-4 or 1,3,10-12")
        seeds.update(dict.fromkeys(range(first, last + 1)))
    return tuple(seeds)


seeds_option = click.option(
    "--seeds",
    callback=_seeds,
    metavar="SEEDS",
    help="Train each member with these seeds, such as 0-4 or 1,3,10-12.",
)
search_seed_option = click.option(
    "--search-seed",
    type=click.IntRange(0, INTEGER_MAX),
    metavar="N",
    help="Seed of the random search of the sweep file.  [default: its search_seed, or 0]",
)


def _samples(given: Mapping[str, Any], where: str, search_seed: int | None) -> list[Settings]:
    """The samples of the random search; one without settings if there is none."""
    ranges = dict(_axes(table(given.get("random", {}), f"{where}: random", "[random]")))
    if not ranges:
        extra = next((key for key in ("samples", "search_seed") if key in given), None)
        if extra is not None or search_seed is not None:
            raise InputError(f"{extra or '--search-seed'} needs a random search; add [random] to the sweep file")
        return [{}]
    count = whole(given.get("samples"), f"{where}: samples", Limits(1, MEMBERS_MAX))
    seed = whole(given.get("search_seed", 0), f"{where}: search_seed", Limits(INTEGER_MIN))
    seed = seed if search_seed is None else search_seed
    columns = [[(key, one) for one in drawn(value, key, count, seed)] for key, value in ranges.items()]
    return [dict(row) for row in zip(*columns, strict=True)]


def _axes(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Lists and ranges with dotted keys."""
    for key, value in values.items():
        if isinstance(value, Mapping) and not is_range(value):
            yield from _axes(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _keys(settings: Sequence[Settings]) -> set[str]:
    return {key for own in settings for key in own}


def _refuse_twice(parts: Mapping[str, set[str]], where: str) -> None:
    for (one, keys), (other, others) in itertools.combinations(parts.items(), 2):
        for key in sorted(keys & others):
            raise InputError(f"{where}: {key} is in {one} and in {other}; leave it out of one of them")
