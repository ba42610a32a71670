"""One trial of a network: its state and records, and the threads that carry it on together."""

from collections.abc import Iterator
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikesim.engine.phase import PhaseSpec
from spikesim.errors import Stopped
from spikesim.numerics.fixed_point import SHARE_LIMIT
from spikesim.runtime.free_memory import naming_memory
from spikesim.runtime.stop_flag import StopFlag
from spikesim.sparse.engine import layout as ly
from spikesim.sparse.engine.gate import Gate
from spikesim.sparse.engine.inputs import put_inputs
from spikesim.sparse.engine.plastic_synapses import chosen_weights
from spikesim.sparse.engine.resting import start_sources
from spikesim.sparse.engine.run import run_steps
from spikesim.sparse.plasticity.weights import widened
from spikesim.sparse.state import by_population, copied, new_scratch, new_state, own_tables, parts_by_population, seek

STRETCH, STRETCH_VISITS = 256, 2**25
"""Steps between two returns to Python, and visits to neurons: a signal should not wait long."""
LOG_ROOM = 1 << 20
"""Spikes that a thread can record in a stretch besides those of one step."""


class ThreadShare(NamedTuple):
    """What belongs to one of the threads of a trial, ascending."""

    parts: NDArray[np.int64]
    blocks: NDArray[np.int64]


def divide(tables: ly.Tables, threads: int) -> list[ThreadShare]:
    """Give each of these threads a part of every population that has as many, and share the others out evenly."""
    of_thread = np.empty(len(tables.parts), np.int64)
    neurons = np.zeros(threads, np.int64)
    for own in sorted(parts_by_population(tables), key=len, reverse=True):
        for place, part in enumerate(own):
            thread = place if len(own) == threads else int(neurons.argmin())
            of_thread[part] = thread
            neurons[thread] += tables.parts["neurons"][part]
    return [
        ThreadShare(np.flatnonzero(of_thread == number), np.flatnonzero(of_thread[tables.blocks["part"]] == number))
        for number in range(threads)
    ]


class TrialCopy(NamedTuple):
    """A trial at some step."""

    state: ly.State
    bias: NDArray[np.int32]
    resting: NDArray[np.float64]


@dataclass
class WatchedWeights:
    """Plastic synapses of a projection whose weights a trial records, and what it has recorded.

    Attributes
    ----------
    every : int
        They are recorded when so many steps are done, and twice as many, and so on; and before the first one.
    synapses : int64 (synapses,)
        Their places among those of the projection.
    places : int64 (synapses, 4)
        As `spikesim.sparse.engine.plastic_synapses.locate` finds them.
    """

    every: int
    synapses: NDArray[np.int64]
    places: NDArray[np.int64]
    steps: list[int] = field(default_factory=list)
    weights: list[NDArray[np.int32]] = field(default_factory=list)


class Trial:
    """State and records of one trial."""

    def __init__(self, number: int, tables: ly.Tables, threads: list[ThreadShare], clock: PhaseSpec) -> None:
        self.number = number
        self._shared = tables
        self.tables = own_tables(tables)
        self.threads = threads
        self.state = new_state(tables)
        self._scratch = [new_scratch(self.state.scratch.touched, tables) for _ in threads]
        self.key = ly.TrialKey(clock, number)
        start_sources(self.tables, self.state, self.key)
        self.spikes: list[tuple[NDArray[np.int64], NDArray[np.int32]]] = []
        self.counts: list[NDArray[np.int64]] = []
        self.traces: list[NDArray[np.int32]] = []
        self.watched: dict[int, WatchedWeights] = {}
        """By projection."""
        self._driven = False

    def put_inputs(self, population: int, bias: NDArray[np.int32], resting: NDArray[np.float64], step: int) -> None:
        """Give the neurons of a population other biases and probabilities of a spike at rest from a step on."""
        if self.tables.bias is self._shared.bias:
            self.tables = self.tables._replace(bias=self.tables.bias.copy(), resting=self.tables.resting.copy())
        self._driven = True
        put_inputs(self.tables, self.state, self.key, population, bias, resting, step)

    def inputs(self) -> dict[str, NDArray[Any]]:
        """Biases and probabilities at rest of all neurons, where `put_inputs` has changed some; else nothing."""
        return {"bias": self.tables.bias, "resting": self.tables.resting} if self._driven else {}

    def take_inputs(self, bias: NDArray[np.int32], resting: NDArray[np.float64]) -> None:
        """Take up what `inputs` had of a state that is restored.

        Raises
        ------
        ValueError
            Numbers that `put_inputs` would not have.
        """
        if not (np.all(np.abs(bias.astype(np.int64)) < SHARE_LIMIT) and np.all((resting >= 0) & (resting <= 1))):
            raise ValueError("inputs out of range")
        self.tables = self.tables._replace(bias=bias, resting=resting)
        self._driven = True

    def copied(self) -> "TrialCopy":
        """All that moves, in arrays of its own."""
        return TrialCopy(copied(self.state), self.tables.bias.copy(), self.tables.resting.copy())

    def take_back(self, other: "TrialCopy") -> None:
        """Go on from a copy."""
        self.state = copied(other.state)
        if self.tables.bias is not self._shared.bias:
            self.tables = self.tables._replace(bias=other.bias.copy(), resting=other.resting.copy())

    def seek(self, step: int) -> None:
        """Take up what is given for a step and those after it, in a state that was restored."""
        seek(self._shared, self.tables, self.state, step)

    def run(self, first: int, steps: int, probes: NDArray[np.int64], stop: StopFlag, others: Executor | None) -> None:
        """Go on for some steps from step `first`.

        others: runs what the calling thread does not do itself; each of these tasks has a thread of its own.
        """
        if first == 0 and steps:
            self._watch(first, start=True)
        longest = max(1, min(STRETCH, STRETCH_VISITS // len(self.tables.bias)))
        done = 0
        while done < steps:
            length = min([longest, steps - done, *self._until_watched(first + done)])
            counts = np.empty((length, len(self.tables.parts)), np.int64)
            traces = np.empty((length, len(probes)), np.int32)
            gate = Gate.of(len(self.threads))
            tasks = [
                self._task(number, ly.Stretch(first + done, length, 0), gate, (counts, probes, traces), stop)
                for number in range(len(self.threads))
            ]
            ran = self._together(tasks, gate, others)
            for task in tasks:
                used = int(task.log.used[0])
                self.spikes.append((task.log.steps[:used].copy(), task.log.neurons[:used].copy()))
            self.counts.append(by_population(self.tables, counts[:ran]))
            self.traces.append(traces[:ran].copy())
            done += ran
            if stop:
                raise Stopped
            if ran < length and self.state.plastic.crowded.any():
                self._widen()
            self._watch(first + done)

    def _until_watched(self, step: int) -> Iterator[int]:
        """Steps until weights are recorded."""
        return (own.every - step % own.every for own in self.watched.values())

    def _watch(self, step: int, start: bool = False) -> None:
        """Record weights if it is time."""
        for own in self.watched.values():
            if step % own.every == 0 and (start or step) and own.steps[-1:] != [step]:
                found = np.empty(len(own.places), np.int32)
                chosen_weights(self.tables, self.state, own.places, step, found)
                own.steps.append(step)
                own.weights.append(found)

    def _widen(self) -> None:
        """Make room for more spikes of the targets of plastic synapses."""
        size = 2 * self.state.plastic.posts.nbytes
        with naming_memory(
            f"the last spikes of the targets of plastic synapses ({size:,} bytes)",
            "shorten the delays of plastic synapses or lower the rates of their targets",
        ):
            self.state = self.state._replace(plastic=widened(self.state.plastic))

    def _task(
        self,
        number: int,
        stretch: ly.Stretch,
        gate: Gate,
        records: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]],
        stop: StopFlag,
    ) -> "_Task":
        """What one of the threads does in a stretch; records: counts, probes and traces of all threads."""
        own, parts = self.threads[number], self.tables.parts[self.threads[number].parts]
        spikes_max = int(parts["neurons"][parts["recorded"] > 0].sum())
        capacity = spikes_max + LOG_ROOM if spikes_max else 0
        counts, probes, traces = records
        places = np.searchsorted(self.tables.parts["first"], probes, side="right") - 1
        log = ly.Log(
            steps=np.empty(capacity, np.int64),
            neurons=np.empty(capacity, np.int32),
            used=np.zeros(1, np.int64),
            counts=counts,
            probes=probes,
            columns=np.flatnonzero(np.isin(places, own.parts)),
            traces=traces,
        )
        share = ly.Share(own.parts, own.blocks, number == 0, gate)
        state = self.state._replace(scratch=self._scratch[number])
        return _Task(self.tables, state, self.key, stretch._replace(spikes_max=spikes_max), share, log, stop.array)

    def _together(self, tasks: list["_Task"], gate: Gate, others: Executor | None) -> int:
        """Run the tasks of a stretch, the first one on the calling thread; the steps that all of them have done."""

        def run(task: _Task) -> int:
            try:
                return int(run_steps(*task))
            except BaseException:
                gate.broken[0] = 1
                raise

        if others is None:
            return run(tasks[0])
        pending: list[Future[int]] = []
        try:
            pending.extend(others.submit(run, task) for task in tasks[1:])
            ran = run(tasks[0])
        except BaseException:
            gate.broken[0] = 1  # also where a thread could not be started, for which the others would wait
            raise
        finally:
            wait(pending)
        for future in pending:
            future.result()
        return ran


class _Task(NamedTuple):
    """The arguments of `run_steps`."""

    tables: ly.Tables
    state: ly.State
    key: ly.TrialKey
    stretch: ly.Stretch
    share: ly.Share
    log: ly.Log
    stop: NDArray[np.uint8]
