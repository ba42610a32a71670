"""Synapse tables against matrices: shapes, bounds, operations, packing, and refusal of what does not fit."""

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from spikesim.engine.synapses import Conv, Dense, Sparse, Table, neurons, pooled
from spikesim.errors import InputError

QUICK = settings(max_examples=50, deadline=None, derandomize=True, database=None)
RNG_SEED = st.integers(0, 2**32 - 1)


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[Conv, reference.Shape, reference.Shape, np.ndarray]:
    """A convolution, the populations that it joins, and integer weights."""
    pool = draw(st.sampled_from([None, "average", "sampled"]))
    side = st.integers(2 if pool else 1, 7)
    source = draw(st.tuples(side, side, st.integers(1, 5)))
    lower = pooled(source) if pool else source
    stride = draw(st.sampled_from([1, 2]))
    sides, frame = [], []
    for side in lower[:2]:
        kernel = draw(st.integers(1, 5))
        fitting = [pad for pad in range(kernel) if side + 2 * pad - kernel >= 0]
        sides.append(kernel if fitting else 1)
        frame.append(draw(st.sampled_from(fitting or [0])))
    kernel, padding = (sides[0], sides[1]), (frame[0], frame[1])
    if sides[0] == sides[1] and frame[0] == frame[1] and draw(st.booleans()):
        kernel, padding = sides[0], frame[0]  # type: ignore[assignment]
    height, width = (
        (side + 2 * pad - own) // stride + 1 for side, own, pad in zip(lower[:2], sides, frame, strict=True)
    )
    target = (height, width, draw(st.integers(1, 5)))
    table = Conv(kernel, padding, pool, stride)
    rng = np.random.default_rng(draw(RNG_SEED))
    weights = rng.integers(-32767, 32768, table.weight_shape(source, target)).astype(np.int16)
    return table, source, target, weights


@QUICK
@given(convolutions())
def test_convolution_is_its_matrix(case: tuple[Conv, reference.Shape, reference.Shape, np.ndarray]) -> None:
    table, source, target, weights = case
    lower = pooled(source) if table.pool else source
    matrix, exists = reference.conv_matrix(weights.astype(np.int64), table.frame, lower, target, table.stride)
    assert table.dense_operations(source, target) == exists.sum()
    images = np.random.default_rng(0).integers(-4096, 4097, (2, *lower))
    np.testing.assert_array_equal(
        table.apply(weights, images).reshape(2, -1), images.reshape(2, -1) @ matrix.T, strict=False
    )
    if table.stride == 1:
        back, flipped = table.reverse_frame, table.transpose(weights).astype(np.int64)
        transposed, _ = reference.conv_matrix(flipped, back, target, lower)
        np.testing.assert_array_equal(transposed, matrix.T)
    forward, backward = table.bounds(weights)
    assert forward >= np.abs(matrix).sum(axis=1).max() and backward >= np.abs(matrix).sum(axis=0).max()
    assert forward <= np.abs(weights.astype(np.int64)).sum() and backward <= np.abs(weights.astype(np.int64)).sum()


@QUICK
@given(case=convolutions(), lanes=st.sampled_from([16, 32, 64]))
def test_packed_convolution_has_each_weight_at_its_address(
    case: tuple[Conv, reference.Shape, reference.Shape, np.ndarray], lanes: int
) -> None:
    """``[block][ky][kx * Cin + channel][lane]``, and nothing but zeros in the padding."""
    table, _, _, weights = case
    height, width, inputs, outputs = weights.shape
    packed = table.pack(weights, lanes).reshape(-1, height, width * inputs, lanes)
    assert packed.dtype == np.int16 and packed.shape[0] == -(-outputs // lanes)
    for (ky, kx, channel, out), weight in np.ndenumerate(weights):
        assert packed[out // lanes, ky, kx * inputs + channel, out % lanes] == weight
    assert np.count_nonzero(packed) == np.count_nonzero(weights)


@pytest.mark.parametrize("pool", [None, "average", "sampled"])
@pytest.mark.parametrize("lanes", [16, 32, 64])
def test_dense_is_its_matrix(pool: str | None, lanes: int) -> None:
    source, target = (4, 5, 3), (2, 3, 17)
    table = Dense(pool)  # type: ignore[arg-type]
    shape = table.weight_shape(source, target)
    assert shape == (neurons(pooled(source)) if pool else neurons(source), neurons(target))
    weights = np.random.default_rng(1).integers(-32767, 32768, shape).astype(np.int16)
    packed = table.pack(weights, lanes, 6).reshape(6, -1, shape[0], lanes)
    for (neuron, to), weight in np.ndenumerate(weights):
        pixel, channel = divmod(to, 17)
        assert packed[pixel, channel // lanes, neuron, channel % lanes] == weight
    assert np.count_nonzero(packed) == np.count_nonzero(weights)
    np.testing.assert_array_equal(table.transpose(weights), weights.T)
    size = np.abs(weights.astype(np.int64))
    assert table.bounds(weights) == (size.sum(axis=0).max(), size.sum(axis=1).max())
    assert table.dense_operations(source, target) == weights.size
    images = np.random.default_rng(2).integers(-4096, 4097, (2, shape[0]))
    np.testing.assert_array_equal(table.apply(weights, images), images @ weights.astype(np.int64))


@QUICK
@given(
    seed=RNG_SEED,
    sources=st.integers(1, 9),
    targets=st.integers(1, 9),
    kind=st.sampled_from(["coo", "csr", "csc", "lil"]),
)
def test_sparse_is_its_matrix(seed: int, sources: int, targets: int, kind: str) -> None:
    """By source, then by target; explicit zeros are synapses, duplicates are added up."""
    rng = np.random.default_rng(seed)
    dense = rng.normal(size=(targets, sources)) * (rng.random((targets, sources)) < 0.4)
    matrix = sparse.coo_array(dense).asformat(kind)
    table = Sparse(matrix)
    columns = np.repeat(np.arange(sources), np.diff(table.pointers))
    assert sorted(zip(columns, table.indices, strict=True)) == list(zip(columns, table.indices, strict=True))
    rebuilt = np.zeros_like(dense)
    rebuilt[table.indices, columns] = table.values
    np.testing.assert_array_equal(rebuilt, dense)
    pointers, by_target, order = table.reverse_order()
    rows = np.repeat(np.arange(targets), np.diff(pointers))
    backwards = np.zeros_like(dense)
    backwards[rows, by_target] = table.values[order]
    np.testing.assert_array_equal(backwards, dense)
    weights = rng.integers(-32767, 32768, len(columns)).astype(np.int16)
    size = np.zeros(dense.shape, np.int64)
    size[table.indices, columns] = np.abs(weights.astype(np.int64))
    assert table.bounds(weights) == (size.sum(axis=1).max(), size.sum(axis=0).max())
    assert table.weight_shape((1, 1, sources), (1, 1, targets)) == (np.count_nonzero(dense),)
    assert table.dense_operations((1, 1, sources), (1, 1, targets)) == np.count_nonzero(dense)


def test_sparse_keeps_explicit_zeros_adds_duplicates_and_copies() -> None:
    values = np.array([0.0, 1.0, 2.0])
    matrix = sparse.coo_array((values, ([1, 0, 0], [0, 2, 2])), shape=(2, 3))
    table = Sparse(matrix)
    values[:] = 9
    assert table.values.tolist() == [0.0, 3.0]
    assert table.indices.tolist() == [1, 0] and table.pointers.tolist() == [0, 1, 1, 2]


def test_pooled_leaves_out_an_odd_last_row_and_column() -> None:
    assert pooled((7, 4, 3)) == (3, 2, 3) and pooled((2, 3, 1)) == (1, 1, 1)


@pytest.mark.parametrize(
    ("table", "source", "target"),
    [
        (Conv((1, 0), 0), (4, 4, 1), (4, 4, 1)),
        (Conv((1, 3), 1), (4, 4, 1), (6, 4, 1)),
        (Conv(0, 0), (4, 4, 1), (4, 4, 1)),
        (Conv(-1, 0), (4, 4, 1), (4, 4, 1)),
        (Conv(3, 3), (4, 4, 1), (8, 8, 1)),
        (Conv(3, -1), (4, 4, 1), (2, 2, 1)),
        (Conv(3, 1), (4, 4, 1), (4, 5, 1)),
        (Conv(3, 1, pool="average"), (4, 4, 1), (4, 4, 1)),
        (Conv(5, 0), (4, 9, 1), (1, 5, 1)),
        (Conv(3, 1, pool="max"), (4, 4, 1), (2, 2, 1)),  # type: ignore[arg-type]
        (Conv(3, 1, pool="average"), (1, 8, 1), (1, 4, 1)),
        (Conv(3, 1, stride=2), (4, 4, 1), (4, 4, 1)),
        (Conv(3, 1, stride=3), (4, 4, 1), (2, 2, 1)),
        (Conv(5, 0, stride=2), (4, 4, 1), (1, 1, 1)),
        (Dense(pool="sampled"), (8, 1, 1), (1, 1, 1)),
        (Dense(pool="none"), (8, 2, 1), (1, 1, 1)),  # type: ignore[arg-type]
        (Sparse(sparse.eye_array(4, 5)), (1, 1, 4), (1, 1, 5)),
        (Sparse(sparse.eye_array(4, 5)), (1, 1, 5), (1, 1, 5)),
    ],
)
def test_shapes_that_do_not_fit_are_refused(table: Table, source: reference.Shape, target: reference.Shape) -> None:
    with pytest.raises(InputError) as raised:
        table.weight_shape(source, target)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("matrix", [np.eye(3), [[1, 0]], None, 3.0])
def test_sparse_wants_a_sparse_matrix(matrix: object) -> None:
    with pytest.raises(InputError, match=r"scipy\.sparse") as raised:
        Sparse(matrix)
    assert "\n" not in str(raised.value)
