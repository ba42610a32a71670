"""Data sets, configurations and models so small that a mini-batch takes milliseconds."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesim.datasets import Dataset, ImageSet
from spikesim.datasets.samples.model import Augmentation
from spikesim.ep.config.parsing import Config, make_config, merge
from spikesim.ep.inputs.pipeline import InputPipeline
from spikesim.ep.network.initial_weights import initial_parameters
from spikesim.ep.network.model import Model
from spikesim.ep.network.parameters import ParameterTree
from spikesim.ep.parallel.communicator import Communicator
from spikesim.ep.parallel.thread_pool import ThreadPool
from spikesim.ep.training.learning.learner import BatchResult, Learner

CONV = {"kind": "conv", "channels": 4}
POOLED = {**CONV, "pool": True}
DENSE = {"kind": "dense", "channels": 8}
SKIPS: tuple[dict[str, Any], ...] = (
    {"kind": "conv", "channels": 3},
    {"kind": "conv", "channels": 2},
    {"kind": "conv", "channels": 3, "stride": 2, "from": ["conv2", "conv1"]},
    {"kind": "conv", "channels": 2, "from": ["conv3", "input"]},
)
"""One layer reads two others, by a 3x3 and a strided 1x1 convolution; one reads the input as well."""
LAYERS = (POOLED, {**CONV, "channels": 17}, DENSE)
SAMPLES = 11


def make_dataset(
    *, size: int | tuple[int, int] = 6, channels: int = 1, classes: int = 3, samples: int = 24, seed: int = 0
) -> Dataset:
    """Noise on a pattern of the class: any linear classifier can tell them apart."""
    height, width = (size, size) if isinstance(size, int) else size
    rng = np.random.default_rng(seed)
    patterns = rng.integers(0, 2, (classes, height, width, channels)) * 180

    def images(count: int) -> ImageSet:
        labels = np.arange(count) % classes
        noise = rng.integers(0, 60, (count, height, width, channels))
        return ImageSet((patterns[labels] + noise).astype(np.uint8), labels.astype(np.int64))

    return Dataset(
        name="patterns",
        train=images(samples),
        test=images(samples),
        classes=classes,
        class_names=tuple(f"class {i}" for i in range(classes)),
        mean=np.full(channels, 0.45),
        std=np.full(channels, 0.35),
        augmentation=Augmentation(crop=1, flip=True),
        source="memory",
    )


PLAIN = {
    "model.normalization": "none",
    "model.gain": 0.5,
    "model.gain_growth": 1.0,
    "data.batch_size": 64,
    "dynamics.firing": "iid",
    "dynamics.pooling": "average",
    "dynamics.nudged_phase": "live-spikes",
    "dynamics.rule": "symmetric",
    "dynamics.beta": 2.0,
    "dynamics.feedback_gain": 1.0,
    "dynamics.steps_free": 60,
    "dynamics.order": "synchronous",
    "dynamics.leak": 2,
    "dynamics.window_free": 20,
    "dynamics.steps_onset": 0,
    "dynamics.steps_nudged": 20,
    "error_signals.kind": "none",
    "stability.activity_floor": 0.005,
    "stability.activity_ceiling": 0.4,
    "stability.homeostasis": 0.1,
    "stability.spectral_norm_limit": None,
    "optimizer.learning_rate": 0.02,
    "optimizer.readout_learning_rate": 0.005,
    "optimizer.bias_factor": 0.02,
    "optimizer.centering": False,
}
"""What the tests start from, whatever the defaults are: the model as it is in the literature, without additions."""


def make(*layers: Mapping[str, Any], **settings: Any) -> Config:
    """`PLAIN` with these layers; settings are named with two underscores for the dot: dynamics__beta=1."""
    values = {"model": {"arch": "custom", "layers": [dict(layer) for layer in layers]}}
    given = [(key.replace("__", "."), value) for key, value in settings.items()]
    return make_config(merge(merge(values, PLAIN.items()), given))


def random_parameters(model: Model, seed: int = 0, *, gain: float = 0.5, bias: float = 0.3) -> ParameterTree:
    """Weights of about this gain and biases at which most neurons are neither silent nor certain."""
    rng = np.random.default_rng(seed)
    graph = model.graph
    leaves: dict[str, Any] = {}
    for edge in graph.edges:
        leaves[edge.weight] = rng.normal(size=edge.shape) * gain / np.sqrt(graph.fan_in(edge.target))
    for population in graph.populations:
        leaves[f"{population.name}/bias"] = bias + 0.1 * rng.normal(size=population.shape[2])
    for head in reversed(model.heads):  # the read-out first: the same with any heads
        shape = model.head_shape(head)
        leaves[f"{head.name}/weight"] = rng.normal(size=shape) / np.sqrt(shape[0])
        leaves[f"{head.name}/bias"] = 0.1 * rng.normal(size=model.classes)
    return ParameterTree.of_leaves(graph, model.heads, leaves)


def copied(parameters: ParameterTree) -> dict[str, NDArray[np.float32]]:
    """A copy of all parameters by name."""
    return {name: array.copy() for name, array in parameters.leaves().items()}


@contextmanager
def learning(
    config: Config,
    dataset: Dataset,
    *,
    threads: int = 1,
    parameters: ParameterTree | None = None,
    soft_targets: NDArray[np.float64] | None = None,
    ranks: Communicator | None = None,
) -> Iterator[tuple[Learner, InputPipeline]]:
    """A learner with its threads, at the initial parameters unless others are given."""
    model = Model(config, dataset)
    start = parameters if parameters is not None else initial_parameters(model, config)
    with ThreadPool(model, config, threads, ranks=ranks) as thread_pool:
        yield (
            Learner(model, config, start, thread_pool, soft_targets),
            InputPipeline(config, dataset, model.graph.image.shape),
        )


def sign(learner: Learner, epoch: int, batch: int) -> int:
    """Sign of the first nudge of a mini-batch."""
    return learner.scheme.comparison.sign(learner.config.seed, epoch, batch)


def assert_same(found: tuple[Any, list[BatchResult]], expected: tuple[Any, list[BatchResult]]) -> None:
    """Equal to the bit: parameters, losses, counters."""
    for name, array in expected[0].items():
        assert found[0][name].tobytes() == array.tobytes(), name
    for one, other in zip(found[1], expected[1], strict=True):
        assert one.loss_sum == other.loss_sum and one.correct == other.correct
        np.testing.assert_array_equal(one.rate_difference, other.rate_difference)
        np.testing.assert_array_equal(one.changes, other.changes)
        np.testing.assert_array_equal(one.lambdas, other.lambdas)
        np.testing.assert_array_equal(one.head_loss, other.head_loss)
        np.testing.assert_array_equal(one.head_correct, other.head_correct)
        assert one.beta == other.beta
        for activity, others in zip(one.activity, other.activity, strict=True):
            np.testing.assert_array_equal(activity, others)
        for counts, others in zip(one.counts, other.counts, strict=True):
            for name in counts._fields:
                np.testing.assert_array_equal(getattr(counts, name), getattr(others, name), name)
