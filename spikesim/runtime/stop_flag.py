"""The flag by which work that takes long is asked to end."""

import numpy as np

__all__ = ["StopFlag"]


class StopFlag:
    """Set in a signal handler or by any thread; Python asks for it as a condition, compiled loops read its array.

    Attributes
    ----------
    array : uint8 (1,)
        Not zero once a stop is asked for.
    """

    def __init__(self) -> None:
        self.array = np.zeros(1, np.uint8)

    def set(self) -> None:
        """Ask for a stop."""
        self.array[0] = 1

    def clear(self) -> None:
        """Begin anew."""
        self.array[0] = 0

    def __bool__(self) -> bool:
        """Whether a stop is asked for."""
        return bool(self.array[0])
