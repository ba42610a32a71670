"""Running a sparse network: `Simulation` owns the state of its trials, continues, saves and restores them."""

import contextlib
import hashlib
import warnings
from collections.abc import Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikesim.engine.phase import PhaseSpec
from spikesim.engine.plan import FIRING_IID
from spikesim.errors import InputError
from spikesim.io.atomic import replacing
from spikesim.io.formats import SIMULATION_STATE_MAGIC
from spikesim.io.hdf5_output import storing
from spikesim.io.hdf5_reader import Contents, HDF5File, write_text
from spikesim.io.numbers import integer, reals, shown
from spikesim.numerics.fixed_point import ONE
from spikesim.numerics.philox import seed_key
from spikesim.runtime.free_memory import naming_memory, require_memory
from spikesim.runtime.printable import one_line
from spikesim.runtime.stop_flag import StopFlag
from spikesim.runtime.text import counted
from spikesim.sparse.assembly import assemble_told
from spikesim.sparse.connections.synapses import RandomSynapses
from spikesim.sparse.engine import layout as ly
from spikesim.sparse.engine.fingerprint import synapse_sum
from spikesim.sparse.engine.gate import SHARES
from spikesim.sparse.engine.random_numbers import STREAM_FIRE
from spikesim.sparse.input_tables import input_bytes, inputs_digest, inputs_of
from spikesim.sparse.inputs.spikes import STEPS_MAX, Spikes
from spikesim.sparse.network import Network, Population, Projection
from spikesim.sparse.plasticity import weights as pw
from spikesim.sparse.plasticity.integers import weight_integers
from spikesim.sparse.recording import RecordedWeights
from spikesim.sparse.state import (
    by_population,
    by_projection,
    first_parts,
    ring_contents,
    saved_arrays,
    take_up,
)
from spikesim.sparse.trial import Trial, TrialCopy, WatchedWeights, divide

FORMAT = 4
NEURON_BYTES, SYNAPSE_BYTES, ROW_BYTES, DRAWN_BYTES = 49, 2, 8, 16
"""At least: of a neuron in each trial, of a synapse with a weight that others share, of a row of synapses, and of each
synapse of a neuron while its targets are drawn."""
_ADVICE = "lower the numbers of neurons, synapses or trials, or use a machine with more memory"


class RoundingWarning(UserWarning):
    """The integers of a simulation change numbers of its network by more than a hundredth, or two spikes into one."""


def _needs(network: Network, trials: int) -> dict[str, int]:
    """Bytes that a simulation takes at least, by what takes them; the ring of spikes excepted."""
    parts = {
        f"the {own.size:,} neurons of {own.name} ({trials} trials)": own.size
        * (NEURON_BYTES * trials + 4 + own.general_bytes(trials))
        for own in network.populations
    }
    for own in network.projections:
        synapses, rows = own.synapses.count(own.source.size), own.source.size * len(own.synapses.delays)
        parts[f"the {synapses:,} synapses of {own.name}, number {own.index}"] = SYNAPSE_BYTES * synapses
        parts[f"the {rows:,} rows (neurons x delays) of {own.name}, number {own.index}"] = ROW_BYTES * rows
        if own.plasticity is not None:
            plastic = trials * pw.plastic_bytes(synapses, rows, own.target.size)
            parts[f"the plastic weights of {own.name}, number {own.index} ({trials} trials)"] = plastic
    parts |= {f"the inputs of {own.name}": input_bytes(own, trials) for own in network.populations}
    numbers = [own.synapses.number for own in network.projections if isinstance(own.synapses, RandomSynapses)]
    parts["drawing the synapses of a neuron"] = DRAWN_BYTES * max(numbers, default=0)
    return parts


class Snapshot(NamedTuple):
    """A simulation at some step, as `Simulation.snapshot` returns it."""

    step: int
    trials: list[TrialCopy]


class Simulation:
    """Runs a sparse network, one or more independent trials of it.

    Trials share the tables and differ in their random numbers, which are keyed by (seed, trial, population, neuron,
    step): neither the number of threads nor a break changes a bit. Threads carry whole trials. Where there are twice as
    many threads as trials, or more, those of a trial divide its large populations among themselves and wait for each
    other after every step.

    Parameters
    ----------
    network : Network
        Assembled here; later changes to it are not seen.
    trials : int
    seed : int
        0 .. 2**64 - 1.
    threads : int

    Raises
    ------
    InputError
        A value out of range, a network that cannot be run, or more than fits into the memory.

    Warns
    -----
    RoundingWarning
        Weights or biases that integers hold badly, with what they become; given spikes that are left out.
    """

    def __init__(self, network: Network, *, trials: int = 1, seed: int = 0, threads: int = 1) -> None:
        trials, threads = integer(trials, "trials", 1, 2**20), integer(threads, "threads", 1, 2**20)
        seed = integer(seed, "seed", 0, 2**64 - 1)
        low, high = seed_key(seed)
        clock = PhaseSpec(FIRING_IID, STREAM_FIRE, int(low), int(high))
        self._populations = tuple(network.populations)
        require_memory(_needs(network, trials), _ADVICE)
        together = max(1, threads // trials) if SHARES else 1
        with naming_memory("the tables of the network", _ADVICE):
            self._tables, told = assemble_told(network, together)
        together = int(np.bincount(self._tables.parts["population"]).max())  # small populations are not cut
        for line in told:
            warnings.warn(line, RoundingWarning, stacklevel=2)
        self._probes: dict[int, NDArray[np.int64]] = {}
        with naming_memory(f"the state of {trials} trials of {network.neurons:,} neurons", _ADVICE):
            shares = divide(self._tables, together)
            self._trials = [Trial(number, self._tables, shares, clock) for number in range(trials)]
        self._projections = len(network.projections)
        places = pw.plastic_places(self._tables)
        self._plastic = {
            own.index: pw.Plastic(places[own.index], own.plasticity, own.name, (own.target.size, own.source.size))
            for own in network.projections
            if own.plasticity is not None
        }
        self._inputs = inputs_digest(network)
        self._fingerprint: NDArray[np.uint8] | None = None
        self._stop = StopFlag()
        self.seed = seed
        self.threads = threads
        self.dt = network.dt
        """Milliseconds a step; None: the network has none."""
        self.step = 0
        """Steps done."""

    def record(self, *populations: Population) -> None:
        """Record the spikes of these populations from now on."""
        for population in populations:
            self._check_own(population)
            self._tables.parts["recorded"][self._tables.parts["population"] == population.index] = 1

    def record_potential(self, population: Population, neurons: ArrayLike) -> None:
        """Record the membrane potentials of these neurons, each once; to be called before the first step.

        Called again, it adds those that are not recorded yet.

        Raises
        ------
        InputError
            Too late, or no such neuron.
        """
        self._check_own(population)
        if self.step:
            raise InputError("potentials are recorded from the first step on; call record_potential before run")
        chosen = np.atleast_1d(np.asarray(neurons))
        whole = chosen.dtype.kind in "iu" or not chosen.size
        if chosen.ndim != 1 or not whole or chosen.min(initial=0) < 0 or chosen.max(initial=0) >= population.size:
            raise InputError(f"neurons of {population.name} are integers in 0 .. {population.size - 1}")
        before = self._probes.get(population.index, np.zeros(0, np.int64)).tolist()
        wanted = [*before, *(chosen.astype(np.int64) + population.first).tolist()]
        self._probes[population.index] = np.array(list(dict.fromkeys(wanted)), np.int64)

    def record_weights(self, projection: Projection, *, every: int, synapses: ArrayLike | None = None) -> None:
        """Record weights of a plastic projection before the first step, and whenever `every` steps more are done.

        Parameters
        ----------
        synapses : array of int, optional
            Which ones, by their numbers in the order of `synapses`; all unless they are given.

        Raises
        ------
        InputError
            Too late, a projection without plasticity, or no such synapse.
        """
        own = self._own_plastic(projection)
        if self.step:
            raise InputError("weights are recorded from the first step on; call record_weights before run")
        every = integer(every, "every", 1, STEPS_MAX)
        chosen, places = own.locate(self._tables, synapses)
        for trial in self._trials:
            trial.watched[projection.index] = WatchedWeights(every, chosen, places)

    def set_input(self, population: Population, values: ArrayLike, trial: int | None = None) -> None:
        """Give neurons another current, or a source other rates, from the next step on; in all trials unless given.

        The current is in place of one that was given so before, and is added to the bias as that of
        `Network.add_current`. It does not belong to the network, but to the state: `save` has it.

        Parameters
        ----------
        values : float or array (neurons,)

        Raises
        ------
        InputError
            Rates outside of 0 .. 1, a bias out of range, or a population whose input changes in time or is given.
        """
        self._check_own(population)
        if population.courses or population.spikes is not None:
            raise InputError(
                f"{population.name} has an input that is fixed in advance (a time course or spike trains); "
                "leave it out, or do not call set_input"
            )
        given = reals(values, f"the input of {population.name}")
        if given.shape not in ((), (population.size,)):
            raise InputError(
                f"the input of {population.name} has shape {given.shape}; it has {population.size:,} neurons"
            )
        if population.source and not np.all((given >= 0) & (given <= 1)):
            raise InputError(f"rates reach from {given.min():.4g} to {given.max():.4g}; they must be in 0 .. 1")
        bias, resting = inputs_of(population, given)
        for one in self._trials if trial is None else [self._trial(trial)]:
            one.put_inputs(population.index, bias, resting, self.step)

    def snapshot(self) -> "Snapshot":
        """All that moves in all trials, in memory: weights, inputs and the step included, records not."""
        return Snapshot(self.step, [trial.copied() for trial in self._trials])

    def rewind(self, snapshot: "Snapshot") -> None:
        """Go on from a snapshot of this simulation, with the same random numbers; records start anew."""
        for trial, own in zip(self._trials, snapshot.trials, strict=True):
            trial.take_back(own)
        self.step = snapshot.step
        self.forget_records()

    def run(self, steps: int) -> None:
        """Go on for some steps.

        Raises
        ------
        InputError
            A negative number, or more than 2**32 steps in all.
        Stopped
            `stop` was called; the simulation cannot go on.
        """
        steps = integer(steps, "steps", 0, STEPS_MAX - 1)
        if self.step + steps >= STEPS_MAX:
            raise InputError(f"steps is {steps} after {self.step}; all together they must be fewer than 2**32")
        self._stop.clear()
        probes = self._all_probes()

        def go_on(trial: Trial, others: Executor | None = None) -> None:
            trial.run(self.step, steps, probes, self._stop, others)

        beside = len(self._trials[0].threads) - 1
        if beside:  # so many trials are run at a time that none of their threads has to wait for another trial's
            at_a_time = min(len(self._trials), max(1, self.threads // (beside + 1)))
            with ThreadPoolExecutor(at_a_time) as trials, ThreadPoolExecutor(at_a_time * beside) as others:
                list(trials.map(lambda trial: go_on(trial, others), self._trials))
        elif self.threads == 1 or len(self._trials) == 1:
            for trial in self._trials:
                go_on(trial)
        else:
            with ThreadPoolExecutor(self.threads) as executor:
                list(executor.map(go_on, self._trials))
        self.step += steps

    def stop(self) -> None:
        """End a `run` in another thread within a step."""
        self._stop.set()

    @property
    def trials(self) -> int:
        """Number of trials."""
        return len(self._trials)

    def forget_records(self) -> None:
        """Drop the spikes, counts and potentials recorded so far, to make room; the simulation goes on as before."""
        for trial in self._trials:
            trial.spikes, trial.counts, trial.traces = [], [], []
            for own in trial.watched.values():
                own.steps, own.weights = [], []

    def spikes(self, population: Population, trial: int = 0) -> Spikes:
        """The recorded spikes of a population."""
        self._check_own(population)
        records = self._trial(trial).spikes
        steps = np.concatenate([np.zeros(0, np.int64), *(own for own, _ in records)])
        neurons = np.concatenate([np.zeros(0, np.int64), *(own for _, own in records)]) - population.first
        kept = (neurons >= 0) & (neurons < population.size)
        steps, neurons = steps[kept], neurons[kept]
        order = np.lexsort((neurons, steps))
        return Spikes(steps[order], neurons[order])

    def counts(self, population: Population, trial: int = 0) -> NDArray[np.int64]:
        """Spikes of a population in each step since the start, `restore` or `forget_records`, int64 (steps,)."""
        self._check_own(population)
        parts = [own[:, population.index] for own in self._trial(trial).counts]
        return np.concatenate([np.zeros(0, np.int64), *parts])

    def spike_counts(self, population: Population, trial: int = 0) -> NDArray[np.int64]:
        """Spikes of each neuron since the first step, int64 (neurons,)."""
        self._check_own(population)
        return self._trial(trial).state.counts.spikes[population.part].copy()

    def spike_times(self, population: Population, trial: int = 0) -> NDArray[np.float64]:
        """When the recorded spikes of a population were fired, ms, in the order of `spikes`: the beginnings of steps.

        Raises
        ------
        InputError
            The network has no `dt`.
        """
        return np.asarray(self.spikes(population, trial).steps * self._length(), np.float64)

    def rates(self, population: Population, trial: int = 0) -> NDArray[np.float64]:
        """Spikes of each neuron in a second since the first step, Hz, float64 (neurons,).

        Raises
        ------
        InputError
            The network has no `dt`.
        """
        seconds = self.step * self._length() / 1000
        return np.asarray(self.spike_counts(population, trial) / max(seconds, 1e-300), np.float64)

    def _length(self) -> float:
        if self.dt is None:
            raise InputError("the network has no step in ms; give it one, as in Network(dt=0.1)")
        return self.dt

    def potential(self, population: Population, trial: int = 0) -> NDArray[np.float64]:
        """Present membrane potentials, in mV where the model has units, float64 (neurons,)."""
        self._check_own(population)
        return self._trial(trial).state.membrane[population.part] / ONE

    def potentials(self, population: Population, trial: int = 0) -> NDArray[np.float64]:
        """Recorded membrane potentials, in mV where the model has units, float64 (steps, recorded neurons)."""
        self._check_own(population)
        before = sum(len(own) for index, own in sorted(self._probes.items()) if index < population.index)
        columns = slice(before, before + len(self._probes.get(population.index, ())))
        traces = [own[:, columns] for own in self._trial(trial).traces]
        return np.concatenate([np.zeros((0, columns.stop - columns.start), np.int32), *traces]) / ONE

    def weights(self, projection: Projection, trial: int = 0) -> NDArray[np.float64]:
        """Present weights of a plastic projection in the order of `synapses`, float64 (synapses,).

        They are what spikes find that come over the synapses in the next step: with a dendritic delay of b steps they
        are moved by what had happened at the synapses b steps ago.
        """
        own = self._own_plastic(projection)
        found = self._trial(trial)
        return own.real(pw.read_weights(self._tables, found.state, own.places, self.step))

    def synapses(self, projection: Projection, trial: int = 0) -> pw.SynapseList:
        """The synapses of a plastic projection with their present weights; `matrix` makes a sparse matrix of them.

        Raises
        ------
        InputError
            The projection has no plasticity.
        """
        own = self._own_plastic(projection)
        sources, targets, delays = pw.list_synapses(self._tables, own.places)
        return pw.SynapseList(sources, targets, delays, self.weights(projection, trial), own.shape)

    def set_weights(self, projection: Projection, weights: ArrayLike, trial: int | None = None) -> None:
        """Give the synapses of a plastic projection other weights, in the order of `synapses`, in all trials or one.

        Raises
        ------
        InputError
            The projection has no plasticity, another number of weights, or one that is not between Wmin and Wmax.
        """
        own = self._own_plastic(projection)
        given = reals(weights, f"the weights of {own.name}")
        if given.shape != (own.places.synapses,):
            raise InputError(f"weights have shape {given.shape}; {own.name} has {own.places.synapses:,} synapses")
        integers = weight_integers(given, own.plasticity, own.name)
        for one in self._trials if trial is None else [self._trial(trial)]:
            pw.put_weights(self._tables, one.state, own.places, integers, self.step)

    def recorded_weights(self, projection: Projection, trial: int = 0) -> RecordedWeights:
        """Weights recorded since the start, `restore` or `forget_records`.

        Raises
        ------
        InputError
            The projection has no plasticity, or `record_weights` was not called.
        """
        own, watched = self._own_plastic(projection), self._trial(trial).watched.get(projection.index)
        if watched is None:
            raise InputError(f"weights of {own.name} are not recorded; call record_weights before run")
        rows = [np.zeros((0, len(watched.places)), np.int32), *(row[None] for row in watched.weights)]
        return RecordedWeights(watched.synapses, np.array(watched.steps, np.int64), own.real(np.concatenate(rows)))

    def events(self, trial: int = 0) -> NDArray[np.int64]:
        """Synaptic events of each projection since the first step, int64 (projections,)."""
        return by_projection(self._tables, self._trial(trial).state.counts.events, self._projections)

    def updates(self, trial: int = 0) -> NDArray[np.int64]:
        """Visits to neurons of each population since the first step, int64 (populations,)."""
        return by_population(self._tables, self._trial(trial).state.counts.updates)

    def save(self, path: str | Path, beside: Mapping[str, NDArray[np.float64]] | None = None) -> None:
        """Write the state of all trials, events in flight included; recorded spikes are not part of it.

        The file appears whole or not at all.

        Parameters
        ----------
        path : path-like
        beside : dict of str to float64 array, optional
            What else belongs to the state, for `restore` to return.

        Raises
        ------
        InputError
            The file cannot be written.
        """
        path = Path(path)
        try:
            with (
                replacing(path) as part,
                storing(part) as stored,
                h5py.File(stored, "w", libver=("v110", "v110")) as file,
            ):
                write_text(file.attrs, "format", SIMULATION_STATE_MAGIC)
                file.attrs.update({"format_version": FORMAT, "seed": np.uint64(self.seed), "step": self.step})
                file["network"] = self._network_digest()
                for name, kept in (beside or {}).items():
                    file[f"beside/{name}"] = kept
                for trial in self._trials:
                    group = file.create_group(f"trial{trial.number}")
                    for name, own in saved_arrays(self._tables, trial.state, self._projections).items():
                        group[name] = own
                    group["ring"] = ring_contents(self._tables, trial.state)
                    for name, driven in trial.inputs().items():
                        group[f"inputs/{name}"] = driven
                    for index, plastic in self._plastic.items():
                        saved = pw.saved_plastic(self._tables, trial.state, plastic.places, self.step)
                        for name, values in saved.items():
                            group[f"plastic{index}/{name}"] = values
        except (OSError, RuntimeError) as error:  # h5py raises either
            raise InputError(f"{path} cannot be written ({one_line(error)}); choose another place") from None

    def restore(self, path: str | Path) -> dict[str, NDArray[np.float64]]:
        """Go on from a saved state of the same network, number of trials and seed; records start anew.

        The network is the same if it is so to the bit: sizes, parameters, synapses with weights and delays. What is
        recorded may be something else. After an error the simulation cannot be used.

        Returns
        -------
        dict of str to float64 array
            What `save` was given beside the state.

        Raises
        ------
        InputError
            The file cannot be read, or is of another network.
        """
        file = HDF5File(path, "give a state that a simulation has saved", "simulate from the start")
        with contextlib.closing(file):
            return file.read(lambda contents: self._restore(contents, path))

    def _restore(self, contents: Contents, path: str | Path) -> dict[str, NDArray[np.float64]]:
        if contents.attribute("format") != SIMULATION_STATE_MAGIC or contents.attribute("format_version") != FORMAT:
            raise InputError(f"{path} is not the state of a simulation of this version; simulate from the start")
        if not np.array_equal(contents.array("/network", np.uint8, (32,)), self._network_digest()):
            raise InputError(
                f"{path} is the state of another network: sizes, parameters, weights or delays differ; restore it with "
                "its own"
            )
        seed, trials = contents.attribute("seed"), sum(name.startswith("trial") for name in contents.names("/"))
        if seed != self.seed or trials != len(self._trials):
            raise InputError(
                f"{path} has {counted(trials, 'trial')} of seed {seed}, this simulation has {len(self._trials)} of "
                f"seed {self.seed}"
            )
        for trial in self._trials:
            group = f"/trial{trial.number}"
            saved = {
                name: contents.array(f"{group}/{name}", own.dtype, own.shape)
                for name, own in saved_arrays(self._tables, trial.state, self._projections).items()
            }
            take_up(self._tables, trial.state, saved, contents.array(f"{group}/ring", np.int32))
        self.forget_records()
        step = int(contents.attribute("step"))
        if not 0 <= step < STEPS_MAX:
            raise ValueError(f"step {step}")
        self.step = step
        for trial in self._trials:
            for index, plastic in self._plastic.items():
                where, kinds = f"/trial{trial.number}/plastic{index}", pw.saved_kinds(self._tables, plastic.places)
                own = {name: contents.array(f"{where}/{name}", *kind) for name, kind in kinds.items()}
                trial.state = pw.take_up_plastic(self._tables, trial.state, plastic.places, own, step)
        for trial in self._trials:
            trial.seek(step)
            where, shape = f"/trial{trial.number}/inputs", self._tables.bias.shape
            if contents.has(where):
                trial.take_inputs(
                    contents.array(f"{where}/bias", np.int32, shape),
                    contents.array(f"{where}/resting", np.float64, shape),
                )
        names = contents.names("/beside") if contents.has("/beside") else []
        return {name: contents.array(f"/beside/{name}", np.float64) for name in names}

    def _network_digest(self) -> NDArray[np.uint8]:
        """SHA-256 of the compiled network, however it is cut into parts and blocks, uint8 (32,)."""
        if self._fingerprint is None:
            tables, firsts = self._tables, first_parts(self._tables)
            populations = tables.parts[firsts]
            populations["neurons"], populations["recorded"] = by_population(tables, tables.parts["neurons"]), 0
            synapses = np.zeros((self._projections, 3), np.uint64)  # source and target population, and all synapses
            with np.errstate(over="ignore"):  # sums are modulo 2**64
                for block in tables.blocks:
                    target = tables.parts[block["part"]]
                    for index in range(int(block["tables"]), int(block["tables_end"])):
                        table = tables.tables[index]
                        own = synapses[int(table["projection"])]
                        own[0], own[1] = tables.parts["population"][int(table["sources"])], target["population"]
                        own[2] += np.uint64(synapse_sum(tables, index, int(block["first"] - target["begin"])))
            digest = hashlib.sha256()
            fixed: tuple[NDArray[Any], ...] = (
                ly.as_matrix(populations)[:, : ly.FIELDS_OF_FORMAT_4],
                tables.bias,
                tables.resting,
                tables.poisson,
                synapses,
            )
            if tables.shared.size or tables.initial.any():
                fixed += ly.as_matrix(populations)[:, ly.FIELDS_OF_FORMAT_4 :], tables.shared, tables.columns
                fixed += tables.initial, tables.start
            for given in fixed:
                digest.update(f"{given.dtype.str} {given.shape}".encode())
                digest.update(np.ascontiguousarray(given).tobytes())
            if self._plastic:
                digest.update(pw.rules_digest(tables))
            digest.update(self._inputs)
            self._fingerprint = np.frombuffer(digest.digest(), np.uint8)
        return self._fingerprint

    def _own_plastic(self, projection: Projection) -> pw.Plastic:
        if not isinstance(projection, Projection):
            raise InputError(f"{shown(projection)} is not a projection; Network.connect returns one")
        self._check_own(projection.source)
        self._check_own(projection.target)
        if projection.index not in self._plastic:
            raise InputError(f"{projection.name} has no plasticity; its weights stay what they were given")
        return self._plastic[projection.index]

    def _trial(self, number: int) -> Trial:
        return self._trials[integer(number, "trial", 0, len(self._trials) - 1)]

    def _all_probes(self) -> NDArray[np.int64]:
        return np.concatenate([np.zeros(0, np.int64), *(own for _, own in sorted(self._probes.items()))])

    def _check_own(self, population: Population) -> None:
        if not any(population is own for own in self._populations):
            name = population.name if isinstance(population, Population) else shown(population)
            raise InputError(f"{name} is not a population of this simulation's network")
