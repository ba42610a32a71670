"""A simulation as a job: run in short stretches, recorded to a file, saved, stopped and resumed."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from spikesim.errors import DamagedError, InputError, Stopped
from spikesim.io.hdf5_reader import begins_as_hdf5
from spikesim.io.numbers import integer
from spikesim.runtime.command_line import resume_advice
from spikesim.runtime.stop_flag import StopFlag
from spikesim.runtime.text import counted
from spikesim.sparse.description import Description
from spikesim.sparse.inputs.spikes import STEPS_MAX
from spikesim.sparse.recorder import SimulationWriter, require_same
from spikesim.sparse.recording import SimulationReader, state_path
from spikesim.sparse.simulation import Simulation

STRETCH_SECONDS = 0.5
"""Between two looks at the clock and at what asks for a stop; what is recorded is written as often."""
SAVE_SECONDS = 60.0
GROWTH_MAX = 8


class JobProgress(NamedTuple):
    """How a job stands."""

    step: int
    steps: int
    events: int
    """Synaptic events of all trials since this process started."""
    seconds: float
    """Of simulating, the first stretch excepted: it compiles."""


class Job:
    """Runs a described network up to a step, into a file.

    Parameters
    ----------
    description : Description
    out : path-like
        The file (`spikesim.sparse.recording`); the state to go on from is kept beside it.
    threads : int
    resume, overwrite : bool
        What to do with a file that exists; of both, `resume` counts, and nothing is replaced.
    command_line : str

    Attributes
    ----------
    note : str
        What a user should know before it runs; mostly empty.

    Raises
    ------
    InputError
        The network cannot be run, or the file cannot be written or continued.
    """

    def __init__(
        self,
        description: Description,
        out: str | os.PathLike[str],
        *,
        threads: int = 1,
        resume: bool = False,
        overwrite: bool = False,
        command_line: str = "",
    ) -> None:
        self.path = Path(os.path.realpath(out))
        self.description = description
        self.command_line = command_line
        self._state = state_path(self.path)
        self._overwrite = overwrite and not resume
        self._damaged = False
        self._stop = StopFlag()
        self._recorded = 0
        self.note = ""
        self.simulation = Simulation(
            description.network, trials=description.trials, seed=description.seed, threads=threads
        )
        self.simulation.record(*description.recorded)
        for population in description.network.populations:
            if population.name in description.probes:
                self.simulation.record_potential(population, description.probes[population.name])
        for index, watched in description.watched.items():
            projection = description.network.projections[index]
            self.simulation.record_weights(projection, every=watched.every, synapses=watched.synapses)
        if resume:
            self._take_up()

    def _take_up(self) -> None:
        """Go on with what is there, if anything is."""
        if not self.path.exists():
            if self._state.exists():
                raise InputError(
                    f"{self.path} does not exist, but its state {self._state.name} does: put the file back beside it, "
                    "or remove the state to simulate from the start"
                )
            return
        try:
            with SimulationReader(self.path) as reader:
                require_same(reader, self.description)
                reader.check()
                self._recorded, status = reader.steps, reader.status
        except DamagedError:
            if not (self._state.exists() or begins_as_hdf5(self.path)):
                raise  # nothing says that it ever was a simulation
            self._damaged = True
            return
        if self._state.exists():
            self._restore()
        elif status == "running":  # killed before it was first saved: the same bits come from the start
            self._overwrite = True
            self.note = f"{self.path} has {self._recorded} steps but no state was saved: they are simulated again"
        else:
            raise InputError(
                f"{self.path} has {self._recorded} steps and is {status}, but its state {self._state.name} is missing: "
                "put it back beside the file, or --overwrite simulates from the start"
            )

    def _restore(self) -> None:
        """Take up the state that lies beside the file."""
        self.simulation.restore(self._state)

    def request_stop(self) -> None:
        """End after the present stretch; safe in a signal handler."""
        self._stop.set()

    def run(self, steps: int, observe: Callable[[JobProgress], None] = lambda progress: None) -> JobProgress:
        """Simulate up to step `steps`.

        Raises
        ------
        InputError
            The file has more steps already, or cannot be written.
        Stopped
            `request_stop` was called; everything is saved.
        """
        simulation = self.simulation
        steps = integer(steps, "steps", 0, STEPS_MAX - 1)
        recorded = max(self._recorded, simulation.step)
        if steps < recorded:
            raise InputError(
                f"steps is {steps}, and {self.path} has {recorded} of them already; ask for at least as many"
            )
        with SimulationWriter(
            self.path,
            self.description,
            simulation,
            overwrite=self._overwrite,
            keep_damaged=self._damaged,
            command_line=self.command_line,
        ) as writer:
            if simulation.step == 0:
                self._state.unlink(missing_ok=True)
            before, seconds, stretch = self._events(), 0.0, 1
            progress = JobProgress(simulation.step, steps, 0, seconds)
            saved_at, first = time.monotonic(), True
            while simulation.step < steps and not self._stop:
                began = time.monotonic()
                simulation.run(min(stretch, steps - simulation.step))
                took = time.monotonic() - began
                writer.append(simulation)
                if first:
                    before, first = self._events(), False
                else:
                    seconds += took
                    stretch = max(1, int(stretch * min(GROWTH_MAX, STRETCH_SECONDS / max(took, 1e-6))))
                progress = JobProgress(simulation.step, steps, self._events() - before, seconds)
                observe(progress)
                if time.monotonic() - saved_at >= SAVE_SECONDS:
                    simulation.save(self._state)
                    saved_at = time.monotonic()
            simulation.save(self._state)
            if simulation.step < steps:
                writer.close("stopped", simulation)
                raise Stopped(
                    f"Stopped after {simulation.step} of {counted(steps, 'step')}; {resume_advice(self.command_line)}"
                )
            writer.close("finished", simulation)
        return progress

    def _events(self) -> int:
        return sum(int(self.simulation.events(trial).sum()) for trial in range(self.simulation.trials))
