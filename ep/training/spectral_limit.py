"""When the spectral norm is measured in a training, and weights beyond its limit are scaled down.

Before each test, so that the weights that are tested are those that are kept; and within an epoch, while the norm is
near its limit. By little at a time: which neurons are linear changes with the rates, so that the norm can double within
some mini-batches, and weights that follow it at once take from a layer what it has learned.
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
from spikesim.ep.training.stability.spectral import SAMPLES, by_layer, limit_spectral_norms, measure_spectral_norms
from spikesim.ep.training.training_state import Position

__all__ = ["SpectralLimit"]

NEAR = 0.5
"""Share of the limit from which on the norm is measured within epochs, too."""
LEAST = 31 / 32
"""The smallest factor of weights at a time."""


class SpectralLimit:
    """Measures the spectral norms of a network in training, and scales down weights that are beyond their limit.

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
        """Apply the limit where it is time for it within an epoch.

        Raises
        ------
        Stopped
        """
        if self._limit is None or position.batch == 0 or position.batch % self._every:
            return
        if position.spectral_norm is None or position.spectral_norm > NEAR * self._limit:
            self.apply(learner, position)

    def apply(self, learner: Learner, position: Position) -> NDArray[np.float64]:
        """Load the weights, measure the spectral norms of the layers, and scale down weights that are beyond the limit.

        At a position weights are scaled once: a run that is stopped behind this measures again, and scales nothing.

        Returns
        -------
        float64 (L,)
            The norms of the weights as they are now.

        Raises
        ------
        Stopped
        """
        model, stream = learner.model, stream_of(position.epoch, STREAM_EVALUATION)
        model.set_parameters(learner.parameters)
        inputs = self._pipeline.plain(self._train, self._ids, stream)
        measure = partial(measure_spectral_norms, learner.thread_pool, inputs, self._ids, stream)
        found = measure()
        self._tell(by_layer(model, found))
        if self._limit is not None and position.limited != position.done:
            scaled = limit_spectral_norms(learner.normalization, model.graph, found, self._limit, LEAST)
            position.limited = position.done
            if scaled:
                learner.normalization.fold()
                model.set_parameters(learner.parameters)
                found = measure()
        position.spectral_norm = float(found.max())
        return by_layer(model, found)
