"""The file of a simulation: what `spikesim simulate` records, step by step.

    attributes                          format, network (JSON), seed, trials, versions, command line, ...
    /steps                              uint64: steps that are completely in the file
    /status                             uint8: 0 running, 1 stopped, 2 finished
    /populations/NAME/counts            uint32 (steps, trials): spikes in each step
    /populations/NAME/potentials        float32 (steps, trials, neurons): of the neurons in attribute `neurons`
    /populations/NAME/spikes/trial      uint32 (spikes,)
    /populations/NAME/spikes/step       uint64 (spikes,)
    /populations/NAME/spikes/neuron     uint32 (spikes,)
    /populations/NAME/updates           uint64 (trials,): visits to its neurons
    /projections/NUMBER/events          uint64 (trials,): synaptic events

The file is created whole and only grows (SWMR): others can read while it is written, and what was flushed survives a
kill. The state from which a simulation goes on is a file of its own beside it (`state_path`).
"""

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesim import __version__
from spikesim.errors import InputError
from spikesim.runfile import writable_target
from spikesim.runlayout import SPIKE_CHUNK, abandon, create, now, reserve, trim, versions, write_error
from spikesim.runlock import RunLock
from spikesim.runreader import FAULTS, open_hdf5
from spikesim.schema import STATUSES, canonical_json
from spikesim.sparse.description import Description
from spikesim.sparse.simulation import Simulation, Spikes

MAGIC = "spikesim-simulation"
FORMAT_VERSION = 1
ROWS_CHUNK = 1024
SPIKE_COLUMNS = {"trial": np.dtype("<u4"), "step": np.dtype("<u8"), "neuron": np.dtype("<u4")}


def state_path(path: Path) -> Path:
    """Where the state of a simulation is kept."""
    return path.with_name(path.name + ".state")


class SimulationReader:
    """Read the file of a simulation, finished or not.

    Attributes
    ----------
    steps : int
        Steps that are completely in the file.
    trials, seed : int
    status : str
        "running", "stopped" or "finished".
    network : dict
        The description of the network.
    populations : tuple of str

    Raises
    ------
    InputError
        Not such a file.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise InputError(f"{path} does not exist or is no file")
        self._file = open_hdf5(self.path)
        try:
            if self._file.attrs.get("format") != MAGIC or self._file.attrs["format_version"] != FORMAT_VERSION:
                raise InputError(
                    f"{path} is not the file of a simulation of this version; `spikesim simulate` makes one"
                )
            self.steps = int(self._file["steps"][()])
            self.status = STATUSES[int(self._file["status"][()])]
            self.trials, self.seed = int(self._file.attrs["trials"]), int(self._file.attrs["seed"])
            self.network: dict[str, Any] = json.loads(self._file.attrs["network"])
            self.created = str(self._file.attrs["created"])
            self.populations = tuple(row["name"] for row in self.network["population"])
        except BaseException as error:
            self._file.close()
            if isinstance(error, (*FAULTS, IndexError)) and not isinstance(error, InputError):
                raise InputError(f"{path} is damaged: {error}") from None
            raise

    def counts(self, population: str, trial: int = 0) -> NDArray[np.uint32]:
        """Spikes of a population in each step, uint32 (steps,)."""
        return np.asarray(self.group(population, trial)["counts"][: self.steps, trial])

    def potentials(self, population: str, trial: int = 0) -> NDArray[np.float32]:
        """Recorded membrane potentials, float32 (steps, neurons); no columns where none were recorded."""
        group = self.group(population, trial)
        if "potentials" not in group:
            return np.zeros((self.steps, 0), np.float32)
        return np.asarray(group["potentials"][: self.steps, trial])

    def spikes(self, population: str, trial: int = 0) -> Spikes:
        """Recorded spikes of a trial, by step, then by neuron.

        Raises
        ------
        InputError
            No such population, or its spikes were not recorded.
        """
        group = self.group(population, trial)
        if "spikes" not in group:
            raise InputError(f"{self.path} has no spikes of {population}; give the population `record = true`")
        trials, steps, neurons = (group["spikes"][name][()] for name in SPIKE_COLUMNS)
        kept = (trials == trial) & (steps < self.steps)
        return Spikes(steps[kept].astype(np.int64), neurons[kept].astype(np.int64))

    def group(self, population: str, trial: int = 0) -> Any:
        """The h5py group of a population, of which this trial is asked.

        Raises
        ------
        InputError
            There is no such population or trial.
        """
        if not 0 <= trial < self.trials:
            raise InputError(f"{self.path} has no trial {trial}; it has {self.trials}, from 0")
        if population not in self.populations:
            raise InputError(f"{self.path} has no population {population!r}; it has {', '.join(self.populations)}")
        return self._file["populations"][population]

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> "SimulationReader":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


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
        command_line: str = "",
    ) -> None:
        self.path = writable_target(path)
        self.description = description
        self._lock = RunLock(self.path)
        try:
            with contextlib.ExitStack() as stack:
                source = None
                if simulation.step:
                    source = stack.enter_context(SimulationReader(self.path))
                    require_same(source, description)
                    if source.steps < simulation.step:
                        raise InputError(
                            f"{path} has {source.steps} steps and its state {simulation.step}: they do not belong "
                            "together; --overwrite starts anew"
                        )
                elif self.path.exists():
                    _check_replaceable(self.path, overwrite)
                self._file = self._write_new(source, simulation, command_line)
        except BaseException:
            self._lock.release()
            raise

    def append(self, simulation: Simulation) -> None:
        """Write what the simulation has recorded since the last call, and make it forget that.

        Raises
        ------
        InputError
            The file cannot be written.
        """
        with self._writable():
            done, trials = int(self._file["steps"][()]), range(simulation.trials)
            for population in self.description.network.populations:
                group = self._file[f"populations/{population.name}"]
                columns = {"counts": np.stack([simulation.counts(population, trial) for trial in trials], axis=1)}
                if "potentials" in group:
                    traces = [simulation.potentials(population, trial) for trial in trials]
                    columns["potentials"] = np.stack(traces, axis=1)
                for name, values in columns.items():
                    self._extend(group[name], values, done)
                if "spikes" in group:
                    found = [simulation.spikes(population, trial) for trial in trials]
                    numbers = np.repeat(np.arange(simulation.trials), [len(own.steps) for own in found])
                    at = len(group["spikes/trial"])
                    self._extend(group["spikes/trial"], numbers, at)
                    self._extend(group["spikes/step"], np.concatenate([own.steps for own in found]), at)
                    self._extend(group["spikes/neuron"], np.concatenate([own.neurons for own in found]), at)
            self._write_totals(self._file, simulation)
            self._file.flush()
            self._file["steps"][...] = simulation.step  # only now: a reader sees whole steps
            self._file.flush()
            os.fsync(self._file.id.get_vfd_handle())
        simulation.forget_records()

    def close(self, status: str = "stopped") -> None:
        """Say how the simulation stands and close the file. May be called more than once."""
        try:
            if self._file:
                with self._writable():
                    self._file["status"][...] = STATUSES.index(status)
                    self._file.flush()
                    self._file.close()
                    trim(self.path)
        finally:
            self._lock.release()

    def __enter__(self) -> "SimulationWriter":
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

    def _extend(self, dataset: Any, values: NDArray[Any], at: int) -> None:
        row = dataset.dtype.itemsize * int(np.prod(dataset.shape[1:]))
        reserve(self._file, row * (len(values) + dataset.chunks[0]))
        dataset.resize(at + len(values), axis=0)
        dataset[at:] = values

    def _write_new(self, source: SimulationReader | None, simulation: Simulation, command_line: str) -> Any:
        """An empty file, or one with the steps of `source` that the simulation has done, in its place and open."""

        def fill(file: Any) -> None:
            self._write_layout(file, simulation)
            file.attrs["created"] = now() if source is None else source.created
            file.attrs["command_line"] = command_line
            if source is not None:
                _copy(source, file, simulation.step)
            self._write_totals(file, simulation)

        return create(self.path, 0 if source is None else source.path.stat().st_size, fill)

    def _write_layout(self, file: Any, simulation: Simulation) -> None:
        network, trials = self.description.network, simulation.trials
        file.attrs.update(
            {
                "format": MAGIC,
                "format_version": FORMAT_VERSION,
                "spikesim_version": __version__,
                "host": socket.gethostname(),
                "versions": canonical_json(versions()),
                "network": canonical_json(self.description.content),
                "seed": np.uint64(simulation.seed),
                "trials": trials,
            }
        )
        file.create_dataset("steps", data=np.uint64(0))
        file.create_dataset("status", data=np.uint8(STATUSES.index("running")))
        for population in network.populations:
            group = file.create_group(f"populations/{population.name}")
            group.attrs["size"] = population.size
            _growing(group, "counts", "<u4", (trials,), ROWS_CHUNK)
            group.create_dataset("updates", data=np.zeros(trials, "<u8"))
            probes = self.description.probes.get(population.name)
            if probes:
                _growing(group, "potentials", "<f4", (trials, len(probes)), ROWS_CHUNK)
                group["potentials"].attrs["neurons"] = probes
            if population in self.description.recorded:
                for name, dtype in SPIKE_COLUMNS.items():
                    _growing(group, f"spikes/{name}", dtype, (), SPIKE_CHUNK)
        for projection in network.projections:
            group = file.create_group(f"projections/{projection.index}")
            group.attrs.update({"source": projection.source.name, "target": projection.target.name})
            group.attrs["synapses"] = projection.synapses.count(projection.source.size)
            group.create_dataset("events", data=np.zeros(trials, "<u8"))

    @contextlib.contextmanager
    def _writable(self) -> Iterator[None]:
        try:
            yield
        except (OSError, RuntimeError) as error:
            abandon(self._file)
            raise write_error(self.path, error) from error


def require_same(source: SimulationReader, description: Description) -> None:
    """Refuse to go on with the file of another network.

    Raises
    ------
    InputError
    """
    found, wanted = canonical_json(source.network), canonical_json(description.content)
    if found != wanted:
        raise InputError(f"{source.path} is of another network than this description; choose another --out")


def _check_replaceable(path: Path, overwrite: bool) -> None:
    if not overwrite:
        raise InputError(f"{path} exists: --resume continues it, --overwrite replaces it")
    try:
        SimulationReader(path).close()
    except InputError:
        raise InputError(
            f"{path} is not the file of a simulation, and --overwrite replaces only those; choose another --out, or "
            "remove the file yourself"
        ) from None


def _growing(group: Any, name: str, dtype: Any, trailing: tuple[int, ...], chunk: int) -> None:
    rows = max(1, min(chunk, (1 << 20) // max(1, 8 * int(np.prod(trailing)))))
    group.create_dataset(name, (0, *trailing), dtype, maxshape=(None, *trailing), chunks=(rows, *trailing))


def _copy(source: SimulationReader, file: Any, steps: int) -> None:
    """Take over the first steps."""
    for name in source.populations:
        old, new = source.group(name), file[f"populations/{name}"]
        for rows in ("counts", "potentials"):
            if rows in new:
                new[rows].resize(steps, axis=0)
                for first in range(0, steps, ROWS_CHUNK):
                    part = slice(first, min(first + ROWS_CHUNK, steps))
                    new[rows][part] = old[rows][part]
        if "spikes" not in new:
            continue
        length, kept = len(old["spikes/step"]), 0
        for first in range(0, length, SPIKE_CHUNK):  # whole stretches of steps follow each other: what is kept leads
            kept += int(np.count_nonzero(old["spikes/step"][first : first + SPIKE_CHUNK] < steps))
        for column in SPIKE_COLUMNS:
            new[f"spikes/{column}"].resize(kept, axis=0)
            for first in range(0, kept, SPIKE_CHUNK):
                part = slice(first, min(first + SPIKE_CHUNK, kept))
                new[f"spikes/{column}"][part] = old[f"spikes/{column}"][part]
    file["steps"][...] = steps
