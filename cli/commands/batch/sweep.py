"""``spikesim sweep``: train the members of a sweep on this machine."""

import signal
import sys
from pathlib import Path
from typing import NamedTuple

import click

from spikesim.cli.commands.batch.training import Training, read_training, rehearse
from spikesim.cli.common import available_threads
from spikesim.cli.launch import refuse_ranks
from spikesim.cli.sweeps.planning import Sweep, plan_sweep, state_of
from spikesim.cli.sweeps.sweep_file import read_sweep, search_seed_option, seeds_option
from spikesim.cli.sweeps.workers import Ended, Job, Workers
from spikesim.cli.terminal.progress import duration
from spikesim.cli.terminal.streams import outlived_output
from spikesim.ep.runs.plan import Member
from spikesim.errors import Stopped
from spikesim.runtime.printable import printable
from spikesim.runtime.stopping import stop_on_signals
from spikesim.runtime.text import counted, listed, percent

EXIT_FAILED = 1


class _Share(NamedTuple):
    """Of the cores: jobs at a time, and threads of each."""

    jobs: int
    threads: int


@click.command()
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    help="Members that train at the same time.  [default: the number of cores divided by --threads of train]",
)
@seeds_option
@search_seed_option
@click.option("--dry-run", is_flag=True, help="Print the members and their settings; write and train nothing.")
@click.argument("words", nargs=-1, required=True, metavar="[SWEEP.toml] -- train ...")
def sweep(
    jobs: int | None, seeds: tuple[int, ...], search_seed: int | None, dry_run: bool, words: tuple[str, ...]
) -> None:
    """Train the members of a sweep on this machine, each in a process of its own, several at a time.

    The options after -- are those of train; --out is the folder of the runs. SWEEP.toml has the settings in which the
    members differ; without it, they differ in their --seeds alone. Finished members are skipped, stopped ones are
    resumed, and a member that fails does not stop the others. Ctrl-C and SIGTERM stop all with a checkpoint; the same
    command resumes them. What a member prints is in its .log file. 'spikesim submit --sweep' uses the same folder, and
    each of the two continues what the other began. See spikesim manual sweeps.

    Exit codes: 0 all members are finished, 1 one has failed, 75 stopped or some are unfinished.

    \b
    Examples:
      spikesim sweep sweep.toml --jobs 4 -- train --arch conv --out runs
      spikesim sweep --seeds 0-4 -- train --arch conv --out seeds
    """
    refuse_ranks("sweep")
    path = Path(words[0]) if words[0].endswith(".toml") else None
    command = words if path is None else words[1:]
    if not command:
        raise click.UsageError(f"there is no command after {path}; add -- train and its options")
    if path is None and not seeds:
        raise click.UsageError("there is nothing to sweep; give a SWEEP.toml, or --seeds")
    training = read_training(command, "swept", is_sweep=True)
    plan = plan_sweep(training.out, read_sweep(path, seeds, search_seed))
    if dry_run:
        rehearse(training, plan.members, skip_data=True)
        for member in plan.members:
            click.echo(f"{member.name}: {' '.join(member.settings)}")
        return
    click.get_current_context().with_resource(outlived_output())
    states = {member.name: state_of(member.path(plan.folder)) for member in plan.members}
    left = [member for member in plan.members if states[member.name] in ("absent", "unfinished")]
    rehearse(training, left, skip_data=False)
    plan.begin()
    share = _share(jobs, training.options["threads"], len(left))
    click.echo(_head(plan, list(states.values()), share), err=True)
    told = _Told(plan.folder, states)
    workers = Workers([_job(training, member, share) for member in left], share.jobs, told.began, told.ended)
    with stop_on_signals(workers.request_stop):
        workers.run()
    _end(told, list(states.values()), stopping=workers.stopping)


def _share(jobs: int | None, threads: int | None, members: int) -> _Share:
    """How members share the cores: rather more members than more threads, which cost something to keep together."""
    from spikesim.ep.parallel.communicator import Alone

    cores = available_threads(Alone())
    if jobs is None:
        jobs = max(1, min(members, cores // (threads or 1)))
    return _Share(jobs, threads or max(1, cores // jobs))


def _job(training: Training, member: Member, share: _Share) -> Job:
    program = [sys.executable, "-m", "spikesim", *training.arguments, "--threads", str(share.threads)]
    return Job(member.name, [*program, *training.member_arguments(member), "--resume"], member.log(training.out))


def _head(plan: Sweep, states: list[str], share: _Share) -> str:
    words = {
        "finished": "finished",
        "running": "in progress elsewhere",
        "unfinished": "to resume",
        "absent": "to start",
    }
    kinds = [f"{states.count(state)} {word}" for state, word in words.items() if state in states]
    each = counted(share.threads, "thread")
    return f"{counted(len(states), 'member')} in {plan.folder}: {', '.join(kinds)}; {share.jobs} at a time, {each} each"


class _Told:
    """A line on standard error for whatever happens to a member; `states` follow."""

    def __init__(self, folder: Path, states: dict[str, str]) -> None:
        self._folder, self._states = folder, states
        self.failed: list[str] = []

    def began(self, job: Job) -> None:
        self._say(f"{job.name}: {'resumed' if self._states[job.name] == 'unfinished' else 'started'}")

    def ended(self, end: Ended) -> None:
        name = end.job.name
        if end.code == 0:
            self._states[name] = "finished"
            done = list(self._states.values()).count("finished")
            self._say(
                f"{name}: finished in {duration(end.seconds)}{self._accuracy(name)} ({done} of {len(self._states)})"
            )
        elif end.stopped:
            self._states[name] = "unfinished"
            self._say(f"{name}: stopped")
        else:
            self._states[name] = "failed"
            self.failed.append(name)
            how = f"exit code {end.code}" if end.code > 0 else f"killed by {signal.Signals(-end.code).name}"
            self._say(f"{name}: failed ({how}): {printable(end.reason)} ({end.job.log})")

    def _accuracy(self, name: str) -> str:
        from spikesim.ep.reports.comparison import compare

        row = compare([self._folder / f"{name}.h5"], strict=False)[0].row
        return "" if row.test_accuracy is None else f", {row.tested_on} accuracy {percent(row.test_accuracy)}"

    def _say(self, text: str) -> None:
        click.echo(text, err=True)


def _end(told: _Told, states: list[str], *, stopping: bool) -> None:
    """Say how the sweep has ended, also by the exit code."""
    finished = f"{states.count('finished')} of {counted(len(states), 'member')} finished"
    failed = f"; failed: {listed(told.failed)}" if told.failed else ""
    if stopping:
        raise Stopped(f"Stopped: {finished}{failed}; the same command resumes the sweep.")
    click.echo(f"{finished}{failed}")
    if told.failed:
        click.get_current_context().exit(EXIT_FAILED)
    if states.count("finished") < len(states):
        raise Stopped("Some members are unfinished; the same command resumes them.")
