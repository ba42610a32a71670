"""The flag that asks for a stop: seen by Python and by compiled loops."""

import numpy as np

from spikesim.jit.compilation import kernel
from spikesim.runtime.stop_flag import StopFlag


@kernel
def is_set(stop):  # type: ignore[no-untyped-def]
    """What a compiled loop sees."""
    return stop[0] != 0


def test_it_is_seen_by_python_and_by_compiled_loops() -> None:
    flag = StopFlag()
    array = flag.array
    assert not flag and not is_set(array)
    flag.set()
    assert flag and is_set(array)
    flag.clear()
    assert not flag and not is_set(array)
    assert array.dtype == np.uint8 and flag.array is array
