"""Which processes a command was started as, by ``mpiexec`` or ``srun``, and how they end together."""

import os
import sys
import time
from typing import TYPE_CHECKING

import click

from spikesim.errors import InputError

if TYPE_CHECKING:
    from spikesim.ep.mpiranks import MpiRanks
    from spikesim.ep.ranks import Ranks

__all__ = ["end_together", "is_first", "refuse_ranks", "take_ranks"]

_LAUNCHERS = (
    ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),  # Open MPI
    ("PMI_SIZE", "PMI_RANK"),  # MPICH, Intel MPI, and srun --mpi=pmi2
    ("MPI_LOCALNRANKS", "MPI_LOCALRANKID"),  # MPICH without PMI in the environment
    ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID"),  # srun
)
"""Variables that a launcher sets for each process: how many there are, and which one this is."""
_LATER_SECONDS = 1.0
"""Launchers end all processes when one has failed: the first must have said why."""


def _launched() -> tuple[int, int]:
    """How many processes a launcher says it started, and the number of this one; 1 and 0 without one."""
    for size, rank in _LAUNCHERS:
        if os.environ.get(size, "").isdigit() and os.environ.get(rank, "").isdigit():
            return int(os.environ[size]), int(os.environ[rank])
    return 1, 0


def is_first() -> bool:
    """Whether this process is the one that speaks for all."""
    return _launched()[1] == 0


def take_ranks() -> "Ranks":
    """The processes that share the work of this command; from here on they end together.

    Raises
    ------
    InputError
        Several processes were started, and MPI is missing or does not know of them.
    """
    from spikesim.ep.ranks import Alone

    started = _launched()[0]
    if started == 1:
        return Alone()
    try:
        from spikesim.ep.mpiranks import MpiRanks
    except (ImportError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"{started} processes were started but MPI cannot be used ({reason}); install mpi4py for the MPI that "
            "starts them (pip install 'spikesim[mpi]', docs/cluster.md), or start one process"
        ) from None
    ranks = MpiRanks()
    if ranks.size != started:
        raise InputError(
            f"{started} processes were started but MPI sees {ranks.size}: mpi4py belongs to another MPI than the "
            "launcher; use that MPI's mpiexec, or 'srun --mpi=pmix' or '--mpi=pmi2' (docs/cluster.md)"
        )
    click.get_current_context().find_root().obj = ranks
    return ranks


def refuse_ranks(command: str) -> None:
    """For commands whose work cannot be shared.

    Raises
    ------
    InputError
        Several processes were started.
    """
    started = _launched()[0]
    if started > 1:
        raise InputError(f"{started} processes were started; {command} runs as one process, with --threads")


def end_together(ranks: "MpiRanks | None", code: int, message: str) -> None:
    """Say why a command ends with an error, and end the processes that would wait for this one.

    A fault that all of them have is told once, by the first.

    Parameters
    ----------
    ranks : MpiRanks or None
        As `take_ranks` has found them; None before that.
    message : str
    """
    if is_first() and message:
        click.echo(message, err=True)
    elif ranks is None and not is_first():
        time.sleep(_LATER_SECONDS)
    if ranks is not None and not ranks.all_leave():
        if ranks.rank > 0:
            click.echo(f"process {ranks.rank} of {ranks.size}: {message}", err=True)
        sys.stderr.flush()
        ranks.abort(code)
