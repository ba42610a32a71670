"""What a way to respond to a nudge has to say; each is a file of this folder."""

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from spikesim.engine.phase import Window
from spikesim.engine.state import State
from spikesim.ep.network.model import Model
from spikesim.ep.phases.nudged.group import Group
from spikesim.ep.phases.nudged.head_nudges import Nudge

__all__ = ["NudgeResponse"]


class NudgeResponse(ABC):
    """How the network responds to a nudge in the nudged phases.

    Attributes
    ----------
    spiking : bool
        Whether neurons spike in the nudged phases, with the noise of that.
    counts_followed : bool
        Whether it needs the steps of the free phase's window in which p followed the potential.
    """

    spiking: ClassVar[bool] = True
    counts_followed: ClassVar[bool] = False

    def extended(self, model: Model, state: State) -> State:
        """The state of a group with the arrays that the nudged phases need besides."""
        return state

    @abstractmethod
    def keep(self, group: Group, n: int) -> NDArray[np.int64]:
        """Keep where the free phase of the first n samples, which has just ended, leaves the nudged phases.

        Returns
        -------
        int64 (L,)
            Multiply-accumulates that it took, by layer.
        """

    @abstractmethod
    def run(self, group: Group, n: int, stream: int, window: Window, nudge: Nudge, stop: NDArray[np.uint8]) -> bool:
        """A nudged phase of the first n samples from the state they are in; False: stopped in the middle.

        Parameters
        ----------
        stream : int
            Stream of random numbers.
        window : Window
            Steps of the phase and of its window.
        """
