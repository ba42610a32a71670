"""How samples enter the network: as a current, or as spikes of an input population.

An image is an analogue current, or it is coded in spikes: *bernoulli*, at each step each pixel spikes with the
probability that its brightness is; *latency*, each pixel that is not black spikes once, the brighter the earlier. A
series is a current too, a map whose columns are its frames, or with *bernoulli* it is shown frame by frame, each for
some steps in which its channels spike. A text is the numbers of its tokens. The events of a recording are spikes
already: the time that the free phase follows is cut into its steps, and an input neuron spikes in those in which it has
an event.

An input neuron spikes at most once a step. Its mean over the window of the free phase is what nudged phases hold, what
the first weights learn from, and what enters as a current where spikes are not wanted: with `data.encoding = "current"`
on recordings (a single frame) and in the mean-field mode.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesim.datasets import Dataset, EventSet
from spikesim.datasets.samples.event_set import POLARITIES
from spikesim.engine.spike_trains import SpikeTrains
from spikesim.engine.synapses import Shape, neurons
from spikesim.ep.config.parsing import Config, make_config, merge
from spikesim.ep.config.sections import DURATION_MAX
from spikesim.ep.runs.samples import SampleSpec
from spikesim.errors import InputError
from spikesim.numerics.fixed_point import INPUT_BITS
from spikesim.numerics.philox import random_bits


@dataclass(frozen=True, eq=False)
class Sequences:
    """Maps of which each sample has some columns from the left on, the others zeros.

    Attributes
    ----------
    maps : int16 (n, H, W, C)
        1.0 = 2**12.
    lengths : int64 (n,)
        Columns that exist, 1 .. W.
    """

    maps: NDArray[np.int16]
    lengths: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, samples: slice) -> "Sequences":
        """Some of them, views."""
        return Sequences(self.maps[samples], self.lengths[samples])


@dataclass(frozen=True, eq=False)
class Tokens:
    """Texts as the numbers of their tokens.

    Attributes
    ----------
    maps : int32 (n, 1, W, 1)
        0 behind the last token of a text, and where a token is dropped.
    lengths : int64 (n,)
        Tokens of each text, 1 .. W.
    rows : int64 (R,)
        Numbers that occur in the mini-batch that these texts are of, ascending and without 0: the rows that learn.
    """

    maps: NDArray[np.int32]
    lengths: NDArray[np.int64]
    rows: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, samples: slice) -> "Tokens":
        """Some of the texts, views."""
        return Tokens(self.maps[samples], self.lengths[samples], self.rows)


Input = NDArray[np.int16] | Sequences | Tokens | SpikeTrains
"""Samples as the engine takes them: images int16 (n, H, W, C), 1.0 = 2**12, sequences, texts, or the spikes of an input
population."""


def maps_of(inputs: NDArray[np.int16] | Sequences | Tokens) -> NDArray[Any]:
    """The maps of samples that enter as a current, int16 (n, H, W, C), or the numbers of tokens, int32 (n, 1, W, 1)."""
    return inputs.maps if isinstance(inputs, Sequences | Tokens) else inputs


def rows_of(inputs: Input) -> NDArray[np.int64]:
    """The rows of a lookup that the mini-batch of these samples changes, (R,); none of samples that are no texts."""
    return inputs.rows if isinstance(inputs, Tokens) else np.zeros(0, np.int64)


TAG_INPUT = 0xFB000000
"""Last word of the counters of the random numbers of inputs, beside the stream; the layers' are below 2**24 * 250."""
TAG_TOKENS = 0xFA000000
"""The same of the numbers that drop tokens."""
PIXEL_MAX = 255
_PIXEL_UNIT = 257
"""Of 16 random bits, a pixel of 1 of 255."""


def coding_of(config: Config, dataset: Dataset | SampleSpec) -> str:
    """How the samples of a data set enter: "current", "bernoulli", "latency" or "events".

    Raises
    ------
    InputError
        Recordings that are to be coded, or images that have no events.
    """
    chosen = config.data.encoding
    if (dataset.series and chosen not in ("auto", "current", "bernoulli")) or (
        dataset.text and chosen not in ("auto", "current")
    ):
        raise InputError(
            f"data.encoding is {chosen!r}, but {dataset.name} holds {dataset.kind}; it must be "
            + ("'current', 'bernoulli' or 'auto'" if dataset.series else "'current' or 'auto'")
        )
    if chosen == "auto":
        return "events" if dataset.recordings else "current"
    if dataset.recordings and chosen not in ("current", "events"):
        raise InputError(
            f"data.encoding is {chosen!r}, but {dataset.name} holds recordings of events; it must be 'events', "
            "'current' or 'auto'"
        )
    if not dataset.recordings and chosen == "events":
        raise InputError(
            f"data.encoding is 'events', but {dataset.name} holds images; it must be 'current', 'bernoulli', 'latency' "
            "or 'auto'"
        )
    return chosen


def enters_as_spikes(config: Config, dataset: Dataset | SampleSpec) -> bool:
    """Whether the network has an input population; else samples are analogue images."""
    return coding_of(config, dataset) != "current" and config.dynamics.inference != "mean-field"


def with_duration(config: Config, dataset: Dataset) -> Config:
    """The configuration with the time of recordings that the free phase follows, so that a run file says it.

    Raises
    ------
    InputError
        Recordings that last longer than can be followed, and no duration that is set.
    """
    if not dataset.recordings or config.data.duration is not None:
        return config
    if dataset.duration is not None and dataset.duration > DURATION_MAX:
        raise InputError(
            f"half of the training recordings of {dataset.name} last {dataset.duration / 1000:.0f} s or more, and at "
            f"most {DURATION_MAX / 1000:.0f} s can be followed: look at their times with 'spikesim data check', or set "
            "data.duration"
        )
    return make_config(merge(config.to_dict(), [("data.duration", dataset.duration)]))


def bernoulli(
    images: NDArray[np.uint8], sample_ids: NDArray[np.int64], *, steps: int, stream: int, seed: int
) -> SpikeTrains:
    """Spikes with the probability x / 255 at each step, x the pixel; at most 1 - 2**-16, as in any neuron.

    The 16 random bits of neuron i, in the order (y, x, channel), at step t are half i mod 8 of the Philox block
    with the counter (i div 8, t, sample, stream of the phase).

    Parameters
    ----------
    images : uint8 (n, H, W, C)
    sample_ids : int64 (n,)
        Identities in the data set, 0 .. 2**32 - 1.
    """
    n, size = len(images), neurons(images.shape[1:])
    thresholds = images.reshape(n, 1, size).astype(np.uint32) * _PIXEL_UNIT

    def train(sample: int) -> SpikeTrains:
        bits = _step_bits(steps, size, int(sample_ids[sample]), stream=stream, seed=seed)
        return SpikeTrains.of_dense((bits < thresholds[sample])[None])

    return _joined([train(sample) for sample in range(n)], steps)


def shown_over_time(config: Config, dataset: Dataset | SampleSpec) -> bool:
    """Whether series are shown frame by frame, so that a sample has no positions."""
    return dataset.series and coding_of(config, dataset) == "bernoulli"


def frame_steps(steps: int, longest: int) -> int:
    """Steps for which each frame of a series is shown, as many as the longest series of so many frames leaves.

    Raises
    ------
    InputError
        There are fewer steps than frames.
    """
    if steps < longest:
        raise InputError(
            f"dynamics.steps_free is {steps}, and the longest series has {longest} frames, each shown for 1 step or "
            f"more; set it to {longest}, {2 * longest} or another multiple"
        )
    return steps // longest


def frame_by_frame(
    series: Sequences, sample_ids: NDArray[np.int64], *, steps: int, stream: int, seed: int
) -> SpikeTrains:
    """Spikes of the channels of series, frame by frame, such that each series ends with the last step.

    In a step of a frame a channel x spikes with the probability min(x, 1). Bits are those of `bernoulli`, with the
    channel in place of the neuron.

    Parameters
    ----------
    series : Sequences
        (n, 1, frames, channels), nothing negative.
    sample_ids : int64 (n,)
    """
    n, _, longest, channels = series.maps.shape
    each = frame_steps(steps, longest)
    thresholds = np.minimum(series.maps[:, 0].astype(np.int64) << (16 - INPUT_BITS), 2**16 - 1)  # (n, frames, channels)

    def train(sample: int) -> SpikeTrains:
        length = int(series.lengths[sample])
        frame = np.arange(steps) // each - (steps // each - length)
        bits = _step_bits(steps, channels, int(sample_ids[sample]), stream=stream, seed=seed)
        shown = (frame >= 0) & (frame < length)
        return SpikeTrains.of_dense(
            (shown[:, None] & (bits < thresholds[sample, np.maximum(frame, 0) % longest]))[None]
        )

    return _joined([train(sample) for sample in range(n)], steps)


def latency(images: NDArray[np.uint8], *, steps: int) -> SpikeTrains:
    """One spike of each pixel x above 0, at step ``floor((255 - x) * steps / 255)``: the brighter, the earlier.

    Parameters
    ----------
    images : uint8 (n, H, W, C)
    """
    flat = images.reshape(len(images), neurons(images.shape[1:])).astype(np.int64)
    samples, found = np.nonzero(flat)
    times = (PIXEL_MAX - flat[samples, found]) * steps // PIXEL_MAX
    return SpikeTrains.of_steps(samples, times, found, (len(images), steps))


def follow(
    recordings: EventSet,
    samples: NDArray[np.int64],
    *,
    steps: int,
    duration: float,
    coarse: int = 1,
    frames: int | None = None,
) -> SpikeTrains:
    """The events of recordings in the steps that they fall into; what comes later than the last step is left out.

    Parameters
    ----------
    samples : int64 (n,)
        Which recordings.
    duration : float
        Milliseconds, from the first event, that the steps divide evenly.
    coarse : int
        Pixels along each side that share an input neuron.
    frames : int, optional
        The duration is divided evenly into so many frames, at most `steps`, and the steps among them: an input neuron
        spikes in all steps of a frame in which it has an event.
    """
    parts = steps if frames is None else frames
    length = max(1, round(duration * 1000))  # microseconds
    width = recordings.shape[1]

    def train(sample: int) -> SpikeTrains:  # one at a time: a recording may have millions of events
        first, last = recordings.offsets[sample : sample + 2]
        last = first + np.searchsorted(recordings.times[first:last], length)
        found = recordings.neurons[first:last].astype(np.int64)
        at = recordings.times[first:last].astype(np.int64) * parts // length
        if coarse > 1:
            pixel, polarity = found // POLARITIES, found % POLARITIES
            y, x = pixel // width // coarse, pixel % width // coarse
            found = (y * -(-width // coarse) + x) * POLARITIES + polarity
        trains = SpikeTrains.of_steps(np.zeros_like(at), at, found, (1, parts))
        return trains if frames is None else trains.stretched(steps)

    return _joined([train(sample) for sample in samples], steps)


def drop_tokens(texts: Tokens, sample_ids: NDArray[np.int64], *, share: float, seed: int, epoch: int) -> Tokens:
    """Texts some of whose tokens drive nothing: each with the probability `share`, to 2**-16.

    The 16 random bits of token x are half x mod 8 of the Philox block with the counter (x div 8, epoch, sample,
    `TAG_TOKENS`).

    Parameters
    ----------
    sample_ids : int64 (n,)
        Identities in the data set.
    """
    n, width, each_sample = len(texts), texts.maps.shape[2], sample_ids[:, np.newaxis]
    bits = random_bits(n, width, second=epoch, third=each_sample, fourth=TAG_TOKENS, seed=seed)
    kept = bits >= round(share * 2**16)
    return Tokens(texts.maps * kept[:, np.newaxis, :, np.newaxis], texts.lengths, texts.rows)


def window_means(trains: SpikeTrains, shape: Shape, window: int) -> NDArray[np.int16]:
    """Mean spikes a step over the last steps, as images int16 (n, H, W, C), 1.0 = 2**12; halves rounded up."""
    counts = trains.counts(neurons(shape), trains.steps - window, trains.steps)
    return ((2 * (counts << INPUT_BITS) + window) // (2 * window)).astype(np.int16).reshape(len(trains), *shape)


def _step_bits(steps: int, size: int, sample_id: int, *, stream: int, seed: int) -> NDArray[np.uint32]:
    """16 random bits for each neuron of the input at each step of a sample, (steps, size)."""
    each_step = np.arange(steps)[:, np.newaxis]
    return random_bits(steps, size, second=each_step, third=sample_id, fourth=TAG_INPUT | stream, seed=seed)


def _joined(trains: list[SpikeTrains], steps: int) -> SpikeTrains:
    """Those of all samples; there may be none."""
    return SpikeTrains.join([SpikeTrains(np.zeros(0, np.int32), np.zeros((0, steps + 1), np.int64)), *trains])
