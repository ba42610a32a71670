"""Weights in safetensors files as integers: those of the engine with 16 bits, fewer with 8 and 4."""

import json

import numpy as np
import pytest
import safetensors.numpy
from small import CONV, DENSE, POOLED, SKIPS, make, make_dataset, random_parameters

from spikesim.ep.exchange.layouts import parameter_forms
from spikesim.ep.exchange.tensors import read_weights, write_integers
from spikesim.ep.network.heads import READOUT
from spikesim.ep.network.model import Model
from spikesim.ep.network.parameters import ParameterTree
from spikesim.ep.network.rounding import round_parameters
from spikesim.errors import InputError


def written(path, rows, dtype, layout="spikesim", size=6):
    model = Model(make(*rows), make_dataset(size=size, channels=2))
    parameters = random_parameters(model)
    forms = parameter_forms(model.graph, model.heads, model.classes)
    write_integers(path, parameters.leaves(), forms, layout, {}, dtype)
    return model, parameters, forms


def exponents_of(path):
    with safetensors.safe_open(path, framework="numpy") as file:
        return json.loads(file.metadata()["exponents"])


@pytest.mark.parametrize("rows", [(POOLED, CONV, DENSE), SKIPS])
def test_sixteen_bits_are_the_tables_of_the_engine(tmp_path, rows):
    path = tmp_path / "w"
    model, parameters, _ = written(path, rows, "int16", size=8)
    model.set_parameters(parameters)
    found, exponents = safetensors.numpy.load_file(path), exponents_of(path)
    for edge in model.graph.edges:
        assert exponents[edge.weight] == edge.connection.exponent
        assert found[edge.weight].dtype == np.int16 and (found[edge.weight] == edge.connection.integers).all()
    for population in model.graph.populations:
        at = model.compiled.plan.populations[population.index].bias
        bias = found[f"{population.name}/bias"]
        assert exponents[f"{population.name}/bias"] == 16
        assert (bias == model.compiled.plan.bias[at : at + len(bias)]).all()
    assert exponents["readout/weight"] == model.packed.table[model.readout].exponent
    assert found["readout/bias"].dtype == np.float32 and "readout/bias" not in exponents


@pytest.mark.parametrize(("dtype", "bits"), [("int16", 16), ("int8", 8), ("int4", 4)])
@pytest.mark.parametrize("layout", ["torch", "spikesim"])
def test_a_reader_has_the_weights_back(tmp_path, layout, dtype, bits):
    path = tmp_path / "w"
    model, parameters, forms = written(path, (POOLED, CONV, DENSE), dtype, layout)
    for name, array in safetensors.numpy.load_file(path).items():
        if name.endswith("weight"):
            assert array.dtype == (np.int16 if bits == 16 else np.int8)
            assert 2 ** (bits - 2) - 1 <= np.abs(array.astype(int)).max() <= 2 ** (bits - 1) - 1
    found = read_weights(path, forms, frozenset()).arrays
    wanted = round_parameters(parameters, bits).leaves()
    assert found.keys() == wanted.keys()
    for name, array in wanted.items():
        np.testing.assert_allclose(found[name], array, rtol=0, atol=0 if READOUT in name or "weight" in name else 2e-5)
    once = ParameterTree.of_leaves(model.graph, model.heads, found)
    write_integers(tmp_path / "again", once.leaves(), forms, layout, {}, dtype)
    assert exponents_of(tmp_path / "again") == exponents_of(path)
    again = safetensors.numpy.load_file(tmp_path / "again")
    assert all((again[name] == array).all() for name, array in safetensors.numpy.load_file(path).items())


@pytest.mark.parametrize(
    "exponents",
    ["7", "[]", "{", "[" * 9999, '{"conv1.weight": 7.5}', '{"conv1.weight": true}', '{"conv1.weight": 1000}'],
)
def test_exponents_that_are_none(tmp_path, exponents):
    path = tmp_path / "w"
    _, _, forms = written(path, (POOLED, CONV), "int8", "torch")
    arrays = safetensors.numpy.load_file(path)
    safetensors.numpy.save_file(arrays, path, {"exponents": exponents})
    with pytest.raises(InputError, match="integers from -64 to 64") as raised:
        read_weights(path, forms, frozenset())
    assert "\n" not in str(raised.value)
    safetensors.numpy.save_file(arrays, path, {})
    with pytest.raises(InputError, match=r"of type 'I.*integers need an exponent in the metadata"):
        read_weights(path, forms, frozenset())
