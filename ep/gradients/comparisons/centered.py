"""+beta against -beta: the error of the estimate is of second order in beta (Laborieux et al. 2021)."""

from spikesim.ep.config.sections import DynamicsSettings
from spikesim.ep.gradients.comparisons.comparison import Comparison


class Centered(Comparison):
    """Two nudged phases with opposite signs."""

    nudged_phases = 2
    second = "minus"

    def distance(self, beta: float) -> float:
        return 2.0 * abs(beta)

    def windows(self, dynamics: DynamicsSettings) -> tuple[int, int]:
        return dynamics.nudged_window, dynamics.nudged_window
