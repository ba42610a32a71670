"""Which processes a command was started as, by ``mpiexec`` or ``srun``, and how they end together."""

import os
import sys
from typing import TYPE_CHECKING

import click

from spikesim.errors import InputError
from spikesim.runtime.manual import manual

if TYPE_CHECKING:
    from spikesim.ep.parallel.communicator import Communicator
    from spikesim.ep.parallel.mpi import MpiRanks

__all__ = ["end_together", "is_first", "refuse_ranks", "take_ranks"]

_LAUNCHERS = (
    ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),  # Open MPI
    ("PMI_SIZE", "PMI_RANK"),  # MPICH, Intel MPI, and srun --mpi=pmi2
    ("MPI_LOCALNRANKS", "MPI_LOCALRANKID"),  # MPICH without PMI in the environment
    ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID"),  # srun
)
"""Variables that a launcher sets for each process: how many there are, and which one this is."""
_SHARED = frozenset({"train", "resume", "evaluate", "teacher", "gradcheck", "ablation"})
"""Commands that share their work among processes."""
_OWN = frozenset({"threads", "data_dir", "config_file", "teacher_file", "progress_every"})
"""What processes may be given differently: it changes no bit, or is compared by its content."""


def _launched() -> tuple[int, int]:
    """How many processes a launcher says it started, and the number of this one; 1 and 0 without one."""
    for size, rank in _LAUNCHERS:
        if os.environ.get(size, "").isdigit() and os.environ.get(rank, "").isdigit():
            return int(os.environ[size]), int(os.environ[rank])
    return 1, 0


def is_first() -> bool:
    """Whether this process is the one that speaks for all."""
    return _launched()[1] == 0


def take_ranks() -> "Communicator":
    """The processes that share the work of this command; from here on they end together.

    Raises
    ------
    InputError
        Several processes were started, and MPI is missing or does not know of them, or their options differ.
    """
    from spikesim.ep.parallel.communicator import Alone

    started = _launched()[0]
    if started == 1:
        return Alone()
    from spikesim.ep.parallel.agreement import check_same

    try:
        from spikesim.ep.parallel.mpi import MpiRanks
    except (ImportError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"{started} processes were started but MPI cannot be used ({reason}); install mpi4py for the MPI that "
            f"starts them (pip install 'spikesim[mpi]', {manual('cluster')}), or start one process"
        ) from None
    ranks = MpiRanks()
    if ranks.size != started:
        raise InputError(
            f"{started} processes were started but MPI sees {ranks.size}: mpi4py belongs to another MPI than the "
            f"launcher; use that MPI's mpiexec, or 'srun --mpi=pmix' or '--mpi=pmi2' ({manual('cluster')})"
        )
    context = click.get_current_context()
    context.find_root().obj = ranks
    check_same(ranks, _given(context))
    return ranks


def _given(context: click.Context) -> dict[str, str]:
    """What this process was told to do, by the names that a user knows."""
    given = {"the command": str(context.info_name)}
    for parameter in context.command.params:
        if parameter.name is not None and parameter.name not in _OWN:
            given[parameter.opts[0]] = str(context.params.get(parameter.name))
    return given


def refuse_ranks(command: str) -> None:
    """For commands whose work cannot be shared.

    Raises
    ------
    InputError
        Several processes were started.
    """
    started = _launched()[0]
    if started > 1:
        raise InputError(f"{started} processes were started; {command} runs as one process: use --threads")


def end_together(ranks: "MpiRanks | None", code: int, message: str, command: str | None) -> None:
    """Say why a command ends with an error, and end the processes that would wait for this one.

    Of processes that share their work, what all of them have to say is told once, by the first, and what only one has
    is told by that one. Processes that only happen to be started together speak each for itself.

    Parameters
    ----------
    ranks : MpiRanks or None
        As `take_ranks` has found them; None before that.
    code : int
        To end with.
    message : str
    command : str or None
        The sub-command.
    """
    shared = command in _SHARED
    if message and (is_first() or not shared):
        click.echo(message, err=True)
    if not shared:
        return
    if ranks is None and _launched()[0] > 1:
        ranks = _late_ranks()
        if ranks is None and message and not is_first():
            click.echo(message, err=True)
    if ranks is None:
        return
    messages = ranks.all_leave(message)
    if message and ranks.rank > 0 and (messages is None or messages[ranks.rank] not in messages[: ranks.rank]):
        click.echo(f"process {ranks.rank} of {ranks.size}: {message}", err=True)
    sys.stderr.flush()
    if messages is None:
        ranks.abort(code)


def _late_ranks() -> "MpiRanks | None":
    """The processes of a command that ends before it has met them; the others may be about to wait for this one."""
    try:
        from spikesim.ep.parallel.mpi import MpiRanks
    except (ImportError, RuntimeError):
        return None
    ranks = MpiRanks()
    return ranks if ranks.size == _launched()[0] else None
