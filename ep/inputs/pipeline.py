"""Samples as the network sees them: images augmented, padded, normalized, in fixed point; or spikes."""

import numpy as np
from numpy.typing import NDArray

from spikesim.datasets import Dataset, EventSet, ImageSet, SeriesSet
from spikesim.datasets.samples.model import SampleSet
from spikesim.datasets.samples.token_set import TokenSet
from spikesim.datasets.samples.transforms import augment, cut_out, normalize, pad, standardize
from spikesim.engine.spike_trains import SpikeTrains
from spikesim.engine.synapses import Shape
from spikesim.ep.config.parsing import Config
from spikesim.ep.config.random_streams import STREAM_FREE, stream_of
from spikesim.ep.inputs import encoding as cd
from spikesim.ep.runs.samples import SampleSpec


class SamplePipeline:
    """Turns samples, as they are, into inputs of a network.

    Parameters
    ----------
    config : Config
    dataset : Dataset or SampleSpec
        What samples are normalized with, and how long recordings are followed.
    shape : (height, width, channels)
        What the network takes; smaller images are padded with zeros.

    Raises
    ------
    InputError
        A coding that the data set cannot have.
    """

    def __init__(self, config: Config, dataset: Dataset | SampleSpec, shape: Shape) -> None:
        self.config = config
        self.shape = shape
        self._mean, self._std = dataset.mean, dataset.std
        self._duration = config.data.duration or dataset.duration
        self._coding = cd.coding_of(config, dataset)
        self._spikes = cd.enters_as_spikes(config, dataset)

    def plain(
        self,
        samples: SampleSet,
        which: slice | NDArray[np.int64],
        stream: int = 0,
        ids: NDArray[np.int64] | None = None,
    ) -> cd.Input:
        """Samples: images int16 (n, H, W, C), 1.0 = 2**12, sequences, or spikes.

        Parameters
        ----------
        stream : int
            Stream of random numbers of the phase that they are for; what is coded at random takes it.
        ids : int64 (n,), optional
            Identities of all samples, which random numbers follow; by default their indices.
        """
        rows = np.arange(len(samples))[which]
        if isinstance(samples, EventSet):
            return self._follow(samples, rows)
        if isinstance(samples, SeriesSet):
            return self._series(samples, rows, rows if ids is None else ids[rows], stream)
        if isinstance(samples, TokenSet):
            return _tokens(samples, rows)
        assert isinstance(samples, ImageSet)
        return self._finish(samples.images[which], rows if ids is None else ids[which], stream)

    def mean(self, inputs: cd.Input) -> NDArray[np.int16]:
        """Inputs as images: of spikes, their mean over the window of the free phase; 1.0 = 2**12."""
        if isinstance(inputs, SpikeTrains):
            return cd.window_means(inputs, self.shape, self.config.dynamics.window_free)
        return cd.maps_of(inputs)

    def _finish(self, images: NDArray[np.uint8], sample_ids: NDArray[np.int64], stream: int) -> cd.Input:
        if images.shape[1:3] != self.shape[:2]:
            images = pad(images, self.shape[0])
        if self._coding == "current":
            return normalize(images, self._mean, self._std, self.config.data.std_factor)
        steps = self.config.dynamics.steps_free
        if self._coding == "latency":
            return self._given(cd.latency(images, steps=steps))
        return self._given(cd.bernoulli(images, sample_ids, steps=steps, stream=stream, seed=self.config.seed))

    def _series(self, series: SeriesSet, samples: NDArray[np.int64], ids: NDArray[np.int64], stream: int) -> cd.Input:
        values, lengths = series.padded(samples)
        maps = standardize(values, lengths, self._mean, self._std, self.config.data.std_factor)
        found = cd.Sequences(maps, lengths)
        if self._coding == "current":
            return found
        steps, seed = self.config.dynamics.steps_free, self.config.seed
        return self._given(cd.frame_by_frame(found, ids, steps=steps, stream=stream, seed=seed))

    def _follow(self, recordings: EventSet, samples: NDArray[np.int64]) -> cd.Input:
        data, duration = self.config.data, self._duration
        assert duration is not None
        steps = self.config.dynamics.steps_free
        return self._given(
            cd.follow(recordings, samples, steps=steps, duration=duration, coarse=data.coarse, frames=data.frames)
        )

    def _given(self, trains: SpikeTrains) -> cd.Input:
        """Spikes as they are, or their mean where the network takes currents."""
        return trains if self._spikes else self.mean(trains)


class InputPipeline(SamplePipeline):
    """The same for a data set with its training samples, which may be changed at random.

    Parameters
    ----------
    config : Config
    dataset : Dataset
    shape : (height, width, channels)
        As for `SamplePipeline`.

    Raises
    ------
    InputError
        A coding that the data set cannot have.
    """

    def __init__(self, config: Config, dataset: Dataset, shape: Shape) -> None:
        super().__init__(config, dataset, shape)
        self.dataset = dataset
        self._mean_colour = np.rint(255 * np.asarray(dataset.mean)).astype(np.uint8)

    def train(self, epoch: int, sample_ids: NDArray[np.int64], batch: NDArray[np.int64] | None = None) -> cd.Input:
        """Training samples of an epoch, in the form of `plain`.

        Parameters
        ----------
        sample_ids : int64 (n,)
        batch : int64 (m,), optional
            All samples of the mini-batch, where these are a part of them.
        """
        train = self.dataset.train
        if isinstance(train, TokenSet):
            found = _tokens(train, sample_ids, sample_ids if batch is None else batch)
            share, seed = self.config.data.token_dropout, self.config.seed
            return cd.drop_tokens(found, sample_ids, share=share, seed=seed, epoch=epoch) if share else found
        if isinstance(train, EventSet):
            return self._follow(train, sample_ids)
        if isinstance(train, SeriesSet):
            return self._series(train, sample_ids, sample_ids, stream_of(epoch, STREAM_FREE))
        assert isinstance(train, ImageSet)
        images = train.images[sample_ids]
        if self.config.data.augment:
            seed, side = self.config.seed, self.config.data.cutout
            images = augment(images, sample_ids, seed=seed, epoch=epoch, augmentation=self.dataset.augmentation)
            if side:
                images = cut_out(images, sample_ids, seed=seed, epoch=epoch, side=side, fill=self._mean_colour)
        return self._finish(images, sample_ids, stream_of(epoch, STREAM_FREE))


def _tokens(texts: TokenSet, samples: NDArray[np.int64], batch: NDArray[np.int64] | None = None) -> cd.Tokens:
    """Texts; batch: those of the mini-batch that they learn in."""
    maps, lengths = texts.padded(samples)
    rows = np.zeros(0, np.int64)
    if batch is not None:
        rows = np.unique(texts.padded(batch)[0]).astype(np.int64)
        rows = rows[rows > 0]
    return cd.Tokens(maps, lengths, rows)
