"""An estimate of the energy of a run from its operation counters."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["EnergyModel"]


@dataclass(frozen=True)
class EnergyModel:
    """Energy charged for each operation that the simulator counts.

    Only the arithmetic of synapses is charged: one accumulate for a synaptic event, one multiply-accumulate for a
    synapse with a graded input. Memory traffic, the updates of the neurons, random numbers, the read-out and the
    optimizer are left out, so the estimate compares runs and layers; it is not the consumption of a device.

    Attributes
    ----------
    name : str
        Short name of the assumption.
    accumulate_joule : float
        Energy of one accumulate, in joules.
    multiply_accumulate_joule : float
        Energy of one multiply-accumulate, in joules.
    source : str
        Where the two numbers come from.
    """

    name: str = "45 nm float32"
    accumulate_joule: float = 0.9e-12
    multiply_accumulate_joule: float = 4.6e-12
    source: str = "Horowitz, ISSCC 2014, 45 nm, 32-bit float"

    def estimate(self, events: ArrayLike, macs: ArrayLike, updates: ArrayLike = 0) -> NDArray[Any]:
        """Energy of synaptic events and multiply-accumulates.

        Parameters
        ----------
        events : array_like of int
            Effective accumulates (synaptic events), any shape.
        macs : array_like of int
            Effective multiply-accumulates, a shape that broadcasts with `events`.
        updates : array_like of int
            Updates of neurons, which cost nothing here.

        Returns
        -------
        ndarray of float64
            Joules, of the broadcast shape.
        """
        accumulates = np.asarray(events, dtype=np.float64) * self.accumulate_joule
        multiplies = np.asarray(macs, dtype=np.float64) * self.multiply_accumulate_joule
        return np.asarray(accumulates + multiplies)
