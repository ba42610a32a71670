"""One nudged phase of graded events with a random sign, compared with the mean rates that it started from.

Graded errors have no noise, so that a single nudged phase is enough: what it moves is the deviation d of each rate from
its mean in the free phase, and the gradient is -d (x) Pool(r) / beta. The error of first order in beta changes its sign
with beta, which is drawn a mini-batch, and averages out (Laborieux et al. 2021). Half of the nudged phases are saved,
and the contrast is one correlation, as with two of them.
"""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from spikesim.ep.config.sections import DynamicsSettings
from spikesim.ep.gradients.comparisons.random_sign import RandomSign
from spikesim.ep.phases.nudged.mean_rates import deviations
from spikesim.ep.phases.workspace import Workspace


class Deviation(RandomSign):
    """The sums that are compared are those of deviations, so that nothing is subtracted from them."""

    second: ClassVar[str | None] = None

    def windows(self, dynamics: DynamicsSettings) -> tuple[int, int]:
        return dynamics.nudged_window, dynamics.nudged_window

    def collect(self, workspace: Workspace, n: int, out: NDArray[np.int32]) -> None:
        rates, steps = workspace.group.membrane, np.int32(workspace.dynamics.nudged_window)
        deviations(workspace.state.window, rates, steps, out)
