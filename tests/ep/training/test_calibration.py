"""Initial biases: the layers start at the activity that was asked for."""

import numpy as np
import pytest
import small

from spikesim.ep.network.initial_weights import initial_parameters
from spikesim.ep.network.model import Model
from spikesim.ep.network.parameters import ParameterTree
from spikesim.ep.parallel.thread_pool import ThreadPool
from spikesim.ep.phases import workspace as ph
from spikesim.ep.training.calibration import ROUNDS_MAX, calibrate
from spikesim.ep.training.normalization import Normalization
from spikesim.errors import InputError, Stopped
from spikesim.numerics.fixed_point import ONE

LAYERS = (small.POOLED, small.CONV, small.DENSE)
SAMPLES = 10


def calibrated(
    wanted: object, threads: int = 1, **settings: object
) -> tuple[Model, ParameterTree, np.ndarray, np.ndarray]:
    """The model, its parameters, the activity that calibration reports, and that of a fresh free phase."""
    config = small.make(*LAYERS, model__activity=wanted, data__batch_size=SAMPLES, **settings)
    dataset = small.make_dataset(samples=SAMPLES)
    with small.learning(config, dataset, threads=threads) as (learner, pipeline):
        model, parameters = learner.model, learner.parameters
        images, ids = pipeline.plain(dataset.train, slice(0, SAMPLES)), np.arange(SAMPLES)
        reported = calibrate(model, config, learner.normalization, learner.thread_pool, images, ids)
        workspace = ph.Workspace(model, config.dynamics, SAMPLES, 99)
        workspace.free(workspace.rest(images, ids), 0, np.zeros(1, np.uint8))
        sums = np.empty((SAMPLES, model.compiled.sizes["state"]), np.int32)
        workspace.window_sums(SAMPLES, sums)
    measured = [model.layer_maps(layer, sums).mean() / (ONE * 20) for layer in range(model.layers)]
    return model, parameters, reported, np.array(measured)


@pytest.mark.parametrize("settings", [{}, {"dynamics__inference": "mean-field"}, {"dynamics__firing": "stratified"}])
@pytest.mark.parametrize("wanted", [0.1, [0.2, 0.3, 0.15]])
def test_layers_reach_the_wanted_activity(wanted: object, settings: dict[str, object]) -> None:
    _, parameters, reported, measured = calibrated(wanted, **settings)
    np.testing.assert_allclose(reported, np.broadcast_to(wanted, 3), atol=0.03)
    np.testing.assert_allclose(measured, reported, atol=0.03)
    for bias in parameters.biases():
        assert bias.dtype == np.float32 and len(set(bias.tolist())) == 1, "one shift a layer"


def test_number_of_threads_changes_no_bit() -> None:
    _, first, activity, _ = calibrated(0.1)
    _, second, again, _ = calibrated(0.1, threads=3)
    assert activity.tobytes() == again.tobytes()
    for one, other in zip(first.biases(), second.biases(), strict=True):
        assert one.tobytes() == other.tobytes()


def test_an_activity_of_zero_leaves_the_biases_alone() -> None:
    _, parameters, _, _ = calibrated([0.2, 0.0, 0.2])
    assert not parameters.biases()[1].any()
    assert parameters.biases()[0].any() and parameters.biases()[2].any()


def test_the_weights_stay_and_the_model_has_the_new_biases() -> None:
    model, parameters, _, _ = calibrated(0.2)
    start = initial_parameters(model, small.make(*LAYERS))
    for one, other in zip(parameters.weights(model.graph), start.weights(model.graph), strict=True):
        assert one.tobytes() == other.tobytes()
    loaded = model.compiled.plan.bias.copy()
    model.set_parameters(parameters, 2.0)
    np.testing.assert_array_equal(model.compiled.plan.bias, loaded)


def test_a_list_of_another_length_is_refused_and_a_stop_is_obeyed() -> None:
    with pytest.raises(InputError, match=r"model\.activity has 2 values"):
        calibrated([0.1, 0.2])
    config, dataset = small.make(*LAYERS), small.make_dataset(samples=SAMPLES)
    model = Model(config, dataset)
    with ThreadPool(model, config, 2, np.ones(1, np.uint8)) as thread_pool, pytest.raises(Stopped):
        images = np.zeros((SAMPLES, 6, 6, 1), np.int16)
        parameters = Normalization(config, model.graph, initial_parameters(model, config))
        calibrate(model, config, parameters, thread_pool, images, np.arange(SAMPLES))


def test_rounds_are_told_as_they_are_done() -> None:
    told: list[int] = []
    config = small.make(*LAYERS, model__activity=0.2, data__batch_size=SAMPLES)
    dataset = small.make_dataset(samples=SAMPLES)
    with small.learning(config, dataset) as (learner, pipeline):
        images = pipeline.plain(dataset.train, slice(0, SAMPLES))
        calibrate(
            learner.model, config, learner.normalization, learner.thread_pool, images, np.arange(SAMPLES), told.append
        )
    assert told == list(range(1, len(told) + 1)) and 1 < len(told) <= ROUNDS_MAX
