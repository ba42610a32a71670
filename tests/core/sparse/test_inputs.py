"""What networks are made of, as people have it: several entries in a place, files of matrices, numbers of any type."""

import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from spikesim.errors import InputError
from spikesim.sparse import LeakyIntegrateAndFire, Network, Probabilistic, RandomSynapses, Simulation
from spikesim.sparse.connections import matrix_file as matrixfile
from spikesim.sparse.connections.entries import Entries, stored_entries
from spikesim.sparse.connections.matrix_file import load_entries
from spikesim.sparse.connections.synapses import MatrixSynapses
from spikesim.sparse.description import make_network
from spikesim.sparse.state import new_ring

PLACES = ([0, 0], [0, 0])


def by_row(values: Any, targets: Any, sources: Any, shape: tuple[int, int]) -> Any:
    """A csr matrix whose entries of the same place stay apart."""
    order = np.argsort(targets, kind="stable")
    pointers = np.concatenate([[0], np.cumsum(np.bincount(targets, minlength=shape[0]))])
    return sparse.csr_array((values[order], sources[order], pointers), shape=shape)


def by_column(values: Any, targets: Any, sources: Any, shape: tuple[int, int]) -> Any:
    return by_row(values, sources, targets, shape[::-1]).T


def coordinates(values: Any, targets: Any, sources: Any, shape: tuple[int, int]) -> Any:
    return sparse.coo_array((values, (targets, sources)), shape=shape)


# -- Several synapses of one pair -------------------------------------------------------------------------------------


@pytest.mark.parametrize("store", [coordinates, by_row, by_column, "file"])
@pytest.mark.parametrize(
    ("weight_type", "delay_type"),
    [("f8", "i8"), ("f4", "u1"), ("i1", "i1"), ("?", "f8"), ("u1", "?"), ("i4", "u8")],
)
def test_each_stored_entry_is_a_synapse(store: Any, weight_type: str, delay_type: str, tmp_path: Path) -> None:
    """Potentials are the sums over entries, where a neuron without a memory has nothing but what arrives."""
    random = np.random.default_rng(len(weight_type + delay_type))
    shape, count, steps = (4, 5), 40, 30
    targets, sources = random.integers(0, 4, count), random.integers(0, 5, count)
    delays = random.integers(1, 10, count).astype(delay_type)
    weights = (random.integers(-40, 40, count) / (16 if weight_type[0] == "f" else 1)).astype(weight_type)
    if store == "file":
        for name, values in (("w", weights), ("d", delays)):
            sparse.save_npz(tmp_path / f"{name}.npz", coordinates(values, targets, sources, shape))
        matrices = [load_entries(tmp_path / f"{name}.npz", "a test") for name in "wd"]
    else:
        matrices = [store(values, targets, sources, shape) for values in (weights, delays)]
    net = Network()
    source = net.add_source(5, 0.4)
    cells = net.add_population(4, LeakyIntegrateAndFire(leak=0, threshold=2000))
    projection = net.connect(source, cells, matrices[0], delay=matrices[1])
    assert projection.synapses.count(5) == count
    simulation = Simulation(net, seed=3)
    simulation.record(source)
    simulation.record_potential(cells, range(4))
    simulation.run(steps)
    fired = np.zeros((steps, 5), bool)
    spikes = simulation.spikes(source)
    fired[spikes.steps, spikes.neurons] = True
    expected = np.zeros((steps, 4))
    for target, origin, weight, delay in zip(targets, sources, weights.astype(float), delays.astype(int), strict=True):
        expected[delay:, target] += weight * fired[: steps - delay, origin]
    np.testing.assert_array_equal(simulation.potentials(cells), expected)


@pytest.mark.parametrize(
    ("weights", "delays"), [((0.5, -0.5), (2, 3)), ((0.5, 0.5), (3000, 2000)), ((1, 1), (200, 99))]
)
def test_entries_of_one_place_are_never_added_up(weights: Any, delays: Any) -> None:
    """Neither weights that cancel, nor delays that are too long together, nor those whose type would overflow."""
    kept = np.array(delays, np.uint8 if max(delays) < 256 else np.int64)
    weight = sparse.coo_array((np.array(weights), PLACES), shape=(1, 1))
    synapses = MatrixSynapses(weight, sparse.coo_array((kept, PLACES), shape=(1, 1)))
    (rows,) = synapses.rows(1, 1)
    assert rows.targets.tolist() == [0, 0] and rows.delays is not None and rows.delays.tolist() == list(delays)
    assert (list(weights) if rows.weights is None else rows.weights.tolist()) == list(weights)
    (alone,) = MatrixSynapses(weight, 4).rows(1, 1)
    assert len(alone.targets) == 2


def test_entries_in_different_orders_are_paired_by_place() -> None:
    random = np.random.default_rng(0)
    places = np.array([(i, j) for i in range(6) for j in range(7)])[random.permutation(42)[:30]].T
    weights, delays, other = random.normal(size=30), random.integers(1, 50, 30), random.permutation(30)
    given = sparse.coo_array((delays[other], tuple(places[:, other])), shape=(6, 7))
    straight = MatrixSynapses(sparse.coo_array((weights, tuple(places)), shape=(6, 7)), given)
    (rows,) = straight.rows(7, 6)
    found = set(
        zip(np.repeat(np.arange(7), np.diff(rows.pointers)), rows.targets, rows.weights, rows.delays, strict=True)
    )
    assert found == set(zip(places[1], places[0], weights, delays, strict=True))
    for form in ("csc", "csr"):
        (again,) = MatrixSynapses(sparse.coo_array((weights, tuple(places)), shape=(6, 7)), given.asformat(form)).rows(
            7, 6
        )
        np.testing.assert_array_equal(again.delays, rows.delays)


def test_it_must_be_known_which_delay_belongs_to_which_weight() -> None:
    def pair(weights: Any, delays: Any) -> MatrixSynapses:
        w = sparse.coo_array((np.array(weights), ([0, 1, 0], [2, 0, 2])), shape=(2, 3))
        return MatrixSynapses(w, sparse.coo_array((np.array(delays), ([0, 0, 1], [2, 2, 0])), shape=(2, 3)))

    with pytest.raises(InputError, match=r"several synapses lead from neuron 2 to neuron 0.*in the same order"):
        pair([0.5, 1, 0.25], [2, 3, 4])
    (rows,) = pair([0.5, 1, 0.5], [2, 3, 4]).rows(3, 2)  # of equal weights any order is the same network
    assert rows.delays.tolist() == [4, 2, 3]
    with pytest.raises(InputError, match="the same entries"):
        MatrixSynapses(
            sparse.coo_array(([1.0, 2.0], PLACES), shape=(1, 1)), sparse.coo_array(([1], ([0], [0])), shape=(1, 1))
        )


@pytest.mark.parametrize("form", ["bsr", "dia", "lil", "dok"])
def test_other_formats_hold_the_same_synapses(form: str) -> None:
    dense = np.where(np.random.default_rng(1).random((6, 4)) < 0.4, 0.5, 0.0)
    entries = stored_entries(sparse.csc_array(dense).asformat(form), "m")
    found = np.zeros((6, 4))
    np.add.at(found, (entries.targets, entries.sources), entries.values)
    np.testing.assert_array_equal(found, dense)
    assert len(entries.values) == np.count_nonzero(dense), "zeros that fill blocks and diagonals are no synapses"


# -- Files of matrices ------------------------------------------------------------------------------------------------

SOUND: dict[str, Any] = {
    "format": np.array(b"csc"),
    "shape": np.array((3, 2)),
    "data": np.ones(3),
    "indices": np.array([0, 2, 1], np.int32),
    "indptr": np.array([0, 2, 3], np.int32),
}
ROWS = SOUND | {"format": np.array(b"csr"), "shape": np.array((2, 3))}
BLOCKS = SOUND | {"format": np.array(b"bsr"), "shape": np.array((4, 6)), "data": np.ones((3, 2, 2))}
POINTS = {"format": np.array("coo"), "shape": np.array((3, 2)), "data": np.ones(2), "row": [0, 2], "col": [1, 0]}
DIAGONALS = {"format": np.array(b"dia"), "shape": np.array((3, 3)), "data": np.ones((1, 3)), "offsets": np.array([1])}
FAULTY: list[tuple[dict[str, Any], str]] = [
    *(
        (base | change, "")
        for base in (SOUND, ROWS, BLOCKS)
        for change in (
            {"indices": np.array([0, 10**9, 1], np.int32)},
            {"indices": np.array([0, -(10**9), 1])},
            {"indices": np.array([0, 2**63 + 1, 1], np.uint64)},
            {"indptr": np.array([0, 3, 2])},
            {"indptr": np.array([0, 10**9, 3])},
            {"indptr": np.array([0, -(10**9), 3])},
            {"indptr": np.array([0, 2, 10**9])},
            {"indptr": np.array([0, 10**6, 0])},
            {"indptr": np.array([0, 2, 1], np.uint64)},
            {
                "indptr": np.array([0, 2**31 - 1, 0], np.int32),
                "indices": np.zeros(0, np.int32),
                "data": base["data"][:0],
            },
            {"indptr": np.array([1, 2, 3])},
            {"indptr": np.array([0, 3])},
            {"indptr": np.array([[0, 2, 3]])},
            {"indices": np.array([0, 1])},
            {"indices": np.array([0.5, 1.5, 0.5])},
            {"indptr": np.array([0.0, 2.0, 3.0])},
            {"shape": np.array((-3, 2))},
            {"shape": np.array((3.5, 2))},
            {"shape": np.array((2**40, 2))},
            {"shape": np.array((3, 2, 1))},
        )
    ),
    (POINTS | {"row": np.array([0, 3])}, ""),
    (POINTS | {"col": np.array([-1, 0])}, ""),
    (POINTS | {"col": np.array([0])}, ""),
    (POINTS | {"col": np.array([0.5, 1])}, "integers"),
    (POINTS | {"row": np.array([[0, 2]]), "col": np.array([[1, 0]])}, "dimensions"),
    (DIAGONALS | {"offsets": np.array([0, 1])}, ""),
    (DIAGONALS | {"offsets": np.array([0.5])}, "integers"),
    (SOUND | {"data": np.ones(3, complex)}, "complex numbers"),
    (SOUND | {"data": np.array(["a", "b", "c"])}, "text"),
    (SOUND | {"data": np.ones(3, "f4,f4")}, "records"),
    (SOUND | {"data": np.zeros(3, "M8[s]")}, "dates"),
    (SOUND | {"data": np.zeros(3, "m8[s]")}, "times"),
    (SOUND | {"data": np.array([1.0, np.nan, 1.0])}, "not finite"),
    (SOUND | {"data": np.array([1.0, np.inf, 1.0])}, "not finite"),
    (SOUND | {"format": np.array(b"xyz")}, "format is 'xyz'"),
    (SOUND | {"format": np.array([1, 2])}, ""),
    ({name: SOUND[name] for name in ("format", "shape", "data", "indices")}, "no array indptr"),
    ({"data": np.ones(3)}, "does not say the format"),
    (SOUND | {"indices": np.array([0, None, 1])}, ""),
]


@pytest.mark.parametrize("number", range(len(FAULTY)))
def test_matrices_that_are_not_sound_are_refused_by_name(number: int, tmp_path: Path) -> None:
    arrays, words = FAULTY[number]
    np.savez(tmp_path / "bad.npz", **arrays)
    tables = [{"name": "a", "size": 2}, {"name": "b", "size": 3}]
    values = {"population": tables, "projection": [{"source": "a", "target": "b", "matrix": "bad.npz"}]}
    with pytest.raises(InputError) as caught:
        make_network(values, tmp_path)
    text = str(caught.value)
    assert words in text and "bad.npz, for the projection a -> b" in text and "\n" not in text


@pytest.mark.parametrize("arrays", [SOUND, ROWS, BLOCKS, POINTS, DIAGONALS])
@pytest.mark.parametrize("kind", ["f2", ">f8", "i1", "?", ">i4", "g"])
def test_matrices_of_every_format_and_type_are_read(arrays: dict[str, Any], kind: str, tmp_path: Path) -> None:
    changed = arrays | {"data": arrays["data"].astype(kind)}
    for name in ("indices", "row", "offsets"):
        if name in changed:
            changed[name] = np.asarray(changed[name]).astype(">i8")
    np.savez(tmp_path / "good.npz", **changed)
    entries = load_entries(tmp_path / "good.npz", "a test")
    assert entries.shape == tuple(arrays["shape"]) and entries.values.astype(float).sum() > 0


@settings(deadline=None, max_examples=150)
@given(
    st.sampled_from(["csc", "csr", "bsr", "coo"]),
    st.lists(st.integers(-2, 4), min_size=0, max_size=5),
    st.lists(st.integers(-2, 6), min_size=0, max_size=5),
    st.sampled_from([np.int8, np.int32, np.int64, np.uint32]),
)
def test_what_is_read_lies_within_the_matrix(form: str, indices: list[int], pointers: list[int], kind: Any) -> None:
    places = {"indices": np.array(indices).astype(kind), "indptr": np.array(pointers).astype(kind)}
    if form == "coo":
        places = {"row": places["indices"], "col": places["indptr"]}
    data = np.ones((len(indices), 1, 1) if form == "bsr" else len(indices))
    try:
        entries = stored_entries(
            matrixfile._matrix({"format": np.array(form), "shape": np.array((3, 3)), "data": data} | places), "m"
        )
    except (InputError, ValueError):
        return
    assert len(entries.targets) == len(entries.sources) == len(entries.values) <= len(indices)
    for own in entries[1:3]:
        assert np.all((own >= 0) & (own < 3))


def test_a_matrix_changed_by_hand_is_checked_too() -> None:
    for matrix in (sparse.csc_array(np.ones((3, 3))), sparse.csr_array(np.ones((3, 3)))):
        matrix.indices[0] = 10**6
        with pytest.raises(InputError, match="the matrix of weights is not a sound matrix"):
            MatrixSynapses(matrix)
    matrix = sparse.coo_array(np.ones((3, 3)))
    matrix.row[0] = -5
    with pytest.raises(InputError, match=r"the matrix of weights has entries in the rows -5 \.\. 2; it has 3"):
        MatrixSynapses(matrix)
    with pytest.raises(InputError, match="complex numbers"):
        MatrixSynapses(sparse.csc_array(np.ones((3, 3), complex)))


def test_a_file_that_unpacks_to_too_much_is_refused_before_it_is_read(tmp_path, monkeypatch) -> None:
    matrix = sparse.csc_array((np.zeros(10**6), np.zeros(10**6, np.int32), [0, 10**6]), shape=(1, 1))
    sparse.save_npz(tmp_path / "bomb.npz", matrix)
    assert load_entries(tmp_path / "bomb.npz", "a test").values.shape == (10**6,)
    monkeypatch.setattr(matrixfile, "UNPACKED_MAX", 2**20)
    with monkeypatch.context() as unread:
        unread.setattr(zipfile.ZipFile, "open", None)
        with pytest.raises(InputError, match=r"bomb\.npz, for a test: it unpacks to 16000\d+ bytes"):
            load_entries(tmp_path / "bomb.npz", "a test")
    sparse.save_npz(tmp_path / "plain.npz", matrix, compressed=False)
    assert len(load_entries(tmp_path / "plain.npz", "a test").values) == 10**6


@pytest.mark.parametrize(("name", "words"), [("x" * 300, "File name too long"), (".", "not a regular file")])
def test_names_of_no_file(name: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=words):
        load_entries(tmp_path / name, "a test")


# -- Random patterns --------------------------------------------------------------------------------------------------


def wiring(projection: Any) -> list[int]:
    return next(projection.synapses.rows(200, 200)).targets.tolist()


def test_patterns_without_a_seed_differ() -> None:
    net = Network()
    a, b = net.add_population(200, name="a"), net.add_population(200, name="b")
    one = RandomSynapses(20, 0.1)
    all_ = [net.connect(a, b, one), net.connect(a, b, one), net.connect(b, b, RandomSynapses(20, -0.1))]
    assert len({tuple(wiring(own)) for own in all_}) == 3
    assert [own.synapses.seed for own in all_] == [0, 1, 2] and one.seed is None
    again = Network()
    a, b = again.add_population(200), again.add_population(200)
    assert wiring(again.connect(a, b, RandomSynapses(20, 7.0))) == wiring(all_[0])
    other = Network(seed=5)
    a, b = other.add_population(200), other.add_population(200)
    other.connect(a, b, RandomSynapses(20, 0.1, seed=6))
    assert other.connect(a, b, RandomSynapses(20, 0.1)).synapses.seed == 7, "6 is taken"


def test_python_and_a_file_choose_the_same_patterns(tmp_path: Path) -> None:
    table = {"source": "a", "target": "a", "number": 3, "weight": 0.1}
    read = make_network(
        {"seed": 2**64 - 1, "population": [{"name": "a", "size": 9}], "projection": [table] * 3}, tmp_path
    )
    net = Network(seed=2**64 - 1)
    a = net.add_population(9)
    for own in read.network.projections:
        twin = net.connect(a, a, RandomSynapses(3, 0.1))
        assert twin.synapses == own.synapses and twin.synapses.seed == (2**64 - 1 + own.index) % 2**64


# -- Numbers of all types ---------------------------------------------------------------------------------------------


def test_numbers_of_numpy_and_whole_floats_are_taken() -> None:
    plain = RandomSynapses(100, 0.5, (1, 5), 3)
    for number, weight, delay, seed in (
        (1e2, np.float32(0.5), [1, 5], np.uint64(3)),
        (np.int8(100), np.array(0.5), (np.uint8(1), 5.0), 3.0),
        (np.float64(100), 0.5, (1, 5), np.int16(3)),
    ):
        found = RandomSynapses(number, weight, delay, seed)
        assert found == plain and type(found.number) is int and type(found.delay[1]) is int
    net = Network(seed=np.int64(1))
    model = LeakyIntegrateAndFire(leak=3.0, bias=np.float32(0.5), threshold=np.float32(1), refractory=np.uint8(2))
    cells = net.add_population(np.float64(20), model)
    source = net.add_source(5.0, np.array([0, 1, 0, 1, 1], bool))
    net.connect(source, cells, sparse.csc_array(np.ones((20, 5), np.int8)), delay=np.float32(2))
    net.add_poisson(cells, np.int64(1), np.float16(0.5))
    simulation = Simulation(net, trials=np.int64(2), seed=np.uint8(1), threads=1.0)
    simulation.run(np.int32(5))
    assert simulation.step == 5 and len(simulation.counts(cells, np.int64(1))) == 5


NUMBERS: list[Any] = [
    "0.1",
    None,
    True,
    math.nan,
    math.inf,
    ["1"],
    [[1], [2, 3]],
    {},
    1j,
    10**400,
    np.array([1, 2]),
    object(),
]


@pytest.mark.parametrize("value", NUMBERS, ids=lambda value: type(value).__name__)
def test_what_is_no_number_is_refused_at_the_call(value: Any) -> None:
    net = Network()
    cells = net.add_population(3, name="cells")
    matrix = sparse.csc_array(np.ones((3, 3)))
    calls = [
        lambda: RandomSynapses(value, 0.1),
        lambda: RandomSynapses(1, value),
        lambda: RandomSynapses(1, 0.1, value),
        lambda: RandomSynapses(1, 0.1, (1, value)),
        lambda: RandomSynapses(1, 0.1, 1, [0] if value is None else value),
        lambda: net.add_population(value),
        lambda: net.add_population(3, Probabilistic(leak=0.5 if value is None else value)),
        lambda: net.add_population(3, LeakyIntegrateAndFire(threshold=value)),
        lambda: net.add_population(3, LeakyIntegrateAndFire(width=value)),
        lambda: net.add_population(3, LeakyIntegrateAndFire(reset=value)),
        lambda: net.add_population(3, LeakyIntegrateAndFire(refractory=value)),
        lambda: net.add_poisson(cells, value, 1),
        lambda: net.add_poisson(cells, 1, value),
        lambda: net.connect(cells, cells, matrix, delay=[0] if value is None else value),
        lambda: Simulation(net, trials=value),
        lambda: Simulation(net, threads=value),
        lambda: Simulation(net, seed=value),
        lambda: Network(value),
    ]
    if value is not True:  # an array of booleans is one of zeros and ones
        calls.append(lambda: net.add_source(3, value))
        calls.append(lambda: net.add_population(3, Probabilistic(bias=value)))
    for number, call in enumerate(calls):
        with pytest.raises(InputError) as caught:
            call()
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 200, number
    assert len(net.populations) == 1 and not net.projections


def test_other_things_than_populations_are_refused() -> None:
    net = Network()
    cells = net.add_population(3, name="cells")
    for call in (
        lambda: net.connect("cells", cells, RandomSynapses(1, 0.1)),
        lambda: net.add_population(3, "lif"),
        lambda: net.add_population(3, name=7),
        lambda: Simulation(net).record("cells"),
        lambda: Simulation(net).spikes(cells, trial=1),
        lambda: Simulation(net).spikes(cells, trial=-1),
        lambda: Simulation(net).record_potential(cells, [0.5]),
        lambda: Simulation(net).run(1.5),
    ):
        with pytest.raises(InputError):
            call()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"bias": math.inf}, "bias of a is inf; it must be finite"),
        ({"bias": [0.0, math.nan]}, "bias of a is nan; it must be finite"),
        ({"poisson": {"rate": 1, "weight": 1e300}}, "the Poisson drive of a, up to 12 arrivals of 1e+300"),
        ({"weight": 1e300}, "the projection a -> a: the weights of a -> a reach 1e+300; their magnitude must be below"),
        ({"weight": -math.inf}, "weight of the projection a -> a is -inf; it must be finite"),
        ({"number": 2**70}, "projection.number is an integer of 71 bits; it must have at most 64"),
        ({"size": 16**5000}, "population.size is an integer of 20001 bits"),
        ({"bias": 16**5000}, "population.bias is an integer of 20001 bits"),
        ({"record_potential": [16**5000]}, "population.record_potential is an integer of 20001 bits"),
    ],
)
def test_messages_name_the_value_and_know_nothing_of_learning(values: Any, words: str, tmp_path: Path) -> None:
    own = {"name": "a", "size": 2, **{key: value for key, value in values.items() if key not in ("weight", "number")}}
    random = {"source": "a", "target": "a", "number": 1, "weight": 0.1}
    random |= {key: value for key, value in values.items() if key in ("weight", "number")}
    with pytest.raises(InputError) as caught:
        make_network({"population": [own], "projection": [random]}, tmp_path)
    assert words in str(caught.value) and "learning" not in str(caught.value)


def test_potentials_are_recorded_once_each(tmp_path: Path) -> None:
    net = Network()
    cells = net.add_population(5, Probabilistic(bias=[0.0, 0.1, 0.2, 0.3, 0.4]))
    simulation = Simulation(net)
    simulation.record(cells, cells)
    simulation.record_potential(cells, [3, 1, 3])
    simulation.record_potential(cells, [1, 0])
    simulation.run(60)
    np.testing.assert_allclose(simulation.potentials(cells)[-1], [0.3, 0.1, 0.0], atol=1e-3)
    spikes = simulation.spikes(cells)
    assert len(spikes.steps) == simulation.counts(cells).sum() > 0
    table = {"name": "a", "size": 5, "record_potential": [3, 1, 3]}
    assert make_network({"population": [table]}, tmp_path).probes == {"a": [3, 1]}


# -- Memory -----------------------------------------------------------------------------------------------------------


def test_what_does_not_fit_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spikesim.runtime.free_memory.free_memory", lambda: 10**9)
    net = Network()
    small = net.add_population(1000, name="small")
    net.add_population(2 * 10**9, name="large")  # nothing is taken yet
    with pytest.raises(InputError, match="for the 2,000,000,000 neurons of large"):
        Simulation(net)
    net = Network()
    small = net.add_population(10**6, name="small")
    net.connect(small, small, RandomSynapses(10**9, 0.1))
    with pytest.raises(InputError, match="for the 1,000,000,000,000,000 synapses of small -> small"):
        Simulation(net)
    net.projections.clear()
    net.connect(small, small, RandomSynapses(1, 0.1, delay=(1, 4096)))  # 33 GB
    with pytest.raises(InputError, match="for the 4,096,000,000 rows"):
        Simulation(net)
    with pytest.raises(InputError, match=r"ring of spikes.*for 1,099,511,627,776 neurons x 4,097 steps.*shorten"):
        new_ring(4097, 2**40)


def test_entries_are_taken_as_they_are() -> None:
    entries = Entries((2, 3), np.array([1, 0]), np.array([0, 2]), np.array([0.5, 1.0]))
    (rows,) = MatrixSynapses(entries, 2).rows(3, 2)
    assert rows.pointers.tolist() == [0, 1, 1, 2] and rows.targets.tolist() == [1, 0] and rows.delays is None
