"""Memory that mini-batches use again: fresh pages cost several times what is written into them."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Buffers:
    """Arrays by name; whoever takes one again gets the same memory."""

    def __init__(self) -> None:
        self._memory: dict[str, NDArray[Any]] = {}

    def take(self, name: str, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        """An array with arbitrary content, whose memory is that of the last array of this name, if it is large enough.

        Different threads may take arrays of different names.
        """
        size = math.prod(shape)
        found = self._memory.get(name)
        if found is None or found.size < size or found.dtype != dtype:
            found = self._memory[name] = np.empty(size, dtype)
        return found[:size].reshape(shape)
