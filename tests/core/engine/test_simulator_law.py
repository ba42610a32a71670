"""The compiled loop: what holds of its numbers whatever they are, the adjoint of a table and the law of firing."""

from collections.abc import Callable

import numpy as np
import pytest
import reference
from pairs import Pair, set_spikes, set_state

from spikesim.engine.synapses import Conv, Dense
from spikesim.network import Network
from spikesim.simulator import Simulator

# -- The low pass -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("leak", range(8))
def test_potential_reaches_its_drive_from_both_sides(leak: int) -> None:
    net = Network()
    neurons = net.add_population((1, 1, 48), leak=leak)
    rng = np.random.default_rng(leak)
    drive = rng.integers(-(2**15), 2**17, neurons.neurons)
    compiled = net.compile()
    compiled.set_bias(neurons, drive / reference.ONE)
    simulator = Simulator(compiled, 2)
    start = np.stack([drive + rng.integers(1, 2**17, len(drive)), drive - rng.integers(1, 2**17, len(drive))])
    set_state(simulator, neurons, simulator.state.membrane, start)
    simulator.run(16 * 2**leak)  # a slow leak takes 2**leak steps for each factor of e, and for the last units
    np.testing.assert_array_equal(simulator.potential(neurons).reshape(2, -1), np.stack([drive, drive]))
    simulator.run(3, first=7)
    np.testing.assert_array_equal(simulator.potential(neurons).reshape(2, -1), np.stack([drive, drive]))


@pytest.mark.parametrize("leak", [1, 3, 7])
def test_low_pass_is_that_of_real_numbers(leak: int) -> None:
    """Of drives that fluctuate: on average over neurons there is no bias, and no neuron is off by more than the last
    2**leak roundings together."""
    steps, neurons, size = 600, 256, 20
    net = Network()
    stream, cells = net.add_spike_input((1, 1, size)), net.add_population((1, 1, neurons), leak=leak)
    connection = net.connect(stream, cells, Dense())
    rng = np.random.default_rng(leak)
    compiled = net.compile()
    compiled.set_weights(connection, rng.uniform(0, 0.3, (size, neurons)))
    spikes = rng.random((1, steps, 1, 1, size)) < 0.3
    simulator = Simulator(compiled, 1)
    simulator.set_input_spikes(stream, spikes)
    sums = spikes.reshape(steps, size) @ (connection.integers * 2.0 ** (16 - connection.exponent))
    drives = np.floor(sums + 0.5)
    exact, errors = np.zeros(neurons), []
    for t in range(steps):
        exact += (drives[t] - exact) / 2**leak
        simulator.run(1, first=t)
        errors.append(simulator.potential(cells).ravel() - exact)
    late = np.stack(errors[-256:])
    assert np.abs(late).max() <= 2**leak
    assert abs(late.mean()) < 0.25, "rounding down would make this (2**leak - 1) / 2"


# -- The transpose identity -------------------------------------------------------------------------------------------


def raw_sums(pair: Pair, connection, z, y, step: int, graded: bool) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[no-untyped-def]
    """W z and W' y as raw integer sums, through the engine's delivery: one step with leak 0 and shifts of 0."""
    simulator, _ = pair.build(len(z), "mean-field" if graded else "iid")
    tables = simulator.compiled.plan.tables
    tables["shift"] = tables["shift_graded"] = 0
    for population, values in ((connection.source, z), (connection.target, y)):
        simulator.compiled.set_bias(population, np.zeros(population.shape[2]))
        set_spikes(simulator, population, values > 0)
        if graded:
            set_state(simulator, population, simulator.state.membrane, values)
    simulator.run(1, first=step)
    return tuple(
        simulator.potential(population).reshape(len(z), -1).astype(np.int64)
        for population in (connection.target, connection.source)
    )  # type: ignore[return-value]


def tables_to_transpose() -> list[tuple[str, Callable[[Pair], object]]]:
    def conv(kernel: int, padding: int, pool: str | None, channels: tuple[int, int]) -> Callable[[Pair], object]:
        def connect(pair: Pair) -> object:
            change = 2 * padding - kernel + 1
            height, width = (side // (2 if pool else 1) + change for side in (7, 6))
            lower = pair.population(7, 6, channels[0], leak=0)
            upper = pair.population(height, width, channels[1], leak=0)
            return pair.connect(lower, upper, Conv(kernel, padding, pool=pool), tied=True)  # type: ignore[arg-type]

        return connect

    def dense(pool: str | None) -> Callable[[Pair], object]:
        def connect(pair: Pair) -> object:
            lower, upper = pair.population(3, 4, 17, leak=0), pair.population(2, 1, 33, leak=0)
            return pair.connect(lower, upper, Dense(pool=pool), tied=True)  # type: ignore[arg-type]

        return connect

    def sparse(pair: Pair) -> object:
        lower, upper = pair.population(3, 4, 17, leak=0), pair.population(2, 1, 33, leak=0)
        return pair.connect(lower, upper, pair.sparse(lower, upper), tied=True)

    return [
        ("conv", conv(3, 1, None, (3, 33))),
        ("conv without padding", conv(3, 0, None, (17, 5))),
        ("wide conv", conv(5, 4, None, (2, 65))),
        ("average", conv(3, 1, "average", (17, 16))),
        ("sampled", conv(3, 2, "sampled", (5, 33))),
        ("dense", dense(None)),
        ("dense average", dense("average")),
        ("dense sampled", dense("sampled")),
        ("sparse", sparse),
    ]


@pytest.mark.parametrize("graded", [False, True], ids=["spikes", "graded"])
@pytest.mark.parametrize(
    ("name", "connect"), tables_to_transpose(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_transpose_identity(name: str, connect: Callable[[Pair], object], graded: bool) -> None:
    """<W z, y> == <z, W' y> in integers. Sampled pooling: its four turns together are the sum over the cells."""
    pair = Pair(31)
    connection = connect(pair)
    rng = np.random.default_rng(32)
    z, y = (
        rng.integers(0, 60, (4, population.neurons)) * (rng.random((4, population.neurons)) < 0.3)
        if graded
        else (rng.random((4, population.neurons)) < 0.3).astype(np.int64)
        for population in (connection.source, connection.target)  # type: ignore[attr-defined]
    )
    turns = range(4) if "sampled" in name and not graded else range(1)
    forward = np.zeros_like(y)
    for turn in turns:
        sums, backward = raw_sums(pair, connection, z, y, turn, graded)
        forward += sums
    left, right = (forward * y).sum(axis=1), (z * backward).sum(axis=1)
    assert left.any()
    np.testing.assert_array_equal(left, right)


# -- Statistics -------------------------------------------------------------------------------------------------------


def record(
    firing: str,
    steps: int,
    probabilities: np.ndarray,
    *,
    streams: int = 1,
    layers: int = 1,
    shape: tuple[int, int, int] | None = None,
) -> np.ndarray:
    """Spikes (streams, layers, steps, samples, neurons) at constant probabilities (samples, neurons), 16 bits."""
    samples, neurons = probabilities.shape
    net = Network()
    populations = [net.add_population(shape or (2, neurons // 32, 16), leak=0) for _ in range(layers)]
    compiled = net.compile(external=tuple(populations))
    simulator = Simulator(compiled, samples, firing=firing, seed=2024)  # type: ignore[arg-type]
    for population in populations:
        simulator.set_external(population, probabilities.reshape(samples, *population.shape) / reference.ONE)
    spikes = np.empty((streams, layers, steps, samples, neurons), bool)
    for stream in range(streams):
        for t in range(steps):
            simulator.run(1, stream=stream, first=t)
            for layer, population in enumerate(populations):
                spikes[stream, layer, t] = simulator.spikes(population).reshape(samples, -1)
    return spikes


@pytest.mark.parametrize("firing", ["iid", "stratified"])
def test_firing_frequency_is_the_probability(firing: str) -> None:
    """Two-sided binomial tails below 1e-10 for each of 1,024 neurons: a false alarm in 5e6 trials."""
    from scipy.stats import binom

    probabilities = np.linspace(0, 2**16, 1024).astype(np.int64).reshape(4, 256)
    steps = 640
    if firing == "iid":
        spikes = record(firing, steps, probabilities)
    else:  # a phase holds one draw: many phases of one step
        spikes = record(firing, 1, probabilities, streams=steps)
    p_clipped = np.minimum(probabilities, reference.P_MAX) / reference.ONE
    counts = spikes.sum(axis=(0, 1, 2))
    assert (binom.cdf(counts, steps, p_clipped) > 1e-10).all()
    assert (binom.sf(counts - 1, steps, p_clipped) > 1e-10).all()
    assert not counts[p_clipped == 0].any()


def test_stratified_counts_are_within_one_of_the_mean() -> None:
    probabilities = np.linspace(0, 2**16 - 1, 512).astype(np.int64).reshape(2, 256)
    spikes = record("stratified", 256, probabilities)[0, 0]
    for first, steps in (
        (0, 16),
        (16, 16),
        (8, 8),
        (128, 64),
        (0, 256),
        (5, 16),
        (41, 64),
        (3, 2),
    ):  # any 2**j in a row
        counts = spikes[first : first + steps].sum(axis=0)
        assert (np.abs(counts * reference.ONE - steps * probabilities) < reference.ONE).all()


def test_stratified_counts_of_a_cell_are_within_one_of_the_mean() -> None:
    """Of four neurons with equal p in neighbouring pixels; of cells at an odd border, of those that are there."""
    height, width, channels = 5, 4, 64
    cell = np.linspace(0, 2**16 - 1, 6 * channels).astype(np.int64).reshape(3, 2, channels)
    probabilities = cell[np.arange(height) // 2][:, np.arange(width) // 2]
    spikes = record("stratified", 64, probabilities.reshape(1, -1), shape=(height, width, channels))[0, 0, :, 0]
    by_cell = spikes.reshape(64, height, width, channels)[:, :4].reshape(64, 2, 2, 2, 2, channels).sum(axis=(2, 4))
    for first, steps in ((0, 1), (7, 1), (2, 2), (4, 4), (16, 16), (0, 64)):  # from a multiple of their number
        counts = by_cell[first : first + steps].sum(axis=0)
        assert (np.abs(counts * reference.ONE - 4 * steps * cell[:2]) < reference.ONE).all()
    border = spikes.reshape(64, height, width, channels)[:, 4].sum(axis=0)
    assert (np.abs(border * reference.ONE - 64 * probabilities[4]) < reference.ONE).all()


@pytest.mark.parametrize("firing", ["iid", "stratified"])
def test_spikes_are_uncorrelated(firing: str) -> None:
    """Between neurons, samples, layers and streams; with iid firing also between steps and within cells.

    Normalized sums of n products are standard normal: 7.5 sigma in 3e5 pairs are seen once in 5e7 trials.
    """
    probabilities = np.full((4, 64), 2**15)
    steps = 512 if firing == "iid" else 1
    streams = 2 if firing == "iid" else 512  # stratified firing draws once a phase and neuron
    shape = (2, 2, 16) if firing == "iid" else (1, 1, 64)  # in a cell of pixels they share a draw
    spikes = record(firing, steps, probabilities, streams=streams, layers=2, shape=shape)
    signs = np.where(spikes, 1.0, -1.0)
    trials = (
        signs.swapaxes(1, 2).reshape(streams * steps, -1)
        if firing == "stratified"
        else np.concatenate([signs[0], signs[1]], axis=0).transpose(1, 0, 2, 3).reshape(steps, -1)
    )
    correlation = trials.T @ trials / np.sqrt(len(trials))
    np.fill_diagonal(correlation, 0)
    assert np.abs(correlation).max() < 7.5
    if firing == "iid":
        for lag in (1, 2, 4, 8, 16):
            lagged = (trials[lag:] * trials[:-lag]).sum(axis=0) / np.sqrt(steps - lag)
            assert np.abs(lagged).max() < 7.5


def linear_net() -> tuple[Pair, np.ndarray, np.ndarray]:
    """A contractive net whose fixed point lies in the linear range; coupling matrix and constant drive in floats."""
    pair = Pair(41)
    lower, upper = pair.population(4, 4, 6, leak=4, bias=(0.4, 0.5)), pair.population(2, 2, 8, leak=4, bias=(0.4, 0.5))
    connection = pair.connect(lower, upper, Conv(3, 1, pool="average"), tied=True, gain=0.12)
    weights = pair.weights[0][1]
    table = pair.matrix(connection, weights)
    pool = np.stack([reference.to_four_cells(row[None], lower.shape)[0] for row in np.eye(24, dtype=np.int64)]) / 4
    forward = table.weights * 2.0**-table.exponent @ pool
    n = lower.neurons
    coupling = np.zeros((n + upper.neurons,) * 2)
    coupling[n:, :n], coupling[:n, n:] = forward, forward.T
    constant = np.concatenate([np.tile(pair.biases[0], 16), np.tile(pair.biases[1], 4)])
    assert np.abs(np.linalg.eigvalsh(coupling)).max() < 0.8
    return pair, coupling, constant


def fixed_point(coupling: np.ndarray, constant: np.ndarray) -> np.ndarray:
    probability = np.zeros(len(constant))
    for _ in range(500):
        probability = np.clip(constant + coupling @ probability, 0, 1)
    return probability


def test_mean_field_reaches_the_fixed_point() -> None:
    """p = clip(u(p)), but for rounding of the drives: at most 2 units, amplified by 1 / (1 - 0.8)."""
    pair, coupling, constant = linear_net()
    simulator, _ = pair.build(1, "mean-field")
    simulator.run(800, window=2)
    rates = np.concatenate([simulator.rates(population).ravel() for population in pair.network.populations])
    assert not simulator.counts.residual.any(), "settled to the last bit"
    bound = 5 * 2 / reference.ONE
    assert np.abs(rates - fixed_point(coupling, constant)).max() < bound


@pytest.mark.parametrize("firing", ["iid", "stratified"])
def test_stochastic_averages_approach_the_mean_field(firing: str) -> None:
    """Within 6 standard errors of independent spikes; stratified firing is much closer than that."""
    pair, coupling, constant = linear_net()
    window = 4096
    simulator, _ = pair.build(1, firing)
    simulator.run(window + 200, window=window)
    rates = np.concatenate([simulator.rates(population).ravel() for population in pair.network.populations])
    target = fixed_point(coupling, constant)
    assert (target > 0.25).all() and (target < 0.75).all(), "p must stay away from the clipping"
    # linear response: the rates deviate by (1 - W)^-1 W times the deviation of the spike averages from their p
    response = np.linalg.solve(np.eye(len(target)) - coupling, coupling)
    error = np.sqrt(response**2 @ (target * (1 - target)) / window)
    rounding = 5 * 2 / reference.ONE
    deviation = np.abs(rates - target)
    assert (deviation < 6 * error + rounding).all()
    assert error.max() < 0.01, "the bound must mean something"
