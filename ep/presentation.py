"""Images as the network sees them: augmented, padded, normalised, in fixed point."""

import numpy as np
from numpy.typing import NDArray

from spikesim.datasets import Dataset, ImageSet
from spikesim.datasets.transforms import augment, normalise, pad
from spikesim.ep.config import Config
from spikesim.tables import Shape


class Presenter:
    """Turns samples of a data set into inputs of a network.

    Parameters
    ----------
    config : Config
    dataset : Dataset
    shape : (height, width, channels)
        What the network takes; smaller images are padded with zeros.
    """

    def __init__(self, config: Config, dataset: Dataset, shape: Shape) -> None:
        self.config = config
        self.dataset = dataset
        self.shape = shape

    def train(self, epoch: int, sample_ids: NDArray[np.int64]) -> NDArray[np.int16]:
        """Training images of an epoch, int16 (n, H, W, C), 1.0 = 2**12."""
        images = self.dataset.train.images[sample_ids]
        if self.config.data.augment:
            images = augment(
                images, sample_ids, seed=self.config.seed, epoch=epoch, augmentation=self.dataset.augmentation
            )
        return self._finish(images)

    def plain(self, images: ImageSet, samples: slice | NDArray[np.int64]) -> NDArray[np.int16]:
        """Images as they are, in the same form."""
        return self._finish(images.images[samples])

    def _finish(self, images: NDArray[np.uint8]) -> NDArray[np.int16]:
        if images.shape[1:3] != self.shape[:2]:
            images = pad(images, self.shape[0])
        return normalise(images, self.dataset.mean, self.dataset.std, self.config.data.std_factor)
