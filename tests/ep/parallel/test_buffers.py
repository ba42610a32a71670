"""Memory that is used again."""

import numpy as np

from spikesim.ep.parallel.buffers import Buffers


def test_the_same_name_is_the_same_memory_while_it_is_large_enough() -> None:
    buffers = Buffers()
    first = buffers.take("sums", (3, 4), np.int64)
    first[...] = np.arange(12).reshape(3, 4)
    again = buffers.take("sums", (2, 3), np.int64)
    assert np.shares_memory(first, again) and again.tolist() == [[0, 1, 2], [3, 4, 5]]
    larger = buffers.take("sums", (20,), np.int64)
    assert not np.shares_memory(first, larger) and first[2, 3] == 11
    assert np.shares_memory(larger, buffers.take("sums", (3, 4), np.int64))


def test_other_names_and_kinds_are_other_memory() -> None:
    buffers = Buffers()
    one, two = (buffers.take(name, (4,), np.int64) for name in "ab")
    three = buffers.take("a", (4,), np.float32)
    assert three.dtype == np.float32 and one.flags.c_contiguous
    assert not any(np.shares_memory(*pair) for pair in ((one, two), (one, three), (two, three)))
