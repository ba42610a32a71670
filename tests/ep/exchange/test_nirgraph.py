"""The exported NIR graph, run by a small interpreter of NIR's primitives, against the mean field of the network."""

import json
from graphlib import TopologicalSorter

import h5py
import nir
import numpy as np
import pytest
from scipy.signal import correlate
from small import CONV, DENSE, POOLED, SKIPS, make, make_dataset, random_parameters

from spikesim.datasets import load
from spikesim.ep.exchange.exporting import ExportOptions, export
from spikesim.ep.exchange.nirgraph import make_if_graph, write_graph, write_if_graph
from spikesim.ep.exchange.structure import read_structure
from spikesim.ep.gradcheck.mean_field import MeanField
from spikesim.ep.network.graph import INPUT
from spikesim.ep.network.model import Model
from spikesim.ep.runs.writer import RunReader, RunWriter
from spikesim.ep.training.run_rows import make_header
from spikesim.errors import InputError
from spikesim.io.hdf5_reader import write_text

OVER_TIME = {**CONV, "kernel": [1, 3], "padding": [0, 1]}
CASES = {
    "conv": ((POOLED, {**CONV, "channels": 6}), {}, 6),
    "odd": ((POOLED, POOLED), {}, 7),
    "dense": ((POOLED, DENSE, DENSE), {}, 6),
    "mlp": ((DENSE,), {}, 5),
    "sampled": ((POOLED, CONV), {"dynamics__pooling": "sampled"}, 6),
    "strided": ((CONV, POOLED, DENSE), {"dynamics__pooling": "strided"}, 6),
    "wide": (({**CONV, "kernel": 5, "padding": 1}, CONV), {}, 6),
    "skips": (SKIPS, {}, 8),
    "over time": ((OVER_TIME, {**OVER_TIME, "stride": 2}), {"model__global_pooling": "mean"}, (1, 9)),
    "over time, positions": ((OVER_TIME, DENSE), {}, (1, 9)),
    "mean of a map": ((POOLED, CONV), {"model__global_pooling": "mean"}, 6),
    "skips into a dense layer": ((POOLED, CONV, {**DENSE, "from": ["conv2", "conv1", "input"]}), {}, 6),
}
KINDS = ("images", "labels")
SIDES = {int: lambda size: (size, size), tuple: lambda size: size}


def write_run(path, rows, changes, size, leak=2):
    """A run file with random weights of this network, without a mini-batch."""
    config = make(*rows, dynamics__leak=leak, **changes)
    dataset = make_dataset(size=size, channels=2)
    model = Model(config, dataset)
    parameters = random_parameters(model)
    model.set_parameters(parameters)
    with RunWriter.create(path, make_header(model, config, parameters, "test")) as writer:
        writer.write_weights(parameters.leaves())
    return model


def run(graph, image):
    """Values of all nodes for an image (C, H, W): what a layer sends is clip(v, 0, 1) at v = its input."""
    values = {}
    (start,) = graph.inputs
    values[start] = image
    for name in order_of(graph)[1:]:
        x, node = sum(values[source] for source, target in graph.edges if target == name), graph.nodes[name]
        if isinstance(node, nir.Conv1d):
            padded = np.pad(x, ((0, 0), (int(node.padding),) * 2))
            x = np.stack([correlate(padded, kernel, mode="valid", method="direct")[0] for kernel in node.weight])
            x = x[:, :: int(node.stride)] + node.bias[:, None]
        elif isinstance(node, nir.Conv2d):
            padded = np.pad(x, ((0, 0), *((int(side), int(side)) for side in node.padding)))
            stride = int(np.ravel(node.stride)[0])
            x = np.stack([correlate(padded, kernel, mode="valid", method="direct")[0] for kernel in node.weight])
            x = x[:, ::stride, ::stride] + node.bias[:, None, None]
        elif isinstance(node, nir.Affine):
            x = node.weight @ x + node.bias
        elif isinstance(node, nir.AvgPool2d):
            c, h, w = x.shape
            x = x[:, : h // 2 * 2, : w // 2 * 2].reshape(c, h // 2, 2, w // 2, 2).mean(axis=(2, 4))
        elif isinstance(node, nir.Flatten):
            x = x.reshape(-1)
        elif isinstance(node, nir.Threshold | nir.IF):
            x = np.clip(x, 0, 1)
        else:
            assert isinstance(node, nir.LI | nir.Output)
        expected = node.output_type["output"]
        assert tuple(expected) == x.shape, name
        values[name] = x
    return values


def order_of(graph):
    """Names of the nodes, each after those that it hears."""
    sources = {name: {source for source, target in graph.edges if target == name} for name in graph.nodes}
    return list(TopologicalSorter(sources).static_order())


def write_if_nodes(path, structure, step_ms):
    write_if_graph(path, structure)


@pytest.mark.parametrize("write", [write_graph, write_if_nodes])
@pytest.mark.parametrize("case", CASES)
def test_the_graph_computes_what_the_layers_do(tmp_path, case, write):
    rows, changes, size = CASES[case]
    model = write_run(tmp_path / "run.h5", rows, changes, size)
    with RunReader(tmp_path / "run.h5") as reader:
        write(tmp_path / "graph.nir", read_structure(reader), 1.0)
    image = np.random.default_rng(0).normal(size=(2, *SIDES[type(size)](size)))
    values = run(nir.read(tmp_path / "graph.nir"), image[:, 0] if image.shape[1] == 1 else image)
    field = MeanField.from_model(model, (1.0,))
    rates = {INPUT: np.moveaxis(image, 0, -1)[None]}
    for layer, (name, bias) in enumerate(zip(field.names, field.biases, strict=True)):
        rates[layer] = np.clip(sum(path.link.up(rates[path.source]) for path in field.into(layer)) + bias, 0, 1)
        found = values[name].reshape(rates[layer].shape[-1], *rates[layer].shape[1:3])
        np.testing.assert_allclose(np.moveaxis(found, 0, -1), rates[layer][0], atol=2e-3)  # the field has the integers
    np.testing.assert_allclose(
        values["readout"].ravel(),
        field.heads[-1].logits(rates[layer], np.ones((1, 1, rates[layer].shape[2], 1)))[0],
        atol=5e-3,
    )


@pytest.mark.parametrize("rows", [(POOLED, CONV), (POOLED, DENSE, CONV), (DENSE,)])
def test_other_programs_have_all_nodes_of_a_graph_of_if_neurons(tmp_path, rows):
    write_run(tmp_path / "run.h5", rows, {}, 6)
    with RunReader(tmp_path / "run.h5") as reader:
        write_if_graph(tmp_path / "graph.nir", read_structure(reader))
    graph = nir.read(tmp_path / "graph.nir")
    assert {type(node) for node in graph.nodes.values()} == {nir.Input, nir.Conv2d, nir.IF, nir.Output}
    for node in graph.nodes.values():
        if isinstance(node, nir.Conv2d):
            assert np.ravel(node.groups) == 1, "readers take the channels from the second axis of the weights"
        if isinstance(node, nir.IF):
            assert (node.r == 1).all() and (node.v_threshold == 1).all() and not node.v_reset.any()
            assert "clip(v, 0, 1)" in str(node.metadata["neuron"])
    assert "reset by subtraction" in str(graph.metadata["losses"])
    with h5py.File(tmp_path / "graph.nir") as file:
        names = []
        file.visit(names.append)
    assert not [name for name in names if name.endswith("v_reset")], "older versions of nir do not know it"


def test_if_neurons_fire_at_the_rate_of_the_mean_field(tmp_path):
    write_run(tmp_path / "run.h5", (POOLED, DENSE), {}, 6)
    with RunReader(tmp_path / "run.h5") as reader:
        graph = make_if_graph(read_structure(reader))
    image, steps = np.random.default_rng(0).normal(size=(2, 6, 6)), 400
    potentials, counts = dict.fromkeys(("conv1", "dense2"), 0.0), dict.fromkeys(("conv1", "dense2"), 0.0)
    wanted, follows = run(graph, image), dict(graph.edges)
    for _ in range(steps):
        x, name = image, "input"
        while name in follows:
            name = follows[name]
            if isinstance(graph.nodes[name], nir.IF):
                potentials[name] = potentials[name] + x
                x = (potentials[name] > 1).astype(float)
                potentials[name] -= x
                counts[name] += x
            else:
                part = nir.NIRGraph(
                    {"a": nir.Input({"input": np.array(x.shape)}), name: graph.nodes[name]}, [("a", name)]
                )
                x = run(part, x)[name]
    np.testing.assert_allclose(counts["conv1"] / steps, wanted["conv1"], atol=1.5 / steps)
    np.testing.assert_allclose(counts["dense2"] / steps, wanted["dense2"], atol=0.03)  # its input comes in spikes


@pytest.mark.parametrize(("leak", "step_ms"), [(0, 1.0), (2, 0.5), (3, 10.0)])
def test_the_membrane_is_a_leaky_integrator(tmp_path, leak, step_ms):
    write_run(tmp_path / "run.h5", (POOLED, CONV), {}, 6, leak=leak)
    with RunReader(tmp_path / "run.h5") as reader:
        write_graph(tmp_path / "graph.nir", read_structure(reader), step_ms)
    membrane = nir.read(tmp_path / "graph.nir").nodes["conv2_membrane"]
    alpha = step_ms * 1e-3 / membrane.tau  # of an Euler step of tau dv/dt = v_leak - v + r i
    np.testing.assert_allclose(alpha, 2.0**-leak, rtol=1e-6)
    assert (membrane.r == 1).all() and not membrane.v_leak.any()


def test_refractory_neurons_are_metadata_and_no_if_neurons(tmp_path):
    write_run(tmp_path / "run.h5", (POOLED, CONV), {"model__neuron": "refractory", "model__refractory": 2}, 6)
    with RunReader(tmp_path / "run.h5") as reader:
        export(reader, "nir", tmp_path / "graph.nir", ExportOptions())
        with pytest.raises(InputError, match="has refractory neurons, whose rates IF neurons cannot represent"):
            export(reader, "nir", tmp_path / "if.nir", ExportOptions(nodes="if"))
    said = str(nir.read(tmp_path / "graph.nir").nodes["conv1"].metadata["neuron"])
    assert "does not fire in the 2 steps after a spike" in said


def test_what_nir_cannot_say_is_metadata(tmp_path):
    write_run(tmp_path / "run.h5", (POOLED, CONV), {"dynamics__feedback_gain": 0.25}, 6)
    with RunReader(tmp_path / "run.h5") as reader:
        write_graph(tmp_path / "graph.nir", read_structure(reader), 1.0)
    graph = nir.read(tmp_path / "graph.nir")
    text = json.dumps({key: str(value) for key, value in graph.metadata.items()})
    assert "constant over time" in text and "at each step" not in text
    assert "transposed weights" in text and "clip(v, 0, 1)" in text and "outside the dynamics" not in text
    said = {key: str(value) for key, value in graph.nodes["conv1"].metadata.items()}
    assert "transpose of conv2_weight" in said["feedback"] and said["feedback_gain"] == "0.25"
    assert "none" in str(graph.nodes["conv2"].metadata["feedback"])
    assert "outside the dynamics" in str(graph.nodes["readout"].metadata["applied_to"])


@pytest.mark.parametrize("nodes", ["cuba", "if"])
def test_winners_have_no_node(tmp_path, nodes):
    phases = {"dynamics__nudged_phase": "linear-response", "dynamics__rule": "postsynaptic"}
    write_run(tmp_path / "run.h5", (POOLED, CONV), {**phases, "dynamics__pooling": "winner"}, 6)
    with RunReader(tmp_path / "run.h5") as reader, pytest.raises(InputError, match="'winner', for which NIR has no"):
        export(reader, "nir", tmp_path / "graph.nir", ExportOptions(nodes=nodes))


def test_a_map_behind_a_vector_has_no_node(tmp_path):
    write_run(tmp_path / "run.h5", (POOLED, DENSE, CONV), {}, 6)
    with RunReader(tmp_path / "run.h5") as reader, pytest.raises(InputError, match="conv3 is a convolution after"):
        write_graph(tmp_path / "graph.nir", read_structure(reader), 1.0)


def without_shape(path):
    """A run file as it was before it held the shape of the samples."""
    with h5py.File(path, "r+") as file:
        del file.attrs["input_shape"], file.attrs["data_source"]


@pytest.mark.parametrize("case", ["conv", "dense", "wide"])
def test_old_files_of_most_networks_say_their_shape_without_words(tmp_path, case):
    rows, changes, size = CASES[case]
    write_run(tmp_path / "run.h5", rows, changes, size)
    with RunReader(tmp_path / "run.h5") as reader:
        assert reader.input_shape == (size, size, 2)
    without_shape(tmp_path / "run.h5")
    with RunReader(tmp_path / "run.h5") as reader:
        assert reader.input_shape is None and reader.data_source == ""
        assert read_structure(reader).graph.image.shape == (size, size, 2)


@pytest.mark.parametrize("case", ["mlp", "strided"])
def test_other_old_files_are_asked_for_their_data(tmp_path, case, monkeypatch):
    rows, changes, size = CASES[case]
    data = make_dataset(size=size, channels=2)
    arrays = {f"{part}_{kind}": getattr(getattr(data, part), kind) for part in ("train", "test") for kind in KINDS}
    np.savez(tmp_path / "own.npz", **arrays)
    name = load("own.npz", tmp_path).name
    rows = rows if case == "mlp" else (POOLED, DENSE)
    write_run(tmp_path / "run.h5", rows, {**changes, "data__dataset": name}, size)
    without_shape(tmp_path / "run.h5")
    monkeypatch.setenv("SPIKESIM_DATA", str(tmp_path))
    with RunReader(tmp_path / "run.h5") as reader:
        assert read_structure(reader).graph.image.shape == (size, size, 2)
        monkeypatch.delenv("SPIKESIM_DATA")
        with pytest.raises(InputError, match=r"own\.npz#[0-9a-f]+' is not found; go to its folder"):
            read_structure(reader)


@pytest.mark.parametrize("shape", ["[9, 9, 2]", "[4000, 4000, 2]", "[6, 6]", "[6, 6, 0]", "[6, 6, 2.0]", "7", "{"])
def test_a_shape_that_is_not_that_of_the_weights(tmp_path, shape):
    write_run(tmp_path / "run.h5", (DENSE,), {}, 6)
    with h5py.File(tmp_path / "run.h5", "r+") as file:
        del file.attrs["input_shape"]
        write_text(file.attrs, "input_shape", shape)
    with pytest.raises(InputError, match=r"input_shape|is damaged"), RunReader(tmp_path / "run.h5") as reader:
        read_structure(reader)


def test_a_file_that_contradicts_itself(tmp_path):
    model = write_run(tmp_path / "run.h5", (POOLED, CONV), {}, 6)
    other = make(POOLED, {**CONV, "channels": 5})
    parameters = random_parameters(model)
    with RunWriter.create(tmp_path / "run2.h5", make_header(model, other, parameters, "test")) as writer:
        writer.write_weights(parameters.leaves())
    with RunReader(tmp_path / "run2.h5") as reader, pytest.raises(InputError, match="other layers than its config"):
        read_structure(reader)


def test_a_run_that_has_only_begun(tmp_path):
    model = write_run(tmp_path / "run.h5", (POOLED, CONV), {}, 6)
    with RunWriter.create(tmp_path / "new.h5", make_header(model, make(POOLED, CONV), random_parameters(model), "")):
        pass
    with RunReader(tmp_path / "new.h5") as reader, pytest.raises(InputError, match="no weights yet"):
        read_structure(reader)


def test_an_input_of_spikes_is_said(tmp_path):
    write_run(tmp_path / "run.h5", (POOLED, CONV), {"data__encoding": "bernoulli"}, 6)
    with RunReader(tmp_path / "run.h5") as reader:
        structure = read_structure(reader)
        write_graph(tmp_path / "graph.nir", structure, 1.0)
    assert structure.spikes
    assert "spikes, at each step" in str(nir.read(tmp_path / "graph.nir").metadata["input"])
