"""``spikesim submit``: send a training, or a sweep of them, to a cluster with Slurm."""

import contextlib
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import click

from spikesim.cli.cluster.jobs import OTHERS, check_job
from spikesim.cli.cluster.slurm import ArrayTask, Resources, batch_script, check_time
from spikesim.cli.commands.batch.training import Training, read_training, rehearse
from spikesim.cli.common import takes
from spikesim.cli.launch import refuse_ranks
from spikesim.cli.sweeps.planning import Sweep, plan_sweep, state_of
from spikesim.cli.sweeps.sweep_file import read_sweep, search_seed_option, seeds_option
from spikesim.errors import InputError
from spikesim.runtime.text import counted

_positive = click.IntRange(min=1)


@dataclass(frozen=True)
class SubmitOptions:
    """Options of the command."""

    job_name: str | None
    partition: str | None
    account: str | None
    nodes: int
    tasks: int
    cpus: int
    time: str | None
    memory: str | None
    warn_seconds: int
    mpi: str | None
    setup: tuple[str, ...]
    launcher: str
    more: tuple[str, ...]
    sweep_file: Path | None
    seeds: tuple[int, ...]
    search_seed: int | None
    at_a_time: int | None
    only_unfinished: bool
    skip_data: bool
    dry_run: bool
    parsable: bool
    command: tuple[str, ...]

    @property
    def is_sweep(self) -> bool:
        """A job array, not one run."""
        return self.sweep_file is not None or bool(self.seeds)

    def resources(self, name: str) -> Resources:
        """What the job asks for; named so if --job-name does not name it."""
        return Resources(
            name=self.job_name or name,
            nodes=self.nodes,
            tasks=self.tasks,
            cpus=self.cpus,
            partition=self.partition,
            account=self.account,
            memory=self.memory,
            time=self.time,
            warn_seconds=self.warn_seconds,
            mpi=self.mpi,
            setup=self.setup,
            more=self.more,
        )

    @property
    def starter(self) -> list[str]:
        """What starts spikesim on the nodes: this Python, or the command of --launcher, which finds its own."""
        if not self.launcher:
            return [sys.executable, "-m", "spikesim"]
        try:
            return [*shlex.split(self.launcher), "spikesim"]
        except ValueError as error:
            raise InputError(f"--launcher is {self.launcher!r}: {error}; quote it as for a shell") from None


@click.command()
@click.option("--job-name", help="Name of the job.  [default: that of the run file]")
@click.option("--partition", help="Partition of the cluster.")
@click.option("--account", help="Account that is charged.")
@click.option("--nodes", type=_positive, default=1, show_default=True, help="Machines.")
@click.option("--ntasks-per-node", "tasks", type=_positive, default=1, show_default=True, help="Processes on each.")
@click.option("--cpus-per-task", "cpus", type=_positive, default=1, show_default=True, help="Threads of each process.")
@click.option(
    "--time",
    help="Time limit, such as 2:00:00, 1-12 or UNLIMITED; a run that needs longer queues again and resumes. 'spikesim "
    "train --dry-run' estimates it.",
)
@click.option("--mem", "memory", help="Memory per node, such as 8G.")
@click.option(
    "--signal-before",
    "warn_seconds",
    type=click.IntRange(min=1, max=65535),
    default=300,
    show_default=True,
    help="Seconds before the time limit at which the run is told to stop.",
)
@click.option("--mpi", help="How srun starts several processes, such as pmix or pmi2.  [default: the cluster's]")
@click.option(
    "--setup", multiple=True, metavar="LINE", help="A line of shell to run first, such as 'module load openmpi'."
)
@click.option(
    "--launcher",
    metavar="COMMAND",
    default="",
    help="Command that starts spikesim on the nodes, such as 'apptainer exec spikesim.sif'.  [default: this Python]",
)
@click.option("--sbatch", "more", multiple=True, metavar="OPTION", help="Another option of sbatch, such as --qos=long.")
@click.option(
    "--sweep",
    "sweep_file",
    type=click.Path(path_type=Path),
    metavar="SWEEP.toml",
    help="A job array over the settings of this file; --out of train is then a folder.",
)
@seeds_option
@search_seed_option
@click.option("--at-a-time", type=_positive, help="Largest number of members of a sweep that run at the same time.")
@click.option(
    "--unfinished",
    "only_unfinished",
    is_flag=True,
    help="Submit only members whose run is neither finished nor in progress.",
)
@click.option(
    "--skip-data", is_flag=True, help="Do not look for the data set and the teacher here: only the nodes have them."
)
@click.option("--dry-run", is_flag=True, help="Print the script; write and submit nothing.")
@click.option("--parsable", is_flag=True, help="Print only the job number.")
@click.argument("command", nargs=-1, required=True, metavar="-- COMMAND ...")
@takes(SubmitOptions)
def submit(options: SubmitOptions) -> None:
    """Submit a training to a cluster with Slurm, as a batch job that is resumed until the run is finished.

    Writes a batch script beside the run file and submits it with sbatch. COMMAND is train with its options, or
    evaluate, gradcheck or simulate; what it would refuse at its start, such as a missing data set, is refused before
    anything is submitted. A training or a simulation resumes from its file if that exists. Before its time limit, or
    when it is preempted, the job writes a checkpoint and queues again. A job of several processes needs the extra mpi.
    See spikesim manual cluster.

    \b
    Examples:
      spikesim submit --cpus-per-task 16 -- evaluate run.h5 --repeats 20
      spikesim submit --time 4:00:00 --cpus-per-task 16 -- train --arch vgg11 --dataset cifar10 --out run.h5
      spikesim submit --sweep sweep.toml --seeds 0-4 --cpus-per-task 4 -- train --arch conv --out runs
    """
    refuse_ranks("submit")
    if options.time is not None:
        check_time(options.time, options.warn_seconds)
    if not options.is_sweep and (
        options.at_a_time is not None or options.only_unfinished or options.search_seed is not None
    ):
        raise InputError(
            "--at-a-time, --unfinished and --search-seed need a sweep; add --sweep SWEEP.toml or --seeds, or leave "
            "them out"
        )
    if options.command[0] in OTHERS:
        if options.is_sweep:
            raise InputError(f"--sweep and --seeds apply to train, not to {options.command[0]}; leave them out")
        _deliver(*_other_job(options), None, options)
    elif options.is_sweep:
        _submit_sweep(options)
    else:
        training = read_training(options.command, "submitted", is_sweep=False, others=OTHERS)
        rehearse(training, None, skip_data=options.skip_data)
        out = training.out
        program = [*options.starter, *training.arguments, "--resume"]
        script = batch_script(options.resources(out.stem or "spikesim"), program, Path.cwd(), _pattern(out) + ".log")
        _deliver(script, out.with_name(out.name + ".sbatch"), None, options)


def _submit_sweep(options: SubmitOptions) -> None:
    members = read_sweep(options.sweep_file, options.seeds, options.search_seed)
    training = read_training(options.command, "submitted", is_sweep=True, others=OTHERS)
    out = training.out
    sweep = plan_sweep(out, members)
    tasks = _tasks(training, sweep, only_unfinished=options.only_unfinished)
    rehearse(training, [sweep.members[number] for number in tasks], skip_data=options.skip_data)
    if not tasks:
        click.echo(
            f"{counted(len(members), 'run')} in {out}: finished or in progress; nothing to submit", err=options.parsable
        )
        return
    program = [*options.starter, *training.arguments, "--resume"]
    wanted = options.resources(out.stem or "spikesim")
    script = batch_script(wanted, program, Path.cwd(), f"{_pattern(out)}/slurm-%a.log", tasks, options.at_a_time)
    _deliver(script, out / "sweep.sbatch", sweep, options)


def _tasks(training: Training, sweep: Sweep, *, only_unfinished: bool) -> dict[int, ArrayTask]:
    """The members to send, by their number in the sweep."""
    return {
        number: ArrayTask(training.member_arguments(member), member.log(sweep.folder))
        for number, member in enumerate(sweep.members)
        if not only_unfinished or state_of(member.path(sweep.folder)) in ("absent", "unfinished")
    }


def _other_job(options: SubmitOptions) -> tuple[str, Path]:
    """The script of a command besides train, and the file that it goes into."""
    root = click.get_current_context().find_root()
    name, *arguments = options.command
    assert isinstance(root.command, click.Group)
    own = root.command.get_command(root, name)
    assert own is not None
    given = own.make_context(f"spikesim {name}", list(arguments)).params
    job = check_job(name, given, skip_data=options.skip_data, processes=options.nodes * options.tasks)
    if job.resumes and given["overwrite"]:
        raise InputError("--overwrite would replace the run whenever the job restarts; remove the file instead")
    wanted = replace(options.resources(job.beside.name), resumes=job.resumes)
    again = ["--resume"] if job.resumes and not given["resume"] else []
    program = [*options.starter, *options.command, *again]
    script = batch_script(wanted, program, Path.cwd(), _pattern(job.beside) + ".log")
    return script, job.beside.with_name(job.beside.name + ".sbatch")


def _pattern(path: Path) -> str:
    """A path as Slurm takes it, in which per cent signs mean something."""
    return str(path).replace("%", "%%")


def _deliver(script: str, target: Path, sweep: Sweep | None, options: SubmitOptions) -> None:
    """Print the script, or write and submit it, with the plan of a sweep, and say so."""
    if options.dry_run:
        click.echo(script, nl=False)
        return
    number = _send(script, target, sweep)
    click.echo(number if options.parsable else f"script: {target}\njob: {number}")


def _send(script: str, target: Path, sweep: Sweep | None) -> str:
    """Write the script and submit it; the number of the job."""
    program = shutil.which("sbatch")
    if program is None:
        raise InputError("sbatch was not found: this machine has no Slurm; --dry-run prints the script")
    if sweep is not None:
        sweep.begin()
    try:
        target.write_bytes(script.encode("utf-8", "surrogateescape"))
        with contextlib.suppress(PermissionError):  # some file systems have no such modes, and sbatch needs none
            target.chmod(0o755)
    except OSError as error:
        raise InputError(f"cannot write {target}: {error.strerror}; choose another --out") from None
    sent = subprocess.run([program, "--parsable", str(target)], capture_output=True, text=True, errors="replace")
    if sent.returncode:
        reason = " ".join((sent.stderr or sent.stdout).split())
        raise InputError(f"sbatch refused {shlex.quote(str(target))}: {reason}")
    return sent.stdout.strip().partition(";")[0]
