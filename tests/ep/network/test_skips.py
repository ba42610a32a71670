"""Small networks with skip connections, from the phases to the run file: what a chain is tested for, of graphs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference
import small
import twin_phases as tp

from spikesim.engine.spike_trains import SpikeTrains
from spikesim.ep.config.parsing import Config
from spikesim.ep.exchange.structure import read_structure
from spikesim.ep.exchange.tensors import read_weights, write_weights
from spikesim.ep.gradcheck.check import Variant, check_gradients
from spikesim.ep.gradcheck.mean_field import MeanField
from spikesim.ep.inputs.samples import MiniBatch
from spikesim.ep.network.graph import INPUT
from spikesim.ep.network.model import Model
from spikesim.ep.runs.reader import RunReader
from spikesim.ep.training.observer import Observer, Progress
from spikesim.ep.training.run_store import RunOptions
from spikesim.ep.training.trainer import Trainer
from spikesim.errors import Stopped
from spikesim.numerics.fixed_point import ONE

IMAGE = (8, 8, 2)
POOLED_SKIPS: tuple[dict[str, Any], ...] = (
    {"kind": "conv", "channels": 5, "pool": True},
    {"kind": "conv", "channels": 3},
    {"kind": "conv", "channels": 4, "pool": True, "from": ["conv2", "conv1"]},
)
BRANCHES: tuple[dict[str, Any], ...] = (
    {"kind": "conv", "channels": 3, "pool": True},
    {"kind": "conv", "channels": 2, "stride": 2, "from": ["input"]},
    {"kind": "dense", "channels": 20, "from": ["conv2", "conv1"]},
    {"kind": "dense", "channels": 18, "from": ["dense3", "conv1", "input"]},
)
NETWORKS = {"skips": small.SKIPS, "pooled": POOLED_SKIPS, "branches": BRANCHES}
GRADED = {**tp.CLAMPED, "dynamics__nudged_phase": "linear-response"}
MODES: dict[str, dict[str, Any]] = {
    "live": {},
    "held": tp.CLAMPED,
    "graded": GRADED,
    "everything": {
        **GRADED, "error_signals__kind": "local", "stability__target_rate": 0.05, "optimizer__centering": True,
        "stability__spectral_norm_limit": 0.8, "stability__beta_control": "rate-difference", "dynamics__feedback_gain":
        0.25,
    },
}  # fmt: skip


def firing_of(firing: str) -> dict[str, Any]:
    return {"dynamics__inference": "mean-field"} if firing == "mean-field" else {"dynamics__firing": firing}


# -- Against the slow reference, bit for bit --------------------------------------------------------------------------


@pytest.mark.parametrize("firing", ["iid", "stratified", "mean-field"])
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize(
    ("gain", "order"), [(0, "synchronous"), (2, "synchronous"), (7, "synchronous"), (1, "parity"), (0, "upwards")]
)
def test_live_phases_agree_with_the_reference_to_the_bit(gain: int, order: str, network: str, firing: str) -> None:
    model, config, workspace = tp.prepare(
        *NETWORKS[network], image=IMAGE, dynamics__feedback_gain=2.0**-gain, dynamics__order=order, seed=3,
        **firing_of(firing),
    )  # fmt: skip
    twin = tp.slow_twin(model, config)
    counts = tp.settled(workspace)
    twin.run(20, window=tp.WINDOW, stream=5, order=order)
    tp.assert_phase(workspace, twin, [window.sum(axis=0) for window in twin.window])
    np.testing.assert_array_equal(counts.spikes, twin.spike_counts.sum(axis=0))
    np.testing.assert_array_equal(counts.residual, twin.residual.sum(axis=0))
    np.testing.assert_array_equal(counts.energy, twin.energy.sum(axis=0))
    workspace.nudged(tp.SAMPLES, 6, tp.LABELS, np.array([1.5]), tp.RUN)
    windows = [np.zeros_like(potential) for potential in twin.potential]
    for t in range(9):
        twin.populations[-1].nudge = tp.slow_nudge(model, twin, 1.5)
        twin.run(1, first=t, stream=6, order=order)
        if t >= 1:
            for window, potential in zip(windows, twin.potential, strict=True):
                window += np.clip(potential, 0, ONE - 1)
    tp.assert_phase(workspace, twin, windows)


@pytest.mark.parametrize("firing", ["iid", "mean-field"])
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize(("gain", "error_gain"), [(0, 0), (3, 1), (1, 4)])
def test_held_phases_agree_with_the_reference_to_the_bit(gain: int, error_gain: int, network: str, firing: str) -> None:
    model, config, workspace = tp.prepare(
        *NETWORKS[network], image=IMAGE, dynamics__feedback_gain=2.0**-gain, dynamics__error_gain=2.0**-error_gain,
        seed=3, **tp.CLAMPED, **firing_of(firing),
    )  # fmt: skip
    twin = tp.slow_twin(model, config)
    tp.settled(workspace)
    workspace.nudged(tp.SAMPLES, 6, tp.LABELS, np.array([1.5]), tp.RUN)
    twin.run(20, window=tp.WINDOW, stream=5)
    for population, drive in zip(twin.populations, tp.clamped_drives(twin, 8, gain, error_gain), strict=True):
        population.external = drive
    twin.__class__ = tp.ClampedTwin
    twin.attenuation = error_gain  # type: ignore[attr-defined]
    windows = [np.zeros_like(potential) for potential in twin.potential]
    for t in range(9):
        twin.populations[-1].nudge = tp.slow_nudge(model, twin, 1.5)
        twin.run(1, first=t, stream=6, onset=model.graph.depth)
        if t >= 1:
            for window, potential in zip(windows, twin.potential, strict=True):
                window += np.clip(potential, 0, ONE - 1)
    tp.assert_phase(workspace, twin, windows)


@pytest.mark.parametrize("firing", ["iid", "stratified", "mean-field"])
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("error_gain", [0, 2])
def test_the_linear_response_agrees_with_the_reference_to_the_bit(error_gain: int, network: str, firing: str) -> None:
    model, config, workspace = tp.prepare(
        *NETWORKS[network], image=IMAGE, dynamics__error_gain=2.0**-error_gain, seed=3, dynamics__steps_nudged=3,
        dynamics__window_nudged=2, **GRADED, **firing_of(firing),
    )  # fmt: skip
    twin = tp.slow_twin(model, config)
    tp.settled(workspace)
    workspace.nudged(tp.SAMPLES, 6, tp.LABELS, np.array([1.5]), tp.RUN)
    rates, followed = tp.free_phase(twin, config.dynamics.onset(model.graph.depth))
    twin.potential = [rate.copy() for rate in rates]
    windows = [np.zeros_like(rate) for rate in rates]
    for t in range(3):
        tp.answer_step(model, twin, rates, followed, 1.5, error_gain)
        if t >= 1:
            for window, moved in zip(windows, twin.potential, strict=True):
                window += moved
    tp.assert_phase(workspace, twin, windows)
    assert all((moved != rate).any() for moved, rate in zip(twin.potential, rates, strict=True)), "all layers answer"


@pytest.mark.parametrize("network", ["skips", "branches"])
@pytest.mark.parametrize("firing", ["iid", "stratified"])
def test_spikes_that_enter_twice_agree_with_the_reference_to_the_bit(firing: str, network: str) -> None:
    """Each connection from the input delivers its spikes, and holds their mean in the nudged phase."""
    settings = {"image": IMAGE, "seed": 3, **firing_of(firing)}
    model, config, workspace = tp.prepare(*NETWORKS[network], **settings, data__encoding="bernoulli")
    given = np.random.default_rng(8).random((tp.SAMPLES, 20, *IMAGE)) < 0.3
    twin = tp.slow_twin(tp.prepare(*NETWORKS[network], **settings)[0], config)
    stream = given.reshape(tp.SAMPLES, 20, -1)
    populations = [*twin.populations, reference.Population(IMAGE, 0, np.zeros(IMAGE[2], int), stream=stream)]
    entries = [
        reference.Table(model.layers, edge.target, *tp.matrix_of(edge.connection), edge.connection.exponent)
        for edge in model.graph.input_edges
    ]
    for population in populations:
        population.external = 0
    twin = reference.Model(populations, [*entries, *twin.tables], twin.samples, twin.firing, twin.seed)
    workspace.free(workspace.rest(SpikeTrains.of_dense(given), tp.IDS), 5, tp.RUN)
    twin.run(20, window=tp.WINDOW, stream=5)
    windows = [sums.sum(axis=0) for sums in twin.window]
    tp.assert_phase(workspace, twin, windows[:-1])

    workspace.keep(tp.SAMPLES)
    workspace.nudged(tp.SAMPLES, 6, tp.LABELS, np.array([1.5]), tp.RUN)
    mean = (windows[-1] + tp.WINDOW // 2) // tp.WINDOW
    for table in entries:
        held = reference.rounded_shift(mean @ table.weights.T, table.exponent)
        populations[table.target].external = populations[table.target].external + held
    stream[...] = False
    windows = [np.zeros_like(potential) for potential in twin.potential]
    for t in range(9):
        upper = reference.Model(populations[:-1], [], twin.samples, twin.firing, twin.seed)
        upper.potential = twin.potential[:-1]
        populations[-2].nudge = tp.slow_nudge(model, upper, 1.5)
        twin.run(1, first=t, stream=6)
        if t >= 1:
            for window, potential in zip(windows, twin.potential, strict=True):
                window += np.clip(potential, 0, ONE - 1)
    tp.assert_phase(workspace, twin, windows[:-1])


@pytest.mark.parametrize("network", NETWORKS)
def test_operations_of_a_layer_are_the_sums_over_its_connections(network: str) -> None:
    model, config, workspace = tp.prepare(*NETWORKS[network], image=IMAGE)
    twin = tp.slow_twin(model, config)
    counts = workspace.free(workspace.rest(tp.images(shape=IMAGE), tp.IDS), 5, tp.RUN)
    twin.run(20, window=tp.WINDOW, stream=5)
    np.testing.assert_array_equal(workspace.group.engine.counts.events[: tp.SAMPLES], twin.event_counts)
    by_table = twin.event_counts.sum(axis=0)
    forward, feedback, images = np.zeros((3, model.layers), np.int64)
    for number, table in enumerate(twin.tables):
        assert by_table[2 * number] > 0 and by_table[2 * number + 1] > 0
        forward[table.target] += by_table[2 * number]
        feedback[table.source] += by_table[2 * number + 1]
    for edge in model.graph.input_edges:
        images[edge.target] += tp.SAMPLES * int(tp.matrix_of(edge.connection)[1].sum())
    np.testing.assert_array_equal(counts.events_forward, forward)
    np.testing.assert_array_equal(counts.events_feedback, feedback)
    np.testing.assert_array_equal(counts.macs, images)


# -- The mean field ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", NETWORKS)
def test_the_way_down_of_each_connection_is_the_adjoint_of_its_way_up(network: str) -> None:
    model, _, _ = tp.prepare(*NETWORKS[network], image=IMAGE)
    field, rng = MeanField.from_model(model, (1.0,)), np.random.default_rng(0)
    for path in field.paths:
        below = rng.normal(size=(3, *(IMAGE if path.source == INPUT else field.shapes[path.source])))
        above = rng.normal(size=(3, *field.shapes[path.target]))
        product = (path.link.up(below) * above).sum()
        assert product == pytest.approx((below * path.link.down(above)).sum(), rel=1e-12)
        assert product == pytest.approx((path.link.correlate(below, above) * path.link.weights).sum(), rel=1e-12)


def configure(network: str, **settings: Any) -> Config:
    start = {"model__activity": 0.2, "model__calibration_samples": 8, "data__batch_size": 16}
    return small.make(*NETWORKS[network], **{**start, **settings})


LIVE_SYMMETRIC = {
    "dynamics__nudged_phase": "live-spikes",
    "dynamics__rule": "symmetric",
    "dynamics__feedback_gain": 1.0,
}


@pytest.mark.parametrize("settings", [GRADED, {**GRADED, "error_signals__kind": "local"}, LIVE_SYMMETRIC])
@pytest.mark.parametrize("network", NETWORKS)
def test_the_estimate_of_the_mean_field_is_the_exact_gradient(network: str, settings: dict[str, Any]) -> None:
    config, dataset = configure(network, **settings), small.make_dataset(size=8, channels=2)
    found = check_gradients(config, dataset, [], repeats=2)
    assert found.residual.max() < 1e-8 and found.residual_nudged.max() < 1e-8
    assert (found.weights.cosine > 0.99).all(), found.weights.cosine
    found = check_gradients(config, dataset, [], small_beta=0.001)
    assert (found.weights.cosine > 0.999).all(), found.weights.cosine
    assert (found.biases.cosine > 0.999).all(), found.biases.cosine


@pytest.mark.parametrize("gain", [0.5, 0.125])
def test_all_paths_weigh_the_same_with_a_gain_below_one(gain: float) -> None:
    for settings in ({**LIVE_SYMMETRIC, "dynamics__feedback_gain": gain}, {**GRADED, "dynamics__error_gain": gain}):
        config = configure("skips", **settings)
        found = check_gradients(config, small.make_dataset(size=8, channels=2), [], small_beta=0.001)
        assert (found.weights.cosine > 0.999).all(), found.weights.cosine


@pytest.mark.parametrize("settings", [{**GRADED, "dynamics__steps_nudged": 4, "dynamics__beta": 0.05}, LIVE_SYMMETRIC])
@pytest.mark.parametrize("network", NETWORKS)
def test_the_engine_without_noise_estimates_the_same_gradient(network: str, settings: dict[str, Any]) -> None:
    config = configure(
        network, dynamics__inference="mean-field", dynamics__steps_free=100,
        **{"dynamics__beta": 0.2, "dynamics__steps_nudged": 80, "dynamics__window_nudged": 2, **settings},
    )  # fmt: skip
    found = check_gradients(config, small.make_dataset(size=8, channels=2), [Variant.of(config)])
    for name in ("mean-field", "exact"):
        own = found.variants[0].weights[name]
        assert (own.cosine > 0.97).all() and (np.abs(own.ratio - 1) < 0.15).all(), (name, own)


# -- Training ---------------------------------------------------------------------------------------------------------


class Silent(Observer):
    """Tells nobody."""


class Stopper(Observer):
    """Asks for a stop after a mini-batch."""

    trainer: Trainer

    def batch(self, progress: Progress) -> None:
        self.trainer.request_stop()


def train(config: Config, run: Path, *, threads: int = 1, stopped: bool = False) -> str:
    """Digest of a run of two mini-batches."""
    dataset = small.make_dataset(size=8, channels=2)
    if stopped:
        stopper = Stopper()
        stopper.trainer = Trainer(config, dataset, RunOptions(run, threads=threads), stopper)
        with pytest.raises(Stopped):
            stopper.trainer.run()
    Trainer(config, dataset, RunOptions(run, threads=threads, resume=stopped), Silent()).run()
    with RunReader(run) as reader:
        assert reader.rows["batches"] == 2
        return reader.digest()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("network", NETWORKS)
def test_neither_threads_nor_a_resume_change_a_digest(network: str, mode: str, tmp_path: Path) -> None:
    config = configure(
        network, data__batch_size=12, optimizer__epochs=1, record__spikes=[1], record__traces=2,
        dynamics__steps_free=24, dynamics__steps_nudged=8, dynamics__window_free=8, **MODES[mode],
    )  # fmt: skip
    alone = train(config, tmp_path / "alone.h5")
    assert train(config, tmp_path / "threads.h5", threads=2) == alone
    assert train(config, tmp_path / "resumed.h5", threads=2, stopped=True) == alone


@pytest.mark.parametrize("coding", ["bernoulli", "latency"])
def test_spikes_may_enter_twice(coding: str, tmp_path: Path) -> None:
    config = configure(
        "skips", data__batch_size=12, optimizer__epochs=1, dynamics__steps_free=24, dynamics__window_free=8,
        dynamics__steps_nudged=8, data__encoding=coding, **GRADED,
    )  # fmt: skip
    alone = train(config, tmp_path / "alone.h5")
    assert train(config, tmp_path / "resumed.h5", threads=2, stopped=True) == alone
    model = Model(config, small.make_dataset(size=8, channels=2))
    assert [edge.name for edge in model.graph.input_edges] == ["conv1", "conv4_from_input"]
    assert not any(edge.analogue for edge in model.graph.edges)


@pytest.mark.parametrize("mode", ["live", "graded"])
def test_the_loss_falls_by_learning_in_the_layers_alone(mode: str) -> None:
    config = configure(
        "skips", data__batch_size=24, optimizer__learning_rate=0.2, optimizer__readout_learning_rate=0.0,
        **{**MODES[mode], "dynamics__beta": 0.5},
    )  # fmt: skip
    dataset = small.make_dataset(size=8, channels=2)
    start = small.random_parameters(Model(config, dataset), 2)
    start.readout.weight[...] *= np.float32(2)
    with small.learning(config, dataset, parameters=start) as (learner, pipeline):
        ids, before = np.arange(24), small.copied(start)
        images = pipeline.plain(dataset.train, ids)
        losses = [
            float(np.mean(learner.batch(MiniBatch(0, i, images, ids, dataset.train.labels), 1.0).loss_sum))
            for i in range(16)
        ]
        after = learner.parameters.leaves()
        assert all((after[edge.weight] != before[edge.weight]).any() for edge in learner.model.graph.edges)
    assert np.mean(losses[-3:]) < 0.6 * losses[0], losses


# -- The run file, and what is exported -------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["torch", "spikesim"])
@pytest.mark.parametrize("network", NETWORKS)
def test_weights_go_to_safetensors_and_back(network: str, layout: str, tmp_path: Path) -> None:
    config = configure(
        network, data__batch_size=24, optimizer__epochs=1, dynamics__steps_free=24, error_signals__kind="local"
    )
    Trainer(config, small.make_dataset(size=8, channels=2), RunOptions(tmp_path / "run.h5"), Silent()).run()
    with RunReader(tmp_path / "run.h5") as reader:
        structure = read_structure(reader)
    write_weights(tmp_path / "w.safetensors", structure.weights, structure.forms, layout, {})
    heads = frozenset(head.name for head in structure.heads if head.name != "readout")
    found = read_weights(tmp_path / "w.safetensors", structure.forms, heads)
    assert found.layout == layout and found.arrays.keys() == structure.weights.keys()
    for name, array in structure.weights.items():
        assert found.arrays[name].tobytes() == array.tobytes(), name
