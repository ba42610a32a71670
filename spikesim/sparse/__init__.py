"""General sparse networks: any connectivity with a delay for each synapse, at a cost that follows the events.

The rest of the program runs layers of images, many samples at a time; this runs populations of neurons in time.

Imports `engine`, `numerics`, `jit`, `io` and `runtime`; only `cli` imports it.
"""

from spikesim.sparse.network import Network, Population, Projection
from spikesim.sparse.neurons import LeakyIntegrateAndFire, Probabilistic
from spikesim.sparse.recording import SimulationReader
from spikesim.sparse.simulation import RoundingWarning, Simulation, Spikes
from spikesim.sparse.synapses import RandomSynapses

__all__ = [
    "LeakyIntegrateAndFire",
    "Network",
    "Population",
    "Probabilistic",
    "Projection",
    "RandomSynapses",
    "RoundingWarning",
    "Simulation",
    "SimulationReader",
    "Spikes",
]
