"""General sparse networks: any connectivity with a delay for each synapse, at a cost that follows the events.

The core (`spikesim.Network`, `spikesim.Simulator`) runs layers of images, many samples at a time; this runs populations
of neurons in time. Some names are in both, for different things:

- `Network`: in the core, grids of neurons and the connections between them, whose weights training changes; here,
  populations without a shape and projections with a delay for each synapse, whose weights are fixed or plastic.
- `Population`: in the core, probabilistic neurons on a grid (H, W, C), which have a state for each sample; here,
  neurons in a row, of a model that is chosen (`Probabilistic`, `LeakyIntegrateAndFire`) or a source, each with its
  bias.
- `Simulation` is here what `Simulator` is in the core, with independent trials in place of samples; what is recorded
  belongs to it. Inside, the `State` of its compiled loop is that of one trial, the core's that of a group of samples.

Its packages: `connections` (rules, matrices, edges), `inputs` (spikes, rates and currents from outside), `files` (what
these are read from), `analysis` (statistics of recorded simulations), `engine` (the compiled loop),
`plasticity` (rules, weights of trials).

Imports `engine`, `numerics`, `jit`, `io` and `runtime`; `ep` and `cli` import it.
"""

from spikesim.sparse.connections.distributions import LogNormal, Normal, Uniform
from spikesim.sparse.connections.edge_list import EdgeList
from spikesim.sparse.connections.rules import (
    AllToAll,
    FixedInDegree,
    FixedOutDegree,
    FixedTotalNumber,
    OneToOne,
    PairwiseBernoulli,
)
from spikesim.sparse.connections.synapses import RandomSynapses
from spikesim.sparse.files.sonata import node_populations as sonata_populations
from spikesim.sparse.inputs.spike_files import read_spikes
from spikesim.sparse.inputs.spikes import Spikes
from spikesim.sparse.inputs.time_course import TimeCourse
from spikesim.sparse.network import Network, Population, Projection
from spikesim.sparse.neurons import (
    IafCondExp,
    IafPscAlpha,
    IafPscDelta,
    IafPscExp,
    Izhikevich,
    LeakyIntegrateAndFire,
    Probabilistic,
)
from spikesim.sparse.plasticity.contrastive import Contrastive
from spikesim.sparse.plasticity.stdp import STDP
from spikesim.sparse.plasticity.weights import SynapseList
from spikesim.sparse.recording import SimulationReader
from spikesim.sparse.simulation import RoundingWarning, Simulation

__all__ = [
    "STDP",
    "AllToAll",
    "Contrastive",
    "EdgeList",
    "FixedInDegree",
    "FixedOutDegree",
    "FixedTotalNumber",
    "IafCondExp",
    "IafPscAlpha",
    "IafPscDelta",
    "IafPscExp",
    "Izhikevich",
    "LeakyIntegrateAndFire",
    "LogNormal",
    "Network",
    "Normal",
    "OneToOne",
    "PairwiseBernoulli",
    "Population",
    "Probabilistic",
    "Projection",
    "RandomSynapses",
    "RoundingWarning",
    "Simulation",
    "SimulationReader",
    "Spikes",
    "SynapseList",
    "TimeCourse",
    "Uniform",
    "read_spikes",
    "sonata_populations",
]
