"""Learning by phases in recurrent networks: equilibrium propagation outside of stacks of layers.

`equilibrium` learns, `described` and `samples` read what a TOML file says of it, `job` runs that.

Imports `sparse`, `plasticity`, `files` and `io`; `cli` and scripts import it.
"""

from spikesim.sparse.learning.equilibrium import Contrast, EquilibriumPropagation, Phases

__all__ = ["Contrast", "EquilibriumPropagation", "Phases"]
