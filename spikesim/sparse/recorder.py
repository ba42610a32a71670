"""Writing the file of a simulation (`spikesim.sparse.recording`): created whole, appended to, and continued."""

import os
import warnings
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from spikesim import __version__
from spikesim.errors import DamagedError, InputError
from spikesim.io.durable import set_aside
from spikesim.io.formats import SIMULATION_MAGIC, canonical_json
from spikesim.io.hdf5_output import HDF5Output
from spikesim.io.hdf5_reader import write_text
from spikesim.io.hdf5_tables import GrowingFile, extend, make_column, require_replaceable, write_origin
from spikesim.io.hdf5_writer import SPIKE_CHUNK, create, now, writable_target, write_error
from spikesim.io.lock import holding
from spikesim.sparse.description import Description
from spikesim.sparse.network import Population, Projection
from spikesim.sparse.recording import (
    COLUMNS,
    FORMAT_VERSION,
    SPIKE_COLUMNS,
    WEIGHT_COLUMNS,
    SimulationReader,
    samples_done,
)
from spikesim.sparse.simulation import Simulation

if TYPE_CHECKING:
    from typing_extensions import Self

ROWS_CHUNK = 1024
_OWN = "the file of a simulation, and --overwrite replaces only those"


class SimulationWriter:
    """Write the file of a simulation; a context manager that closes it.

    Parameters
    ----------
    path : path-like
    description : Description
    simulation : Simulation
        Fresh, or restored: then the steps that it has done are taken over from the file that exists.
    overwrite : bool
        Replace such a file.
    keep_damaged : bool
        Give a file that is damaged another name, and begin anew.
    command_line : str

    Raises
    ------
    InputError
        The file exists, is of another network, cannot be written, or is being written by another process.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        description: Description,
        simulation: Simulation,
        *,
        overwrite: bool = False,
        keep_damaged: bool = False,
        command_line: str = "",
    ) -> None:
        self.path = writable_target(path)
        self.description = description
        with holding(self.path) as lock:
            if simulation.step:
                with SimulationReader(self.path) as source:
                    require_same(source, description)
                    if source.steps < simulation.step:
                        raise InputError(
                            f"{path} has {source.steps} steps and its state {simulation.step}: they do not belong "
                            "together; --overwrite starts anew"
                        )
                    output = self._write_new(source, simulation, command_line)
            else:
                if self.path.exists() and not (keep_damaged and _keep_damaged(self.path)):
                    require_replaceable(self.path, overwrite, lambda: _is_simulation(self.path), _OWN)
                output = self._write_new(None, simulation, command_line)
            self._file = GrowingFile(self.path, output, lock)

    def append(self, simulation: Simulation) -> None:
        """Write what the simulation has recorded since the last call, and make it forget that.

        Raises
        ------
        InputError
            The file cannot be written.
        """
        with self._file.changing():
            done = int(self._file["steps"][()])
            for population in self.description.network.populations:
                self._append_population(simulation, population, done)
            for projection in self._watched():
                self._append_weights(simulation, projection, done)
            self._write_totals(self._file, simulation)
            self._file.flush()
            self._file.write("steps", simulation.step)  # only now: a reader sees whole steps
            self._file.flush()
            self._file.sync()
        simulation.forget_records()

    def _append_population(self, simulation: Simulation, population: Population, done: int) -> None:
        trials, path = range(simulation.trials), f"populations/{population.name}"
        columns = {f"{path}/counts": np.stack([simulation.counts(population, trial) for trial in trials], axis=1)}
        if f"{path}/potentials" in self._file:
            traces = [simulation.potentials(population, trial) for trial in trials]
            columns[f"{path}/potentials"] = np.stack(traces, axis=1)
        spikes = {}
        if f"{path}/spikes" in self._file:
            found = [simulation.spikes(population, trial) for trial in trials]
            spikes = {
                f"{path}/spikes/trial": np.repeat(np.arange(simulation.trials), [len(own.steps) for own in found]),
                f"{path}/spikes/step": np.concatenate([own.steps for own in found]),
                f"{path}/spikes/neuron": np.concatenate([own.neurons for own in found]),
            }
        self._file.reserve({name: len(values) for name, values in (columns | spikes).items()})
        self._file.extend(columns, done)
        if spikes:
            self._file.extend(spikes, len(self._file[f"{path}/spikes/trial"]))

    def _watched(self) -> list[Projection]:
        """The projections of which weights are recorded."""
        return [self.description.network.projections[index] for index in self.description.watched]

    def _append_weights(self, simulation: Simulation, projection: Projection, done: int) -> None:
        found = [simulation.recorded_weights(projection, trial) for trial in range(simulation.trials)]
        path, every = f"projections/{projection.index}/recorded", self.description.watched[projection.index].every
        columns = {
            f"{path}/step": found[0].steps,
            f"{path}/weights": np.stack([own.weights for own in found], axis=1),
        }
        self._file.reserve({name: len(values) for name, values in columns.items()})
        self._file.extend(columns, samples_done(every, done))

    def close(self, status: str = "stopped", simulation: Simulation | None = None) -> None:
        """Say how the simulation stands and close the file; of a simulation, write its plastic weights before.

        May be called more than once.
        """

        def last() -> None:
            with self._file.changing():
                if simulation is not None:
                    self._write_weights(self._file, simulation)
                self._file.write_status(status)
                self._file.flush()

        self._file.close(last)

    def __enter__(self) -> "Self":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close("stopped" if error is None else "running")

    def _write_totals(self, file: Any, simulation: Simulation) -> None:
        trials = range(simulation.trials)
        for population in self.description.network.populations:
            updates = [simulation.updates(trial)[population.index] for trial in trials]
            file[f"populations/{population.name}/updates"][...] = updates
        for projection in self.description.network.projections:
            events = [simulation.events(trial)[projection.index] for trial in trials]
            file[f"projections/{projection.index}/events"][...] = events

    def _write_weights(self, file: Any, simulation: Simulation) -> None:
        for projection in self.description.network.projections:
            if projection.plasticity is not None:
                group = f"projections/{projection.index}/plastic"
                for trial in range(simulation.trials):
                    file[f"{group}/weights"][trial] = simulation.weights(projection, trial)
                file[f"{group}/weights_step"][...] = simulation.step

    def _write_new(self, source: SimulationReader | None, simulation: Simulation, command_line: str) -> HDF5Output:
        """An empty file, or one with the steps of `source` that the simulation has done, in its place and open."""

        def fill(file: Any) -> None:
            write_origin(
                file,
                magic=SIMULATION_MAGIC,
                version=FORMAT_VERSION,
                program=__version__,
                created=now() if source is None else source.created,
                command_line=command_line,
                seed=np.uint64(simulation.seed),
            )
            self._write_layout(file, simulation)
            if source is not None:
                _copy(source, file, simulation.step)
            self._write_totals(file, simulation)
            self._write_weights(file, simulation)

        return create(self.path, 0 if source is None else source.path.stat().st_size, fill)

    def _write_layout(self, file: Any, simulation: Simulation) -> None:
        network, trials = self.description.network, simulation.trials
        file.attrs["trials"] = trials
        file.create_dataset("network", data=np.bytes_(canonical_json(self.description.content).encode()))
        file.create_dataset("steps", data=np.uint64(0))
        for population in network.populations:
            group = file.create_group(f"populations/{population.name}")
            group.attrs["size"] = population.size
            _growing(group, "counts", (trials,), ROWS_CHUNK)
            group.create_dataset("updates", data=np.zeros(trials, "<u8"))
            probes = self.description.probes.get(population.name)
            if probes:
                _growing(group, "potentials", (trials, len(probes)), ROWS_CHUNK)
                group["potentials"].attrs["neurons"] = probes
            if population in self.description.recorded:
                for name in SPIKE_COLUMNS:
                    _growing(group, f"spikes/{name}", (), SPIKE_CHUNK)
        for projection in network.projections:
            group = file.create_group(f"projections/{projection.index}")
            write_text(group.attrs, "source", projection.source.name)
            write_text(group.attrs, "target", projection.target.name)
            group.attrs["synapses"] = projection.synapses.count(projection.source.size)
            group.create_dataset("events", data=np.zeros(trials, "<u8"))
            if projection.plasticity is not None:
                self._write_synapses(group, simulation, projection)

    def _write_synapses(self, group: Any, simulation: Simulation, projection: Projection) -> None:
        """The synapses of a plastic projection, and room for their weights."""
        own, watched = simulation.synapses(projection), self.description.watched.get(projection.index)
        for name, values in (("source", own.sources), ("target", own.targets), ("delay", own.delays)):
            group.create_dataset(f"plastic/{name}", data=values.astype("<u4"))
        group.create_dataset("plastic/weights", (simulation.trials, len(own.weights)), "<f4")
        group.create_dataset("plastic/weights_step", data=np.uint64(0))
        if simulation.step == 0:
            group.create_dataset("plastic/initial", data=own.weights.astype("<f4"))
        if watched is not None:
            chosen = simulation.recorded_weights(projection).synapses
            group.create_dataset("recorded/synapses", data=chosen.astype("<u4"))
            group["recorded"].attrs["every"] = watched.every
            trailing = {"step": (), "weights": (simulation.trials, len(chosen))}
            for name, dtype in WEIGHT_COLUMNS.items():
                _growing(
                    group, f"recorded/{name}", trailing[name], SPIKE_CHUNK if not trailing[name] else ROWS_CHUNK, dtype
                )


def require_same(source: SimulationReader, description: Description) -> None:
    """Refuse to go on with the file of another network.

    Raises
    ------
    InputError
    """
    found, wanted = (canonical_json(_without_epochs(own)) for own in (source.network, description.content))
    if found != wanted:
        raise InputError(f"{source.path} is of another network than this description; choose another --out")


def _without_epochs(content: dict[str, Any]) -> dict[str, Any]:
    """What a network is: that it learns for longer makes it no other."""
    learning = content.get("learning")
    if not isinstance(learning, dict):
        return content
    return {**content, "learning": {key: value for key, value in learning.items() if key != "epochs"}}


def _is_simulation(path: Path) -> bool:
    try:
        SimulationReader(path).close()
    except InputError:
        return False
    return True


def _keep_damaged(path: Path) -> bool:
    """Give a damaged file another name; whether it is one."""
    try:
        with SimulationReader(path) as reader:
            reader.check()
    except DamagedError as error:
        try:
            kept = set_aside(path)
        except OSError as fault:
            raise write_error(path, fault) from fault
        reason = str(error).rpartition("; ")[0] or str(error)
        warnings.warn(f"{reason}: it is kept as {kept}, and the simulation begins anew, to the same bits", stacklevel=4)
        return True
    return False


def _growing(group: Any, column: str, trailing: tuple[int, ...], chunk: int, dtype: Any = None) -> None:
    rows = max(1, min(chunk, (1 << 20) // max(1, 8 * int(np.prod(trailing)))))
    make_column(group, column, COLUMNS[column] if dtype is None else dtype, trailing, rows)


def _copy(source: SimulationReader, file: Any, steps: int) -> None:
    """Take over the first steps."""
    for name in source.populations:
        group = file[f"populations/{name}"]
        for column, start, values in source.blocks(name, steps):
            extend(group[column], values, start)
    for number in source.plastic_projections():
        initial = source.initial_weights(number)
        if initial is not None:
            file.create_dataset(f"projections/{number}/plastic/initial", data=initial.astype("<f4"))
        for column, values in source.weight_rows(number, steps).items():
            extend(file[f"projections/{number}/recorded/{column}"], values, 0)
    file["steps"][...] = steps
