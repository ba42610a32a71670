"""The file of a simulation: what `spikesim simulate` records, step by step.

    attributes                          format, seed, trials, versions, command line, ...
    /network                            text, JSON: the description of the network
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
import math
import os
import socket
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikesim import __version__
from spikesim.errors import DamagedError, InputError
from spikesim.io.durable import set_aside
from spikesim.io.formats import FORMATS, SIMULATION_MAGIC, STATUSES, canonical_json
from spikesim.io.hdf5_output import HDF5Output
from spikesim.io.hdf5_reader import Contents, HDF5File, write_text
from spikesim.io.hdf5_writer import SPIKE_CHUNK, create, now, versions, writable_target, write_error
from spikesim.io.lock import RunLock
from spikesim.sparse.description import Description
from spikesim.sparse.simulation import Simulation, Spikes

FORMAT_VERSION = 2
ROWS_CHUNK, TOTAL_COUNTS = 1024, 1 << 20
BLOCK_BYTES = 1 << 22
"""What is copied at a time."""
SPIKE_COLUMNS: dict[str, np.dtype[Any]] = {
    "trial": np.dtype("<u4"),
    "step": np.dtype("<u8"),
    "neuron": np.dtype("<u4"),
}
COLUMNS: dict[str, np.dtype[Any]] = {
    "counts": np.dtype("<u4"),
    "potentials": np.dtype("<f4"),
    **{f"spikes/{name}": dtype for name, dtype in SPIKE_COLUMNS.items()},
}
"""What may be recorded of a population, with a row a step or a spike."""

_WANTED = "give the file that `spikesim simulate --out` wrote"
_REMEDY = "use a copy of it, or start the simulation again"


def state_path(path: Path) -> Path:
    """Where the state of a simulation is kept."""
    return path.with_name(path.name + ".state")


class ProjectionTotals(NamedTuple):
    """A projection in the file of a simulation."""

    source: str
    target: str
    synapses: int
    events: int
    """Of all steps and trials."""


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
    created, host, command_line, spikesim_version : str
        Where the file comes from.
    versions : dict
        Versions of Python and of the libraries.

    Raises
    ------
    InputError
        If the file is missing, is not the file of a simulation, has another format, or is damaged. Reading more of it
        later may raise the same.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._file = HDF5File(path, _WANTED, _REMEDY)
        self.path = self._file.path
        try:
            self._file.read(self._read_header)
        except BaseException:
            self._file.close()
            raise

    def _read_header(self, contents: Contents) -> None:
        try:
            found, version = contents.attribute("format"), contents.attribute("format_version")
        except (LookupError, TypeError):
            found, version = "", 0
        if found != SIMULATION_MAGIC and found in FORMATS:
            raise InputError(f"{self.path} is {FORMATS[str(found)]}; {_WANTED}")
        if (found, version) != (SIMULATION_MAGIC, FORMAT_VERSION):
            raise InputError(
                f"{self.path} is not the file of a simulation of this version; `spikesim simulate` makes one"
            )
        self.steps = int(contents.array("/steps", "<u8", ()))
        self.status = STATUSES[int(contents.array("/status", "u1", ()))]
        self.trials, self.seed = int(contents.attribute("trials")), int(contents.attribute("seed"))
        self.network: dict[str, Any] = dict(json.loads(contents.stored_text("/network")))
        for kind in ("population", "projection"):
            tables = self.network.get(kind, [])
            if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
                raise TypeError(f"the description of the network has no tables under {kind}")
        self.created, self.host = contents.text("created"), contents.text("host")
        self.command_line, self.spikesim_version = contents.text("command_line"), contents.text("spikesim_version")
        self.versions: dict[str, str] = dict(json.loads(contents.text("versions")))
        self.populations = tuple(str(row["name"]) for row in self.network["population"])

    def counts(self, population: str, trial: int = 0) -> NDArray[np.uint32]:
        """Spikes of a population in each step, uint32 (steps,)."""
        self._require(population, trial)
        return self.rows(population, "counts", 0, self.steps)[:, trial]

    def potentials(self, population: str, trial: int = 0) -> NDArray[np.float32]:
        """Recorded membrane potentials, float32 (steps, neurons); no columns where none were recorded."""
        self._require(population, trial)
        if not self.has(population, "potentials"):
            return np.zeros((self.steps, 0), np.float32)
        return self.rows(population, "potentials", 0, self.steps)[:, trial]

    def spikes(self, population: str, trial: int = 0) -> Spikes:
        """Recorded spikes of a trial, by step, then by neuron.

        Raises
        ------
        InputError
            No such population, or its spikes were not recorded.
        """
        self._require(population, trial)
        if not self.has(population, "spikes"):
            raise InputError(f"{self.path} has no spikes of {population}; give the population `record = true`")
        length = self.spike_rows(population, self.steps)
        trials, steps, neurons = (self.rows(population, f"spikes/{name}", 0, length) for name in SPIKE_COLUMNS)
        kept = trials == trial
        return Spikes(steps[kept].astype(np.int64), neurons[kept].astype(np.int64))

    def neurons(self, population: str) -> int:
        """Number of neurons of a population."""
        self._require(population, 0)
        return self._file.read(lambda contents: int(contents.attribute("size", f"/populations/{population}")))

    def total(self, population: str) -> int:
        """Spikes of a population in all steps and trials."""
        self._require(population, 0)
        block, found = max(1, TOTAL_COUNTS // max(1, self.trials)), 0
        for start in range(0, self.steps, block):
            own = self.rows(population, "counts", start, min(start + block, self.steps))
            found += int(own.sum(dtype=np.uint64))
        return found

    def projections(self) -> list[ProjectionTotals]:
        """What a file says of each projection."""

        def read(contents: Contents) -> list[ProjectionTotals]:
            found = []
            for number in range(len(contents.names("/projections")) if contents.has("/projections") else 0):
                path = f"/projections/{number}"
                found.append(
                    ProjectionTotals(
                        source=contents.text("source", path),
                        target=contents.text("target", path),
                        synapses=int(contents.attribute("synapses", path)),
                        events=int(contents.array(f"{path}/events", "<u8", (self.trials,)).sum()),
                    )
                )
            return found

        return self._file.read(read)

    def has(self, population: str, column: str) -> bool:
        """Whether there is such a column, or a group of columns."""
        return self._file.read(lambda contents: contents.has(f"/populations/{population}/{column}"))

    def spike_rows(self, population: str, steps: int) -> int:
        """How many rows of the spikes are of the first steps.

        They come first, because stretches of whole steps are written one after the other; what follows them may be of
        steps that are not complete.
        """
        path, count = f"/populations/{population}/spikes/step", 0
        length = self._file.read(lambda contents: contents.length(path))
        for start in range(0, length, SPIKE_CHUNK):
            stop = min(start + SPIKE_CHUNK, length)
            own = int(np.count_nonzero(self.rows(population, "spikes/step", start, stop) < steps))
            count += own
            if own < stop - start:
                break
        return count

    def blocks(self, population: str, steps: int) -> Iterator[tuple[str, int, NDArray[Any]]]:
        """What is recorded of the first steps, in pieces: the column, the first row, and the rows of all trials."""
        kept = dict.fromkeys(("counts", "potentials"), steps)
        if self.has(population, "spikes"):
            kept |= dict.fromkeys((f"spikes/{name}" for name in SPIKE_COLUMNS), self.spike_rows(population, steps))
        for column, count in kept.items():
            if self.has(population, column):
                none = self.rows(population, column, 0, 0)
                length = max(1, BLOCK_BYTES // max(1, none.dtype.itemsize * math.prod(none.shape[1:])))
                for start in range(0, count, length):
                    yield column, start, self.rows(population, column, start, min(start + length, count))

    def check(self) -> None:
        """Read all of it.

        Raises
        ------
        InputError
            It is damaged.
        """
        for name in self.populations:
            for _ in self.blocks(name, self.steps):
                pass

    def rows(self, population: str, column: str, start: int, stop: int) -> NDArray[Any]:
        """Rows of one of `COLUMNS` as they are stored, for all trials."""
        path = f"/populations/{population}/{column}"

        def read(contents: Contents) -> NDArray[Any]:
            trailing = contents.dataset(path).shape[1:]
            dimensions = {"counts": 1, "potentials": 2}.get(column, 0)
            if len(trailing) != dimensions or (trailing and trailing[0] != self.trials):
                raise ValueError(f"{path} has rows of shape {trailing}")
            return contents.rows(path, start, stop, COLUMNS[column], trailing)

        return self._file.read(read)

    def _require(self, population: str, trial: int) -> None:
        if not 0 <= trial < self.trials:
            raise InputError(f"{self.path} has no trial {trial}; it has {self.trials}, from 0")
        if population not in self.populations:
            raise InputError(f"{self.path} has no population {population!r}; it has {', '.join(self.populations)}")

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
                elif self.path.exists() and not (keep_damaged and _keep_damaged(self.path)):
                    _check_replaceable(self.path, overwrite)
                self._output = self._write_new(source, simulation, command_line)
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
            file = self._output.file
            done, trials = int(file["steps"][()]), range(simulation.trials)
            for population in self.description.network.populations:
                group = file[f"populations/{population.name}"]
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
            self._write_totals(file, simulation)
            self._output.flush()
            file["steps"][...] = simulation.step  # only now: a reader sees whole steps
            self._output.flush()
            self._output.sync()
        simulation.forget_records()

    def close(self, status: str = "stopped") -> None:
        """Say how the simulation stands and close the file. May be called more than once."""
        try:
            if self._output.file:
                with self._writable():
                    self._output.file["status"][...] = STATUSES.index(status)
                    self._output.flush()
                    self._output.close()
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
        self._output.reserve(row * (len(values) + dataset.chunks[0]))
        dataset.resize(at + len(values), axis=0)
        dataset[at:] = values

    def _write_new(self, source: SimulationReader | None, simulation: Simulation, command_line: str) -> HDF5Output:
        """An empty file, or one with the steps of `source` that the simulation has done, in its place and open."""

        def fill(file: Any) -> None:
            self._write_layout(file, simulation)
            write_text(file.attrs, "created", now() if source is None else source.created)
            write_text(file.attrs, "command_line", command_line)
            if source is not None:
                _copy(source, file, simulation.step)
            self._write_totals(file, simulation)

        return create(self.path, 0 if source is None else source.path.stat().st_size, fill)

    def _write_layout(self, file: Any, simulation: Simulation) -> None:
        network, trials = self.description.network, simulation.trials
        texts = {
            "format": SIMULATION_MAGIC,
            "spikesim_version": __version__,
            "host": socket.gethostname(),
            "versions": canonical_json(versions()),
        }
        for name, text in texts.items():
            write_text(file.attrs, name, text)
        file.attrs.update({"format_version": FORMAT_VERSION, "seed": np.uint64(simulation.seed), "trials": trials})
        file.create_dataset("network", data=np.bytes_(canonical_json(self.description.content).encode()))
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
            write_text(group.attrs, "source", projection.source.name)
            write_text(group.attrs, "target", projection.target.name)
            group.attrs["synapses"] = projection.synapses.count(projection.source.size)
            group.create_dataset("events", data=np.zeros(trials, "<u8"))

    @contextlib.contextmanager
    def _writable(self) -> Iterator[None]:
        try:
            with self._output.changing():
                yield
        except (OSError, RuntimeError) as error:
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


def _growing(group: Any, name: str, dtype: Any, trailing: tuple[int, ...], chunk: int) -> None:
    rows = max(1, min(chunk, (1 << 20) // max(1, 8 * int(np.prod(trailing)))))
    group.create_dataset(name, (0, *trailing), dtype, maxshape=(None, *trailing), chunks=(rows, *trailing))


def _copy(source: SimulationReader, file: Any, steps: int) -> None:
    """Take over the first steps."""
    for name in source.populations:
        group = file[f"populations/{name}"]
        for column, start, values in source.blocks(name, steps):
            group[column].resize(start + len(values), axis=0)
            group[column][start:] = values
    file["steps"][...] = steps
