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

    of projections with a plasticity:
    /projections/NUMBER/plastic/source, target, delay   uint32 (synapses,)
    /projections/NUMBER/plastic/weights                 float32 (trials, synapses): after `weights_step` steps
    /projections/NUMBER/plastic/weights_step            uint64
    /projections/NUMBER/plastic/initial                 float32 (synapses,): before the first step
    /projections/NUMBER/recorded/synapses               uint32 (chosen,): which weights are recorded, by their places
    /projections/NUMBER/recorded/weights                float32 (samples, trials, chosen)
    /projections/NUMBER/recorded/step                   uint64 (samples,): steps done

    of a network that learns by phases (`spikesim.sparse.learning`):
    /learning/epochs                                    uint64: epochs that are done
    /learning/train_error, train_accuracy,
              test_error, test_accuracy                 float64 (requested epochs,): NaN where there is none
    /learning/biases/NAME                               float64 (neurons,): learned, besides those of the network

The file is created whole and only grows (SWMR): others can read while it is written, and what was flushed survives a
kill. The state from which a simulation goes on is a file of its own beside it (`state_path`).
"""

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikesim.errors import DamagedError, InputError
from spikesim.io.formats import SIMULATION_MAGIC
from spikesim.io.hdf5_reader import Contents
from spikesim.io.hdf5_tables import FollowedFile, read_status, require_format
from spikesim.io.hdf5_writer import SPIKE_CHUNK
from spikesim.sparse.inputs.spikes import Spikes
from spikesim.sparse.plasticity.weights import SynapseList

FORMAT_VERSION = 2
TOTAL_COUNTS = 1 << 20
PIECE = 1 << 18
"""Spikes that are read at a time."""
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

WEIGHT_COLUMNS: dict[str, np.dtype[Any]] = {"step": np.dtype("<u8"), "weights": np.dtype("<f4")}
"""What is recorded of a plastic projection, with a row a sample."""

LEARNING_COLUMNS = ("train_error", "train_accuracy", "test_error", "test_accuracy")
"""What there is of each epoch: mean squared errors of the outputs in free phases, and shares of right answers."""

_WANTED = "give the file that `spikesim simulate --out` wrote"
_REMEDY = "use a copy of it, or start the simulation again"


def state_path(path: Path) -> Path:
    """Where the state of a simulation is kept."""
    return path.with_name(path.name + ".state")


def samples_done(every: int, steps: int) -> int:
    """How often weights are recorded in so many steps: before the first one, and after each `every`."""
    return steps // every + 1 if steps else 0


class SpikePiece(NamedTuple):
    """Some recorded spikes.

    Attributes
    ----------
    trial, step, neuron : int64 (spikes,)
    """

    trial: NDArray[np.int64]
    step: NDArray[np.int64]
    neuron: NDArray[np.int64]


class RecordedWeights(NamedTuple):
    """Weights that were recorded.

    Attributes
    ----------
    synapses : int64 (chosen,)
        Their places among the synapses of the projection.
    steps : int64 (samples,)
        Steps done.
    weights : float64 (samples, chosen)
    """

    synapses: NDArray[np.int64]
    steps: NDArray[np.int64]
    weights: NDArray[np.float64]


class LearningRecord(NamedTuple):
    """What a network has learned.

    Attributes
    ----------
    epochs : dict of str to float64 (epochs,)
        By the names of `LEARNING_COLUMNS`, of the epochs that are done; NaN where there are no labels or no test.
    biases : dict of str to float64 (neurons,)
        By population.
    """

    epochs: dict[str, NDArray[np.float64]]
    biases: dict[str, NDArray[np.float64]]


class ProjectionTotals(NamedTuple):
    """A projection in the file of a simulation."""

    source: str
    target: str
    synapses: int
    events: int
    """Of all steps."""


class SimulationReader(FollowedFile):
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
        super().__init__(path, _WANTED, _REMEDY)

    def _read_header(self, contents: Contents) -> None:
        own = require_format(contents, self.path, SIMULATION_MAGIC, _WANTED)
        if not own or _version(contents) != FORMAT_VERSION:
            raise InputError(
                f"{self.path} is not the file of a simulation of this version; `spikesim simulate` makes one"
            )
        self.steps = int(contents.array("/steps", "<u8", ()))
        self.status = read_status(contents)
        self.trials = int(contents.attribute("trials"))
        if self.trials < 1:
            raise ValueError(f"{self.trials} trials")
        self.network: dict[str, Any] = dict(json.loads(contents.stored_text("/network")))
        for kind in ("population", "projection"):
            tables = self.network.get(kind, [])
            if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
                raise TypeError(f"the description of the network has no tables under {kind}")
        super()._read_header(contents)
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
        self._require_spikes(population)
        length = self.spike_rows(population, self.steps)
        trials, steps, neurons = (self.rows(population, f"spikes/{name}", 0, length) for name in SPIKE_COLUMNS)
        kept = trials == trial
        return Spikes(steps[kept].astype(np.int64), neurons[kept].astype(np.int64))

    def spike_pieces(self, population: str, stop: int | None = None) -> Iterator[SpikePiece]:
        """Recorded spikes of all trials, some at a time, as they lie in the file: in each trial by step.

        Parameters
        ----------
        population : str
        stop : int, optional
            Only spikes of the steps before it.

        Raises
        ------
        InputError
            No such population, its spikes were not recorded, or they are damaged.
        """
        self._require_spikes(population)
        stop = self.steps if stop is None else min(stop, self.steps)
        length = self._file.read(lambda contents: contents.length(f"/populations/{population}/spikes/step"))
        neurons, ended = self.neurons(population), np.zeros(self.trials, np.bool_)
        for start in range(0, length, PIECE):
            last = min(start + PIECE, length)
            step = self.rows(population, "spikes/step", start, last)
            kept = step < stop
            trial, neuron = (self.rows(population, f"spikes/{name}", start, last) for name in ("trial", "neuron"))
            if trial.max() >= self.trials or neuron.max() >= neurons:
                raise DamagedError(f"{self.path} is damaged ({population} has a spike of no neuron); {_REMEDY}")
            yield SpikePiece(*(column[kept].astype(np.int64) for column in (trial, step, neuron)))
            ended[trial[~kept]] = True
            if ended.all():
                return

    def neurons(self, population: str) -> int:
        """Number of neurons of a population."""
        self._require(population, 0)

        def read(contents: Contents) -> int:
            size = int(contents.attribute("size", f"/populations/{population}"))
            if not 0 < size < 2**32:
                raise ValueError(f"{population} has {size} neurons")
            return size

        return self._file.read(read)

    def potential_neurons(self, population: str) -> tuple[int, ...]:
        """Neurons whose potentials were recorded, in the order of the columns."""
        self._require(population, 0)
        if not self.has(population, "potentials"):
            return ()
        path = f"/populations/{population}/potentials"

        def read(contents: Contents) -> tuple[int, ...]:
            found = contents.integers("neurons", path)
            if len(found) != contents.dataset(path).shape[-1]:
                raise ValueError(f"{path} has not a column for each of its neurons")
            return found

        return self._file.read(read)

    def total(self, population: str) -> int:
        """Spikes of a population in all steps and trials."""
        self._require(population, 0)
        block, found = max(1, TOTAL_COUNTS // max(1, self.trials)), 0
        for start in range(0, self.steps, block):
            own = self.rows(population, "counts", start, min(start + block, self.steps))
            found += int(own.sum(dtype=np.uint64))
        return found

    def projections(self, trial: int | None = None) -> list[ProjectionTotals]:
        """What a file says of each projection; its events are those of all trials, or of one."""

        def read(contents: Contents) -> list[ProjectionTotals]:
            found = []
            for number in range(len(contents.names("/projections")) if contents.has("/projections") else 0):
                path = f"/projections/{number}"
                events = contents.array(f"{path}/events", "<u8", (self.trials,))
                found.append(
                    ProjectionTotals(
                        source=contents.text("source", path),
                        target=contents.text("target", path),
                        synapses=int(contents.attribute("synapses", path)),
                        events=int(events.sum() if trial is None else events[trial]),
                    )
                )
            return found

        return self._file.read(read)

    def synapses(self, projection: int, trial: int = 0) -> SynapseList:
        """The synapses of a plastic projection with their weights at the end of the simulation.

        Of a simulation that runs, or was killed: with weights of an earlier step, `weights_step`.

        Raises
        ------
        InputError
            There is no such projection, or its weights are fixed.
        """
        path, weights = self._plastic_path(projection, trial, "plastic"), self.weights(projection, trial)

        def read(contents: Contents) -> SynapseList:
            count = int(contents.attribute("synapses", f"/projections/{projection}"))
            sources, targets, delays = (
                contents.array(f"{path}/{name}", "<u4", (count,)).astype(np.int64)
                for name in ("source", "target", "delay")
            )
            ends = (contents.text(end, f"/projections/{projection}") for end in ("target", "source"))
            rows, columns = (int(contents.attribute("size", f"/populations/{name}")) for name in ends)
            return SynapseList(sources, targets, delays, weights, (rows, columns))

        return self._file.read(read)

    def weights(self, projection: int, trial: int = 0) -> NDArray[np.float64]:
        """The weights of `synapses` alone, float64 (synapses,)."""
        path = self._plastic_path(projection, trial, "plastic")

        def read(contents: Contents) -> NDArray[np.float64]:
            count = int(contents.attribute("synapses", f"/projections/{projection}"))
            return np.asarray(contents.rows(f"{path}/weights", trial, trial + 1, "<f4", (count,))[0], np.float64)

        return self._file.read(read)

    def weights_step(self, projection: int) -> int:
        """Steps after which the weights of `synapses` were written."""
        path = self._plastic_path(projection, 0, "plastic")
        return self._file.read(lambda contents: int(contents.array(f"{path}/weights_step", "<u8", ())))

    def initial_weights(self, projection: int) -> NDArray[np.float64] | None:
        """Weights of a plastic projection before the first step, in the order of `synapses`; None: not in the file."""
        path = self._plastic_path(projection, 0, "plastic")

        def read(contents: Contents) -> NDArray[np.float64] | None:
            if not contents.has(f"{path}/initial"):
                return None
            count = int(contents.attribute("synapses", f"/projections/{projection}"))
            return contents.array(f"{path}/initial", "<f4", (count,)).astype(np.float64)

        return self._file.read(read)

    def plastic_projections(self) -> list[int]:
        """Numbers of the projections with a plasticity."""

        def read(contents: Contents) -> list[int]:
            numbers = range(len(contents.names("/projections")) if contents.has("/projections") else 0)
            return [number for number in numbers if contents.has(f"/projections/{number}/plastic")]

        return self._file.read(read)

    def learning(self) -> LearningRecord | None:
        """What the network has learned by phases; None: it does not learn so."""

        def read(contents: Contents) -> LearningRecord | None:
            if not contents.has("/learning"):
                return None
            done = int(contents.array("/learning/epochs", "<u8", ()))
            epochs = {name: contents.rows(f"/learning/{name}", 0, done, "<f8", ()) for name in LEARNING_COLUMNS}
            biases = {
                name: contents.array(f"/learning/biases/{name}", "<f8") for name in contents.names("/learning/biases")
            }
            return LearningRecord(epochs, biases)

        return self._file.read(read)

    def recorded_weights(self, projection: int, trial: int = 0) -> RecordedWeights:
        """Weights of a plastic projection that were recorded while it ran.

        Raises
        ------
        InputError
            There is no such projection, or its weights were not recorded.
        """
        path = self._plastic_path(projection, trial, "recorded")

        def read(contents: Contents) -> NDArray[np.int64]:
            return contents.array(f"{path}/synapses", "<u4").astype(np.int64)

        rows = self.weight_rows(projection, self.steps)
        weights = rows["weights"][:, trial].astype(np.float64)
        return RecordedWeights(self._file.read(read), rows["step"].astype(np.int64), weights)

    def weight_rows(self, projection: int, steps: int) -> dict[str, NDArray[Any]]:
        """Rows of `WEIGHT_COLUMNS` of the first steps as stored, for all trials; empty if nothing is recorded."""
        path = f"/projections/{projection}/recorded"

        def read(contents: Contents) -> dict[str, NDArray[Any]]:
            if not contents.has(path):
                return {}
            count = samples_done(int(contents.attribute("every", path)), steps)
            chosen = len(contents.array(f"{path}/synapses", "<u4"))
            trailing = {"step": (), "weights": (self.trials, chosen)}
            return {
                name: contents.rows(f"{path}/{name}", 0, count, dtype, trailing[name])
                for name, dtype in WEIGHT_COLUMNS.items()
            }

        return self._file.read(read)

    def _plastic_path(self, projection: int, trial: int, group: str) -> str:
        if not 0 <= trial < self.trials:
            raise InputError(f"{self.path} has no trial {trial}; it has {self.trials}, from 0")
        path = f"/projections/{projection}/{group}"
        if not self._file.read(lambda contents: contents.has(path)):
            missing = "plastic projection" if group == "plastic" else "recorded weights of a projection"
            raise InputError(f"{self.path} has no {missing} {projection}")
        return path

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

    def _require_spikes(self, population: str) -> None:
        self._require(population, 0)
        if not self.has(population, "spikes"):
            raise InputError(f"{self.path} has no spikes of {population}; give the population `record = true`")

    def _require(self, population: str, trial: int) -> None:
        if not 0 <= trial < self.trials:
            raise InputError(f"{self.path} has no trial {trial}; it has {self.trials}, from 0")
        if population not in self.populations:
            raise InputError(f"{self.path} has no population {population!r}; it has {', '.join(self.populations)}")


def _version(contents: Contents) -> object:
    """The version of the layout; None where it is not said."""
    try:
        return contents.attribute("format_version")
    except (LookupError, TypeError):
        return None
