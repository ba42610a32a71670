"""``spikesim submit``: send a training, or a sweep of them, to a cluster with Slurm."""

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from spikesim.cli.cluster.slurm import Resources, batch_script, check_time
from spikesim.cli.cluster.sweep import member_path, read_sweep, setting_text, unfinished
from spikesim.cli.launch import refuse_ranks
from spikesim.errors import InputError
from spikesim.runtime.stopping import DRY_RUN
from spikesim.runtime.text import counted

_positive = click.IntRange(min=1)


@click.command()
@click.option("--job-name", help="Name of the job.  [default: that of the run file]")
@click.option("--partition", help="Partition of the cluster.")
@click.option("--account", help="Account that is charged.")
@click.option("--nodes", type=_positive, default=1, show_default=True, help="Machines.")
@click.option("--ntasks-per-node", "tasks", type=_positive, default=1, show_default=True, help="Processes on each.")
@click.option("--cpus-per-task", "cpus", type=_positive, default=1, show_default=True, help="Threads of each process.")
@click.option(
    "--time",
    help="Time limit, as 2:00:00, 1-12 or UNLIMITED; a run that needs longer queues again and goes on. "
    "'spikesim train --dry-run' estimates it.",
)
@click.option("--mem", "memory", help="Memory a node, as 8G.")
@click.option(
    "--signal-before",
    "warn_seconds",
    type=click.IntRange(min=1, max=65535),
    default=300,
    show_default=True,
    help="Seconds before the time limit at which the run is told to stop.",
)
@click.option("--mpi", help="How srun starts several processes, as pmix or pmi2.  [default: the cluster's]")
@click.option("--setup", multiple=True, metavar="LINE", help="A line of shell to begin with, as 'module load openmpi'.")
@click.option("--sbatch", "more", multiple=True, metavar="OPTION", help="Another option of sbatch, as --qos=long.")
@click.option(
    "--sweep",
    "sweep_file",
    type=click.Path(path_type=Path),
    metavar="SWEEP.toml",
    help="A job array over the settings of this file; --out of train is then a folder.",
)
@click.option("--at-a-time", type=_positive, help="Members of a sweep that run at the same time, at most.")
@click.option(
    "--unfinished", "only_unfinished", is_flag=True, help="Send only members whose run is not finished or in progress."
)
@click.option(
    "--skip-data", is_flag=True, help="Do not look for the data set and the teacher, which only the nodes have."
)
@click.option("--dry-run", is_flag=True, help="Print the script; write and send nothing.")
@click.argument("command", nargs=-1, required=True, metavar="-- train ...")
def submit(
    job_name: str | None,
    sweep_file: Path | None,
    at_a_time: int | None,
    only_unfinished: bool,
    skip_data: bool,
    dry_run: bool,
    command: tuple[str, ...],
    **resources: Any,
) -> None:
    """Send a training to a cluster with Slurm, as a batch job that is resumed until the run is finished.

    Writes a batch script beside the run file and submits it with sbatch. The options after -- are those of train; what
    train would refuse at its start, a data set that is not there for one, is refused before anything is sent. The job
    resumes its run file if it exists. Some time before its limit, or when it is preempted, it writes a checkpoint and
    queues again. With several processes it needs the extra mpi. See docs/cluster.md.

    \b
    Examples:
      spikesim submit --time 4:00:00 --cpus-per-task 16 -- train --arch vgg11 --dataset cifar10 --out run.h5
      spikesim submit --sweep sweep.toml --cpus-per-task 4 -- train --arch conv --out runs
    """
    refuse_ranks("submit")
    wanted = Resources(name=job_name or "", **resources)
    if wanted.time is not None:
        check_time(wanted.time, wanted.warn_seconds)
    if sweep_file is None and (at_a_time is not None or only_unfinished):
        raise InputError("--at-a-time and --unfinished are for a sweep; add --sweep SWEEP.toml, or leave them out")
    arguments = _arguments(command)
    members = None if sweep_file is None else read_sweep(sweep_file)
    out, numbers = _check(arguments, members, only_unfinished=only_unfinished, skip_data=skip_data)
    wanted = replace(wanted, name=wanted.name or out.stem or "spikesim")
    program = [sys.executable, "-m", "spikesim", *arguments, "--resume"]
    if members is None:
        script = batch_script(wanted, program, Path.cwd(), _pattern(out) + ".log")
        target = out.with_name(out.name + ".sbatch")
    else:
        if not numbers:
            click.echo(f"{counted(len(members), 'run')} in {out}: finished or in progress; nothing to send")
            return
        own = {number: _member_arguments(members[number], out, number) for number in numbers}
        script = batch_script(wanted, program, Path.cwd(), f"{_pattern(out)}/run-%a.log", own, at_a_time)
        target = out / "sweep.sbatch"
    if dry_run:
        click.echo(script, nl=False)
        return
    _send(script, target, folder=out if members is not None else None)


def _arguments(command: tuple[str, ...]) -> list[str]:
    """The arguments of train, with what does not belong into a job refused."""
    if command[0] != "train":
        raise InputError(f"'{command[0]}' cannot be submitted; the command after -- is train and its options")
    if "--overwrite" in command:
        raise InputError("--overwrite would start the run again whenever its job does; remove the run file instead")
    return [argument for argument in command if argument != "--resume"]


def _check(
    arguments: list[str], members: list[dict[str, Any]] | None, *, only_unfinished: bool, skip_data: bool
) -> tuple[Path, list[int]]:
    """Refuse now what would fail in the queue.

    Returns
    -------
    Path
        Of --out, absolute.
    list of int
        Members to send.

    Raises
    ------
    InputError, click.UsageError
    """
    from spikesim.cli.cluster.rehearsal import Rehearsal
    from spikesim.cli.commands.train import train
    from spikesim.cli.configuration import resolve

    if DRY_RUN in arguments:
        raise InputError("--dry-run trains nothing that could be submitted; leave it out, or run train here")
    given = dict(train.make_context("spikesim train", arguments[1:]).params)
    keys = {key: value for key, value in given.items() if "__" in key or key == "seed"}
    config_file, settings = given["config_file"], given["settings"]
    out = Path(os.path.abspath(given["out"]))
    if not out.parent.is_dir():
        raise InputError(f"the folder {out.parent} does not exist; make it, or choose another --out")
    if members is not None and out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; with --sweep, --out is the folder of the run files")
    rehearsal = Rehearsal(given["data_dir"], given["teacher_file"], skip_data=skip_data)
    if members is None:
        rehearsal.start(resolve(config_file, settings, keys), out)
        return out, []
    options = {key for key, value in keys.items() if value is not None}
    numbers = unfinished(out, len(members)) if only_unfinished else list(range(len(members)))
    for number in numbers:
        texts = tuple(setting_text(key, value) for key, value in members[number].items())
        hidden = [key for key in members[number] if key.replace(".", "__") in options]
        if hidden:
            raise InputError(f"{hidden[0]} is in the sweep and among the options of train; leave it out of one of them")
        try:
            rehearsal.start(resolve(config_file, (*settings, *texts), keys), member_path(out, number))
        except InputError as error:
            raise InputError(f"member {number} of the sweep: {error}") from None
    return out, numbers


def _member_arguments(member: dict[str, Any], folder: Path, number: int) -> list[str]:
    """What a member of a sweep is started with, besides the common arguments. The last --out counts."""
    settings = [text for key, value in member.items() for text in ("--set", setting_text(key, value))]
    return [*settings, "--out", str(member_path(folder, number))]


def _pattern(path: Path) -> str:
    """A path as Slurm takes it, in which per cent signs mean something."""
    return str(path).replace("%", "%%")


def _send(script: str, target: Path, folder: Path | None) -> None:
    """Write the script and submit it."""
    program = shutil.which("sbatch")
    if program is None:
        raise InputError("sbatch was not found: this machine has no Slurm; --dry-run prints the script")
    try:
        if folder is not None:
            folder.mkdir(exist_ok=True)
        target.write_bytes(script.encode("utf-8", "surrogateescape"))
        with contextlib.suppress(PermissionError):  # some file systems have no such modes, and sbatch needs none
            target.chmod(0o755)
    except OSError as error:
        raise InputError(f"cannot write {target}: {error.strerror}; choose another --out") from None
    click.echo(f"script: {target}")
    sent = subprocess.run([program, "--parsable", str(target)], capture_output=True, text=True, errors="replace")
    if sent.returncode:
        reason = " ".join((sent.stderr or sent.stdout).split())
        raise InputError(f"sbatch refused {shlex.quote(str(target))}: {reason}")
    click.echo(f"job: {sent.stdout.strip().partition(';')[0]}")
