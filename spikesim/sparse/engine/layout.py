"""Arrays that the compiled loop runs on: what is fixed (`Tables`) and what moves (`State`), and their records.

Neurons of all populations have one numbering, population after population. Threads that share a trial divide its
populations into *parts*, one a thread; else a part is a whole population. The targets of a part are cut into blocks
whose drives stay in a core's cache; a *table* holds the synapses of one projection into one block, a row for each
(source neuron, delay).

Arrays of records have the dtypes `PART`, `BLOCK` and `TABLE`: kernels read ``tables.parts[i].neurons``, NumPy reads the
column ``tables.parts["neurons"]``.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikesim.engine.phase import PhaseSpec
from spikesim.sparse.engine.gate import Gate


def _record_type(*names: str) -> np.dtype[Any]:
    """A record of int64 fields, which are attributes of its elements also where nothing is compiled."""
    assert not any(hasattr(np.record, name) for name in names)  # NumPy's own attributes would be read instead
    return np.dtype((np.record, np.dtype([(name, np.int64) for name in names], align=True)))


PART = _record_type(
    "population",  # of which it is a part
    "begin",  # number of the first neuron of the population
    "first",  # number of its own first neuron; from `begin` on a multiple of CHUNK
    "neurons",  # how many
    "kind",  # KIND_PROBABILISTIC, KIND_LIF, KIND_SOURCE, or KIND_GENERAL and what follows
    "leak",  # k of alpha = 2**-k
    "shift",  # a sum of weights counts 2**-shift in units of 2**-16; 0 .. 28
    "threshold",  # 1.0 = 2**16
    "reset",  # 1.0 = 2**16
    "width",  # excess over the threshold above which p rises no further, 1.0 = 2**16
    "slope",  # probability an excess over the threshold, unit 2**-48
    "refractory",  # steps
    "poisson",  # offset of its Poisson probabilities, at the start if the rate changes; -1: none
    "poisson_terms",
    "poisson_weight",  # what one of its arrivals adds to the sum of weights
    "recorded",  # 1: its spikes are recorded
    "shared",  # of general neurons: row of what they share
    "columns",  # offset of their columns
    "varies",  # 1: each neuron has columns of its own; 0: there are CHUNK equal ones
    "lanes",  # sums of weights of a general neuron: 2 if inhibition has one of its own
)
"""Neighbouring neurons of a population, which one thread moves, with what all of the population have in common. The
threshold and what follows it up to `refractory` are of leaky integrate-and-fire neurons."""
FIELDS_OF_FORMAT_4 = 16
"""The first fields: networks without general neurons differ by no others."""
KIND_PROBABILISTIC, KIND_LIF, KIND_SOURCE, KIND_GENERAL = 0, 1, 2, 3
"""Of general neurons, all that `updating` does not move, the kind minus KIND_GENERAL is a place in
`spikesim.sparse.neurons.KERNELS`."""

BLOCK = _record_type(
    "part",
    "first",  # number of its first neuron
    "neurons",  # how many
    "tables",  # the first of its tables
    "tables_end",  # the first of its plastic tables
    "plastic_end",
)
"""Neighbouring neurons of a part, and the tables of the synapses onto them."""

TABLE = _record_type(
    "sources",  # the first part of the source population
    "sources_end",
    "begin",  # number of the first neuron of the source population
    "projection",
    "pointers",  # offset of its rows
    "delays",  # offset of its delays
    "delay_count",
    "weights",  # offset of its weights minus that of its targets, unless all are equal
    "constant",  # 1: all weights are `weight`
    "weight",
    "shift",  # other weights count 2**shift in the sums
    "drive",  # offset of the sums: of inhibition that has sums of its own the number of all neurons, else 0
    "rule",  # of plastic synapses: its place among `Plastic.rules`; -1: weights are fixed
    "rows",  # of plastic synapses: offset of what their rows have
)
"""The synapses of a projection into a block, or those of them whose weights have one scale. Of plastic synapses
`weights` leads to `PlasticState.weights`, and the rule says what a weight adds to the sums."""

RULE = _record_type(
    "projection",
    "population",  # of the targets
    "begin",  # number of the first neuron of that population
    "neurons",  # that keep spikes
    "posts",  # place of that neuron among `PlasticState.posts`
    "dendritic",  # steps of the delay from a target to its synapse; -1: all of the delay of a synapse
    "lag",  # steps after which a spike of a target has been looked at by all synapses that have a spike
    "moves",  # 0: no spike moves a weight, and targets keep none
    "nearest",  # 1: a spike pairs with the last one of the other side only
    "lowest",  # smallest weight, WEIGHT_ONE = Wmax
    "weight",  # a weight adds (w * weight) >> weight_shift to the sums
    "weight_shift",
)
"""The plasticity of a projection."""

SIDE = _record_type(
    "gain",  # learning rate times 2**shift, in units of the trace and of weights
    "shift",
    "power",  # of the weight: POWER_0, POWER_1, or where its table begins in `Plastic.powers`
    "one",  # what a spike adds to the trace
    "decays",  # where the decay begins in `Plastic.decays`
    "coarse",  # entries of the decay over multiples of 2**FINE_BITS steps: later a trace is zero
)
"""What a rule does with one side: the potentiation of a projection, with the trace of its sources, is at twice its
place among `Plastic.rules`, the depression, with the trace of its targets, the one after it."""
WEIGHT_BITS, DECAY_BITS, FINE_BITS, POWER_BITS = 30, 31, 8, 8
WEIGHT_ONE = 1 << WEIGHT_BITS
"""The largest weight of a plastic synapse."""
POWER_0, POWER_1 = -2, -1
POSTS = 64
"""Spikes of a target that are kept, a power of 2: when there is no room for more, all synapses look at them."""

SILENT, SCHEDULED, ACTIVE = 0, 1, 2
"""What a neuron is doing."""

WHEEL_SLOTS = 4096
"""A spike that is due in more steps than this stays in its slot for more than one turn of the wheel."""
BLOCK_SMALLEST, BLOCK_LARGEST = 2**13, 2**16
CHUNK = 512
"""Neurons whose potentials, probabilities and random numbers stay in the cache between the loops; a multiple of 16."""
ROW_SYNAPSES = 256
"""Synapses that a row should have at least, or reading where it begins costs more than reading it."""
ROW_SHORTEST = 64
"""Where rows of the largest blocks have fewer, blocks take in all neurons and targets are numbered in 32 bits."""


def as_matrix(records: NDArray[np.void]) -> NDArray[np.int64]:
    """The same memory as a matrix, int64 (records, fields)."""
    return records.view(np.int64).reshape(len(records), len(records.dtype.names or ()))


class GivenSpikes(NamedTuple):
    """Spikes of sources that are given, by part, step and neuron."""

    pointers: NDArray[np.int64]  # (parts + 1,)
    steps: NDArray[np.uint32]  # (spikes,)
    neurons: NDArray[np.int32]  # (spikes,)


class Changes(NamedTuple):
    """Biases and probabilities that change in later steps than the first: rows by part and step, with an entry for
    each neuron that is another then, or one for all of the part."""

    pointers: NDArray[np.int64]  # (parts + 1,): rows of each part
    steps: NDArray[np.int64]  # (rows,): at least 1
    entries: NDArray[np.int64]  # (rows + 1,)
    neurons: NDArray[np.int32]  # (entries,): -1: all of the part
    bias: NDArray[np.int32]  # (entries,): 1.0 = 2**16
    resting: NDArray[np.float64]  # (entries,)


class Plastic(NamedTuple):
    """Plasticity, the same for all trials."""

    rules: NDArray[np.void]  # (plastic projections,) of RULE
    sides: NDArray[np.void]  # (2 * plastic projections,) of SIDE
    decays: NDArray[np.int64]  # exp(-n / tau) for n < 2**FINE_BITS, then for its multiples; unit 2**-DECAY_BITS
    powers: NDArray[np.int64]  # 2**(mu (n - WEIGHT_BITS)), n <= WEIGHT_BITS, then ((1 + i 2**-POWER_BITS) / 2)**mu
    weights: NDArray[np.int32]  # (plastic synapses,): at the start, WEIGHT_ONE = Wmax
    rows: int  # of all plastic tables


class Rates(NamedTuple):
    """Poisson rates that change in later steps than the first: rows by part and step."""

    pointers: NDArray[np.int64]  # (parts + 1,): rows of each part
    steps: NDArray[np.int64]  # (rows,): at least 1
    first: NDArray[np.int64]  # (rows,): offset of the probabilities from then on
    terms: NDArray[np.int64]  # (rows,): how many; 0: nothing arrives


class Tables(NamedTuple):
    """The network, the same for all trials; where something changes, each trial has a bias and a probability at rest of
    its own, those of its present step."""

    parts: NDArray[np.void]  # (parts,) of PART; those of a population are neighbours, in the order of their neurons
    blocks: NDArray[np.void]  # (blocks,) of BLOCK
    tables: NDArray[np.void]  # (tables,) of TABLE
    bias: NDArray[np.int32]  # (neurons,): 1.0 = 2**16
    resting: NDArray[np.float64]  # (neurons,): probability of a spike in a step of rest
    initial: NDArray[np.int32]  # (neurons,): potentials at the start, 1.0 = 2**16
    start: NDArray[np.int32]  # (variables, neurons): `State.variables` at the start
    lanes: int  # sums of weights that a neuron has, 1 or 2
    shared: NDArray[np.int64]  # (populations, SHARED) of general neurons (`spikesim.sparse.neurons.step`)
    columns: NDArray[np.int32]  # (COLUMNS, neurons)
    poisson: NDArray[np.uint64]  # probabilities of more than 0, 1, .. arrivals, unit 2**-64
    delays: NDArray[np.int64]  # of each table, in steps, ascending, at least 1
    pointers: NDArray[np.int64]  # of each table, (sources * delays + 1,), positions in `targets`
    targets: NDArray[np.uint16] | NDArray[np.uint32]  # (synapses,): within the block
    weights: NDArray[np.int16]  # (synapses whose weights differ,)
    given: GivenSpikes
    changes: Changes
    plastic: Plastic
    rates: Rates


class Wheel(NamedTuple):
    """The next spikes of resting neurons (`spikesim.sparse.engine.wheel`)."""

    slots: NDArray[np.int32]  # (parts, WHEEL_SLOTS): first neuron of each slot, -1: none
    due: NDArray[np.int64]  # (neurons,): step of the scheduled spike
    following: NDArray[np.int32]  # (neurons,): in the slot, -1: none
    preceding: NDArray[np.int32]  # (neurons,): in the slot, -1: none


class ActiveList(NamedTuple):
    """The active neurons of each part."""

    neurons: NDArray[np.int32]  # (neurons,): those of a part from its first neuron on
    counts: NDArray[np.int64]  # (parts,)
    dense: NDArray[np.uint8]  # (parts,): many are active, all are looked at and `neurons` is out of date


class SpikeRing(NamedTuple):
    """Spikes of the last steps: those of step t are in slot t mod (longest delay + 1)."""

    neurons: NDArray[np.int32]  # (longest delay + 1, neurons): of a part from its first neuron on
    counts: NDArray[np.int64]  # (longest delay + 1, parts)


class Counts(NamedTuple):
    """What has happened since the first step."""

    spikes: NDArray[np.int64]  # (neurons,)
    events: NDArray[np.int64]  # (tables,): synaptic events
    updates: NDArray[np.int64]  # (parts,): neurons visited


class Scratch(NamedTuple):
    """Working memory of a thread: nothing of it outlives a step."""

    touched: NDArray[np.int32]  # (neurons,): those that events have reached in this step, by block
    powers: NDArray[np.float64]  # (GEOMETRIC_BITS,)
    synaptic: NDArray[np.int32]  # (CHUNK,): what arrives at some neighbouring neurons, 1.0 = 2**16
    probability: NDArray[np.uint16]  # (CHUNK,): with which they fire, unit 2**-16
    random: NDArray[np.uint16]  # (CHUNK,)
    words: NDArray[np.uint32]  # (CHUNK,): random, for Poisson arrivals
    resting: NDArray[np.uint8]  # (CHUNK,): 1: comes to rest
    numbers: NDArray[np.int32]  # (CHUNK,): which neurons they are
    gathered: NDArray[np.int32]  # (6, CHUNK): the arrays of `spikesim.sparse.neurons.step.Cells`
    variables: NDArray[np.int32]  # (variables, CHUNK)
    columns: NDArray[np.int32]  # (COLUMNS, CHUNK)


class Cursors(NamedTuple):
    """What comes next of given spikes and of changes, by part: positions in `GivenSpikes`, rows of the others."""

    given: NDArray[np.int64]  # (parts,)
    changes: NDArray[np.int64]  # (parts,)
    rates: NDArray[np.int64]  # (parts,)


class PlasticState(NamedTuple):
    """Weights of a trial, and the spikes that move them (`spikesim.sparse.engine.plastic`)."""

    weights: NDArray[np.int32]  # (plastic synapses,): WEIGHT_ONE = Wmax, after the last spike that came over each
    last: NDArray[np.int64]  # (rows,): step in which it came, -1: none
    traces: NDArray[np.int32]  # (rows,): trace of the spikes before that one, in that step
    swept: NDArray[np.int64]  # (tables,): step before which its weights were last brought up to date
    posts: NDArray[np.uint32]  # (targets, a power of 2, 2): step, and trace after it, of their last spikes
    counts: NDArray[np.int64]  # (targets,): spikes so far; the n-th one is at n modulo the length of `posts`
    seen: NDArray[np.int64]  # (targets,): how many of them all synapses had looked at when their weights were swept
    crowded: NDArray[np.uint8]  # (parts,): no room for another spike of one of its neurons


class State(NamedTuple):
    """One trial; the core's `spikesim.engine.state.State` is that of a group of samples."""

    membrane: NDArray[np.int32]  # (neurons,): 1.0 = 2**16
    variables: NDArray[np.int32]  # (variables, neurons): what general neurons have besides; 0 at rest
    drive: NDArray[np.int32]  # (neurons,) or (2 * neurons,): sums of weights of the present step; zero between steps
    doing: NDArray[np.uint8]  # (neurons,): SILENT, SCHEDULED or ACTIVE
    refractory: NDArray[np.int32]  # (neurons,): steps left
    wheel: Wheel
    active: ActiveList
    ring: SpikeRing
    counts: Counts
    cursors: Cursors
    plastic: PlasticState
    scratch: Scratch


class TrialKey(NamedTuple):
    """What the random numbers of a trial depend on, besides the population, the neuron and the step."""

    phase: PhaseSpec  # the seed
    trial: int


class Stretch(NamedTuple):
    """Steps that the compiled loop does in one go."""

    first: int  # number of the first one, from 0
    steps: int
    spikes_max: int  # largest number of spikes that a thread can record in one of them


class Share(NamedTuple):
    """What one of the threads of a trial does."""

    parts: NDArray[np.int64]  # it moves these
    blocks: NDArray[np.int64]  # theirs
    leads: bool  # whether it looks at whether a stop was asked for
    gate: Gate


class Log(NamedTuple):
    """What a thread records of a stretch of steps; counts and traces are those of all threads, each has its columns."""

    steps: NDArray[np.int64]  # (capacity,): step of each recorded spike
    neurons: NDArray[np.int32]  # (capacity,)
    used: NDArray[np.int64]  # (1,)
    counts: NDArray[np.int64]  # (steps, parts): spikes
    probes: NDArray[np.int64]  # (probed,): neurons whose membrane potentials are recorded
    columns: NDArray[np.int64]  # which of them are the thread's
    traces: NDArray[np.int32]  # (steps, probed): 1.0 = 2**16
