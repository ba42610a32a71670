"""The phases of equilibrium propagation for a group of samples.

1. *free*: from rest, driven by the image alone, or by the spikes of the input;
2. *nudged +*: from the end of the free phase, with the nudge ``+beta * (-dC/ds)``;
3. *nudged -*: from the same state, with ``-beta``.

An input of spikes is in the nudged phases what it was on average in the window of the free phase, a constant.

The two nudged phases share one stream of random numbers (common random numbers) unless independent noise is asked for.
A workspace runs one group on one thread; nothing that it computes depends on which samples share a group.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikesim.engine.phase import FIRINGS, Window
from spikesim.engine.plan import FIRING_DEVIATIONS
from spikesim.engine.run import InputSpikes, run_steps
from spikesim.engine.spike_trains import SpikeTrains
from spikesim.engine.state import Engine, State, new_counts, new_scratch, new_state, put_to_rest
from spikesim.ep.config.sections import DynamicsSettings
from spikesim.ep.config.sections.dynamics import window_of
from spikesim.ep.inputs.encoding import Input, Sequences, Tokens, maps_of
from spikesim.ep.network.dropout import check_droppable
from spikesim.ep.network.model import Model
from spikesim.ep.phases.convergence import Criterion, settling_steps
from spikesim.ep.phases.counters import RATE_BINS, PhaseCounts, SampleCounts, add_rates
from spikesim.ep.phases.nudged.group import Group
from spikesim.ep.phases.nudged.head_nudges import HeadScratch, Nudge
from spikesim.ep.phases.nudged.ways import response_of
from spikesim.ep.phases.rate_sums import RateSums
from spikesim.ep.phases.readout import Predictions, predict, window_features
from spikesim.errors import Stopped
from spikesim.jit.aligned import aligned_zeros
from spikesim.numerics.fixed_point import ONE

FREE, PLUS, MINUS = range(3)
"""The phases, in the order of `spikesim.ep.runs.schema.PHASES`."""


class Rates(NamedTuple):
    """Sums over the windows of a mini-batch, of p but for `followed`; int32 (samples, state size), one row a sample."""

    plus: NDArray[np.int32]
    minus: NDArray[np.int32]
    free: NDArray[np.int32]  # no rows unless they are needed
    followed: NDArray[np.int32]  # steps of the free phase's window in which p followed V; no rows unless needed

    def rows(self, part: slice) -> "Rates":
        """Those of some of the samples, views; where there are none, none."""
        return Rates(*(sums[part] for sums in self))


class Workspace:
    """Everything that one thread needs to run groups of samples through the phases.

    Parameters
    ----------
    model : Model
        Its tables may change between calls, its structure may not.
    dynamics : Dynamics
    capacity : int
        Largest number of samples in a group.
    seed : int
    followed : bool
        Count in the window the steps in which p followed the potential, also where no graded errors need them.
    """

    def __init__(
        self, model: Model, dynamics: DynamicsSettings, capacity: int, seed: int, *, followed: bool = False
    ) -> None:
        self.model = model
        self.dynamics = dynamics
        self.capacity = capacity
        self.seed = seed
        compiled = model.compiled
        self.response = response_of(dynamics)
        state = self.response.extended(model, new_state(compiled, capacity, FIRINGS[dynamics.engine_firing]))
        if followed or self.response.counts_followed:
            state = state._replace(unclipped=aligned_zeros(state.window.shape, np.uint16))
        if self.response.counts_followed and compiled.plan.populations["winner"].any():
            state = state._replace(wins=aligned_zeros(state.window.shape, np.uint16))
        engine = Engine(compiled.plan, state, new_counts(compiled, capacity), new_scratch(compiled))
        membrane, words = aligned_zeros(state.membrane.shape, np.int32), np.empty_like(state.words)
        memory = tuple(np.copy(array) for array in state.memory)
        self.group = Group(model, dynamics, seed, engine, membrane, words, memory)
        self._firing = FIRINGS[dynamics.engine_firing] if self.response.spiking else FIRING_DEVIATIONS
        models = compiled.plan.populations[["model", "mean_field"]].tolist()
        self._head_scratch = HeadScratch.of(model.packed, compiled.sizes["state"] if any(map(any, models)) else 0)
        self._trace = np.zeros((capacity, sum(head.features for head in model.heads)), np.int32)
        self._no_targets = np.zeros((capacity, model.classes))
        self._features = np.zeros(model.heads[model.readout].features, np.int64)
        self._sums = np.zeros(compiled.sizes["state"], np.int32)
        self._columns = np.full(capacity, model.graph.image.shape[1])  # of the samples, that exist
        self._answers = np.zeros((2, model.classes))
        self._silencing: NDArray[np.int32] | None = None
        self.streams = InputSpikes.none()

    @property
    def state(self) -> State:
        """The state of the samples."""
        return self.group.engine.state

    def rest(self, inputs: Input, sample_ids: NDArray[np.int64], silencing: NDArray[np.int32] | None = None) -> int:
        """Put samples to rest in front of their images, or of the spikes of their free phase; returns their number.

        Parameters
        ----------
        inputs : images int16 (n, H, W, C), 1.0 = 2**12, or spikes
            n at most the capacity.
        sample_ids : int64 (n,)
        silencing : int32 (n, state size), optional
            External drives that keep dropped neurons silent (`Dropout.silencing`); by default none is.

        Raises
        ------
        InputError
            The input drives a neuron so strongly that it could not be dropped.
        """
        n = len(inputs)
        if isinstance(inputs, Sequences | Tokens):
            self._columns[:n] = inputs.lengths
            self.state.extent[:n] = self.model.extents[inputs.lengths]
        self.drive(inputs)
        put_to_rest(self.state, n)
        self._silencing = silencing
        if silencing is not None:
            check_droppable(self.state.external[:n])
            self.state.external[:n] += silencing
            self.state.membrane[:n] += silencing  # so that it follows the drive at this distance, through any low pass
        self.state.nudge[:n] = 0
        self.state.sample_ids[:n] = sample_ids
        return n

    def drive(self, inputs: Input) -> None:
        """Drive the samples by these images, or the spikes of their free phase, from where they are.

        inputs: as for `rest`. The present weights of the first layer decide what an image drives.
        """
        n = len(inputs)
        if isinstance(inputs, SpikeTrains):
            self.streams = InputSpikes.join([(self.model.graph.image, inputs)])
        if self.model.dropout is not None:
            self.state.external[:n] = 0
        for edge in self.model.graph.input_edges:
            drive: NDArray[np.int32] | int = 0
            if not isinstance(inputs, SpikeTrains):
                images = self.model.compiled.drive_from(edge.connection, maps_of(inputs))
                drive = edge.connection.target.to_state(images)
            self.state.external[:n, self.model.state_slice(edge.target)] = drive

    def free(self, n: int, stream: int, stop: NDArray[np.uint8], *, steps: int | None = None) -> PhaseCounts:
        """The free phase of the first n samples, from the state they are in.

        Parameters
        ----------
        stream : int
            Stream of random numbers.
        stop : uint8 (1,)
            Not zero: end at once.
        steps : int, optional
            Go on for so many steps, in place of the configured length, tolerance and onset; at most those that spikes
            of the input are given for.

        Raises
        ------
        Stopped
        """
        dynamics = self.dynamics
        onset = dynamics.onset(self.model.graph.depth) if steps is None else 0
        phase = self.group.begin(n, stream, onset, dynamics.order)
        if steps is not None:
            window = Window(steps, min(dynamics.window_free, steps // 2 * 2))
        else:
            window = Window(dynamics.steps_free, dynamics.window_free)
        if steps is not None or not dynamics.settles:
            finished = run_steps(self.group.engine, phase, n, 0, window, self.streams, stop)
        else:
            criterion = Criterion(
                tolerance=np.inf if dynamics.tolerance is None else dynamics.tolerance,
                residual=np.inf if dynamics.residual_tolerance is None else dynamics.residual_tolerance,
                heads=self.model.packed,
                readout=self.model.readout,
                features=self._features,
                answers=self._answers,
            )
            finished = settling_steps(self.group.engine, phase, n, window, criterion, self.streams, stop)
        if not finished:
            raise Stopped
        counts = self._collect(n)
        counts.macs[:] += self._image_operations(n).sum(axis=0)  # the image's drive, once a sample
        return counts

    def free_steps(self, n: int, stream: int, stop: NDArray[np.uint8]) -> Iterator[PhaseCounts]:
        """The free phase of the first n samples at its full length, a step at a time, for those who watch.

        There are no window sums afterwards. Parameters and errors are those of `free`.

        Yields
        ------
        PhaseCounts
            What has been counted so far; the energy is that of the step.
        """
        dynamics = self.dynamics
        phase = self.group.begin(n, stream, dynamics.onset(self.model.graph.depth), dynamics.order)
        for t in range(dynamics.steps_free):
            if not run_steps(self.group.engine, phase, n, t, Window(1, 0), self.streams, stop):
                raise Stopped
            yield self._collect(n)

    def nudged(
        self,
        n: int,
        stream: int,
        labels: NDArray[np.int64],
        strengths: NDArray[np.float64],
        stop: NDArray[np.uint8],
        soft_targets: NDArray[np.float64] | None = None,
        *,
        steps: int | None = None,
    ) -> PhaseCounts:
        """A nudged phase of the first n samples from the state they are in.

        Parameters
        ----------
        strengths : float64 (heads,)
            beta, with its sign, times the strength of each head.
        soft_targets : float64 (n, classes), optional
            The teacher's softened answers.
        steps : int, optional
            In place of the configured length.

        Raises
        ------
        Stopped
        """
        dynamics = self.dynamics
        length = dynamics.steps_nudged if steps is None else steps
        window = Window(length, window_of(length, dynamics.nudged_window))
        targets = self._no_targets if soft_targets is None else soft_targets
        leak = dynamics.trace_leak if self.response.spiking else 0
        scratch = self._head_scratch
        nudge = Nudge(self.model.packed, strengths, labels, targets, scratch, self._trace, leak, self._firing)
        if not self.response.run(self.group, n, stream, window, nudge, stop):
            raise Stopped
        self.state.nudge[:n] = 0
        return self._collect(n)

    def keep(self, n: int) -> NDArray[np.int64]:
        """Remember where the free phase of the first n samples, which has just ended, leaves the nudged phases.

        Returns
        -------
        int64 (L,)
            Multiply-accumulates that it took, by layer.
        """
        taken = self.response.keep(self.group, n)
        if self._silencing is not None:  # the response may have set the external drives anew
            external, silencing = self.state.external[:n], self._silencing
            np.minimum(external, silencing, out=external, where=silencing < 0)
        return taken

    def restore(self, n: int) -> None:
        """Back to the remembered state."""
        self.group.restore(n)

    def window_sums(self, n: int, out: NDArray[np.int32]) -> None:
        """Window sums of the first n samples, int32 (n, state size)."""
        np.add(self.state.window[0, :n], self.state.window[1, :n], out=out)

    def mean_rates(self, n: int) -> list[NDArray[np.float64]]:
        """Mean firing probabilities of each layer in the window of the free phase, float64 (n, H, W, C)."""
        sums = np.empty((n, self.model.compiled.sizes["state"]), np.int32)
        self.window_sums(n, sums)
        scale = float(ONE * self.dynamics.window_free)
        return [self.model.layer_maps(layer, sums) / scale for layer in range(self.model.layers)]

    def followed_steps(self, n: int, out: NDArray[np.int32]) -> None:
        """Steps of the window in which p followed the potential, of the first n samples, int32 (n, state size)."""
        np.add(self.state.unclipped[0, :n], self.state.unclipped[1, :n], out=out)

    def predict(
        self,
        n: int,
        labels: NDArray[np.int64],
        soft_targets: NDArray[np.float64] | None,
        found: Predictions,
        *,
        first: int = 0,
    ) -> None:
        """The heads from the first on applied to the window of the free phase; found: n rows, overwritten."""
        packed = self.model.packed
        window_features(self.model.compiled.plan, packed, first, self.state, n, self._sums, found.features)
        predict(packed, self.dynamics.window_free, labels, soft_targets, found, first=first)

    def potentials(self, n: int) -> NDArray[np.int32]:
        """Potentials of the first n samples, (n, state size); of dropped neurons, those that they would have."""
        potentials = self.state.membrane[:n]
        return potentials if self._silencing is None else potentials - self._silencing

    def rate_sums(self, n: int, sums: RateSums) -> None:
        """Add the window of the free phase of the first n samples to sums over samples."""
        sums.add(self.state.window, n)

    def spikes(self, sample: int) -> list[NDArray[np.int32]]:
        """Indices of the neurons of each layer that fired in the last step, (y * W + x) * C + channel."""
        events, start = self.state.events[sample], self.state.start[sample]
        lists = []
        for row in self.model.compiled.plan.populations[: self.model.layers]:
            first = row.events
            count = start[row.start + row.height * row.width]
            lists.append(events[first : first + count].copy())
        return lists

    def sample_counts(self, n: int) -> SampleCounts:
        """What the free phase of the first n samples, which has just ended, counted of each."""
        return SampleCounts.of_phase(self.model, self.group.engine.counts, self._image_operations(n))

    def channel_rates(self, n: int) -> list[NDArray[np.float32]]:
        """Mean firing probability of each channel in the window of the free phase, over positions; a layer (n, C)."""
        found = []
        for layer, population in enumerate(self.model.graph.populations):
            own = self.state.window[:, :n, self.model.state_slice(layer)].sum(axis=0, dtype=np.int64)
            maps = population.from_state(own)  # (n, H, W, C)
            unit = ONE * self.dynamics.window_free * maps.shape[1] * self.state.extent[:n, layer, None]
            found.append((maps.sum(axis=(1, 2)) / unit).astype(np.float32))
        return found

    def rate_bins(self, n: int) -> NDArray[np.int64]:
        """Neurons of the first n samples by their mean firing probability in the window; int64 (L, RATE_BINS)."""
        bins = np.zeros((self.model.layers, RATE_BINS), np.int64)
        populations = self.model.compiled.plan.populations
        add_rates(populations, self.state, n, self.dynamics.window_free, bins)
        return bins

    def _image_operations(self, n: int) -> NDArray[np.int64]:
        """Multiply-accumulates of the drive of the images of the first n samples, (n, L)."""
        return np.asarray(self.model.image_operations[self._columns[:n]])

    def _collect(self, n: int) -> PhaseCounts:
        return PhaseCounts.of_phase(self.model, self.state, self.group.engine.counts, n)
