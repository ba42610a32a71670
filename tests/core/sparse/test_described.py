"""Connections and inputs of TOML files: the same network as from Python, and what is refused."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from runs import LAYERS, make_header

from spikesim.ep.runs.writer import RunWriter
from spikesim.errors import InputError
from spikesim.sparse import (
    AllToAll,
    EdgeList,
    FixedInDegree,
    FixedTotalNumber,
    LogNormal,
    Network,
    Normal,
    OneToOne,
    PairwiseBernoulli,
    Simulation,
    Spikes,
    TimeCourse,
    Uniform,
    read_spikes,
)
from spikesim.sparse.description import make_network

A = {"name": "a", "size": 6}
NORMAL = {"distribution": "normal", "mean": 0.2, "std": 0.1, "low": 0.0, "outside": "clip"}
DELAYS = {"distribution": "uniform", "low": 1, "high": 7}
RULES: list[tuple[dict[str, Any], Any]] = [
    ({"rule": "pairwise_bernoulli", "p": 0.5, "weight": 0.1}, PairwiseBernoulli(0.5, weight=0.1)),
    (
        {"rule": "fixed_indegree", "indegree": 3, "weight": NORMAL, "delay": DELAYS, "allow_multiple": False},
        FixedInDegree(3, weight=Normal(0.2, 0.1, low=0.0, outside="clip"), delay=Uniform(1, 7), allow_multiple=False),
    ),
    (
        {"rule": "fixed_total_number", "number": 9, "weight": 1, "delay": [1, 3], "seed": 8},
        FixedTotalNumber(9, weight=1, delay=(1, 3), seed=8),
    ),
    ({"rule": "one_to_one", "weight": [1, 2, 3, 4, 5, 6.5]}, OneToOne(weight=np.array([1, 2, 3, 4, 5, 6.5]))),
    (
        {
            "rule": "all_to_all",
            "weight": {"distribution": "lognormal", "mean": -2, "std": 0.5},
            "allow_self_connections": False,
        },
        AllToAll(weight=LogNormal(-2, 0.5), allow_self_connections=False),
    ),
    ({"edges": "edges.csv", "weight": 0.5, "delay": 3}, EdgeList([0, 5], [1, 1], weight=0.5, delay=3)),
    ({"matrix": "w.npy", "delay": "d.npy"}, EdgeList([1, 3], [0, 2], weight=[0.5, 0.25], delay=[2, 4])),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("net")
    (where / "edges.csv").write_text("source,target\n0,1\n5,1\n")
    weights, delays = np.zeros((6, 6)), np.zeros((6, 6), int)
    weights[0, 1], weights[2, 3], delays[0, 1], delays[2, 3] = 0.5, 0.25, 2, 4
    np.save(where / "w.npy", weights)
    np.save(where / "d.npy", delays)
    np.save(where / "current.npy", np.linspace(0, 1, 30).reshape(5, 6))
    np.save(where / "images.npy", np.arange(18, dtype=np.uint8).reshape(3, 2, 3) * 10)
    (where / "rate.csv").write_text("step,value\n0,0.1\n20,0.4\n")
    return where


@pytest.mark.parametrize(("table", "rule"), RULES, ids=[next(iter(table.values())) for table, _ in RULES])
def test_python_and_a_file_connect_alike(table: dict[str, Any], rule: Any, folder: Path) -> None:
    read = make_network({"population": [A], "projection": [{"source": "a", "target": "a"} | table]}, folder)
    net = Network()
    cells = net.add_population(6)
    net.connect(cells, cells, rule)
    [one], [other] = (
        list(own.projections[0].synapses.rows(6, 6)) if own.projections else [] for own in (read.network, net)
    )
    for mine, its in zip(one, other, strict=True):
        np.testing.assert_array_equal(mine, its)
    assert bool(read.content["files"][0]) == ("rule" not in table) and "input_files" not in read.content


def test_python_and_a_file_have_the_same_inputs(folder: Path) -> None:
    values = {
        "population": [
            A
            | {
                "current": [
                    0.1,
                    {"value": 0.5, "neurons": [2]},
                    {"steps": [3, 9], "values": [0.3, 0]},
                    {"file": "current.npy", "length": 2},
                ]
            },
            {"name": "b", "size": 3, "kind": "source", "rate": {"file": "rate.csv"}},
            {"name": "c", "size": 6, "kind": "source", "images": {"file": "images.npy", "samples": [2, 0], "steps": 7}},
            {"name": "d", "size": 6, "kind": "spikes", "images": {"file": "images.npy", "steps": 9, "pause": 1}},
            {"name": "e", "size": 2, "kind": "spikes", "spikes": {"neurons": [1, 0], "steps": [4, 2]}},
            {"name": "f", "size": 9, "poisson": {"rate": {"file": "rate.csv"}, "weight": 0.8}},
            {"name": "g", "size": 9, "poisson": {"rate_hz": {"steps": [10], "values": [1500]}, "weight": 0.8}},
        ],
        "dt": 0.5,
    }
    read = make_network(values, folder)
    net, images = Network(dt=0.5), np.load(folder / "images.npy")
    cells = net.add_population(6)
    net.add_current(cells, 0.1)
    net.add_current(cells, 0.5, neurons=[2])
    net.add_current(cells, TimeCourse([3, 9], [0.3, 0]))
    net.add_current(cells, TimeCourse.of_array(np.load(folder / "current.npy"), length=2))
    net.add_source(3, TimeCourse([0, 20], [0.1, 0.4]))
    net.add_source(6, TimeCourse.of_images(images[[2, 0]], 7))
    net.add_spike_trains(6, Spikes.of_latencies(images, 9, pause=1))
    net.add_spike_trains(2, Spikes.at_steps([1, 0], [4, 2]))
    net.add_poisson(net.add_population(9), TimeCourse([0, 20], [0.1, 0.4]), 0.8)
    net.add_poisson(net.add_population(9), TimeCourse([10], net.per_step([1500])), 0.8)
    found = []
    for own in (read.network, net):
        simulation = Simulation(own, seed=2)
        simulation.run(40)
        found.append([(simulation.counts(one).tolist(), simulation.potential(one).tolist()) for one in own.populations])
    assert found[0] == found[1] and all(sum(counts) for counts, _ in found[0][1:])
    assert set(read.content["input_files"]) == {"a", "b", "c", "d", "f"}


def test_another_content_of_a_file_is_another_network(folder: Path, tmp_path: Path) -> None:
    values = {"population": [{"name": "a", "size": 6, "current": {"file": "current.npy"}}]}
    np.save(tmp_path / "current.npy", np.zeros((5, 6)))
    assert make_network(values, folder).content != make_network(values, tmp_path).content


def test_spikes_that_a_training_recorded(tmp_path: Path) -> None:
    rows = np.array([(7, 0, 1, 3), (2, 4, 0, 5), (2, 6, 1, 3), (2, 6, 1, 0), (2, 9, 1, 2)])
    with RunWriter.create(tmp_path / "run.h5", make_header()) as writer:
        writer.append_spikes(1, *rows[:1].T)
        writer.append_spikes(2, *rows.T)
    found = read_spikes(tmp_path / "run.h5", population=LAYERS[1].name, trial=2)
    assert list(zip(found.steps.tolist(), found.neurons.tolist(), strict=True)) == [(6, 0), (6, 3), (9, 2)]
    with pytest.raises(InputError, match="choose a layer among"):
        read_spikes(tmp_path / "run.h5", trial=2)
    with pytest.raises(InputError, match="no spikes of sample 5"):
        read_spikes(tmp_path / "run.h5", population=LAYERS[1].name, trial=5)


def refused(population: dict[str, Any], projection: dict[str, Any] | None, folder: Path) -> str:
    values: dict[str, Any] = {"population": [A | population]}
    if projection is not None:
        values["projection"] = [{"source": "a", "target": "a"} | projection]
    with pytest.raises(InputError) as caught:
        make_network(values, folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("projection", "words"),
    [
        ({"rule": "fixed_in_degree", "weight": 1}, "must be one of pairwise_bernoulli, fixed_indegree"),
        ({"rule": "fixed_in_degree", "weight": 1}, "did you mean fixed_indegree?"),
        ({"rule": "one_to_one", "matrix": "w.npy"}, "a -> a needs either a number"),
        (
            {"rule": "fixed_indegree", "number": 3, "weight": 1},
            "unknown key 'number' in the projection a -> a, by fixed",
        ),
        ({"rule": "fixed_indegree", "weight": 1}, "indegree of the projection a -> a is missing"),
        ({"rule": "all_to_all", "allow_autapses": False}, "(did you mean allow_self_connections?)"),
        ({"rule": "one_to_one"}, "weight of the projection a -> a is missing"),
        (
            {"rule": "one_to_one", "weight": {"mean": 1}},
            "distribution of the weight of the projection a -> a is missing",
        ),
        ({"rule": "one_to_one", "weight": {"distribution": "normal", "mean": 1}}, "has no std; it needs mean, std"),
        ({"rule": "one_to_one", "weight": NORMAL | {"sigma": 1}}, "(did you mean std?)"),
        ({"rule": "one_to_one", "weight": NORMAL | {"outside": "cut"}}, "must be one of redraw, clip"),
        ({"rule": "one_to_one", "weight": [1, 2]}, "weight of OneToOne is an array of shape (2,); it must have (6,)"),
        ({"rule": "fixed_indegree", "indegree": 7, "weight": 1, "allow_multiple": False}, "there are 6 source neurons"),
        ({"number": 2, "weight": NORMAL}, 'give it rule = "fixed_outdegree"'),
        ({"edges": "edges.csv"}, "has no weights"),
        ({"edges": "none.csv", "weight": 1}, "none.csv does not exist"),
        ({"edges": "edges.csv", "weight": 1, "step_ms": 0.1}, "has step_ms, which belongs to SONATA"),
        ({"matrix": "rate.csv"}, "is not a file of scipy.sparse"),
        ({"matrix": "current.npy"}, "has shape (5, 6)"),
    ],
)
def test_projections_that_are_none(projection: dict[str, Any], words: str, folder: Path) -> None:
    assert words in refused({}, projection, folder)


@pytest.mark.parametrize(
    ("population", "words"),
    [
        ({"kind": "spikes"}, "has none of spikes, images and recordings"),
        ({"kind": "spikes", "spikes": {"neurons": [1], "step": [1]}}, "(did you mean steps?)"),
        ({"kind": "spikes", "spikes": {"neurons": [1]}}, "spikes of a has no steps"),
        ({"kind": "spikes", "spikes": {"neurons": [6], "steps": [1]}}, "is given spikes of neuron 6"),
        ({"kind": "spikes", "spikes": "none.h5"}, "none.h5, for spikes of a, does not exist"),
        ({"kind": "spikes", "spikes": "w.npy"}, "w.npy is not a text in UTF-8"),
        ({"kind": "spikes", "images": {"file": "images.npy", "steps": 5, "scale": 2}}, "have a scale"),
        ({"kind": "spikes", "recordings": {"dataset": "nmnist", "samples": [0]}}, "which 'spikesim simulate' reads"),
        ({"kind": "source", "rate": {"steps": [0], "values": [2]}}, "rates reach from 2 to 2"),
        ({"kind": "source", "rate": {"steps": [0]}}, "rate of a has no values"),
        ({"kind": "source", "rate": 0.1, "images": {"file": "images.npy", "steps": 5}}, "or images"),
        ({"kind": "source", "images": {"file": "images.npy"}}, "images of a has no steps"),
        ({"kind": "source", "images": {"file": "images.npy", "steps": 5, "samples": [3]}}, "there is no 3"),
        ({"kind": "source", "rate": 0.1, "current": 1.0}, "no current can be injected"),
        ({"current": {"steps": [0, 1], "values": [[1, 2], [3]]}}, "current of a: values of a time course are"),
        (
            {"current": {"value": 1, "steps": [1]}},
            "unknown key 'steps' in the current of a; its keys are value, neurons",
        ),
        ({"current": {"file": "images.npy"}}, "values of a time course have shape (3, 2, 3)"),
        ({"current": {"file": "rate.csv", "length": 3}}, "unknown key 'length'"),
        ({"node_population": "x"}, "has a node_population without nodes"),
    ],
)
def test_inputs_that_are_none(population: dict[str, Any], words: str, folder: Path) -> None:
    assert words in refused(population, None, folder)


def test_nodes_of_sonata_give_the_size(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "nodes.h5", "w") as file:
        file["nodes/v1/node_type_id"], file["nodes/lgn/node_type_id"] = np.zeros(30, int), np.zeros(7, int)
    named = {"name": "v1", "nodes": "nodes.h5"}
    assert make_network({"population": [named]}, tmp_path).network.neurons == 30
    assert make_network({"population": [named | {"node_population": "lgn"}]}, tmp_path).network.neurons == 7
    with pytest.raises(InputError, match="has no population 'other'; choose one of lgn, v1"):
        make_network({"population": [named | {"name": "other"}]}, tmp_path)
    with pytest.raises(InputError, match="a size and nodes"):
        make_network({"population": [named | {"size": 3}]}, tmp_path)
