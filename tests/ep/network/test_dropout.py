"""Dropped neurons: silent in every phase, without a trace in what the others do."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import small
from numpy.typing import NDArray
from threadranks import on_ranks

from spikesim.ep.config.parsing import make_config
from spikesim.ep.inputs.samples import MiniBatch, Samples
from spikesim.ep.network.dropout import Dropout
from spikesim.ep.network.model import Model
from spikesim.ep.network.parameters import ParameterTree
from spikesim.ep.parallel.communicator import Communicator, share
from spikesim.ep.phases import workspace as ph
from spikesim.ep.training.learning.learner import Learner
from spikesim.errors import InputError

GRADED = {
    "dynamics__nudged_phase": "linear-response",
    "dynamics__rule": "postsynaptic",
    "dynamics__nudging": "centered",
    "dynamics__steps_nudged": 2,
    "dynamics__firing": "stratified",
    "error_signals__kind": "local",
}
CLAMPED = {"dynamics__nudged_phase": "clamped-spikes", "dynamics__rule": "postsynaptic", "dynamics__steps_nudged": 4}
WAYS: dict[str, dict[str, Any]] = {
    "linear response": GRADED,
    "clamped spikes": CLAMPED,
    "live spikes": {"dynamics__contrast": "spikes"},
    "live spikes, input of spikes": {"data__encoding": "bernoulli"},
    "clamped spikes, input of spikes": {**CLAMPED, "data__encoding": "bernoulli"},
    "refractory": {"model__neuron": "refractory", "model__refractory": 2},
    "mean field": {**GRADED, "dynamics__inference": "mean-field"},
    "winners": {**GRADED, "dynamics__pooling": "winner"},
}


def estimate(learner: Learner, pipeline: Any, count: int = 24) -> tuple[dict[str, NDArray[np.float32]], Any]:
    """Gradients of one mini-batch, and what happened."""
    ids = np.arange(count)
    labels = pipeline.dataset.train.labels[ids]
    return learner.estimate(MiniBatch(3, 0, pipeline.train(3, ids), ids, labels), keep_rates=True)


@pytest.mark.parametrize("way", WAYS)
def test_a_dropped_neuron_is_silent_in_all_phases(way: str) -> None:
    """And the others are not; in the next epoch it is another one."""
    config = small.make(*small.LAYERS, model__dropout=0.5, **WAYS[way])
    dataset = small.make_dataset()
    start = small.random_parameters(Model(config, dataset), 1)
    with small.learning(config, dataset, parameters=start) as (learner, pipeline):
        _, result = estimate(learner, pipeline)
        model, ids = learner.model, np.arange(24)
        assert model.dropout is not None
        dropped = model.dropout.silencing(model.compiled, ids, 3) < 0
        learner.set_parameters(0.0)
        workspace = learner.thread_pool.map(lambda _: learner.thread_pool.workspace, [0])[0]
        n = min(24, workspace.capacity)
        learner.rest(workspace, 3, Samples(pipeline.train(3, ids[:n]), ids[:n], dataset.train.labels[:n]))
        workspace.free(n, 5, learner.thread_pool.stop)
        fired = workspace.state.window[:, :n].sum(axis=0) > 0
        assert not fired[dropped[:n]].any() and fired[~dropped[:n]].any()
        assert not any(own[dropped].any() for own in (result.rates.plus, result.rates.minus))
        assert (result.rates.plus[~dropped] != 0).any() and result.rate_difference.min() > 0
        for layer in range(model.layers):
            own = model.graph.populations[layer].from_state(dropped[:, model.state_slice(layer)])
            assert own.mean() == pytest.approx(0.5, abs=0.15)
        assert (dropped != (model.dropout.silencing(model.compiled, ids, 4) < 0)).any()


def test_dropped_channels_are_those_of_a_smaller_network() -> None:
    """A sample's gradients are those of the network with the weights that training has and, in place of the dropped
    channels, some that cannot fire; to the bit, times the scale where weights lead out of them.
    """
    layers = ({**small.CONV, "channels": 6}, {**small.CONV, "channels": 5}, small.DENSE)
    config = small.make(*layers, model__dropout=0.25, model__dropout_units="channels", **GRADED)
    dataset, plain = small.make_dataset(), small.make(*layers, **GRADED)
    start = small.random_parameters(Model(config, dataset), 1)
    with small.learning(config, dataset, parameters=start) as (learner, pipeline):
        found, result = estimate(learner, pipeline, 1)
        model, dropout = learner.model, learner.model.dropout
        assert dropout is not None and dropout.scale == pytest.approx(4 / 3)
        dropped = dropout.silencing(model.compiled, np.arange(1), 3)[0] < 0
    leaves = dropout.scaled(start).leaves()
    for layer, population in enumerate(model.graph.populations):
        own = population.from_state(dropped[model.state_slice(layer)])
        assert (own == own[:1, :1]).all() and own.any() and not own.all()
        leaves[f"{population.name}/bias"] = np.where(own[0, 0], np.float32(-1000), leaves[f"{population.name}/bias"])
    smaller = ParameterTree.of_leaves(model.graph, model.heads, leaves)
    with small.learning(plain, dataset, parameters=smaller) as (learner, pipeline):
        expected, other = estimate(learner, pipeline, 1)
    assert result.loss_sum == other.loss_sum
    np.testing.assert_array_equal(result.counts[ph.FREE].spikes, other.counts[ph.FREE].spikes)
    assert dropout.scaled_weights == {name for name in expected if name.endswith("/weight")} - {"conv1/weight"}
    for name, gradient in expected.items():
        scaled = gradient * np.float32(dropout.scale) if name in dropout.scaled_weights else gradient
        np.testing.assert_array_equal(found[name], scaled, err_msg=name)
        assert np.abs(gradient).max() > 0, name


def test_what_drops_nothing_changes_nothing() -> None:
    """The drives that silence neurons, all zero, leave every bit as it is without them."""
    config, dataset = small.make(*small.LAYERS, model__dropout=0.5, **GRADED), small.make_dataset()
    start = small.random_parameters(Model(config, dataset), 1)
    with small.learning(config, dataset, parameters=start) as (learner, pipeline):
        assert learner.model.dropout is not None
        learner.model.dropout = replace(learner.model.dropout, threshold=0)
        found = estimate(learner, pipeline)
    with small.learning(small.make(*small.LAYERS, **GRADED), dataset, parameters=start) as (learner, pipeline):
        assert learner.model.dropout is None
        expected = estimate(learner, pipeline)
    small.assert_same((found[0], [found[1]]), (expected[0], [expected[1]]))


def test_potentials_of_dropped_neurons_are_those_that_they_would_have() -> None:
    """Running statistics take them, so that they are of all neurons; the first layer, for what is above hears less."""
    config, dataset = small.make(*small.LAYERS, model__dropout=0.5, dynamics__leak=2, **GRADED), small.make_dataset()
    start = small.random_parameters(Model(config, dataset), 1)
    with small.learning(config, dataset, parameters=start) as (learner, pipeline):
        learner.set_parameters(0.0)
        workspace, ids = learner.thread_pool.map(lambda _: learner.thread_pool.workspace, [0])[0], np.arange(2)
        own, found = learner.model.state_slice(0), []
        learner.model.compiled.plan.weights[:] = 0  # no feedback
        samples = Samples(pipeline.train(0, ids), ids, dataset.train.labels[ids])
        for rest in (lambda: learner.rest(workspace, 0, samples), lambda: workspace.rest(samples.inputs, ids)):
            workspace.free(rest(), 0, learner.thread_pool.stop, steps=7)
            found.append((workspace.potentials(2)[:, own].copy(), workspace.state.membrane[:2, own].copy()))
        np.testing.assert_array_equal(found[0][0], found[1][0])
        assert (found[0][1] != found[0][0]).any() and (found[1][1] == found[1][0]).all()


def train(threads: int = 1, ranks: Communicator | None = None) -> dict[str, NDArray[np.float32]]:
    """Parameters after three mini-batches."""
    settings = {**GRADED, "model__normalization": "running-statistics", "dynamics__feedback_gain": 0.0625}
    config = small.make(
        *small.LAYERS,
        model__dropout=0.4,
        model__dropout_layers=["conv2", "dense3"],
        optimizer__centering=True,
        **settings,
    )
    dataset = small.make_dataset()
    with small.learning(config, dataset, threads=threads, ranks=ranks) as (learner, pipeline):
        for number, ids in enumerate(np.arange(24).reshape(3, 8)):
            own = ids[share(learner.thread_pool.ranks, len(ids))]
            learner.batch(MiniBatch(0, number, pipeline.train(0, own), ids, dataset.train.labels[ids]), 1.0)
        return small.copied(learner.parameters)


def test_threads_and_ranks_change_no_bit() -> None:
    alone = train()
    for found in (train(threads=3), *on_ranks(3, lambda ranks: train(ranks=ranks))):
        for name, array in alone.items():
            assert array.tobytes() == found[name].tobytes(), name


def test_the_mean_drive_stays() -> None:
    """Over many samples: what layers send times the scale is what they send at inference."""
    model = Model(small.make({**small.DENSE, "channels": 40}, model__dropout=0.3), small.make_dataset())
    dropout = model.dropout
    assert isinstance(dropout, Dropout)
    kept = dropout.silencing(model.compiled, np.arange(4000), 0)[:, model.state_slice(0)] == 0
    kept = model.graph.populations[0].from_state(kept)
    assert kept.mean() * dropout.scale == pytest.approx(1.0, abs=0.005)
    np.testing.assert_allclose(kept.mean(axis=0) * dropout.scale, 1.0, atol=0.05)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"dropout_layers": ["conv1"]}, "model.dropout is 0; model.dropout_layers and"),
        ({"dropout_units": "channels"}, "model.dropout is 0; model.dropout_layers and"),
        ({"dropout": 0.95}, "model.dropout is 0.95; it must be"),
        ({"dropout": 0.5, "dropout_layers": ["conv7"]}, "dropout_layers has 'conv7', no layer"),
    ],
)
def test_what_cannot_be_dropped(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Model(make_config({"model": {"arch": "conv", **keys}}), small.make_dataset(size=28))


def test_weights_that_dropped_neurons_could_not_stand() -> None:
    config, dataset = small.make(*small.LAYERS, model__dropout=0.5, **GRADED), small.make_dataset()
    start = small.random_parameters(Model(config, dataset), 1, gain=60.0)
    with (
        small.learning(config, dataset, parameters=start) as (learner, _),
        pytest.raises(InputError, match=r"with model\.dropout the limit is 512"),
    ):
        learner.set_parameters(0.0)
