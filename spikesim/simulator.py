"""Running a compiled network: `Simulator` owns the state of a group of samples."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikesim.engine.layout import CompiledNetwork
from spikesim.engine.phase import FIRINGS, Firing, Window, phase_spec
from spikesim.engine.populations import Connection, Population
from spikesim.engine.run import InputSpikes, run_steps
from spikesim.engine.spike_trains import SpikeTrains
from spikesim.engine.state import Engine, clear_counts, new_counts, new_scratch, new_state, put_to_rest
from spikesim.engine.step import begin_phase
from spikesim.errors import InputError, Stopped
from spikesim.numerics.fixed_point import ONE, WINDOW_MAX, quantize_drive
from spikesim.runtime.stop_flag import StopFlag


class Simulator:
    """Runs a compiled network for a group of samples, on the calling thread.

    Parameters
    ----------
    compiled : CompiledNetwork
    samples : int
        Number of samples that are carried through each step together. It changes the speed, never a bit.
    firing : {"iid", "stratified", "mean-field"}
        A fresh random number each step; one per phase, moved by the van der Corput sequence; or no spikes at all, the
        probabilities themselves being sent (deterministic).
    seed : int
    """

    def __init__(self, compiled: CompiledNetwork, samples: int, *, firing: Firing = "iid", seed: int = 0) -> None:
        if samples < 1:
            raise InputError(f"samples is {samples}; it must be at least 1")
        phase_spec(firing, 0, seed)
        self.compiled = compiled
        self.firing = firing
        self.seed = seed
        self.samples = samples
        self.state = new_state(compiled, samples, FIRINGS[firing])
        self.counts = new_counts(compiled, samples)
        self._scratch = new_scratch(compiled)
        self._streams: dict[int, SpikeTrains] = {}
        self._stop = StopFlag()
        self._window = 0

    def reset(self, sample_ids: ArrayLike | None = None) -> None:
        """Back to rest (V = 0, no spikes), counters at zero.

        Parameters
        ----------
        sample_ids : int, shape (samples,), optional
            Identities that key the random numbers, from here on; 0, 1, ... if never given.

        Raises
        ------
        InputError
            Identities of the wrong number or out of range.
        """
        if sample_ids is not None:
            ids = np.asarray(sample_ids)
            if ids.shape != (self.samples,) or ids.dtype.kind not in "iu" or ids.min() < 0 or ids.max() >= 2**32:
                raise InputError(f"sample_ids must be {self.samples} integers in 0 .. 2**32 - 1")
            self.state.sample_ids[...] = ids
        put_to_rest(self.state, self.samples)
        clear_counts(self.counts)

    def set_image(self, connection: Connection, images: NDArray[np.int16]) -> None:
        """Drive the target of an image's table with these images; int16 (samples, H, W, C), 1.0 = 2**12.

        Raises
        ------
        InputError
            Images of another shape or type, or a table that does not start at an image.
        """
        if connection.source.index >= 0:
            raise InputError(f"{connection.name} do not start at an image; use set_input_spikes or set_external")
        expected = (self.samples, *connection.source.shape)
        if images.shape != expected or images.dtype != np.int16:
            raise InputError(f"images are {images.dtype} {images.shape}; they must be int16 {expected}")
        self._set(self.state.external, connection.target, self.compiled.drive_from(connection, images))

    def set_external(self, population: Population, drive: ArrayLike) -> None:
        """Set the external drive of each neuron; real, broadcast to (samples, H, W, C).

        Raises
        ------
        InputError
            The population was not named as external when the network was compiled, or the shape does not fit, or a
            value leaves the range.
        """
        if not self.compiled.plan.populations[population.index].external:
            raise InputError(f"{population.name} has no external drive; name it in compile(external=...)")
        drive, expected = np.asarray(drive, np.float64), (self.samples, *population.shape)
        try:
            drive = np.broadcast_to(drive, expected)
        except ValueError:
            raise InputError(
                f"drives of {population.name} are {drive.shape}; they must broadcast to {expected}"
            ) from None
        self._set(self.state.external, population, quantize_drive(drive, f"drives of {population.name}"))

    def set_input_spikes(self, population: Population, spikes: ArrayLike | SpikeTrains) -> None:
        """Give the spikes of a spike_input population for the steps to come.

        Parameters
        ----------
        spikes : bool, shape (samples, steps, H, W, C), or SpikeTrains
            Step t of the following `run` reads ``spikes[:, t]``.

        Raises
        ------
        InputError
            The population takes no spikes from outside, or the shape does not fit.
        """
        if not population.spike_input:
            raise InputError(
                f"{population.name} draws its own spikes; spikes can be set for populations of add_spike_input only"
            )
        if not isinstance(spikes, SpikeTrains):
            spikes = np.asarray(spikes, bool)
            if spikes.ndim != 5 or spikes.shape[0] != self.samples:
                raise InputError(
                    f"{population.name} is given spikes of shape {spikes.shape}; it must be (samples, steps, H, W, C)"
                )
            if spikes.shape[2:] != population.shape:
                raise InputError(f"spikes of {population.name} are {spikes.shape[2:]}; it has shape {population.shape}")
            spikes = SpikeTrains.of_dense(spikes)
        spikes.check(population.name, population.neurons)
        if len(spikes) != self.samples:
            raise InputError(f"{population.name} has spikes for {len(spikes)} samples, not {self.samples}")
        self._streams[population.index] = spikes

    def _joined_streams(self, last: int) -> InputSpikes:
        spike_input = [population for population in self.compiled.populations if population.spike_input]
        missing = [population.name for population in spike_input if population.index not in self._streams]
        if missing:
            raise InputError(f"{missing[0]} has no spikes; call set_input_spikes first")
        chosen = [self._streams[population.index] for population in spike_input]
        for population, own in zip(spike_input, chosen, strict=True):
            if own.steps < last:
                raise InputError(f"{population.name} has spikes for {own.steps} steps, {last} are needed")
        shortest = last + 1  # columns of pointers
        return InputSpikes.join(
            [
                (population, SpikeTrains(own.neurons, own.pointers[:, :shortest]))
                for population, own in zip(spike_input, chosen, strict=True)
            ]
        )

    def run(
        self,
        steps: int,
        *,
        window: int = 0,
        stream: int = 0,
        first: int = 0,
        onset: int = 0,
        order: str = "synchronous",
    ) -> None:
        """Run a phase, or go on with one.

        Parameters
        ----------
        steps : int
        window : int
            Even number of last steps over which rates are averaged.
        stream : int
            Phases with the same stream share their random numbers.
        first : int
            Number of the first step, for going on with a phase that was run in parts.
        onset : int
            Steps before this one, counted like `first`, have no low pass: the membrane takes on its drive at once, so
            that a phase from rest reaches all layers soon.
        order : {"synchronous", "parity", "upwards"}
            In which order a step updates the populations, and which of them hear new spikes in the same step:
            all at once, none does; first those with an even number, then the others, which hear them; or each for
            itself, from the first to the last, which then hears all others.

        Raises
        ------
        InputError
            A value out of range.
        Stopped
            `stop` was called from another thread or a signal handler; the state is of no use until `reset`.
        """
        if steps < 0 or first < 0:
            raise InputError(f"steps is {steps}, first is {first}; neither may be negative")
        if first + steps >= 2**32:
            raise InputError(f"a phase of {first + steps} steps is too long; it has fewer than 2**32")
        if window % 2 or not 0 <= window <= min(WINDOW_MAX, steps):
            raise InputError(f"window is {window}; it must be even and in 0 .. {min(WINDOW_MAX, steps)}")
        inputs = self._joined_streams(first + steps)
        phase = phase_spec(self.firing, stream, self.seed, onset, order)
        self._stop.clear()
        self.state.active[...] = 1
        self._window = window
        engine = Engine(self.compiled.plan, self.state, self.counts, self._scratch)
        begin_phase(engine.plan, engine.state, phase, self.samples, first)
        if not run_steps(engine, phase, self.samples, first, Window(steps, window), inputs, self._stop.array):
            raise Stopped

    def stop(self) -> None:
        """Ask a run in progress to end at once; safe in a signal handler and from any thread."""
        self._stop.set()

    def potential(self, population: Population) -> NDArray[np.int32]:
        """Membrane potentials, int32 (samples, H, W, C), 1.0 = 2**16."""
        return self._get(self.state.membrane, population)

    def spikes(self, population: Population) -> NDArray[np.bool_]:
        """Spikes of the present step, bool (samples, H, W, C)."""
        at = self.compiled.plan.populations[population.index].words
        words = self.state.words[:, at : at + population.state_size // 16]
        height, width, channels = population.shape
        bits = (words[:, :, None] >> np.arange(16, dtype=np.uint16)) & np.uint16(1)
        return bits.reshape(self.samples, height, width, -1)[..., :channels].astype(bool)

    def rates(self, population: Population) -> NDArray[np.float64]:
        """Mean firing probability over the last window, float64 (samples, H, W, C).

        Raises
        ------
        InputError
            The last run had no window.
        """
        if not self._window:
            raise InputError("the last run had no window; run with window=N to average rates")
        return self._get(self.state.window.sum(axis=0, dtype=np.int32), population) / (ONE * self._window)

    def _slice(self, array: NDArray[Any], population: Population) -> NDArray[Any]:
        at = self.compiled.plan.populations[population.index].state
        return array[:, at : at + population.state_size]

    def _get(self, array: NDArray[np.int32], population: Population) -> NDArray[np.int32]:
        return population.from_state(self._slice(array, population))

    def _set(self, array: NDArray[np.int32], population: Population, values: NDArray[np.int32]) -> None:
        self._slice(array, population)[...] = population.to_state(values)
