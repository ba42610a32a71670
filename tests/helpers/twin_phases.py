"""The phases of a small network, and of the same network in the slow reference."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import reference
import small
from numpy.typing import NDArray

from spikesim.engine.populations import Connection
from spikesim.engine.synapses import Conv, Dense, Shape
from spikesim.ep.config.parsing import Config
from spikesim.ep.network.model import Model
from spikesim.ep.phases import workspace as ph
from spikesim.ep.phases.counters import PhaseCounts
from spikesim.numerics.fixed_point import ONE
from spikesim.numerics.portable_math import softmax_and_log_sum

LAYERS = ({**small.POOLED, "channels": 5}, {**small.POOLED, "channels": 3})
SAMPLES = 4
IDS = np.array([7, 0, 3, 12])
LABELS = np.array([2, 0, 1, 2])
RUN = np.zeros(1, np.uint8)
IMAGE = (5, 4, 2)
WINDOW = 8
Reals = NDArray[np.float64]
CLAMPED = {
    "dynamics__nudged_phase": "clamped-spikes",
    "dynamics__rule": "postsynaptic",
}
Integers = NDArray[np.int64]


def prepare(
    *layers: Mapping[str, Any], capacity: int = SAMPLES, image: Shape = IMAGE, **settings: Any
) -> tuple[Model, Config, ph.Workspace]:
    """A model with random parameters and a workspace for it."""
    phases = {"dynamics__steps_free": 20, "dynamics__window_free": WINDOW, "dynamics__steps_nudged": 9}
    config = small.make(*(layers or LAYERS), **{**phases, **settings})
    model = Model(config, small.make_dataset(size=image[:2], channels=image[2]))
    model.set_parameters(small.random_parameters(model, 4), config.dynamics.beta)
    return model, config, ph.Workspace(model, config.dynamics, capacity, config.seed)


def images(samples: int = SAMPLES, shape: Shape = IMAGE) -> NDArray[np.int16]:
    return np.random.default_rng(8).integers(-(2**12), 2**12, (samples, *shape)).astype(np.int16)


def settled(workspace: ph.Workspace, stream: int = 5) -> PhaseCounts:
    """Bring the samples to the end of the free phase and remember it."""
    counts = workspace.free(workspace.rest(images(shape=workspace.model.graph.image.shape), IDS), stream, RUN)
    workspace.keep(SAMPLES)
    return counts


def sums_of(workspace: ph.Workspace) -> NDArray[np.int32]:
    sums = np.empty((SAMPLES, workspace.model.compiled.sizes["state"]), np.int32)
    workspace.window_sums(SAMPLES, sums)
    return sums


def assert_phase(workspace: ph.Workspace, twin: reference.Model, windows: list[NDArray[np.int64]]) -> None:
    """The potentials at the end of a phase and its window sums, (samples, neurons) a layer, are those of the twin."""
    model, sums = workspace.model, sums_of(workspace)
    for layer, population in enumerate(model.graph.populations):
        at = model.state_slice(layer)
        found = population.from_state(workspace.state.membrane[:, at]).reshape(SAMPLES, -1)
        np.testing.assert_array_equal(found, twin.potential[layer])
        np.testing.assert_array_equal(population.from_state(sums[:, at]).reshape(SAMPLES, -1), windows[layer])


def nudged(workspace: ph.Workspace, *strengths: float, stream: int = 6) -> NDArray[np.int32]:
    """Window sums of a nudged phase from the remembered state, with a strength for each head."""
    workspace.restore(SAMPLES)
    workspace.nudged(SAMPLES, stream, LABELS, np.array(strengths), RUN)
    return sums_of(workspace)


def slow_twin(model: Model, config: Config) -> reference.Model:
    """The same network, with the same integers, in the reference."""
    graph, parameters = model.graph, small.random_parameters(model, 4)
    pixels = images(shape=graph.image.shape).reshape(SAMPLES, -1).astype(np.int64)
    populations, tables = [], []
    for population, bias in zip(graph.populations, parameters.biases(), strict=True):
        integers = np.rint(bias.astype(np.float64) * ONE).astype(np.int64)
        populations.append(
            reference.Population(population.shape, population.leak, integers, refractory=population.refractory)
        )
    for edge in graph.edges:
        connection = edge.connection
        matrix, exists = matrix_of(connection)
        if edge.analogue:
            drive = reference.image_drive(matrix, connection.exponent, pixels)
            populations[edge.target].external = populations[edge.target].external + drive
        else:
            pool, attenuation = connection.table.pool, connection.attenuation
            table = reference.Table(
                edge.source, edge.target, matrix, exists, connection.exponent, pool, True, attenuation, edge.span
            )
            tables.append(table)
    return reference.Model(populations, tables, IDS.tolist(), config.dynamics.engine_firing, config.seed)


def matrix_of(connection: Connection) -> tuple[Integers, NDArray[np.bool_]]:
    """Weights and existence of every (target, source) pair; behind a pool, of the pooled source."""
    table, integers = connection.table, connection.integers.astype(np.int64)
    if isinstance(table, Dense):
        return integers.T, np.ones(integers.T.shape, bool)
    assert isinstance(table, Conv)
    seen = reference.pooled(connection.source.shape) if table.pool else connection.source.shape
    return reference.conv_matrix(integers, table.frame, seen, connection.target.shape, table.stride)


def slow_nudge(model: Model, twin: reference.Model, beta: float) -> NDArray[np.int64]:
    """The nudge of the present state of the top layer, which the read-out may see pooled; (samples, neurons)."""
    shape, pooled = model.top.shape, model.graph.readout_pooled
    seen = twin.probability[-1] if twin.populations[-1].refractory else np.clip(twin.potential[-1], 0, ONE - 1)
    features, bits = seen, 2 * pooled
    if pooled:
        features = reference.cells(features, shape).sum(axis=1).reshape(SAMPLES, -1)
    weights, exponent = reference.quantize(small.random_parameters(model, 4).readout.weight)
    logits = (features @ weights).astype(np.float64) * 2.0 ** -(16 + bits + exponent) + model.packed.bias[-1]
    errors = np.eye(model.classes)[LABELS] - softmax_and_log_sum(logits)[0]
    strengths = np.rint(beta * errors * ONE).astype(np.int64)
    nudge = reference.rounded_shift(strengths @ weights.T, exponent + bits)
    return reference.to_four_cells(nudge, shape) if pooled else nudge


class ClampedTwin(reference.Model):
    """The reference in a nudged phase: its drives from below are constants, those from above have the error gain."""

    attenuation: int

    def _deliver(self, together: list[int], active: NDArray[np.bool_]) -> list[Integers]:
        return drives_from_above(self, [self.signal(i) for i in range(len(self.populations))], self.attenuation)


def drives_from_above(
    twin: reference.Model, sent: list[Integers], attenuation: int, graded: bool | None = None
) -> list[Integers]:
    """What the layers receive from the ones above that send this, attenuated once a level."""
    drives = [np.zeros_like(potential) for potential in twin.potential]
    graded = twin.firing == "mean-field" if graded is None else graded
    for table in twin.tables:
        shift = table.exponent - (0 if graded else 16) + (2 if table.pool in ("average", "sampled") else 0)
        shift += min(attenuation * table.span, 16)
        back = reference.rounded_shift(sent[table.target] @ table.weights, shift)
        back = reference.to_four_cells(back, twin.populations[table.source].shape) if table.pool else back
        if table.pool == "winner":  # to each its share of the window, halves rounded up
            back = (2 * back * twin.wins[table.source] + WINDOW) // (2 * WINDOW)
        drives[table.source] += back
    return drives


def clamped_drives(twin: reference.Model, window: int, gain: int, error_gain: int) -> list[Integers]:
    """Constant drives of the nudged phases, the bias apart; the gains as exponents of 1/2."""
    rates = [np.minimum((sums.sum(axis=0) + window // 2) // window, ONE - 1) for sums in twin.window]
    drives = [
        population.external + np.zeros_like(rate) for population, rate in zip(twin.populations, rates, strict=True)
    ]
    for table in twin.tables:
        sent = rates[table.source]
        if table.pool:
            sent = reference.cells(sent, twin.populations[table.source].shape).sum(axis=1).reshape(len(sent), -1)
        drives[table.target] += reference.rounded_shift(
            sent @ table.weights.T, table.exponent + (2 if table.pool else 0)
        )
    for sign, attenuation in ((1, gain), (-1, error_gain)):
        for drive, back in zip(drives, drives_from_above(twin, rates, attenuation, graded=True), strict=True):
            drive += sign * back
    return drives


def free_phase(twin: reference.Model, onset: int) -> tuple[list[Integers], list[Integers]]:
    """Mean rates of the window, and in how many of its steps p followed V; (samples, neurons) a layer.

    `twin.wins` then says in how many of them a neuron had the highest potential of its cell.
    """
    twin.run(20 - WINDOW, stream=5, onset=onset)
    sums = [np.zeros_like(potential) for potential in twin.potential]
    followed = [np.zeros_like(potential) for potential in twin.potential]
    twin.wins = [np.zeros_like(potential) for potential in twin.potential]
    for t in range(20 - WINDOW, 20):
        twin.run(1, first=t, stream=5, onset=onset)
        for total, count, potential in zip(sums, followed, twin.potential, strict=True):
            total += np.clip(potential, 0, ONE - 1)
            count += (potential > 0) & (potential < ONE - 1)
        for index in {table.source for table in twin.tables if table.pool == "winner"}:
            twin.wins[index] += reference.winners(twin.potential[index], twin.populations[index].shape)
    return [np.minimum((total + WINDOW // 2) // WINDOW, ONE - 1) for total in sums], followed


def answer_step(
    model: Model, twin: reference.Model, rates: list[Integers], followed: list[Integers], beta: float, error_gain: int
) -> None:
    """One step: the rates, in place of the potentials, answer from the top down."""
    sent = [np.zeros_like(rate) for rate in rates]
    nudge = slow_nudge(model, twin, beta)
    for layer in reversed(range(model.layers)):
        shift = drives_from_above(twin, sent, error_gain, graded=True)[layer]
        if layer == model.layers - 1:
            shift = shift + nudge
        answer = np.rint(shift * followed[layer] / WINDOW).astype(np.int64)
        twin.potential[layer] = np.clip(rates[layer] + answer, 0, ONE - 1)
        sent[layer] = twin.potential[layer] - rates[layer]
