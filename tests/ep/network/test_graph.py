"""The graph of the layers: what describes it, its levels and names, and what is refused."""

from typing import Any

import numpy as np
import pytest
import small

from spikesim.engine.populations import ATTENUATION_MAX
from spikesim.engine.synapses import Conv
from spikesim.ep.network.architectures import ARCHITECTURES, architecture, build
from spikesim.ep.network.graph import INPUT, LayerGraph
from spikesim.ep.network.initial_weights import initial_parameters, initial_scales
from spikesim.ep.network.model import Model
from spikesim.ep.network.parameters import ParameterTree
from spikesim.errors import InputError

CONV = {"kind": "conv", "channels": 2}
DENSE = {"kind": "dense", "channels": 5}


def make(*rows: dict[str, Any], size: tuple[int, int, int] = (8, 8, 1), **settings: Any) -> LayerGraph:
    return build(architecture("custom", rows), size, **settings)


def table_of(graph: LayerGraph, name: str) -> Conv:
    (table,) = (edge.connection.table for edge in graph.edges if edge.name == name)
    assert isinstance(table, Conv)
    return table


@pytest.mark.parametrize("name", ["mlp", "conv", "vgg5", "vgg8", "vgg9", "vgg11", "vgg16"])
def test_a_chain_is_the_special_case(name: str) -> None:
    graph = build(ARCHITECTURES[name], (32, 32, 3), width=1 / 32, attenuation=3)
    count = len(graph.populations)
    assert [edge.name for edge in graph.edges] == list(graph.names)
    assert [edge.weight for edge in graph.edges] == [f"{name}/weight" for name in graph.names]
    assert [(edge.source, edge.target) for edge in graph.edges] == list(enumerate(range(count), INPUT))
    assert all(edge.span == 1 and edge.first for edge in graph.edges)
    assert [edge.index for edge in graph.edges] == list(range(count))
    assert graph.levels == tuple(range(1, count + 1)) and graph.depth == count
    assert [graph.below_top(layer) for layer in range(count)] == list(reversed(range(count)))
    assert [edge.connection.attenuation for edge in graph.edges] == [0, *[3] * (count - 1)]
    assert graph.input_edges == graph.edges[:1]


def test_a_level_is_the_longest_path_from_the_input() -> None:
    graph = make(
        CONV,
        {**CONV, "from": ["input"]},
        {**CONV, "from": ["conv2", "conv1"]},
        {**CONV, "from": ["conv3", "conv1", "input"]},
        {**CONV, "from": ["conv4", "conv2"]},
    )
    assert graph.levels == (1, 1, 2, 3, 4) and graph.depth == 4
    assert [(edge.name, edge.span) for edge in graph.edges] == [
        ("conv1", 1), ("conv2", 1), ("conv3", 1), ("conv3_from_conv1", 1), ("conv4", 1), ("conv4_from_conv1", 2),
        ("conv4_from_input", 3), ("conv5", 1), ("conv5_from_conv2", 3),
    ]  # fmt: skip
    for edge in graph.edges:
        assert edge.span == graph.levels[edge.target] - (graph.levels[edge.source] if edge.source != INPUT else 0)
    assert [edge.name for edge in graph.edges if edge.first] == list(graph.names)
    assert [edge.name for edge in graph.incoming(3)] == ["conv4", "conv4_from_conv1", "conv4_from_input"]
    assert [edge.name for edge in graph.outgoing(0)] == ["conv3_from_conv1", "conv4_from_conv1"]
    assert [edge.name for edge in graph.input_edges] == ["conv1", "conv2", "conv4_from_input"]
    assert graph.first(3).name == "conv4" and not graph.outgoing(4)
    assert [edge.analogue for edge in graph.edges] == [edge.source == INPUT for edge in graph.edges]
    assert [edge.connection.tied for edge in graph.edges] == [edge.source != INPUT for edge in graph.edges]


@pytest.mark.parametrize("rows", [small.SKIPS, ARCHITECTURES["resnet13"]])
def test_each_layer_comes_after_those_that_drive_it(rows: Any) -> None:
    graph = make(*rows) if isinstance(rows, tuple) else build(rows, (32, 32, 3), width=1 / 64)
    for edge in graph.edges:
        assert edge.source < edge.target
        assert edge.connection.target is graph.populations[edge.target]
        below = graph.image if edge.source == INPUT else graph.populations[edge.source]
        assert edge.connection.source is below
    assert [edge.target for edge in graph.edges] == sorted(edge.target for edge in graph.edges)


def test_names_and_tables_say_what_a_layer_reads() -> None:
    graph = make(
        {**CONV, "channels": 3},
        {**CONV, "channels": 4, "stride": 2},
        {**CONV, "from": [
            {"layer": "conv2"}, {"layer": "conv1", "kernel": 5, "padding": 2, "stride": 2}, {"layer": "input"},
        ]},
        {**CONV, "kernel": 5, "padding": 2, "from": [{"layer": "conv3", "kernel": 3, "padding": 1, "stride": 2}]},
    )  # fmt: skip
    assert [population.shape for population in graph.populations] == [(8, 8, 3), (4, 4, 4), (4, 4, 2), (2, 2, 2)]
    assert table_of(graph, "conv3") == Conv(3, 1)
    assert table_of(graph, "conv3_from_conv1") == Conv(5, 2, stride=2)
    assert table_of(graph, "conv3_from_input") == Conv(1, 0, stride=2), "a stride that makes the maps fit"
    assert table_of(graph, "conv4") == Conv(3, 1, stride=2)
    shapes = {edge.name: edge.shape for edge in graph.edges}
    assert shapes["conv3_from_conv1"] == (5, 5, 3, 2) and shapes["conv3_from_input"] == (1, 1, 1, 2)
    assert graph.fan_in(2) == 3 * 3 * 4 + 5 * 5 * 3 + 1
    assert [edge.fan_in for edge in graph.incoming(2)] == [36, 75, 1]


def test_what_is_pooled_is_pooled_for_all_that_read_it() -> None:
    graph = make({**CONV, "pool": True}, CONV, {**DENSE, "from": ["conv2", "conv1"]})
    assert [edge.pooled for edge in graph.edges] == [False, True, False, True]
    assert [edge.convolution for edge in graph.edges] == [True, True, False, False]
    assert [edge.shape for edge in graph.incoming(2)] == [(32, 5), (32, 5)]


@pytest.mark.parametrize("gain", [0, 1, 5, 9])
def test_feedback_is_attenuated_once_a_level_and_never_beyond_its_bound(gain: int) -> None:
    rows = (CONV, CONV, {**CONV, "from": ["conv2", "conv1"]}, {**CONV, "from": ["conv3", "conv1", "input"]})
    graph = make(*rows, attenuation=gain)
    found = {edge.name: edge.connection.attenuation for edge in graph.edges}
    assert ATTENUATION_MAX == 16
    assert found == {
        "conv1": 0, "conv2": gain, "conv3": gain, "conv3_from_conv1": min(2 * gain, 16), "conv4": gain,
        "conv4_from_conv1": min(3 * gain, 16), "conv4_from_input": 0,
    }  # fmt: skip


def test_resnet13_is_that_of_the_paper() -> None:
    graph = build(ARCHITECTURES["resnet13"], (32, 32, 3), width=1 / 64)
    assert [row.channels for row in ARCHITECTURES["resnet13"].layers] == [128, 128, 256, 256, 512, 512, 512, 512]
    assert [population.shape for population in graph.populations] == [
        (32, 32, 2), (16, 16, 2), (16, 16, 4), (8, 8, 4), (8, 8, 8), (4, 4, 8), (4, 4, 8), (2, 2, 8)
    ]  # fmt: skip
    assert len(graph.edges) + 1 == 13, "with the read-out"
    skips = [edge for edge in graph.edges if not edge.first]
    assert [edge.name for edge in skips] == [
        "conv2_from_input", "conv4_from_conv2", "conv6_from_conv4", "conv8_from_conv6"
    ]  # fmt: skip
    assert [edge.span for edge in skips] == [2] * 4 and graph.levels == tuple(range(1, 9))
    for edge in graph.edges:
        table = edge.connection.table
        assert isinstance(table, Conv)
        assert (table.kernel, table.padding) == ((3, 1) if edge.first else (1, 0))
        assert table.stride == (2 if edge.target % 2 else 1) and not edge.pooled
    assert graph.features == (2, 2, 8) and not graph.readout_pooled


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("conv1", "from is 'conv1'; it must be a list of names of layers, or tables with layer"),
        ([], "from is []; it must be a list of names of layers"),
        (["conv3"], "layer of from is 'conv3'; it must be one of input, conv1, conv2"),
        (["conv4"], "layer of from is 'conv4'; it must be one of input, conv1, conv2"),
        ([{"layer": 1}], "layer of from is 1; it must be one of input, conv1, conv2"),
        (["conv1", "conv1"], "from is ['conv1', 'conv1']; it must name each layer once"),
        (["conv1", {"layer": "conv1", "kernel": 1}], "it must name each layer once"),
        ([1], "from is 1; it must be one table"),
        ([{"kernel": 3}], "from has no layer; it needs layer"),
        ([{"layer": "conv1", "pool": True}], "unknown key 'pool' in from; its keys are layer, kernel, padding, stride"),
        ([{"layer": "conv1", "kernel": 0}], "kernel of from is 0; it must be at least 1"),
        ([{"layer": "conv1", "padding": -1}], "padding of from is -1; it must be at least 0"),
        ([{"layer": "conv1", "stride": 1.5}], "stride of from is 1.5; it must be an integer"),
        ([{"layer": "conv1", "stride": True}], "stride of from is True; it must be an integer"),
    ],
)
def test_what_from_refuses_in_one_line(given: Any, words: str) -> None:
    with pytest.raises(InputError) as caught:
        architecture("custom", (CONV, CONV, {**CONV, "from": given}))
    text = str(caught.value)
    assert words in text and "row 3 of model.layers, " in text and text.isprintable()


@pytest.mark.parametrize(
    "given",
    [
        ["conv2", {"layer": "conv1", "stride": 2}],
        [{"layer": "conv2", "stride": 2}, {"layer": "conv1", "stride": 1}],
        ["conv2", {"layer": "conv1", "kernel": 3}],
    ],
)
def test_maps_of_different_size_do_not_meet(given: list[Any]) -> None:
    with pytest.raises(InputError, match=r"does not fit layer 3: its sources give maps of .* of one size") as caught:
        make(CONV, CONV, {**CONV, "from": given})
    assert str(caught.value).isprintable()


def test_initial_weights_have_the_fan_in_of_all_connections_and_streams_of_their_own() -> None:
    config = small.make(*small.SKIPS, model__gain=[1.0, 0.5, 0.8, 0.9], model__first_gain=2.0, seed=3)
    model = Model(config, small.make_dataset(size=8))
    scales = initial_scales(model, config)
    fan_in = [model.graph.fan_in(layer) for layer in range(4)]
    assert fan_in == [9, 27, 9 * 2 + 3, 9 * 3 + 1]
    np.testing.assert_allclose(scales, np.array([2.0, 0.5, 0.8, 0.9]) / np.sqrt(fan_in))
    leaves = initial_parameters(model, config).leaves()
    for edge in model.graph.edges:
        assert abs(leaves[edge.weight]).max() <= 3**0.5 * scales[edge.target] * 1.0001
    firsts = [array.ravel()[:2].tobytes() for name, array in leaves.items() if name.endswith("/weight")]
    assert len(set(firsts)) == len(firsts)


def test_the_tree_of_parameters_is_that_of_the_graph() -> None:
    config = small.make(*small.SKIPS, error_signals__kind="local")
    model = Model(config, small.make_dataset(size=8))
    tree = small.random_parameters(model)
    leaves = tree.leaves()
    assert list(leaves) == [
        "conv1/weight", "conv1/bias", "conv2/weight", "conv2/bias", "conv3/weight", "conv3_from_conv1/weight",
        "conv3/bias", "conv4/weight", "conv4_from_input/weight", "conv4/bias", "head1/weight", "head1/bias",
        "head2/weight", "head2/bias", "head3/weight", "head3/bias", "readout/weight", "readout/bias",
    ]  # fmt: skip
    again = ParameterTree.of_leaves(model.graph, model.heads, leaves)
    for name, array in again.leaves().items():
        assert array.tobytes() == leaves[name].tobytes() and not np.shares_memory(array, leaves[name])
    assert [weights.shape for weights in tree.weights(model.graph)] == [edge.shape for edge in model.graph.edges]
    assert len(tree.biases()) == model.layers
