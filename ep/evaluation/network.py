"""A trained network out of its run file, to be used on samples without labels."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikesim.datasets import ImageSet
from spikesim.datasets.formats.sequences.unlabelled import series_set, text_set
from spikesim.datasets.formats.unlabelled import image_set, recording_set
from spikesim.datasets.samples.model import SampleSet
from spikesim.datasets.samples.token_set import TokenSet
from spikesim.datasets.samples.vocabulary import UNKNOWN, tokens_of
from spikesim.ep.config.parsing import Config, config_of_run
from spikesim.ep.evaluation.explanation import Explanation, contributions
from spikesim.ep.evaluation.from_run import evaluation_streams, run_parameters
from spikesim.ep.evaluation.prediction import Prediction, Rows, predict
from spikesim.ep.inputs.dataset import load_of_run
from spikesim.ep.inputs.pipeline import SamplePipeline
from spikesim.ep.network.model import Model
from spikesim.ep.network.parameters import ParameterTree
from spikesim.ep.parallel.communicator import Alone
from spikesim.ep.parallel.thread_pool import ThreadPool
from spikesim.ep.runs.reader import RunReader
from spikesim.ep.runs.samples import SampleSpec
from spikesim.errors import InputError

__all__ = ["TrainedNetwork", "load"]

ID_MAX = 2**32 - 1
THREADS_MAX = 1024


def load(
    path: str | os.PathLike[str],
    dataset: str | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    *,
    weights: str = "last",
) -> "TrainedNetwork":
    """The network of a run file, which is all that is needed.

    Parameters
    ----------
    path : path-like
        The run file; it is read and closed.
    dataset : str, optional
        Data set that says how samples are prepared, in place of the run file: for a file of an older version, which
        does not say it.
    data_dir : path-like, optional
        Folder of data sets; alone, it is the data set of the run that is looked for.
    weights : {"last", "best"}
        Those of the last checkpoint, or of the best epoch by the validation set, where the run has one.

    Returns
    -------
    TrainedNetwork

    Raises
    ------
    InputError
        It is no run file, has no such weights, or does not say how its samples are prepared and no data set is given;
        or the data set is not found or does not fit.
    """
    with RunReader(path) as reader:
        if dataset is None and data_dir is None:
            config, samples = config_of_run(reader.config), reader.samples
            if samples is None:
                raise InputError(
                    f"{reader.path} is of an older version, which does not store how samples are prepared: name its "
                    f"data set, {reader.setting('data.dataset')} (dataset= and data_dir= of spikesim.load, "
                    "--dataset and --data-dir of the command)"
                )
        else:
            changes = [] if dataset is None else [("data.dataset", dataset)]
            folder = None if data_dir is None else Path(data_dir)
            config, found = load_of_run(config_of_run(reader.config, changes), reader, folder)
            kept = None if reader.samples is None else reader.samples.vocabulary
            samples = replace(SampleSpec.of(found), vocabulary=kept)
            if found.text and reader.samples is not None:  # as long as the network has them
                samples = replace(samples, shape=reader.samples.shape)
        model = Model(config, samples)
        parameters = run_parameters(reader, model, samples.name, weights)
        model.set_parameters(parameters)
        return TrainedNetwork(config, samples, model, parameters, evaluation_streams(reader, 1, weights)[0])


class TrainedNetwork:
    """A trained network. Made by `spikesim.load`; nothing that is done with it changes it.

    Attributes
    ----------
    layers : mapping of str to tuple
        Rows, columns and channels of each layer of neurons, from the input up.
    weights : mapping of str to ndarray
        Read-only float32 by name, such as ``"conv1/weight"``, ``"conv1/bias"`` and ``"readout/weight"``; their shapes
        are in ``spikesim manual run-file``.
    classes : tuple of str
        Names of the classes, in the order of the labels; their numbers where they have no names.
    sample_shape : (height, width, channels)
        Of an image, or of the sensor with its two polarities; (1, frames of the longest series, channels); (1, tokens
        of the longest text, 1).
    kind : {"images", "recordings", "series", "text"}
        What it takes.
    """

    def __init__(
        self, config: Config, samples: SampleSpec, model: Model, parameters: ParameterTree, stream: int
    ) -> None:
        self._config = config
        self._samples = samples
        self._laid_out = config, model
        self._parameters = parameters
        self._stream = stream
        self.layers: Mapping[str, tuple[int, int, int]] = MappingProxyType(
            {population.name: population.shape for population in model.graph.populations}
        )
        self.sample_shape = samples.shape
        self.kind = samples.kind
        self.classes = samples.class_names
        self.weights: Mapping[str, NDArray[np.float32]] = MappingProxyType(
            {name: _read_only(array) for name, array in parameters.leaves().items()}
        )

    @property
    def recordings(self) -> bool:
        """Whether it takes recordings of events."""
        return self.kind == "recordings"

    @property
    def config(self) -> dict[str, Any]:
        """The configuration of the run: plain values by section and key, a copy."""
        return self._config.to_dict()

    def predict(
        self,
        samples: Any,
        *,
        ids: ArrayLike | None = None,
        spikes: bool | Sequence[int] = False,
        threads: int | None = None,
        seed: int | None = None,
        steps: int | None = None,
        inference: str | None = None,
    ) -> Prediction:
        """What the network answers, and what it took.

        With the defaults these are the bits of ``spikesim evaluate`` on the test set, if its samples are given in their
        order. They depend on neither the threads nor the other samples: what is drawn for a sample follows from the
        seed, its identity, and the number of the epoch that the weights are of.

        Parameters
        ----------
        samples : array_like, EventSet, str or sequence
            Images, uint8 or float of shape (n, height, width, channels), where a single channel may be without its
            axis; floats are in 0 .. 1 and stand for the byte ``round(255 * x)``. Or recordings of events, where the
            network takes them: a `spikesim.datasets.EventSet`, or a list of `spikesim.datasets.Events` or of structured
            arrays with the fields x, y, t (microseconds), p, as Tonic gives them. Or series, arrays of shape (frames,
            channels), in a list or in one array where all are equally long. Or texts: strings, of which the vocabulary
            of the run makes tokens, and those beyond the longest text of its training are left out.
        ids : integers, shape (n,), optional
            Identities, in 0 .. 2**32 - 1: by default 0, 1, ... Samples 500 and on of a test set have the ids 500, ...
        spikes : bool or sequence of int
            Record the spikes of all samples, or of those with these indices.
        threads : int, optional
            By default the cores that this process may use.
        seed : int, optional
            Of the random numbers; by default that of the run.
        steps : int, optional
            Length of the free phase; by default that of the run.
        inference : {"stochastic", "mean-field"}, optional
            Spiking dynamics or the deterministic mean field, which has no spikes; by default that of the run.

        Returns
        -------
        Prediction

        Raises
        ------
        InputError
            The samples are not what the network takes, or an option has a value that is not allowed.
        """
        config = self._changed(seed=seed, steps=steps, inference=inference)
        found = self.taken(samples)
        rows = Rows(found, _identities(ids, len(found)), _recorded(spikes, len(found)), self._stream)
        if rows.recorded and config.dynamics.inference == "mean-field":
            raise InputError("the mean field has no spikes to record: leave out spikes, or inference='mean-field'")
        with self._thread_pool(config, len(found), threads) as thread_pool:
            return predict(thread_pool, self._pipeline(config), rows)

    def explain(
        self,
        texts: str | Sequence[str],
        *,
        ids: ArrayLike | None = None,
        threads: int | None = None,
        seed: int | None = None,
        steps: int | None = None,
        inference: str | None = None,
    ) -> list[Explanation]:
        """Which tokens of texts fired the neurons that decided (``spikesim manual sequences``).

        Parameters are those of `predict`, of whose free phases these are the answers; of several heads that answer
        together, the read-out's alone is shared out.

        Returns
        -------
        list of Explanation
            One a text.

        Raises
        ------
        InputError
            The network takes no texts, or an option has a value that is not allowed.
        """
        if self.kind != "text":
            raise InputError(f"the network takes {self.kind}; only answers to texts are explained, by their tokens")
        config, given = self._changed(seed=seed, steps=steps, inference=inference), text_set(texts)
        found = self.taken(given.texts)
        assert isinstance(found, TokenSet)
        rows = Rows(found, _identities(ids, len(found)), (), self._stream)
        with self._thread_pool(config, len(found), threads) as thread_pool:
            parts = list(contributions(thread_pool, self._pipeline(config), rows))
        explained = []
        for row, (text, own) in enumerate(zip(given.texts, parts, strict=True)):
            numbers = found.tokens[found.offsets[row] : found.offsets[row + 1]]
            tokens = tuple(tokens_of(text)[: len(numbers)])
            known = numbers != UNKNOWN
            explained.append(Explanation(own.label, own.probability, tokens, known, own.tokens, own.unassigned))
        return explained

    def _changed(self, *, seed: int | None, steps: int | None, inference: str | None) -> Config:
        """The configuration with what is given in place of the run's."""
        given = {"seed": seed, "dynamics.steps_free": steps, "dynamics.inference": inference}
        changes = [(key, value) for key, value in given.items() if value is not None]
        return config_of_run(self._config.to_dict(), changes) if changes else self._config

    def _pipeline(self, config: Config) -> SamplePipeline:
        return SamplePipeline(config, self._samples, self._model_for(config).graph.image.shape)

    def _thread_pool(self, config: Config, samples: int, threads: int | None) -> ThreadPool:
        """Threads for so many samples, which are shared out as a mini-batch is."""
        few = max(1, samples)
        settings = replace(config, data=replace(config.data, batch_size=min(few, config.data.batch_size)))
        return ThreadPool(self._model_for(config), settings, min(few, _threads(threads)))

    def _model_for(self, config: Config) -> Model:
        """The network laid out for a configuration: anew where anything but the seed is another than last time."""
        key = replace(config, seed=self._config.seed)
        made_for, model = self._laid_out
        if made_for != key:
            model = Model(key, self._samples)
            model.set_parameters(self._parameters)
            self._laid_out = key, model
        return model

    def taken(self, samples: Any) -> SampleSet:
        """Samples, as `predict` is given them, in the form in which the network takes them; labels are 0.

        Raises
        ------
        InputError
            They are not what the network takes.
        """
        if self.kind == "text":
            if isinstance(samples, TokenSet):
                return samples
            assert self._samples.vocabulary is not None
            return TokenSet.encode(text_set(samples), self._samples.vocabulary, self.sample_shape[1])
        if self.kind == "series":
            return series_set(samples, self.sample_shape)
        if isinstance(samples, ImageSet):
            samples = samples.images
        if self.kind == "recordings":
            return recording_set(samples, self.sample_shape)
        return image_set(samples, self.sample_shape)


def _identities(ids: ArrayLike | None, samples: int) -> NDArray[np.int64]:
    found = np.arange(samples) if ids is None else np.asarray(ids)
    if found.shape != (samples,) or (found.dtype.kind not in "iu" and samples):
        raise InputError(f"ids are {found.dtype} of shape {found.shape}; they must be integers of shape ({samples},)")
    if samples and not 0 <= int(found.min()) <= int(found.max()) <= ID_MAX:
        raise InputError(f"ids reach from {found.min()} to {found.max()}; they must be in 0 .. {ID_MAX}")
    return found.astype(np.int64)


def _recorded(spikes: bool | Sequence[int], samples: int) -> tuple[int, ...]:
    if isinstance(spikes, bool):
        return tuple(range(samples)) if spikes else ()
    try:
        rows = [int(row) for row in spikes if row == int(row)]
        whole = len(rows) == len(spikes)
    except (TypeError, ValueError, OverflowError):
        rows, whole = [], False
    if not whole:
        raise InputError("spikes must be True, False, or a sequence of indices of samples")
    beyond = [row for row in rows if not 0 <= row < samples]
    if beyond:
        raise InputError(f"spikes names sample {beyond[0]}; there are {samples}, from 0")
    return tuple(dict.fromkeys(rows))


def _threads(threads: int | None) -> int:
    if threads is None:
        return Alone().cores_each()
    if isinstance(threads, bool) or not isinstance(threads, int | np.integer) or not 1 <= threads <= THREADS_MAX:
        raise InputError(f"threads is {threads}; it must be an integer in 1 .. {THREADS_MAX}")
    return int(threads)


def _read_only(array: NDArray[np.float32]) -> NDArray[np.float32]:
    view = np.asarray(array, np.float32).view()
    view.flags.writeable = False
    return view
