"""Whether the runs of a comparison are finished, and those of a sweep all there, in sentences."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from spikesim.ep.reports.comparison import ComparedRun
from spikesim.ep.runs.plan import read_plan
from spikesim.errors import InputError
from spikesim.runtime.text import counted, listed

__all__ = ["Planned", "completeness", "planned_runs"]

_STATES = {"stopped": "stopped", "running": "running", "ended": "stopped", "imported": "imported"}
"""What `state_text` says of runs that are not finished, by its first word."""


class Planned(NamedTuple):
    """How many members the plan of a folder has, and the names of those that have no run file."""

    members: int
    missing: list[str]


def planned_runs(folder: Path) -> Planned | None:
    """The plan of a sweep against its folder; None if the folder has no plan.

    Raises
    ------
    InputError
        The plan cannot be read, or no member has begun.
    """
    plan = read_plan(folder)
    if not plan:
        return None
    missing = [member.name for member in plan if not member.path(folder).exists()]
    if len(missing) == len(plan) and not any(folder.glob("*.h5")):
        raise InputError(f"{folder} has no run files yet: none of {counted(len(plan), 'member')} has started")
    return Planned(len(plan), missing)


def completeness(runs: Sequence[ComparedRun], planned: Planned | None) -> list[str]:
    """How many runs are finished, which are not, and which members of the sweep are missing."""
    others = [f"{run.row.run} ({_state(run)})" for run in runs if run.row.state != "finished"]
    unfinished = f"; unfinished: {listed(others)}" if others else ""
    said = [f"{len(runs) - len(others)} of {counted(len(runs), 'run')} finished{unfinished}"]
    if planned is not None and planned.missing:
        there = planned.members - len(planned.missing)
        said.append(f"{there} of {counted(planned.members, 'member')} are there; missing: {listed(planned.missing)}")
    elif planned is not None:
        said.append(f"all members of the sweep are there, {planned.members}")
    return said


def _state(run: ComparedRun) -> str:
    return _STATES.get(re.split(r"\W", run.row.state, maxsplit=1)[0], "not readable")
