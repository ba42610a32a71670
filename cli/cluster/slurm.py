"""A batch script for Slurm: what is asked for, as text that a person can read and send again by hand."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from spikesim import __version__
from spikesim.errors import InputError
from spikesim.io.fields import shown

__all__ = ["ArrayTask", "Resources", "array_text", "batch_script", "check_time", "seconds_of"]

RESTARTS_MAX = 1000
"""A job that is requeued more often than this makes no progress."""
EARLY_SECONDS = 60
"""Slurm may send the warning signal up to a minute early (man sbatch, --signal)."""

UNLIMITED = ("UNLIMITED", "INFINITE", "-1")
"""What Slurm takes, in either case, for a job without a limit; so it does a time of 0."""

_TIME = re.compile(
    r"(?:(?P<days>\d{1,9})-)?(?P<first>\d{1,9})(?::(?P<second>\d{1,9}))?(?::(?P<third>\d{1,9}))?", re.ASCII
)


@dataclass(frozen=True)
class Resources:
    """What a job asks for; None leaves it to the cluster.

    Attributes
    ----------
    nodes, tasks, cpus : int
        Nodes, processes a node, threads per process.
    warn_seconds : int
        Time between the warning signal and the end of the job.
    mpi : str
        Value of ``srun --mpi``.
    setup : lines of shell before anything else
    more : further options of sbatch, ``--name=value``
    resumes : bool
        The command writes a checkpoint when it is warned, ends with 75, and goes on when the job runs again.
    """

    name: str
    nodes: int = 1
    tasks: int = 1
    cpus: int = 1
    partition: str | None = None
    account: str | None = None
    time: str | None = None
    memory: str | None = None
    warn_seconds: int = 300
    mpi: str | None = None
    setup: tuple[str, ...] = ()
    more: tuple[str, ...] = ()
    resumes: bool = True


class ArrayTask(NamedTuple):
    """A task of a job array: its further arguments, and the file for what it prints."""

    arguments: list[str]
    log: Path


def seconds_of(time: str) -> int | None:
    """A time as Slurm writes it, in seconds; None is no limit.

    Raises
    ------
    InputError
        It is none.
    """
    if time.upper() in UNLIMITED:
        return None
    match = _TIME.fullmatch(time)
    if match is None:
        raise InputError(
            f"--time is {shown(time)}; it must be minutes, minutes:seconds, hours:minutes:seconds, days-hours, "
            "days-hours:minutes:seconds, or UNLIMITED"
        )
    return _seconds(match) or None


def _seconds(match: "re.Match[str]") -> int:
    parts = [int(part) for part in match.group("first", "second", "third") if part is not None]
    if match["days"] is not None:
        hours, minutes, seconds = (*parts, 0, 0)[:3]
        return ((int(match["days"]) * 24 + hours) * 60 + minutes) * 60 + seconds
    if len(parts) == 3:
        return (parts[0] * 60 + parts[1]) * 60 + parts[2]
    return parts[0] * 60 + (parts[1] if len(parts) == 2 else 0)


def check_time(time: str, warn_seconds: int) -> None:
    """Refuse jobs that would be warned before they have done anything. Without a limit no warning comes.

    Raises
    ------
    InputError
    """
    seconds = seconds_of(time)
    if seconds is not None and seconds <= warn_seconds + EARLY_SECONDS:
        raise InputError(
            f"--time {time} is {seconds} s, and the signal to stop comes {warn_seconds} s before its end, or up to "
            f"{EARLY_SECONDS} s earlier; ask for more --time or give a smaller --signal-before"
        )


def array_text(numbers: list[int]) -> str:
    """Numbers as Slurm writes them: ``0-4,7``."""
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ",".join(f"{first}-{last}" if last > first else str(first) for first, last in ranges)


def batch_script(
    resources: Resources,
    command: list[str],
    folder: Path,
    log: str,
    tasks: dict[int, ArrayTask] | None = None,
    together: int | None = None,
) -> str:
    """The script.

    Parameters
    ----------
    command : list of str
        The program and its arguments.
    folder : Path
        Where it runs.
    log : str
        File for its output, as Slurm takes it.
    tasks : dict of ArrayTask, optional
        Of a job array, by number.
    together : int, optional
        Tasks that run at a time, at most.

    Raises
    ------
    InputError
        Something has a line break, which would be a line of its own.
    """
    wanted = {
        "job-name": resources.name,
        "partition": resources.partition,
        "account": resources.account,
        "nodes": resources.nodes,
        "ntasks-per-node": resources.tasks,
        "cpus-per-task": resources.cpus,
        "mem": resources.memory,
        "time": resources.time,
        "signal": f"USR1@{resources.warn_seconds}" if resources.resumes else None,
        "requeue": True,
        "open-mode": "append",
        "output": log,
    }
    if tasks is not None:
        limit = "" if together is None else f"%{together}"
        wanted["array"] = array_text(sorted(tasks)) + limit
    options = [f"--{name}" if value is True else f"--{name}={value}" for name, value in wanted.items() if value]
    options += resources.more
    for text in (*options, *command, *resources.setup, str(folder)):
        if "\n" in text or "\r" in text:
            raise InputError(f"{text!r} has a line break, which a batch script cannot hold; leave it out")
    lines = [
        "#!/bin/bash",
        f"# Written by spikesim {__version__}. To send it again: sbatch and the name of this file.",
        *(f"#SBATCH {_quoted(option)}" for option in options),
        "",
        "# kernels are compiled once per node, on its own disk",
        'export NUMBA_CACHE_DIR="${NUMBA_CACHE_DIR:-${SLURM_TMPDIR:-${TMPDIR:-/tmp}}/spikesim-$(id -u)}"',
        *resources.setup,
        f"cd {shlex.quote(str(folder))} || exit 1",
        "",
    ]
    if tasks is not None:
        lines += ['case "$SLURM_ARRAY_TASK_ID" in']
        lines += [
            f"{number}) log={shlex.quote(str(task.log))}; set -- {shlex.join(task.arguments)} ;;"
            for number, task in sorted(tasks.items())
        ]
        lines += ["esac", 'exec >> "$log" 2>&1 # Slurm itself writes to the file above', ""]
    launch = ["srun", "--kill-on-bad-exit=1", f"--cpus-per-task={resources.cpus}"]
    if resources.mpi is not None:
        launch.append(f"--mpi={resources.mpi}")
    own = ' "$@"' if tasks is not None else ""
    lines += [
        f"{shlex.join([*launch, *command])}{own}",
        "code=$?",
        "",
    ]
    if resources.resumes:
        lines += [
            "# 75: a signal stopped the run after a checkpoint; the job queues again and resumes from there",
            f'if [ "$code" -eq 75 ] && [ "${{SLURM_RESTART_COUNT:-0}}" -lt {RESTARTS_MAX} ]; then',
            '    scontrol requeue "$SLURM_JOB_ID"',
            "fi",
        ]
    lines.append('exit "$code"')
    return "\n".join(lines) + "\n"


def _quoted(option: str) -> str:
    """An option on a line of #SBATCH, which takes quotes but no other shell."""
    if not re.search(r"[\s\"'#\\]", option):
        return option
    name, equals, value = option.partition("=")
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'{name}{equals}"{escaped}"'
