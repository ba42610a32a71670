"""Rules, matrices and lists of edges: what they connect, in law and exactly, and what files of them may not say."""

import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from scipy import sparse, stats
from sparse_pairs import assert_equal, reference_of

from spikesim.errors import InputError
from spikesim.sparse import (
    AllToAll,
    EdgeList,
    FixedInDegree,
    FixedOutDegree,
    FixedTotalNumber,
    LogNormal,
    Network,
    Normal,
    OneToOne,
    PairwiseBernoulli,
    Probabilistic,
    Projection,
    RandomSynapses,
    Simulation,
    Uniform,
    sonata_populations,
)
from spikesim.sparse.connections.distributions import delay_values, weight_values
from spikesim.sparse.description import make_network


def connected(rule: Any, sources: int, targets: int | None = None) -> Projection:
    """A rule between two populations, or within one."""
    net = Network(seed=3)
    source = net.add_population(sources, name="a")
    target = source if targets is None else net.add_population(targets, name="b")
    return net.connect(source, target, rule)


def synapses(projection: Projection) -> np.ndarray:
    """Source, target, weight and delay of each synapse, in order."""
    found, own, first = [], projection.synapses, 0
    for rows in own.rows(projection.source.size, projection.target.size):
        number = len(rows.targets)
        sources = first + np.repeat(np.arange(len(rows.pointers) - 1), np.diff(rows.pointers))
        weights = np.full(number, own.weight) if rows.weights is None else rows.weights
        delays = np.full(number, own.delays[0]) if rows.delays is None else rows.delays
        found.append(np.stack([sources, rows.targets, weights, delays], axis=1))
        first += len(rows.pointers) - 1
    assert first == projection.source.size
    return np.concatenate(found)


W = {"weight": Normal(0.1, 0.02), "delay": (1, 4)}
SIMPLE = {"allow_self_connections": False, "allow_multiple": False}
ALL_RULES = [
    PairwiseBernoulli(0.3, **W),
    PairwiseBernoulli(0.3, allow_self_connections=False, **W),
    FixedInDegree(6, **W),
    FixedInDegree(6, **SIMPLE, **W),
    FixedOutDegree(6, **W),
    FixedOutDegree(6, **SIMPLE, **W),
    FixedTotalNumber(100, **W),
    FixedTotalNumber(100, **SIMPLE, **W),
    FixedTotalNumber(350, **SIMPLE, **W),
    OneToOne(**W),
    AllToAll(**W),
    AllToAll(allow_self_connections=False, **W),
]


# -- Which neurons are connected --------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ALL_RULES, ids=lambda rule: type(rule).__name__)
@pytest.mark.parametrize("recurrent", [True, False])
def test_degrees_self_connections_and_multiples(rule: Any, recurrent: bool) -> None:
    projection = connected(rule, 20, None if recurrent else 20)
    found = synapses(projection)
    sources, targets = found[:, 0].astype(int), found[:, 1].astype(int)
    table = np.zeros((20, 20), int)
    np.add.at(table, (targets, sources), 1)
    assert projection.synapses.count(20) == len(found)
    assert np.array_equal(projection.synapses.delays, np.unique(found[:, 3]))
    assert projection.synapses.largest == np.abs(found[:, 2]).max()
    if not getattr(rule, "allow_multiple", False):
        assert table.max() == 1
    if recurrent and not getattr(rule, "allow_self_connections", True):
        assert not np.diag(table).any()
    if isinstance(rule, FixedInDegree):
        assert (table.sum(axis=1) == 6).all()
    elif isinstance(rule, FixedOutDegree):
        assert (table.sum(axis=0) == 6).all()
    elif isinstance(rule, FixedTotalNumber):
        assert table.sum() == rule.number
    elif isinstance(rule, OneToOne):
        assert np.array_equal(table, np.eye(20))
    elif isinstance(rule, AllToAll):
        assert table.sum() == (380 if recurrent and not rule.allow_self_connections else 400)


@pytest.mark.parametrize("rule", ALL_RULES, ids=lambda rule: type(rule).__name__)
def test_pieces_of_any_size_are_the_same(rule: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = synapses(connected(rule, 20))
    monkeypatch.setattr("spikesim.sparse.connections.synapses.CHUNK", 7)
    np.testing.assert_array_equal(synapses(connected(rule, 20)), whole)
    again = synapses(connected(rule, 20))
    np.testing.assert_array_equal(again, whole)


@pytest.mark.parametrize(
    "rule",
    [
        PairwiseBernoulli(0.25, weight=1.0),
        FixedInDegree(3, weight=1.0),
        FixedInDegree(3, weight=1.0, **SIMPLE),
        FixedOutDegree(3, weight=1.0, allow_multiple=False),
        FixedOutDegree(3, weight=1.0, allow_self_connections=False),
        FixedTotalNumber(30, weight=1.0),
        FixedTotalNumber(30, weight=1.0, **SIMPLE),
        FixedTotalNumber(100, weight=1.0, **SIMPLE),
    ],
)
def test_all_pairs_are_equally_probable(rule: Any) -> None:
    """Chi-square of how often each pair is connected in 400 networks, with the variance that the rule says."""
    networks, size, counts, net = 400, 12, np.zeros((12, 12)), Network()
    cells = net.add_population(size)
    for _ in range(networks):  # each projection has a seed of its own
        found = synapses(net.connect(cells, cells, rule)).astype(int)
        np.add.at(counts, (found[:, 1], found[:, 0]), 1)
    pairs = np.ones((size, size), bool)
    if not rule.allow_self_connections:
        assert not np.diag(counts).any()
        np.fill_diagonal(pairs, False)
    among = (
        pairs.sum() if isinstance(rule, FixedTotalNumber) else pairs[0].sum()
    )  # drawn from so many, all of them alike
    mean = {
        PairwiseBernoulli: lambda: rule.p * networks,
        FixedInDegree: lambda: rule.indegree * networks / among,
        FixedOutDegree: lambda: rule.outdegree * networks / among,
        FixedTotalNumber: lambda: rule.number * networks / among,
    }[type(rule)]()
    freedom, variance = pairs.sum() * (among - 1) / among, mean
    if isinstance(rule, PairwiseBernoulli):
        freedom, variance = pairs.sum(), mean * (1 - mean / networks)
    elif not rule.allow_multiple:
        variance = mean * (1 - mean / networks) * among / (among - 1)
    score = ((counts[pairs] - mean) ** 2).sum() / variance
    assert 1e-3 < stats.chi2.cdf(score, freedom) < 1 - 1e-3


def test_bernoulli_degrees_are_binomial() -> None:
    for p in (0.001, 0.05, 0.6):
        sources, targets = 3000, 400
        found = synapses(connected(PairwiseBernoulli(p, weight=1.0), sources, targets)).astype(int)
        for axis, trials in ((0, targets), (1, sources)):
            size = sources + targets - trials
            degrees = np.bincount(found[:, axis], minlength=size)
            score = ((degrees - trials * p) ** 2).sum() / (trials * p * (1 - p))
            assert 1e-3 < stats.chi2.cdf(score, size) < 1 - 1e-3
        gaps = np.diff(found[:, 0] * targets + found[:, 1])
        assert gaps.min() >= 1
    assert len(synapses(connected(PairwiseBernoulli(1.0, weight=1.0, allow_self_connections=False), 30))) == 870
    assert connected(PairwiseBernoulli(0.0, weight=1.0), 30).synapses.count(30) == 0
    assert connected(PairwiseBernoulli(1e-300, weight=1.0), 30).synapses.count(30) == 0


def test_the_simplest_out_degree_draws_what_it_always_drew() -> None:
    for delay in (3, (2, 6)):
        old = synapses(connected(RandomSynapses(9, 0.5, delay, seed=8), 40, 30))
        new = synapses(connected(FixedOutDegree(9, weight=0.5, delay=delay, seed=8), 40, 30))
        np.testing.assert_array_equal(old, new)
    assert (
        old[:4, 1].astype(int).tolist() == synapses(connected(RandomSynapses(4, 0.5, seed=8), 40, 30))[:4, 1].tolist()
    )


def test_rules_without_a_seed_differ() -> None:
    net = Network(seed=5)
    cells = net.add_population(50)
    rule = FixedInDegree(5, weight=0.1)
    first, second = net.connect(cells, cells, rule), net.connect(cells, cells, rule)
    third = net.connect(cells, cells, RandomSynapses(5, 0.1))
    assert [own.synapses.seed for own in (first, second, third)] == [5, 6, 7]
    assert not np.array_equal(synapses(first), synapses(second))


def test_memory_is_that_of_the_synapses() -> None:
    """A byte for each of the 10,000 x 10,000 pairs would take 100 MB."""
    size, number = 10_000, 200_000
    for rule in (
        PairwiseBernoulli(number / size**2, weight=Normal(1, 0.1)),
        FixedInDegree(number // size, weight=Normal(1, 0.1), **SIMPLE),
        FixedOutDegree(number // size, weight=Normal(1, 0.1), **SIMPLE),
        FixedTotalNumber(number, weight=Normal(1, 0.1), **SIMPLE),
    ):
        tracemalloc.start()
        projection = connected(rule, size)
        for _ in projection.synapses.rows(size, size):
            pass
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 150 * number, type(rule).__name__


def test_a_network_by_rules_is_that_of_the_reference() -> None:
    net = Network()
    source = net.add_source(15, 0.2)
    cells = net.add_population(15, Probabilistic(bias=-0.05))
    for rule in (ALL_RULES[1], ALL_RULES[3], ALL_RULES[7], OneToOne(weight=np.linspace(-1, 1, 15), delay=Normal(4, 2))):
        net.connect(cells, cells, rule)
        net.connect(source, cells, rule)
    net.connect(source, cells, np.where(np.arange(225).reshape(15, 15) % 3 == 0, 0.5, 0.0))
    simulation, reference = Simulation(net, seed=3), reference_of(net, 3)
    simulation.record(*net.populations)
    simulation.run(40)
    for t in range(40):
        reference.step(t)
    assert_equal(simulation, net, reference)


# -- Weights and delays -----------------------------------------------------------------------------------------------


def drawn(given: Any, number: int = 20_000) -> np.ndarray:
    return weight_values(given).numbered(0, number, 7, 1)


@pytest.mark.parametrize(
    ("given", "law"),
    [
        (Uniform(-1, 3), stats.uniform(-1, 4)),
        (Normal(0.5, 2.0), stats.norm(0.5, 2.0)),
        (Normal(0.5, 2.0, low=0.0), stats.truncnorm(-0.25, np.inf, 0.5, 2.0)),
        (Normal(0.5, 2.0, low=-1, high=1), stats.truncnorm(-0.75, 0.25, 0.5, 2.0)),
        (LogNormal(-1.0, 0.5), stats.lognorm(0.5, scale=np.exp(-1))),
    ],
)
def test_values_have_their_distribution(given: Any, law: Any) -> None:
    assert stats.kstest(drawn(given), law.cdf).pvalue > 1e-3
    both = np.concatenate([drawn(given, 11), weight_values(given).numbered(11, 19, 7, 1)])
    np.testing.assert_array_equal(drawn(given, 30), both)


def test_clipped_values_are_at_the_limits() -> None:
    found = drawn(Normal(0.0, 1.0, low=-1, high=0.5, outside="clip"))
    assert found.min() == -1 and found.max() == 0.5
    for limit, share in ((-1, stats.norm.cdf(-1)), (0.5, stats.norm.sf(0.5))):
        assert stats.binomtest(int((found == limit).sum()), len(found), share).pvalue > 1e-3
    assert set(drawn(Normal(3.0, 0.0), 10)) == {3.0}


def test_delays_are_whole_steps() -> None:
    pair = np.floor(delay_values((2, 5)).numbered(0, 20_000, 3, 2) + 0.5)
    assert stats.chisquare(np.bincount(pair.astype(int))[2:]).pvalue > 1e-3 and pair.max() == 5
    found = synapses(connected(FixedOutDegree(50, weight=1.0, delay=Normal(3, 4)), 30))[:, 3]
    assert found.min() == 1 and (found == np.rint(found)).all() and len(np.unique(found)) > 8


@pytest.mark.parametrize(
    ("rule", "shape"),
    [
        (lambda w: OneToOne(weight=w), (6,)),
        (lambda w: FixedInDegree(4, weight=w, allow_multiple=False), (6, 4)),
        (lambda w: FixedOutDegree(4, weight=w, allow_multiple=False), (6, 4)),
        (lambda w: FixedTotalNumber(9, weight=w, allow_multiple=False), (9,)),
        (lambda w: AllToAll(weight=w), (6, 6)),
        (lambda w: AllToAll(weight=w, allow_self_connections=False), (6, 6)),
    ],
)
def test_arrays_of_weights_are_in_the_documented_order(rule: Any, shape: tuple[int, ...]) -> None:
    weights = np.arange(np.prod(shape), dtype=float).reshape(shape)
    found = synapses(connected(rule(weights), 6))
    sources, targets, values = (found[:, column].astype(int) for column in range(3))
    made = rule(weights)
    if isinstance(made, AllToAll):
        assert np.array_equal(values, weights[targets, sources])
    elif isinstance(made, FixedInDegree):
        for target in range(6):
            own = targets == target
            assert np.array_equal(values[own][np.argsort(sources[own])], weights[target])
    elif isinstance(made, FixedOutDegree):
        for source in range(6):
            own = sources == source
            assert np.array_equal(values[own][np.argsort(targets[own])], weights[source])
    else:
        assert np.array_equal(values[np.lexsort((targets, sources))], weights)
    with pytest.raises(InputError, match="is an array of shape"):
        connected(rule(weights[:-1]), 6)


# -- Matrices and lists of edges --------------------------------------------------------------------------------------

EDGES = [(0, 2, 0.5, 1), (3, 1, -0.25, 4), (0, 2, 0.125, 2), (1, 0, 2.0, 1)]


def listed(projection: Projection) -> Counter[tuple[float, ...]]:
    return Counter(map(tuple, synapses(projection)))


def write_sonata(path: Path, *, step_ms: float = 0.5, groups: int = 1, **extra: Any) -> None:
    sources, targets, weights, delays = (np.array(column) for column in zip(*EDGES, strict=True))
    with h5py.File(path, "w") as file:
        file["nodes/a/node_type_id"], file["nodes/b/node_type_id"] = np.zeros(4, "i8"), np.zeros(3, "i8")
        group = file.create_group("edges/a_to_b")
        columns = {
            "source_node_id": sources.astype("u8"),
            "target_node_id": targets.astype("u8"),
            "edge_type_id": np.array([7, 8, 7, 8]),
            "edge_group_id": np.arange(4) % groups,
            "edge_group_index": np.arange(4) // groups,
        } | extra
        for name, values in columns.items():
            group.create_dataset(name, data=values, chunks=True, compression="gzip")
        for one in range(groups):
            own = np.arange(4) % groups == one
            group[f"{one}/syn_weight"], group[f"{one}/delay"] = weights[own].astype("f4"), delays[own] * step_ms


def test_edges_of_arrays_and_files_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = Counter(tuple(map(float, edge)) for edge in EDGES)
    columns = [list(column) for column in zip(*EDGES, strict=True)]
    assert listed(connected(EdgeList(*columns), 4, 3)) == expected
    lines = ["delay,target , source,weight", *(f"{d},{t},{s},{w}" for s, t, w, d in EDGES)]
    (tmp_path / "edges.csv").write_text("\r\n".join(lines))
    assert listed(connected(EdgeList.from_csv(tmp_path / "edges.csv"), 4, 3)) == expected
    for groups, piece in ((1, 100), (3, 2)):
        monkeypatch.setattr("spikesim.sparse.files.sonata.PIECE", piece)
        monkeypatch.setattr("spikesim.sparse.files.number_table.PIECE", piece)
        write_sonata(tmp_path / "net.h5", groups=groups)
        assert listed(connected(EdgeList.from_sonata(tmp_path / "net.h5", step_ms=0.5), 4, 3)) == expected
        assert listed(connected(EdgeList.from_csv(tmp_path / "edges.csv"), 4, 3)) == expected
    assert sonata_populations(tmp_path / "net.h5") == {"a": 4, "b": 3}
    varied = synapses(connected(EdgeList([0] * 500, [1] * 500, weight=Normal(1, 0.1), delay=(1, 9)), 4, 3))
    assert len(np.unique(varied[:, 2])) == 500 and len(np.unique(varied[:, 3])) == 9


def test_weights_and_delays_of_edge_types(tmp_path: Path) -> None:
    write_sonata(tmp_path / "net.h5")
    with h5py.File(tmp_path / "net.h5", "r+") as file:
        del file["edges/a_to_b/0/syn_weight"], file["edges/a_to_b/0/delay"]
    (tmp_path / "types.csv").write_text('edge_type_id  syn_weight delay model\n7 0.5 2.0 "a model"\n8 -1.0 NULL NULL\n')
    with pytest.raises(InputError, match="no weights; give a weight"):
        EdgeList.from_sonata(tmp_path / "net.h5")
    with pytest.raises(InputError, match=r"2 of 4 edges of /edges/a_to_b have no delay, among them number 1"):
        EdgeList.from_sonata(tmp_path / "net.h5", edge_types=tmp_path / "types.csv")
    (tmp_path / "types.csv").write_text("edge_type_id syn_weight delay\n7 0.5 2.0\n8 -1.0 0.1\n")
    found = connected(EdgeList.from_sonata(tmp_path / "net.h5", edge_types=tmp_path / "types.csv"), 4, 3)
    assert listed(found) == Counter({(0, 2, 0.5, 2): 2, (3, 1, -1.0, 1): 1, (1, 0, -1.0, 1): 1})


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ({"source_node_id": np.array([0, 1, 2, 9])}, "edge 3 has the source neuron 9; the population has 4 neurons"),
        ({"target_node_id": np.array([0, 1, 2, -1])}, "target_node_id reaches from -1 to 2"),
        ({"target_node_id": np.array([0, 1, 2, 2**63 + 5], np.uint64)}, "reaches from 0 to 9223372036854775813"),
        ({"target_node_id": np.zeros(3, int)}, "has 3 rows and those beside it have 4"),
        ({"source_node_id": np.zeros(4)}, "holds float64; it must hold integers"),
        ({"edge_group_index": np.array([0, 1, 2, 10**12])}, "edge_group_index reaches from 0 to 1000000000000"),
        ({"edge_group_index": np.array([0, 1, 2, 4])}, "edge_group_index reaches to 4"),
        ({"edge_group_id": np.array([0, 1, 0, 0])}, "1 of 4 edges of /edges/a_to_b have no syn_weight"),
        ({"source_node_id": np.zeros((4, 1), int)}, "must have one dimension"),
    ],
)
def test_faulty_sonata_edges_are_refused(extra: Any, words: str, tmp_path: Path) -> None:
    write_sonata(tmp_path / "bad.h5", **extra)
    values = {
        "population": [{"name": "a", "nodes": "bad.h5"}, {"name": "other", "nodes": "bad.h5", "node_population": "b"}],
        "projection": [{"source": "a", "target": "other", "edges": "bad.h5"}],
    }
    with pytest.raises(InputError) as caught:
        make_network(values, tmp_path)
    assert words in str(caught.value) and "bad.h5" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no column source"),
        ("source,target\n0,1\n", "has no weights; give a weight"),
        ("source,target,weight\n0,1\n", "line 2: weight is missing"),
        ("source,target,weight\n0,x,1\n", "line 2: target is 'x'; it must be a finite number"),
        ("source,target,weight\n0,1,0.5\n0.5,1,1\n", "source is 0.5 in row 2; it must be whole"),
        ("source,target,weight\n0,7,0.5\n", "edge 0 has the target neuron 7; the population has 3 neurons"),
        ("source,target,weight\n-1,1,0.5\n", "sources of an edge list reach from -1 to -1"),
        ("source,target,weight,delay\n0,1,1,0\n", "delays reach from 0 to 0 steps"),
        ("source,target,weight\n0,1,1e300\n", "the weights of a -> b reach 1e+300"),
        ("source,target,weight\n\xff\n", "is not a text in UTF-8"),
    ],
)
def test_faulty_edge_files_are_refused(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_bytes(text.encode("latin-1"))
    tables = [{"name": "a", "size": 4}, {"name": "b", "size": 3}]
    values = {"population": tables, "projection": [{"source": "a", "target": "b", "edges": "bad.csv"}]}
    with pytest.raises(InputError) as caught:
        make_network(values, tmp_path)
    assert words in str(caught.value) and "a -> b" in str(caught.value) and "\n" not in str(caught.value)


def test_arrays_of_numpy_are_matrices() -> None:
    dense = np.array([[0.5, 0, 0, -1], [0, 0, 2, 0], [0, 0, 0, 0.25]])
    delays = np.array([[2, 0, 0, 3], [0, 0, 4, 0], [9, 9, 9, 1]])
    assert listed(connected(dense, 4, 3)) == listed(connected(sparse.csr_array(dense), 4, 3))
    net = Network()
    a, b = net.add_population(4), net.add_population(3)
    found = net.connect(a, b, dense, delay=delays)
    assert listed(found) == Counter({(0, 0, 0.5, 2): 1, (3, 0, -1, 3): 1, (2, 1, 2, 4): 1, (3, 2, 0.25, 1): 1})


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (lambda: PairwiseBernoulli(1.5, weight=1), "p is 1.5; it must be in 0 .. 1"),
        (lambda: FixedInDegree(11, weight=1, allow_multiple=False), "there are 10 source neurons to choose from"),
        (lambda: FixedOutDegree(10, weight=1, **SIMPLE), "there are 9 target neurons to choose from"),
        (lambda: FixedTotalNumber(91, weight=1, **SIMPLE), "there are 90 pairs of neurons to choose from"),
        (lambda: FixedTotalNumber(10**9, weight=1), "of FixedTotalNumber, and"),
        (lambda: FixedTotalNumber(2**41, weight=1), "number is 2199023255552"),
        (lambda: PairwiseBernoulli(0.1, weight=np.ones(4)), "weight of PairwiseBernoulli is an array"),
        (lambda: OneToOne(weight=Normal(0, -1)), "std of Normal is -1"),
        (lambda: OneToOne(weight=Normal(0, 1, low=5)), "2.9e-07 of Normal(mean=0, std=1) lies in 5 .. inf"),
        (lambda: OneToOne(weight=Normal(0, 1, low=2, high=1)), "limited to 2 .. 1"),
        (lambda: OneToOne(weight=Normal(0, 1, outside="wrap")), "outside of Normal is 'wrap'"),
        (lambda: OneToOne(weight=1, delay=Uniform(0, 3)), "Uniform reaches from 0 to 3; it must stay in 1 .. 4096"),
        (lambda: OneToOne(weight=1, delay=LogNormal(20, 1)), "of LogNormal(mean=20, std=1) lies in 1 .. 4096"),
        (lambda: OneToOne(weight=1, delay=(5, 2)), "the smaller one"),
        (lambda: OneToOne(weight=np.array([1, np.nan] * 5)), "not finite"),
        (lambda: OneToOne(weight=1, seed=-1), "seed is -1"),
        (lambda: AllToAll(weight=1, allow_self_connections="no"), "allow_self_connections is 'no'"),
        (lambda: EdgeList([0, 1], [0], weight=1), "2 sources and 1 targets"),
        (lambda: EdgeList([0, 1], [0, 1], weight=[1, 2, 3]), "have shape (3,); it must be (2,)"),
        (lambda: EdgeList([0, 0.5], [0, 1], weight=1), "they must be whole numbers"),
    ],
)
def test_connections_that_cannot_be_are_refused(rule: Any, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spikesim.runtime.free_memory.free_memory", lambda: 10**9)
    with pytest.raises(InputError) as caught:
        connected(rule(), 10)
    assert words in str(caught.value)
    with pytest.raises(InputError, match="of the same size; these have 10 and 4"):
        connected(OneToOne(weight=1), 10, 4)
