"""Texts through a lookup of rows: what a convolution of one-hot maps would do, at the cost of the tokens that occur."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import small
from numpy.typing import NDArray
from threadranks import on_ranks

from spikesim.datasets import Dataset, ImageSet, TextSet, Vocabulary
from spikesim.datasets.samples.model import Augmentation
from spikesim.ep.gradcheck.check import Variant, check_gradients
from spikesim.ep.inputs import encoding as cd
from spikesim.ep.inputs.pipeline import InputPipeline
from spikesim.ep.inputs.samples import MiniBatch
from spikesim.ep.inputs.texts import encoded
from spikesim.ep.network.model import Model
from spikesim.ep.network.parameters import ParameterTree
from spikesim.ep.parallel.communicator import Communicator, share
from spikesim.ep.phases import workspace as ph
from spikesim.ep.training.learning.optimizers import Optimizer
from spikesim.errors import InputError

WORDS = ("good", "bad", "film", "actor", "plot", "dull", "bright", "long")
OVER_TIME: dict[str, Any] = {"kind": "conv", "channels": 18, "kernel": [1, 3], "padding": [0, 1]}
TOKENS = {"kind": "tokens", "channels": 7}
ONE_HOT = {"kind": "conv", "channels": 7, "kernel": 1, "padding": 0}
GRADED = {"dynamics__nudged_phase": "linear-response", "dynamics__rule": "postsynaptic", "dynamics__steps_nudged": 2}
WAYS: dict[str, dict[str, Any]] = {
    "linear response": {**GRADED, "error_signals__kind": "local"},
    "live spikes": {"error_signals__kind": "local"},
    "mean field, activity penalty": {**GRADED, "dynamics__inference": "mean-field", "stability__target_rate": 0.01},
}


def texts(count: int = 12, seed: int = 0) -> Dataset:
    """Sentences of 2 to 9 words; the first one of a text decides its class."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    found = [" ".join([WORDS[label], *rng.choice(WORDS[2:], rng.integers(1, 9))]) for label in labels]
    own = TextSet(tuple(found), labels.astype(np.int64))
    return Dataset(
        name="sentences",
        train=own,
        test=own,
        classes=2,
        class_names=("pro", "contra"),
        mean=np.zeros(1),
        std=np.ones(1),
        augmentation=Augmentation(crop=0, flip=False),
        source="memory",
    )


def learn(
    data: Dataset, layers: tuple[dict[str, Any], ...], start: ParameterTree | None = None, **settings: Any
) -> tuple[dict[str, NDArray[np.float32]], Any, cd.Input]:
    """Gradients of one mini-batch of all samples."""
    config = small.make(*layers, data__min_count=1, model__global_pooling="mean", **settings)
    data = encoded(config, data)
    ids = np.arange(len(data.train))
    with small.learning(config, data, parameters=start) as (learner, pipeline):
        inputs = pipeline.train(0, ids)
        if settings.get("stability__target_rate"):
            learner.controllers.penalties[:] = 0.01
        gradients, result = learner.estimate(MiniBatch(0, 0, inputs, ids, data.train.labels))
    return gradients, result, inputs


@pytest.mark.parametrize("way", WAYS)
def test_a_lookup_is_a_convolution_of_one_hot_maps(way: str) -> None:
    """The same bits: drives, spikes, loss, and the gradients of the rows that occur. The maps are of 255 / 255."""
    data, settings = texts(), WAYS[way]
    config = small.make(TOKENS, OVER_TIME, data__min_count=1, **settings)
    own = encoded(config, data)
    assert own.vocabulary is not None
    count = len(own.vocabulary)
    model = Model(config, own)
    leaves = dict(small.random_parameters(model, 1, gain=1.2).leaves())
    leaves["tokens1/weight"] = np.round(leaves["tokens1/weight"] * 2**8) / 2**8  # what int16 has exactly
    start = ParameterTree.of_leaves(model.graph, model.heads, leaves)
    found, result, inputs = learn(data, (TOKENS, OVER_TIME), start, **settings)
    assert isinstance(inputs, cd.Tokens)

    maps, labels = np.zeros((len(inputs), 1, inputs.maps.shape[2], count), np.uint8), own.train.labels
    for sample, number in np.ndindex(maps.shape[0], maps.shape[2]):
        if inputs.maps[sample, 0, number, 0]:
            maps[sample, 0, number, inputs.maps[sample, 0, number, 0]] = 255
    images = replace(
        own,
        train=ImageSet(maps, labels),
        test=ImageSet(maps, labels),
        mean=np.zeros(count),
        std=np.ones(count),
        vocabulary=None,
    )
    twin_config = small.make(ONE_HOT, OVER_TIME, model__global_pooling="mean", **settings)
    twin = Model(twin_config, images)
    renamed = {name.replace("tokens1", "conv1"): array for name, array in leaves.items()}
    renamed["conv1/weight"] = leaves["tokens1/weight"].reshape(1, 1, count, 7)
    with small.learning(twin_config, images, parameters=ParameterTree.of_leaves(twin.graph, twin.heads, renamed)) as (
        learner,
        pipeline,
    ):
        if settings.get("stability__target_rate"):
            learner.controllers.penalties[:] = 0.01
        given = pipeline.train(0, np.arange(len(labels)))
        assert isinstance(given, np.ndarray)
        sequences = cd.Sequences(given, inputs.lengths)
        expected, other = learner.estimate(MiniBatch(0, 0, sequences, np.arange(len(labels)), labels))
    assert result.loss_sum == other.loss_sum
    np.testing.assert_array_equal(result.counts[ph.FREE].spikes, other.counts[ph.FREE].spikes)
    whole = np.zeros((count, 7), np.float32)
    whole[inputs.rows] = found["tokens1/weight"]
    np.testing.assert_array_equal(whole, expected["conv1/weight"].reshape(count, 7))
    assert np.abs(whole).max() > 0
    for name in found:
        if name != "tokens1/weight":
            np.testing.assert_array_equal(found[name], expected[name.replace("tokens1", "conv1")], err_msg=name)


def test_the_gradient_of_the_rows_is_that_of_the_mean_field() -> None:
    settings = {**GRADED, "error_signals__kind": "local", "dynamics__inference": "mean-field"}
    config = small.make(TOKENS, OVER_TIME, data__min_count=1, data__batch_size=12, dynamics__beta=0.1, **settings)
    found = check_gradients(config, texts(), [Variant.of(config)])
    assert found.weights.cosine.min() > 0.999, "the estimate at a small beta and the exact gradient"
    assert found.variants[0].weights["exact"].cosine.min() > 0.99


@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_moved_rows_are_those_of_an_array_of_their_own(name: str) -> None:
    """Others stay to the bit, and so do their moments."""
    rng = np.random.default_rng(0)
    settings = small.make(TOKENS, OVER_TIME, optimizer__name=name, optimizer__weight_decay=0.1).optimizer
    whole = rng.normal(size=(20, 5)).astype(np.float32)
    rows = np.array([3, 4, 11])
    before, alone = whole.copy(), whole[rows].copy()
    one, other = (Optimizer(settings, {"a/weight": array}, {"a/weight": 0.1}) for array in (whole, alone))
    for _ in range(3):
        gradient = rng.normal(size=(3, 5)).astype(np.float32)
        for optimizer in (one, other):
            optimizer.begin()
        change = one.move_rows("a/weight", rows, gradient, 0.5)
        assert change == pytest.approx(other.move("a/weight", gradient, 0.5) * 3 / 20)
    np.testing.assert_array_equal(whole[rows], alone)
    rest = np.setdiff1d(np.arange(20), rows)
    np.testing.assert_array_equal(whole[rest], before[rest])
    for moment, array in one.state().items():
        np.testing.assert_array_equal(array[rows], other.state()[moment])
        assert not array[rest].any()


def train(threads: int = 1, ranks: Communicator | None = None) -> dict[str, NDArray[np.float32]]:
    """Parameters after three mini-batches with dropped tokens."""
    config = small.make(
        TOKENS, OVER_TIME, data__min_count=1, data__token_dropout=0.3, error_signals__kind="local", **GRADED
    )
    data = encoded(config, texts())
    parameters = small.random_parameters(Model(config, data), 2)
    with small.learning(config, data, threads=threads, parameters=parameters, ranks=ranks) as (learner, pipeline):
        for number, ids in enumerate(np.arange(12).reshape(3, 4)):
            own = ids[share(learner.thread_pool.ranks, len(ids))]
            given = pipeline.train(0, own, ids)
            learner.batch(MiniBatch(0, number, given, ids, data.train.labels[ids]), 1.0)
    return small.copied(parameters)


def test_threads_and_ranks_change_no_bit_of_a_training_on_texts() -> None:
    """Five ranks for four samples: one has none of them, and the rows of all."""
    alone = train()
    for found in (
        train(threads=3),
        *on_ranks(2, lambda ranks: train(ranks=ranks)),
        *on_ranks(5, lambda r: train(ranks=r)),
    ):
        for name, array in alone.items():
            assert array.tobytes() == found[name].tobytes(), name


def test_dropped_tokens_follow_the_sample_and_the_epoch() -> None:
    config = small.make(TOKENS, OVER_TIME, data__min_count=1, data__token_dropout=0.25)
    data = encoded(config, texts(400))
    model = Model(config, data)
    pipeline = InputPipeline(config, data, model.graph.image.shape)
    plain, ids = pipeline.plain(data.train, np.arange(400)), np.arange(400)
    first, again, second = (pipeline.train(epoch, ids) for epoch in (0, 0, 1))
    assert isinstance(plain, cd.Tokens) and isinstance(first, cd.Tokens)
    assert isinstance(again, cd.Tokens) and isinstance(second, cd.Tokens)
    np.testing.assert_array_equal(first.maps, again.maps)
    assert (first.maps != second.maps).any()
    there = plain.maps > 0
    assert not first.maps[~there].any() and (first.maps[there] == plain.maps[there])[first.maps[there] > 0].all()
    assert (first.maps[there] == 0).mean() == pytest.approx(0.25, abs=0.03)
    part = pipeline.train(0, ids[7:9], ids)
    assert isinstance(part, cd.Tokens)
    np.testing.assert_array_equal(part.maps, first.maps[7:9])
    np.testing.assert_array_equal(part.rows, first.rows, err_msg="the rows of the whole mini-batch")


def test_the_vocabulary_is_that_of_the_training_texts() -> None:
    data = texts()
    other = TextSet(("a word that none has",), np.zeros(1, np.int64))
    config = small.make(TOKENS, OVER_TIME, data__min_count=1, data__vocabulary_size=4, data__longest=3)
    found = encoded(config, replace(data, test=other))
    assert found.vocabulary is not None and len(found.vocabulary) == 6 and found.shape == (1, 3, 1)
    assert set(found.vocabulary.words[2:]) <= set(WORDS)
    kept = Vocabulary(("", "<unknown>", "word", "none"))
    again = encoded(config, replace(data, test=other), kept)
    assert again.vocabulary is kept and again.test.padded(np.arange(1))[0].ravel().tolist() == [1, 2, 1]
    assert encoded(config, small.make_dataset(size=6)).vocabulary is None


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ((OVER_TIME,), "texts enter through a layer of kind tokens"),
        ((TOKENS, TOKENS), "driven by the input of texts alone"),
    ],
)
def test_layers_that_texts_cannot_have(layers: tuple[dict[str, Any], ...], message: str) -> None:
    config = small.make(*layers, data__min_count=1)
    with pytest.raises(InputError, match=message):
        Model(config, encoded(config, texts()))


def test_images_have_no_tokens() -> None:
    with pytest.raises(InputError, match="driven by the input of texts alone"):
        Model(small.make(TOKENS), small.make_dataset(size=6))
