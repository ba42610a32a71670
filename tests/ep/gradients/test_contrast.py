"""The contrast in exact integers: against Python's integers and naive loops."""

import itertools
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import small
from gradient_cases import SAMPLES, STACKS, WINDOW, naive, random_rates, stack, sum_cells
from numpy.typing import NDArray

from spikesim.ep.gradients import contrast as co
from spikesim.ep.gradients.correlation import Correlation
from spikesim.ep.gradients.presynaptic import Rows
from spikesim.ep.gradients.scheme import NudgingScheme, comparison_of
from spikesim.ep.network.model import Model
from spikesim.numerics.fixed_point import ONE


def one_phase(
    model: Model,
    layer: int,
    images: NDArray[np.int16],
    sums: NDArray[np.int32],
    before: NDArray[np.int32] | None = None,
) -> Correlation:
    """The correlation, in memory that held something else."""
    edge = model.graph.edges[layer]
    rows = co.presynaptic_rows(model, edge, images, sums if before is None else before)
    *rest, channels = edge.shape
    out = Correlation(np.full((channels, *rest), 7, np.int64), np.full(channels, 7, np.int64))
    return co.phase_correlation(model, edge, sums, rows, out=out)


def contrast(
    model: Model,
    layer: int,
    images: NDArray[np.int16],
    plus: NDArray[np.int32],
    minus: NDArray[np.int32],
    rule: str = "symmetric",
    channels: slice | None = None,
) -> Correlation:
    edge, rates = model.graph.edges[layer], {"plus": plus, "minus": minus, "free": plus[:0]}
    dynamics = small.make(small.CONV, dynamics__rule=rule).dynamics
    scheme = NudgingScheme(comparison_of(dynamics), False, rule == "symmetric", False, dynamics)
    seen = [rates[name] for name in scheme.presynaptic(edge)]
    rows = co.presynaptic_rows(model, edge, images, *seen) if seen else None
    return co.contrast(model, edge, [plus, minus], rows, channels)


@pytest.fixture(params=STACKS)
def model(request: pytest.FixtureRequest) -> Model:
    return stack(request.param)[1]


@pytest.mark.parametrize("below", [2**15, WINDOW * ONE, 2**26])
def test_correlations_agree_with_naive_loops(model: Model, below: int) -> None:
    """Also where terms fit 16 bits, and where 32 bits hold the products of a few positions only."""
    images = np.random.default_rng(9).integers(-(2**15), 2**15, (SAMPLES, 7, 5, 2)).astype(np.int16)
    plus, minus = random_rates(model, 0, below), random_rates(model, 1, below)
    for layer in range(model.layers):
        expected = []
        for sums in (plus, minus):
            post = model.layer_maps(layer, sums).astype(np.int64)
            pre = images.astype(np.int64)
            if layer:
                pre = model.layer_maps(layer - 1, sums).astype(np.int64)
                pre = sum_cells(pre) if model.graph.edges[layer].pooled else pre
            expected.append((naive(model, layer, pre, post), post.sum(axis=(0, 1, 2))))
            found = one_phase(model, layer, images, sums)
            np.testing.assert_array_equal(found.as_weights(), expected[-1][0])
            np.testing.assert_array_equal(found.bias, expected[-1][1])
        difference = contrast(model, layer, images, plus, minus)
        np.testing.assert_array_equal(difference.as_weights(), expected[0][0] - expected[1][0])
        np.testing.assert_array_equal(difference.bias, expected[0][1] - expected[1][1])


@pytest.mark.parametrize("nudging", ["centered", "one-sided"])
def test_the_postsynaptic_rule_agrees_with_naive_loops(model: Model, nudging: str) -> None:
    images = np.random.default_rng(9).integers(-(2**15), 2**15, (SAMPLES, 7, 5, 2)).astype(np.int16)
    plus, minus = random_rates(model, 0), random_rates(model, 1)
    for layer in range(model.layers):
        one, other = (model.layer_maps(layer, sums).astype(np.int64) for sums in (plus, minus))
        pre = images.astype(np.int64)
        if layer:
            before = plus + minus if nudging == "centered" else minus
            pre = model.layer_maps(layer - 1, before).astype(np.int64)
            pre = sum_cells(pre) if model.graph.edges[layer].pooled else pre
        expected = naive(model, layer, pre, one - other)
        if nudging == "centered":
            found = contrast(model, layer, images, plus, minus, "postsynaptic").as_weights()
        else:
            parts = [one_phase(model, layer, images, sums, minus).as_weights() for sums in (plus, minus)]
            found = parts[0] - parts[1]
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("rule", ["symmetric", "postsynaptic"])
def test_splitting_the_samples_changes_no_bit(model: Model, rule: str) -> None:
    images = np.random.default_rng(9).integers(-(2**15), 2**15, (SAMPLES, 7, 5, 2)).astype(np.int16)
    plus, minus = random_rates(model, 0), random_rates(model, 1)
    for layer in range(model.layers):
        whole = contrast(model, layer, images, plus, minus, rule)
        for cuts in ((0, 1, 5), (0, 2, 3, 5)):
            parts = [
                contrast(model, layer, images[a:b], plus[a:b], minus[a:b], rule) for a, b in itertools.pairwise(cuts)
            ]
            np.testing.assert_array_equal(sum(part.weights for part in parts), whole.weights)
            np.testing.assert_array_equal(sum(part.bias for part in parts), whole.bias)


@pytest.mark.parametrize("rule", ["symmetric", "postsynaptic"])
@pytest.mark.parametrize("kind", [small.CONV, {"kind": "dense"}])
def test_splitting_the_channels_changes_no_bit(
    rule: str, kind: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pieces of one block of channels each, the last of them half empty."""
    model = Model(small.make(small.CONV, {**kind, "channels": 43}), small.make_dataset(size=(7, 5), channels=2))
    lanes = model.graph.populations[1].lanes
    assert 2 * lanes < 43 < 3 * lanes
    images = np.random.default_rng(9).integers(-(2**15), 2**15, (SAMPLES, 7, 5, 2)).astype(np.int16)
    plus, minus = random_rates(model, 0), random_rates(model, 1)
    whole = contrast(model, 1, images, plus, minus, rule)
    monkeypatch.setattr(co, "WEIGHTS", 1)
    cuts = [piece.channels for piece in co.pieces(model, SAMPLES) if piece.edge.target == 1]
    assert len(cuts) == 3
    parts = [contrast(model, 1, images, plus, minus, rule, channels=cut) for cut in cuts]
    np.testing.assert_array_equal(np.concatenate([part.weights for part in parts]), whole.weights)
    np.testing.assert_array_equal(np.concatenate([part.bias for part in parts]), whole.bias)


@pytest.mark.parametrize("samples", [1, 41, 1500])
def test_pieces_cover_every_channel_and_sample_once(model: Model, samples: int) -> None:
    seen = [np.zeros((samples, population.shape[2]), int) for population in model.graph.populations]
    for piece in co.pieces(model, samples):
        assert piece.samples.start < piece.samples.stop <= samples
        assert piece.channels.start < piece.channels.stop <= seen[piece.edge.target].shape[1]
        seen[piece.edge.target][piece.samples, piece.channels] += 1
    assert all((counts == 1).all() for counts in seen)


@pytest.mark.parametrize("threads", [1, 4])
def test_rows_are_made_once_for_all_channels_and_not_kept(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Model(small.make(small.CONV, {**small.CONV, "channels": 90}), small.make_dataset(size=(7, 5), channels=2))
    monkeypatch.setattr(co, "WEIGHTS", 1)
    monkeypatch.setattr(co, "TERMS", 40)
    pieces = list(co.pieces(model, SAMPLES))
    plus = random_rates(model, 0)
    images = np.zeros((SAMPLES, 7, 5, 2), np.int16)
    made = []

    def make(piece: co.Piece) -> Rows:
        made.append((piece.edge.index, piece.samples.start))
        return co.presynaptic_rows(model, piece.edge, images[piece.samples], plus[piece.samples])

    shared = co.SharedRows(pieces)
    with ThreadPoolExecutor(threads) as executor:
        found = list(executor.map(lambda piece: shared.of(piece, lambda: make(piece)), pieces))
    assert len(made) == len(set(made)) < len(pieces)
    for piece, rows in zip(pieces, found, strict=True):
        expected = co.presynaptic_rows(model, piece.edge, images[piece.samples], plus[piece.samples])
        assert rows is not None
        np.testing.assert_array_equal(rows.rates.low, expected.rates.low)
    kept = [weakref.ref(rows.rates.low) for rows in found if rows is not None]
    del found, rows
    assert all(reference() is None for reference in kept)
