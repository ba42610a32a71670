"""When the spectral norm is measured, and weights are held below its limit.

Before each test, so that the weights that are tested are those that are kept; and within an epoch, while the norm is
near its limit: there weights are scaled by a few per cent at most, which the training makes up for, where the growth of
a whole epoch taken back at once would undo what the layer has learned.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from spikesim.datasets.samples.model import SampleSet
from spikesim.ep.config.parsing import Config
from spikesim.ep.config.random_streams import STREAM_EVALUATION, stream_of
from spikesim.ep.inputs.pipeline import InputPipeline
from spikesim.ep.training.learning.learner import Learner
from spikesim.ep.training.stability.spectral import SAMPLES, by_layer, hold_below, measure_spectral_norms
from spikesim.ep.training.training_state import Position

__all__ = ["SpectralLimit"]

NEAR = 0.5
"""Share of the limit from which on the norm is measured within epochs, too."""


class SpectralLimit:
    """Measures the spectral norms of a network in training, and holds its weights below their limit.

    Parameters
    ----------
    config : Config
    pipeline : InputPipeline
    train : SampleSet
        The training set, the first samples of which are looked at.
    samples : int
        Training samples of the run.
    tell : callable
        Told the norms of the layers, float64 (L,), before weights are scaled.
    """

    def __init__(
        self,
        config: Config,
        pipeline: InputPipeline,
        train: SampleSet,
        samples: int,
        tell: Callable[[NDArray[np.float64]], None],
    ) -> None:
        self._limit = config.stability.spectral_norm_limit
        self._every = config.stability.spectral_norm_every
        self._pipeline = pipeline
        self._train = train
        self._ids = np.arange(min(samples, SAMPLES))
        self._tell = tell

    def before_batch(self, learner: Learner, position: Position) -> None:
        """Hold the weights below the limit, where it is time for it within an epoch.

        Raises
        ------
        Stopped
            The weights are as they were.
        """
        if self._limit is None or position.batch == 0 or position.batch % self._every:
            return
        if position.spectral_norm is None or position.spectral_norm > NEAR * self._limit:
            self.hold(learner, position)

    def hold(self, learner: Learner, position: Position) -> NDArray[np.float64]:
        """Measure the spectral norms of the layers, and scale down weights that are beyond the limit.

        Returns
        -------
        float64 (L,)
            The norms of the weights as they are now.

        Raises
        ------
        Stopped
            The weights are as they were.
        """
        model, stream = learner.model, stream_of(position.epoch, STREAM_EVALUATION)
        model.set_parameters(learner.parameters)
        inputs = self._pipeline.plain(self._train, self._ids, stream)
        measure = partial(measure_spectral_norms, learner.thread_pool, inputs, self._ids, stream)
        found = measure()
        self._tell(by_layer(model, found))
        if self._limit is not None:
            found = hold_below(self._limit, found, model, learner.normalization, measure)
        position.spectral_norm = float(found.max())
        return by_layer(model, found)
