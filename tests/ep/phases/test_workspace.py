"""The phases: against the slow reference to the bit, and the contrast of their mean field against the true gradient."""

from typing import Any

import numpy as np
import pytest
import reference
import small
from numpy.typing import NDArray
from twin_phases import (
    IDS,
    LABELS,
    RUN,
    SAMPLES,
    Reals,
    assert_phase,
    images,
    nudged,
    prepare,
    settled,
    slow_nudge,
    slow_twin,
    sums_of,
)

from spikesim.engine.synapses import Conv
from spikesim.ep.config.random_streams import EPOCHS_MAX, stream_of
from spikesim.ep.inputs.samples import MiniBatch
from spikesim.ep.network.model import Model
from spikesim.ep.network.parameters import ParameterTree
from spikesim.ep.phases.counters import PhaseCounts
from spikesim.ep.phases.readout import Predictions
from spikesim.errors import Stopped
from spikesim.numerics.fixed_point import ONE

# -- Against the reference --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("contrast", ["probability", "spikes"])
@pytest.mark.parametrize("firing", ["iid", "stratified", "mean-field"])
@pytest.mark.parametrize("pooling", ["average", "sampled", "strided"])
@pytest.mark.parametrize(
    ("gain", "onset", "order"),
    [(1.0, 0, "synchronous"), (0.25, 3, "synchronous"), (1.0, 2, "parity"), (1.0, 0, "upwards")],
)
def test_phases_agree_with_the_reference_to_the_bit(
    gain: float, onset: int, order: str, firing: str, pooling: str, contrast: str
) -> None:
    settings = {"inference": "mean-field"} if firing == "mean-field" else {"firing": firing}
    model, config, workspace = prepare(
        dynamics__pooling=pooling, dynamics__contrast=contrast, dynamics__feedback_gain=gain,
        dynamics__steps_onset=onset, dynamics__order=order, seed=3,
        **{f"dynamics__{key}": value for key, value in settings.items()},
    )  # fmt: skip
    twin = slow_twin(model, config)

    counts = settled(workspace)
    twin.run(20, window=8, stream=5, onset=onset, order=order)
    assert_phase(workspace, twin, [window.sum(axis=0) for window in twin.window])
    np.testing.assert_array_equal(counts.spikes, twin.spike_counts.sum(axis=0))
    np.testing.assert_array_equal(counts.residual, twin.residual.sum(axis=0))
    workspace.nudged(SAMPLES, 6, LABELS, np.array([1.5]), RUN)
    windows = [np.zeros_like(potential) for potential in twin.potential]
    for t in range(9):
        twin.populations[-1].nudge = slow_nudge(model, twin, 1.5)
        twin.run(1, first=t, stream=6, order=order)
        if t >= 1:  # 9 steps, the window has the last 8
            for window, potential, spikes in zip(windows, twin.potential, twin.spikes, strict=True):
                window += spikes * ONE if config.dynamics.contrast_spikes else np.clip(potential, 0, ONE - 1)
    assert_phase(workspace, twin, windows)


# -- What the two nudged phases share ---------------------------------------------------------------------------------


@pytest.mark.parametrize("firing", ["iid", "stratified"])
def test_restoring_repeats_a_phase_to_the_bit(firing: str) -> None:
    _, _, workspace = prepare(dynamics__firing=firing)
    settled(workspace)
    membrane, words = workspace.state.membrane.copy(), workspace.state.words.copy()
    first = nudged(workspace, 2.0)
    end = workspace.state.membrane.copy()
    assert (end != membrane).any()
    other = nudged(workspace, -2.0)
    assert (other != first).any()
    workspace.restore(SAMPLES)
    np.testing.assert_array_equal(workspace.state.membrane, membrane)
    np.testing.assert_array_equal(workspace.state.words, words)
    assert not workspace.state.nudge.any(), "the free phase knows no nudge"
    np.testing.assert_array_equal(nudged(workspace, 2.0), first)
    np.testing.assert_array_equal(workspace.state.membrane, end)


@pytest.mark.parametrize("contrast", ["probability", "spikes"])
@pytest.mark.parametrize("firing", ["iid", "stratified"])
def test_common_random_numbers_leave_only_the_nudge_between_the_phases(firing: str, contrast: str) -> None:
    _, _, workspace = prepare(dynamics__firing=firing, dynamics__contrast=contrast)
    settled(workspace)
    plus, minus = nudged(workspace, 1e-9), nudged(workspace, -1e-9)
    np.testing.assert_array_equal(plus, minus)
    independent = nudged(workspace, -1e-9, stream=7)
    assert (independent != plus).mean() > 0.05
    small_step, large_step = nudged(workspace, 0.1), nudged(workspace, 2.0)
    assert 0 < np.abs(small_step - plus).sum() < np.abs(large_step - plus).sum()


def test_random_numbers_belong_to_samples_and_streams() -> None:
    _, _, workspace = prepare()
    settled(workspace)
    first = workspace.state.membrane.copy()
    settled(workspace, stream=13)
    assert (workspace.state.membrane != first).any()
    workspace.free(workspace.rest(images()[::-1], IDS[::-1]), 5, RUN)
    np.testing.assert_array_equal(workspace.state.membrane[::-1], first)
    streams = [stream_of(epoch, kind) for epoch in (0, 1, EPOCHS_MAX - 1) for kind in range(5)]
    assert len(set(streams)) == 15 and max(streams) < 2**24


# -- Counters ---------------------------------------------------------------------------------------------------------


def test_window_of_the_spikes_contrast_is_the_number_of_spikes() -> None:
    model, _, workspace = prepare(dynamics__contrast="spikes", dynamics__steps_nudged=8)
    settled(workspace)
    counts = workspace.nudged(SAMPLES, 6, LABELS, np.array([2.0]), RUN)
    sums = sums_of(workspace)
    assert (sums % ONE == 0).all()
    for layer in range(model.layers):
        assert sums[:, model.state_slice(layer)].sum(dtype=np.int64) == counts.spikes[layer] * ONE > 0


@pytest.mark.parametrize("inference", ["stochastic", "mean-field"])
def test_counters_of_a_group_are_the_sums_over_its_samples(inference: str) -> None:
    model, _, workspace = prepare(dynamics__inference=inference)
    _, _, alone = prepare(dynamics__inference=inference, capacity=1)
    free = settled(workspace)
    pushed = workspace.nudged(SAMPLES, 6, LABELS, np.array([2.0]), RUN)
    totals = [PhaseCounts.zero(2) for _ in range(2)]
    for i in range(SAMPLES):
        totals[0].add(alone.free(alone.rest(images()[i : i + 1], IDS[i : i + 1]), 5, RUN))
        totals[1].add(alone.nudged(1, 6, LABELS[i : i + 1], np.array([2.0]), RUN))
    for together, total in zip((free, pushed), totals, strict=True):
        for name, one, other in zip(PhaseCounts._fields, together, total, strict=True):
            np.testing.assert_array_equal(one, other, name)
    neurons = np.array([population.neurons for population in model.graph.populations])
    for counts, steps in ((free, 20), (pushed, 9)):
        assert counts.steps == SAMPLES * steps
        np.testing.assert_array_equal(counts.updates, SAMPLES * steps * neurons)
        assert (counts.saturated <= SAMPLES * neurons).all() and (counts.spikes <= counts.updates).all()
    image = SAMPLES * model.graph.edges[0].connection.dense_operations
    if inference == "stochastic":
        assert free.macs.tolist() == [image, 0] and not pushed.macs.any(), "the image's drive is computed once"
        assert free.events_forward[0] == 0 and free.events_forward[1] > 0
        assert free.events_feedback[0] > 0 and free.events_feedback[1] == 0
    else:
        assert free.macs[0] > image and free.macs[1] > 0
        assert not free.events_forward.any() and not free.events_feedback.any()


def test_prediction_reads_the_window_of_the_free_phase() -> None:
    model, _, workspace = prepare(dynamics__window_free=6)  # the nudged phases have 8
    settled(workspace)
    found = Predictions.empty(model.packed, SAMPLES)
    workspace.predict(SAMPLES, LABELS, None, found)
    at = model.state_slice(1)
    rates = model.top.from_state(sums_of(workspace)[:, at]).reshape(SAMPLES, -1).astype(np.int64)
    features = reference.cells(rates, model.top.shape).sum(axis=1).reshape(SAMPLES, -1)
    seen = np.sort(found.features, axis=1).tolist()  # in another order, padded with zeros
    assert np.sort(features, axis=1).tolist() == [[v for v in row if v] for row in seen]
    logits = features / (4 * 6 * ONE) @ small.random_parameters(model, 4).readout.weight + model.packed.bias[-1]
    np.testing.assert_allclose(found.logits[:, -1], logits, atol=1e-3)


def test_a_raised_flag_stops_every_phase() -> None:
    _, _, workspace = prepare()
    settled(workspace)
    raised = np.ones(1, np.uint8)
    with pytest.raises(Stopped):
        workspace.free(SAMPLES, 5, raised)
    with pytest.raises(Stopped):
        workspace.nudged(SAMPLES, 6, LABELS, np.array([2.0]), raised)


# -- The gradient -----------------------------------------------------------------------------------------------------


def conv_tensor(shape: tuple[int, ...], kernel: int, padding: int) -> Reals:
    """1 where output (y, x) sees input (a, b) through the weight (k, l); shape (y, x, a, b, k, l)."""
    height, width = shape[:2]
    change = 2 * padding - kernel + 1
    tensor = np.zeros((height + change, width + change, height, width, kernel, kernel))
    for y, x, k, m in np.ndindex(height + change, width + change, kernel, kernel):
        if 0 <= y + k - padding < height and 0 <= x + m - padding < width:
            tensor[y, x, y + k - padding, x + m - padding, k, m] = 1
    return tensor


def pool_matrix(shape: tuple[int, ...]) -> Reals:
    """Mean over 2x2 cells as a matrix (pooled neurons, neurons)."""
    height, width, channels = shape[0] // 2, shape[1] // 2, shape[2]
    matrix = np.zeros((height, width, channels, *shape))
    for y, x, c in np.ndindex(2 * height, 2 * width, channels):
        matrix[y // 2, x // 2, c, y, x, c] = 0.25
    return matrix.reshape(height * width * channels, -1)


class MeanField:
    """The loss of the mean field's fixed point as a function of the parameters, in float64."""

    def __init__(self, model: Model, inputs: NDArray[np.int16], labels: NDArray[np.int64]) -> None:
        self.model, self.labels = model, labels
        self.feedback_gain = 2.0 ** -model.graph.edges[-1].connection.attenuation
        self.inputs = inputs.reshape(len(inputs), -1) / 2**12
        self.answers = np.eye(model.classes)[labels]
        self.pools: list[Reals | None] = []
        self.tensors: list[Reals | None] = []
        for edge in model.graph.edges:
            table, below = edge.connection.table, edge.connection.source.shape
            self.pools.append(pool_matrix(below) if edge.pooled else None)
            seen = reference.pooled(below) if edge.pooled else below
            self.tensors.append(conv_tensor(seen, table.sides[0], table.frame[0]) if isinstance(table, Conv) else None)
        self.pools.append(pool_matrix(model.top.shape) if model.graph.readout_pooled else None)

    def loss(self, parameters: dict[str, Reals]) -> float:
        shapes = [population.shape for population in self.model.graph.populations]
        matrices, biases = [], []
        for name, tensor, pool, shape in zip(self.model.names, self.tensors, self.pools, shapes, strict=False):
            weight = parameters[f"{name}/weight"]
            if tensor is None:
                matrix = weight.T
            else:
                matrix = np.einsum("yxabkl,klio->yxoabi", tensor, weight).reshape(np.prod(shape), -1)
            matrices.append(matrix if pool is None else matrix @ pool)
            biases.append(np.tile(parameters[f"{name}/bias"], shape[0] * shape[1]))
        rates = [np.zeros((len(self.labels), len(bias))) for bias in biases]
        for _ in range(60):
            for layer, bias in enumerate(biases):
                drive = bias + (rates[layer - 1] if layer else self.inputs) @ matrices[layer].T
                if layer + 1 < len(rates):
                    drive = drive + self.feedback_gain * rates[layer + 1] @ matrices[layer + 1]
                rates[layer] = np.clip(drive, 0, 1)
        self.rates = rates
        pool = self.pools[-1]
        features = rates[-1] if pool is None else rates[-1] @ pool.T
        logits = features @ parameters["readout/weight"] + parameters["readout/bias"]
        if self.model.cost == "squared-error":
            return float(0.5 * ((self.answers - logits) ** 2).sum(axis=1).mean())
        return float((np.log(np.exp(logits).sum(axis=1)) - (self.answers * logits).sum(axis=1)).mean())

    def gradient(self, parameters: dict[str, Reals], h: float = 1e-5) -> dict[str, Reals]:
        """By central differences, one parameter at a time."""
        result = {}
        for name, array in parameters.items():
            result[name] = np.zeros_like(array)
            for at in np.ndindex(array.shape):
                slopes = []
                for side in (h, -h):
                    moved = array.copy()
                    moved[at] += side
                    slopes.append(self.loss({**parameters, name: moved}) / (2 * h))
                result[name][at] = slopes[0] - slopes[1]
        return result


TWO = ({**small.POOLED, "channels": 2}, {**small.CONV, "channels": 3})
GRADIENT_CASES: dict[str, tuple[tuple[dict[str, Any], ...], dict[str, Any]]] = {
    "convolutions": (TWO, {}),
    "squared error, top pooled": (
        ({**small.CONV, "channels": 2}, {**small.POOLED, "channels": 2}),
        {"dynamics__cost": "squared-error"},
    ),
    "three layers": (({**small.POOLED, "channels": 2}, small.DENSE, {"kind": "dense", "channels": 5}), {}),
    "feedback gain": (TWO, {"dynamics__feedback_gain": 0.5}),
    "one-sided": (TWO, {"dynamics__nudging": "one-sided"}),
    "random sign, negative": (TWO, {"dynamics__nudging": "random-sign", "seed": 1}),
}


@pytest.mark.parametrize("case", GRADIENT_CASES)
def test_contrast_of_the_mean_field_is_the_gradient_of_the_loss(case: str) -> None:
    layers, settings = GRADIENT_CASES[case]
    config = small.make(
        *layers, dynamics__inference="mean-field", dynamics__leak=1, dynamics__beta=0.1, dynamics__steps_free=80,
        dynamics__steps_nudged=80, dynamics__window_nudged=20, data__batch_size=6,
        optimizer__name="sgd", optimizer__momentum=0.0, optimizer__learning_rate=1.0,
        optimizer__bias_factor=1.0, optimizer__readout_learning_rate=1.0, stability__homeostasis=0.0, **settings,
    )  # fmt: skip
    dataset = small.make_dataset(size=4, samples=6)
    parameters: ParameterTree = small.random_parameters(Model(config, dataset), 1, gain=0.6)
    parameters.readout.weight[...] *= np.float32(0.5)  # a gentle nudge: hardly a neuron reaches 0 or 1 on its way
    with small.learning(config, dataset, parameters=parameters) as (learner, pipeline):
        model = learner.model
        assert small.sign(learner, 0, 0) == (-1 if "negative" in case else 1)
        inputs = pipeline.plain(dataset.train, slice(0, 6)) // 2
        before = {name: array.astype(np.float64) for name, array in small.copied(parameters).items()}
        found = learner.batch(MiniBatch(0, 0, inputs, np.arange(6), dataset.train.labels), 1.0)
        after, rates = parameters.leaves(), learner.optimizer.rates
    exact = MeanField(model, inputs, dataset.train.labels)
    assert np.mean(found.loss_sum) == pytest.approx(exact.loss(before), abs=2e-3)
    active = [float(((rates > 0) & (rates < 1)).mean()) for rates in exact.rates]
    assert min(active) > 0.4, "most neurons answer to a small push"
    for name, gradient in exact.gradient(before).items():
        estimate = (before[name] - after[name]) / rates[name]
        size = float(np.linalg.norm(estimate) / np.linalg.norm(gradient))
        cosine = float((estimate * gradient).sum() / np.linalg.norm(gradient) ** 2 / size)
        assert cosine > 0.99, (name, cosine)
        assert size == pytest.approx(1.0, abs=0.1), name
