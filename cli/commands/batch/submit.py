"""``spikesim submit``: send a training, or a sweep of them, to a cluster with Slurm."""

import contextlib
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from spikesim.cli.cluster.slurm import ArrayTask, Resources, batch_script, check_time
from spikesim.cli.commands.batch.training import Training, read_training, rehearse
from spikesim.cli.launch import refuse_ranks
from spikesim.cli.sweeps.planning import Sweep, plan_sweep, state_of
from spikesim.cli.sweeps.sweep_file import read_sweep, search_seed_option, seeds_option
from spikesim.errors import InputError
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
@seeds_option
@search_seed_option
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
    seeds: tuple[int, ...],
    at_a_time: int | None,
    only_unfinished: bool,
    dry_run: bool,
    command: tuple[str, ...],
    **more: Any,
) -> None:
    """Send a training to a cluster with Slurm, as a batch job that is resumed until the run is finished.

    Writes a batch script beside the run file and submits it with sbatch. The options after -- are those of train; what
    train would refuse at its start, a data set that is not there for one, is refused before anything is sent. The job
    resumes its run file if it exists. Some time before its limit, or when it is preempted, it writes a checkpoint and
    queues again. With several processes it needs the extra mpi. See spikesim manual cluster.

    \b
    Examples:
      spikesim submit --time 4:00:00 --cpus-per-task 16 -- train --arch vgg11 --dataset cifar10 --out run.h5
      spikesim submit --sweep sweep.toml --seeds 0-4 --cpus-per-task 4 -- train --arch conv --out runs
    """
    refuse_ranks("submit")
    skip_data, search_seed = more.pop("skip_data"), more.pop("search_seed")
    wanted = Resources(name=job_name or "", **more)
    if wanted.time is not None:
        check_time(wanted.time, wanted.warn_seconds)
    is_sweep = sweep_file is not None or bool(seeds)
    if not is_sweep and (at_a_time is not None or only_unfinished or search_seed is not None):
        raise InputError(
            "--at-a-time, --unfinished and --search-seed are for a sweep; add --sweep SWEEP.toml or --seeds, or leave "
            "them out"
        )
    members = read_sweep(sweep_file, seeds, search_seed) if is_sweep else None
    training = read_training(command, "submitted", is_sweep=is_sweep)
    out = training.out
    wanted = replace(wanted, name=wanted.name or out.stem or "spikesim")
    program = [sys.executable, "-m", "spikesim", *training.arguments, "--resume"]
    sweep = None
    if members is None:
        rehearse(training, None, skip_data=skip_data)
        script = batch_script(wanted, program, Path.cwd(), _pattern(out) + ".log")
    else:
        sweep = plan_sweep(out, members)
        tasks = _tasks(training, sweep, only_unfinished=only_unfinished)
        rehearse(training, [sweep.members[number] for number in tasks], skip_data=skip_data)
        if not tasks:
            click.echo(f"{counted(len(members), 'run')} in {out}: finished or in progress; nothing to send")
            return
        script = batch_script(wanted, program, Path.cwd(), f"{_pattern(out)}/slurm-%a.log", tasks, at_a_time)
    if dry_run:
        click.echo(script, nl=False)
        return
    _send(script, out, sweep)


def _tasks(training: Training, sweep: Sweep, *, only_unfinished: bool) -> dict[int, ArrayTask]:
    """The members to send, by their number in the sweep."""
    return {
        number: ArrayTask(training.member_arguments(member), member.log(sweep.folder))
        for number, member in enumerate(sweep.members)
        if not only_unfinished or state_of(member.path(sweep.folder)) in ("absent", "unfinished")
    }


def _pattern(path: Path) -> str:
    """A path as Slurm takes it, in which per cent signs mean something."""
    return str(path).replace("%", "%%")


def _send(script: str, out: Path, sweep: Sweep | None) -> None:
    """Write the script, and the plan of a sweep, and submit it."""
    program = shutil.which("sbatch")
    if program is None:
        raise InputError("sbatch was not found: this machine has no Slurm; --dry-run prints the script")
    target = out.with_name(out.name + ".sbatch")
    if sweep is not None:
        sweep.begin()
        target = out / "sweep.sbatch"
    try:
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
