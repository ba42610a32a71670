"""Architectures: the shapes that they unfold to, and what does not fit."""

from typing import Any

import pytest
import small

from spikesim.engine.synapses import Conv
from spikesim.ep.network.architectures import ARCHITECTURES, NeuronParameters, architecture, build, input_shape
from spikesim.ep.network.initial_weights import initial_parameters
from spikesim.ep.network.model import Model
from spikesim.errors import InputError


def test_vgg11_has_the_eight_convolutions_of_configuration_a() -> None:
    graph = build(architecture("vgg11"), (32, 32, 3))
    assert [population.shape for population in graph.populations] == [
        (32, 32, 64), (16, 16, 128), (8, 8, 256), (8, 8, 256), (4, 4, 512), (4, 4, 512), (2, 2, 512), (2, 2, 512)
    ]  # fmt: skip
    assert [edge.shape for edge in graph.edges] == [
        (3, 3, 3, 64), (3, 3, 64, 128), (3, 3, 128, 256), (3, 3, 256, 256),
        (3, 3, 256, 512), (3, 3, 512, 512), (3, 3, 512, 512), (3, 3, 512, 512),
    ]  # fmt: skip
    assert graph.features == (1, 1, 512)
    assert [edge.pooled for edge in graph.edges] == [False, True, True, False, True, False, True, False]
    assert graph.readout_pooled
    tables = [edge.connection.table for edge in graph.edges]
    assert [isinstance(table, Conv) and table.pool for table in tables] == [
        None, "average", "average", None, "average", None, "average", None
    ]  # fmt: skip
    assert [edge.connection.tied for edge in graph.edges] == [False] + 7 * [True]


def test_the_other_architectures() -> None:
    shapes = {name: [p.shape for p in build(ARCHITECTURES[name], (32, 32, 1)).populations] for name in ("conv", "vgg5")}
    assert shapes["conv"] == [(32, 32, 32), (16, 16, 64)]
    assert shapes["vgg5"] == [(32, 32, 128), (16, 16, 256), (8, 8, 512), (4, 4, 512)]
    assert build(ARCHITECTURES["vgg5"], (32, 32, 1)).features == (2, 2, 512)
    assert build(ARCHITECTURES["conv"], (28, 28, 1)).features == (7, 7, 64)
    mlp = build(ARCHITECTURES["mlp"], (28, 28, 1))
    assert [edge.shape for edge in mlp.edges] == [(784, 512)] and mlp.features == (1, 1, 512)


@pytest.mark.parametrize(("width", "channels"), [(0.5, [16, 32]), (2, [64, 128]), (1e-6, [1, 1]), (0.05, [2, 3])])
def test_width_is_a_factor_on_the_channels(width: float, channels: list[int]) -> None:
    graph = build(architecture("conv"), (8, 8, 3), width=width)
    assert [population.shape[2] for population in graph.populations] == channels
    assert [edge.shape[2:] for edge in graph.edges] == [(3, channels[0]), tuple(channels)]


@pytest.mark.parametrize("width", [0.0, -1.0, 65.0, float("nan")])
def test_width_out_of_range(width: float) -> None:
    with pytest.raises(InputError, match="width"):
        build(architecture("conv"), (8, 8, 3), width=width)


def test_images_that_vgg_takes() -> None:
    arch = architecture("vgg11")
    for size in (28, 30, 32):
        assert input_shape("vgg11", arch, small.make_dataset(size=size, channels=3)) == (32, 32, 3)
    assert input_shape("conv", architecture("conv"), small.make_dataset(size=(9, 7))) == (9, 7, 1)
    sizes: list[Any] = [26, 27, 31, 33, 34, 64, (32, 28)]
    for size in sizes:
        with pytest.raises(InputError, match=r"vgg11 takes images of 32x32.*patterns has"):
            input_shape("vgg11", arch, small.make_dataset(size=size, samples=3))


def test_custom_layers() -> None:
    rows = (
        {"kind": "conv", "channels": 6, "kernel": 5, "padding": 0, "pool": True},
        {"kind": "conv", "channels": 7, "kernel": 1, "padding": 0},
        {"kind": "dense", "channels": 9},
        {"kind": "dense", "channels": 4},
    )
    graph = build(architecture("custom", rows), (11, 9, 2), pooling="sampled", neurons=NeuronParameters(leak=3))
    assert [population.shape for population in graph.populations] == [(7, 5, 6), (3, 2, 7), (1, 1, 9), (1, 1, 4)]
    assert [edge.shape for edge in graph.edges] == [(5, 5, 2, 6), (1, 1, 6, 7), (42, 9), (9, 4)]
    assert [edge.connection.table.pool for edge in graph.edges] == [None, "sampled", None, None]
    assert {population.leak for population in graph.populations} == {3}
    assert [population.name for population in graph.populations] == ["conv1", "conv2", "dense3", "dense4"]
    assert graph.features == (1, 1, 4)
    pooled = build(architecture("custom", (small.POOLED,)), (7, 5, 1))
    assert pooled.features == (3, 2, 4), "an odd last row or column is left out"


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"kind": "conv"},
        {"channels": 3},
        {"kind": "conv", "channels": 3, "strides": 2},
        {"kind": "conv", "channels": 3, "stride": 2.0},
        {"kind": "pool", "channels": 3},
        {"kind": ["conv"], "channels": 3},
        {"kind": "conv", "channels": 0},
        {"kind": "conv", "channels": -1},
        {"kind": "conv", "channels": 2.0},
        {"kind": "conv", "channels": True},
        {"kind": "conv", "channels": "3"},
        {"kind": "conv", "channels": 3, "kernel": 3.0},
        {"kind": "conv", "channels": 3, "padding": None},
        {"kind": "conv", "channels": 3, "pool": 1},
        {"kind": "conv", "channels": 3, "pool": "average"},
    ],
)
def test_bad_rows_are_refused(row: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"^row 2 of model\.layers, \{") as caught:
        architecture("custom", ({"kind": "conv", "channels": 3}, row))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("rows", "layer"),
    [
        ([{**small.CONV, "kernel": [3, 9]}], 1),
        ([{**small.CONV, "kernel": 0}], 1),
        ([{**small.CONV, "kernel": -3}], 1),
        ([{**small.CONV, "padding": -1}], 1),
        ([{**small.CONV, "padding": 3}], 1),
        ([{**small.CONV, "kernel": 9, "padding": 0}], 1),
        ([small.POOLED, small.POOLED, small.POOLED], 3),
        ([small.CONV, small.DENSE, {**small.DENSE, "pool": True}], 3),
        ([small.CONV, {**small.CONV, "channels": 2**26}], 2),
    ],
)
def test_layers_that_do_not_fit_are_named(rows: list[dict[str, Any]], layer: int) -> None:
    with pytest.raises(InputError, match=f"an image of 6x6 does not fit layer {layer}: ") as caught:
        build(architecture("custom", tuple(rows)), (6, 6, 1))
    assert str(caught.value).isprintable()


def test_names() -> None:
    with pytest.raises(
        InputError,
        match=r"'vgg12' .*; it is one of mlp, conv, conv1d, textcnn, vgg5, vgg8, vgg9, vgg11, vgg16, resnet13",
    ):
        architecture("vgg12")
    with pytest.raises(InputError, match=r"custom needs model\.layers"):
        architecture("custom")
    with pytest.raises(InputError, match="describes the architecture custom, not conv"):
        architecture("conv", ({"kind": "dense", "channels": 3},))


def test_initial_weights_have_the_gains_that_were_asked_for() -> None:
    config = small.make(
        {**small.CONV, "channels": 48}, {**small.CONV, "channels": 40}, {"kind": "dense", "channels": 50},
        model__gain=[9.0, 0.5, 0.8], model__first_gain=2.0, model__readout_gain=1.5, seed=11,
    )  # fmt: skip
    model = Model(config, small.make_dataset(channels=3))
    parameters = initial_parameters(model, config)
    for layer, (weights, gain) in enumerate(zip(parameters.weights(model.graph), (2.0, 0.5, 0.8), strict=True)):
        scale = model.graph.fan_in(layer) ** 0.5
        found = weights.std() * scale
        assert found == pytest.approx(gain, rel=0.06), "the first layer has a gain of its own"
        assert (
            abs(parameters.weights(model.graph)[layer]).max()
            <= 3**0.5 * gain / model.graph.fan_in(layer) ** 0.5 * 1.0001
        )
    assert parameters.readout.weight.std() * 50**0.5 == pytest.approx(1.5, rel=0.15)
    assert not any(bias.any() for bias in parameters.biases()) and not parameters.readout.bias.any()
    again = small.copied(initial_parameters(model, config))
    other = small.copied(initial_parameters(model, small.make(*config.model.layers, seed=12)))
    for name, array in parameters.leaves().items():
        assert array.tobytes() == again[name].tobytes()
        assert name.endswith("bias") or array.tobytes() != other[name].tobytes()
