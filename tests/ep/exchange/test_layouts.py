"""Names and layouts of weights, against convolutions and products written out."""

import numpy as np
import pytest
from small import CONV, DENSE, POOLED, make, make_dataset

from spikesim.ep.exchange.layouts import LAYOUTS, Form, parameter_forms
from spikesim.ep.network.initial_weights import initial_parameters
from spikesim.ep.network.model import Model


def test_a_convolution_of_torch_is_ours():
    weights = np.random.default_rng(0).normal(size=(3, 3, 2, 4)).astype(np.float32)
    given = Form(weights.shape, None).to_layout(weights, "torch")
    assert given.shape == Form(weights.shape, None).layout_shape("torch") == (4, 2, 3, 3)
    for ky, kx, source, target in np.ndindex(weights.shape):
        assert given[target, source, ky, kx] == weights[ky, kx, source, target]


def test_a_product_with_a_flattened_map_is_ours():
    rng = np.random.default_rng(1)
    image = rng.normal(size=(2, 3, 5)).astype(np.float32)  # (y, x, channel)
    weights = rng.normal(size=(30, 4)).astype(np.float32)
    form = Form(weights.shape, (2, 3, 5))
    given = form.to_layout(weights, "torch")
    assert given.shape == form.layout_shape("torch") == (4, 30)
    flattened = image.transpose(2, 0, 1).reshape(-1)  # what nn.Flatten makes of (channel, y, x)
    np.testing.assert_allclose(given @ flattened, image.reshape(-1) @ weights, rtol=1e-5)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("shape", "features"), [((3, 3, 2, 4), None), ((30, 4), (2, 3, 5)), ((6, 2), (1, 1, 6))])
def test_there_and_back(layout, shape, features):
    weights = np.random.default_rng(2).normal(size=shape).astype(np.float32)
    form = Form(shape, features)
    given = form.to_layout(weights, layout)
    assert given.flags.c_contiguous and given.shape == form.layout_shape(layout)
    np.testing.assert_array_equal(form.from_layout(given, layout), weights)


def test_the_forms_of_a_network_are_those_of_its_parameters():
    config = make(POOLED, CONV, DENSE, DENSE, error_signals__kind="local")
    model = Model(config, make_dataset(size=7, channels=2))
    forms = parameter_forms(model.graph, model.heads, model.classes)
    arrays = initial_parameters(model, config).leaves()
    assert [f"{name}/weight" for name in forms] == [name for name in arrays if name.endswith("/weight")]
    for name, form in forms.items():
        assert (form.shape, form.bias_shape) == (arrays[f"{name}/weight"].shape, arrays[f"{name}/bias"].shape)
    assert forms["conv2"].features is None
    assert forms["dense3"].features == (3, 3, 4)  # the map that conv2 makes of the pooled 7x7
    assert forms["dense4"].features == forms["readout"].features == (1, 1, 8)
