"""Learning by phases in recurrent networks: equilibrium propagation outside of stacks of layers.

Imports `sparse.simulation`, `sparse.network` and `plasticity`; scripts import it.
"""

from spikesim.sparse.learning.equilibrium import Contrast, EquilibriumPropagation, Phases

__all__ = ["Contrast", "EquilibriumPropagation", "Phases"]
