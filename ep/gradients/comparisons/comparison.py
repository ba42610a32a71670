"""What a comparison of phases has to say; each is a file of this folder."""

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from spikesim.ep.config.sections import DynamicsSettings
from spikesim.ep.phases.workspace import Workspace

__all__ = ["Comparison"]


class Comparison(ABC):
    """Which phases the contrast of a mini-batch compares.

    Attributes
    ----------
    nudged_phases : int
        How many a sample runs through: the first with the sign of the mini-batch, a second with the other.
    second : str or None
        Whose window sums are subtracted from those of the first nudged phase: "minus", those of the second nudged
        phase; "free"; None: nothing, for `collect` leaves deviations.
    """

    nudged_phases: ClassVar[int] = 1
    second: ClassVar[str | None] = None

    def sign(self, seed: int, epoch: int, batch: int) -> int:
        """Sign of the first nudge of a mini-batch, 1 or -1."""
        return 1

    @abstractmethod
    def distance(self, beta: float) -> float:
        """Difference of the nudges of the compared phases; `beta` with the sign of the first."""

    @abstractmethod
    def windows(self, dynamics: DynamicsSettings) -> tuple[int, int]:
        """Steps of the windows of the compared phases."""

    def collect(self, workspace: Workspace, n: int, out: NDArray[np.int32]) -> None:
        """What is compared of a nudged phase that n samples have just ended, int32 (n, state size)."""
        workspace.window_sums(n, out)
