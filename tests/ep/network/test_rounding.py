"""Weights in few bits: the finest power of two that holds them, and what the engine makes of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small import CONV, DENSE, POOLED, make, make_dataset, random_parameters

from spikesim.ep.network.model import Model
from spikesim.ep.network.rounding import BITS_ENGINE, BITS_MIN, round_parameters, round_weights, zero_weights
from spikesim.errors import InputError
from spikesim.numerics.fixed_point import EXPONENT_MAX
from spikesim.numerics.quantization import quantize_weights

QUICK = settings(deadline=None, derandomize=True, database=None, max_examples=60)
BITS = st.integers(BITS_MIN, BITS_ENGINE)


@QUICK
@given(st.lists(st.floats(-8000, 8000, width=32), min_size=1, max_size=9), st.integers(-40, 0), BITS)
def test_the_finest_power_of_two_that_holds_all(values, power, bits):
    weights = np.ldexp(np.array(values, np.float32), power)
    found, limit = round_weights(weights, bits), 2 ** (bits - 1) - 1
    assert np.abs(found.integers).max() <= limit and found.exponent <= EXPONENT_MAX
    assert (np.abs(found.values.astype(float) - weights) <= 2.0 ** (-found.exponent - 1)).all()
    if found.exponent < EXPONENT_MAX:
        assert round(float(np.abs(weights).max()) * 2.0 ** (found.exponent + 1)) > limit
    integers, exponent = quantize_weights(found.values)  # the engine holds them as they are
    np.testing.assert_array_equal(np.ldexp(integers.astype(np.float32), -exponent), found.values)


def test_halves_go_to_even_and_sixteen_bits_are_those_of_the_engine():
    weights = np.array([0.875, 0.125, 0.375, -0.625], np.float32)
    assert round_weights(weights, 3).integers.tolist() == [2, 0, 1, -1]  # 3.5 would round to 4: a step of 1/2
    assert round_weights(weights, 4).integers.tolist() == [7, 1, 3, -5]
    assert round_weights(np.array([3.0, 0.5, 1.5, 2.5], np.float32), 3).integers.tolist() == [3, 0, 2, 2]
    weights = np.random.default_rng(0).normal(0, 0.3, (3, 3, 2, 4)).astype(np.float32)
    found, (integers, exponent) = round_weights(weights, BITS_ENGINE), quantize_weights(weights)
    assert found.exponent == exponent and (found.integers == integers).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e5])
def test_weights_that_the_engine_refuses(bad):
    with pytest.raises(InputError, match=r"^weights of conv1 "):
        round_weights(np.array([0.1, bad]), 8, "weights of conv1")


def test_all_weights_of_a_network_and_no_biases():
    model = Model(make(POOLED, CONV, DENSE), make_dataset(size=6, channels=2))
    parameters = random_parameters(model)
    before, after = parameters.leaves(), round_parameters(parameters, 4).leaves()
    assert before.keys() == after.keys()
    for name, array in after.items():
        if name.endswith("/bias"):
            assert (array == before[name]).all()
        else:
            assert len(np.unique(array)) <= 15 < len(np.unique(before[name])), name
    zeros = [array == 0 for name, array in after.items() if name.endswith("/weight") and not name.startswith("head")]
    assert zero_weights(round_parameters(parameters, 4)) == sum(own.sum() for own in zeros) / sum(
        own.size for own in zeros
    )
    tables = []
    for bits in (BITS_ENGINE, None):  # the same tables as without rounding
        model.set_parameters(parameters if bits is None else round_parameters(parameters, bits))
        tables.append([(edge.connection.exponent, edge.connection.integers) for edge in model.graph.edges])
    for (first, integers), (second, others) in zip(*tables, strict=True):
        assert first == second and (integers == others).all()
