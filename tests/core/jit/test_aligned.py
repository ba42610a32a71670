"""Arrays that begin at a cache line."""

import numpy as np
import pytest
from numpy.typing import DTypeLike
from pairs import Pair

from spikesim.engine.synapses import Conv
from spikesim.jit.aligned import LINE, aligned_zeros


@pytest.mark.parametrize("shape", [7, (7,), (3, 0), (0,), (2, 3, 5), (1000, 100)])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float64])
def test_zeros_of_any_shape(shape: int | tuple[int, ...], dtype: DTypeLike) -> None:
    array = aligned_zeros(shape, dtype)
    expected = np.zeros(shape, dtype)
    assert array.dtype == expected.dtype and array.shape == expected.shape and not array.any()
    assert array.flags.c_contiguous and array.flags.writeable
    assert array.size == 0 or array.ctypes.data % LINE == 0


def test_vectors_of_the_state_and_the_weights_are_read_from_one_line() -> None:
    pair = Pair(1)
    lower, upper = pair.population(5, 5, 20), pair.population(5, 5, 64)
    pair.connect(lower, upper, Conv(3, 1), tied=True)
    simulator, _ = pair.build(3, "stratified")
    state = simulator.state
    for array in (state.membrane[0], state.membrane[1], state.window[1, 2], simulator.compiled.plan.weights):
        assert array.ctypes.data % LINE == 0
