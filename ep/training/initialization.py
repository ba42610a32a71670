"""The parameters that a training run starts with: calibrated biases, and weights whose spectral norm is within its
limit."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesim.ep.config.parsing import Config, per_layer
from spikesim.ep.config.random_streams import STREAM_CALIBRATION, stream_of
from spikesim.ep.inputs.pipeline import InputPipeline
from spikesim.ep.network.graph import INPUT
from spikesim.ep.network.model import Model
from spikesim.ep.parallel.thread_pool import ThreadPool
from spikesim.ep.training.calibration import ROUNDS_MAX, calibrate
from spikesim.ep.training.normalization import Normalization
from spikesim.ep.training.stability.spectral import SAMPLES, Reals, free_rates, limit_spectral_norms, spectral_norms
from spikesim.errors import InputError

ROUNDS = 6
"""Weights that are scaled down change the activity, hence the spectral norm: calibration and limit take turns."""
SILENT = 0.25
"""Share of the wanted activity below which a layer has not come to life."""
CALIBRATED = stream_of(ROUNDS_MAX, STREAM_CALIBRATION)


def needs_start(config: Config, normalization: Normalization) -> bool:
    """Whether there is anything to do: an activity of 0 leaves all biases at 0, and layers may be held."""
    return bool(np.any(np.asarray(config.model.activity))) and not all(layer.held for layer in normalization.layers)


def check_random_start(config: Config) -> None:
    """Refuse to draw weights for a configuration that names others.

    Raises
    ------
    InputError
    """
    if config.model.weights:
        raise InputError(
            f"model.weights is {config.model.weights!r}: the run starts from these weights; give the run file that has "
            "them, 'spikesim train --init-from RUN.h5' (or --out, --resume and the run that 'spikesim import' made), "
            "or leave the key out"
        )


Rounds = Callable[[int, int], None]
"""Told how many rounds of calibration are done, and how many there are at most."""


def start(
    model: Model,
    config: Config,
    normalization: Normalization,
    thread_pool: ThreadPool,
    pipeline: InputPipeline,
    samples: int,
    progress: Rounds = lambda done, most: None,
) -> Reals | None:
    """Bring initial parameters, in place, to the wanted activity and below the limit of the spectral norm.

    Layers that are held stay as they are; if all are, there is nothing to do.

    Where a layer stays silent from rest nevertheless, all weights between layers are halved until it does not. One rank
    does it for all, so that no rounding can divide them.

    Parameters
    ----------
    samples : int
        Training samples of the run; the first of them are looked at.
    progress : callable
        Told, on the rank that does the work, how many rounds are done and how many there are at most.

    Returns
    -------
    float64 (connections,) or None
        The spectral norm as it was last measured, where it has a limit.

    Raises
    ------
    Stopped
    """
    if not needs_start(config, normalization):
        return None

    def find() -> tuple[Reals | None, list[NDArray[Any]]]:
        found = _start(model, config, normalization, thread_pool, pipeline, samples, progress)
        return found, list(normalization.arrays())

    found, given = thread_pool.ranks.first(find)
    for array, own in zip(normalization.arrays(), given, strict=True):
        array[...] = own
    normalization.fold()
    model.set_parameters(normalization.parameters)
    return found


def _start(
    model: Model,
    config: Config,
    normalization: Normalization,
    thread_pool: ThreadPool,
    pipeline: InputPipeline,
    samples: int,
    progress: Rounds,
) -> Reals | None:
    """`start`, on one rank."""
    train, limit = pipeline.dataset.train, config.stability.spectral_norm_limit
    ids = np.arange(min(samples, config.model.calibration_samples))
    few = np.arange(min(samples, SAMPLES))
    images, few_images = pipeline.plain(train, ids, CALIBRATED), pipeline.plain(train, few, CALIBRATED)
    found = None
    tries = 1 if limit is None else ROUNDS + 1
    for number in range(ROUNDS):
        calibrate(model, config, normalization, thread_pool, images, ids, _rounds_of(number, tries, progress))
        if limit is None:
            return None
        rates = free_rates(thread_pool, few_images, few, CALIBRATED)
        found = spectral_norms(model, rates, thread_pool.map)
        if _is_bistable(config, rates, normalization):
            for edge in model.graph.edges:
                if edge.source != INPUT:
                    normalization.scale(edge, 0.5)
        elif not limit_spectral_norms(normalization, model.graph, found, limit):
            return found
        normalization.fold()
    calibrate(model, config, normalization, thread_pool, images, ids, _rounds_of(ROUNDS, tries, progress))
    return found


def _rounds_of(number: int, tries: int, progress: Rounds) -> Callable[[int], None]:
    """What one of several calibrations tells of its rounds, as part of all of them."""
    return lambda done: progress(number * ROUNDS_MAX + done, tries * ROUNDS_MAX)


def _is_bistable(config: Config, rates: list[Reals], normalization: Normalization) -> bool:
    """Whether a layer is silent after a free phase from rest, although its biases are calibrated.

    Calibration goes on from state to state. A strong feedback keeps a layer active that would not become so from rest,
    and silent layers have no spectral norm that could be measured.
    """
    wanted = per_layer(config.model.activity, len(rates), "model.activity")
    return any(
        float(own.mean()) < SILENT * goal and not layer.held
        for own, goal, layer in zip(rates, wanted, normalization.layers, strict=True)
    )
