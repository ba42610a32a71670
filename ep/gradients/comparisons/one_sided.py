"""+beta against the free phase (Scellier & Bengio 2017): one nudged phase, an error of first order in beta."""

from typing import ClassVar

from spikesim.ep.config.sections import DynamicsSettings
from spikesim.ep.gradients.comparisons.comparison import Comparison


class OneSided(Comparison):
    """One nudged phase, compared with the free one."""

    second: ClassVar[str | None] = "free"

    def distance(self, beta: float) -> float:
        return beta

    def windows(self, dynamics: DynamicsSettings) -> tuple[int, int]:
        return dynamics.nudged_window, dynamics.window_free
