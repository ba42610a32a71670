"""Weights in safetensors files, read with the library and with what must be refused."""

import json
import struct

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from spikesim.ep.exchange.layouts import Form
from spikesim.ep.exchange.tensors import HEADER_MAX, read_weights, write_weights
from spikesim.ep.network.parameters import weights_digest
from spikesim.errors import InputError

FORMS = {"conv1": Form((3, 3, 1, 2), None), "head1": Form((8, 3), (2, 2, 2)), "readout": Form((8, 3), (2, 2, 2))}
HEADS = frozenset({"head1"})


def make_weights(seed=0):
    rng = np.random.default_rng(seed)
    return {
        f"{name}/{kind}": rng.normal(size=shape).astype(np.float32)
        for name, form in FORMS.items()
        for kind, shape in (("weight", form.shape), ("bias", form.bias_shape))
    }


def given_file(path, joint=".", metadata=None, without=(), **changes):
    """A file as torch's users write them, with arrays changed by name (two underscores for the point)."""
    layout = "torch" if joint == "." else "spikesim"
    arrays = {}
    for name, array in make_weights().items():
        layer, kind = name.split("/")
        own = FORMS[layer].to_layout(array, layout) if kind == "weight" else array
        arrays[f"{layer}{joint}{kind}"] = own
    arrays |= {name.replace("__", joint): value for name, value in changes.items()}
    safetensors.numpy.save_file({k: v for k, v in arrays.items() if k not in without}, path, metadata)
    return path


@pytest.mark.parametrize("layout", ["torch", "spikesim"])
def test_what_is_written_is_read(tmp_path, layout):
    path, weights = tmp_path / "w.safetensors", make_weights()
    write_weights(path, weights, FORMS, layout, {"producer": "test"})
    with safetensors.safe_open(path, framework="numpy") as file:
        assert file.metadata() == {"producer": "test", "layout": layout}
        names = {"torch": "conv1.weight", "spikesim": "conv1/weight"}
        assert names[layout] in file.keys()
    found = read_weights(path, FORMS, HEADS)
    assert found.layout == layout and found.arrays.keys() == weights.keys()
    for name, array in weights.items():
        np.testing.assert_array_equal(found.arrays[name], array)


def test_both_layouts_have_one_digest(tmp_path):
    for layout in ("torch", "spikesim"):
        write_weights(tmp_path / layout, make_weights(), FORMS, layout, {})
    digests = {weights_digest(read_weights(tmp_path / name, FORMS, HEADS).arrays) for name in ("torch", "spikesim")}
    assert len(digests) == 1
    assert digests != {weights_digest(make_weights(1))}


def test_heads_may_be_missing(tmp_path):
    path = given_file(tmp_path / "w", without=("head1.weight", "head1.bias"))
    assert read_weights(path, FORMS, HEADS).arrays.keys() == {
        name for name in make_weights() if not name.startswith("head1")
    }


@pytest.mark.parametrize("kind", [np.float16, np.float64])
def test_other_floats(tmp_path, kind):
    bias = np.array([0.5, 1 / 3], kind)
    found = read_weights(given_file(tmp_path / "w", conv1__bias=bias), FORMS, HEADS)
    np.testing.assert_array_equal(found.arrays["conv1/bias"], bias.astype(np.float32))
    assert found.arrays["conv1/bias"].dtype == np.float32


@pytest.mark.parametrize(
    ("changes", "fragments"),
    [
        ({"without": ("conv1.bias",)}, ("lacks 'conv1.bias'",)),
        ({"without": ("head1.bias",)}, ("lacks 'head1.bias'",)),
        ({"extra__weight": np.zeros(2, np.float32)}, ("has 'extra.weight' and the network does not",)),
        ({"joint": "/", "metadata": {"layout": "torch"}}, ("says that its layout is 'torch'", "'spikesim'")),
        ({"metadata": {"layout": "x" * 5000}}, ("xxx...",)),
        ({"conv1/weight": np.zeros(2, np.float32)}, ("either all are as conv1.weight",)),
        ({"conv1__weight": np.zeros((3, 3, 1, 2), np.float32)}, ("(3, 3, 1, 2)", "(2, 1, 3, 3)")),
        ({"conv1__bias": np.zeros(2, np.int32)}, ("of type 'I32'", "F16, F32, F64")),
        ({"conv1__bias": np.array([0, np.nan], np.float32)}, ("nan in conv1.bias at (1,)",)),
        ({"conv1__bias": np.array([1e39, 0])}, ("1e+39 in conv1.bias at (0,)",)),
    ],
)
def test_what_does_not_fit(tmp_path, changes, fragments):
    path = given_file(tmp_path / "w", **changes)
    with pytest.raises(InputError) as error:
        read_weights(path, FORMS, HEADS)
    text = str(error.value)
    assert "\n" not in text and len(text) < 500
    for fragment in (str(path), *fragments):
        assert fragment in text


def hostile(header, data=b""):
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + data


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x89HDF\r\n\x1a\n" + b"x" * 100,
        struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", HEADER_MAX + 8) + b"{" + b" " * (HEADER_MAX + 8),
        hostile(b"[" * 100000),
        hostile(b'{"a":' * 50000),
        hostile(b"{}"),
        hostile(b'{"a.b": 3}'),
        hostile({"conv1.weight": {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 4]}}, b"1234"),
        hostile({"conv1.weight": {"dtype": "F32", "shape": [1], "data_offsets": [0, 2**60]}}, b"1234"),
        hostile({"conv1.weight": {"dtype": "BOMB", "shape": [1], "data_offsets": [0, 4]}}, b"1234"),
        hostile({"__metadata__": {"layout": 3}}),
    ],
)
def test_hostile_headers_are_one_line(tmp_path, content):
    (tmp_path / "w").write_bytes(content)
    with pytest.raises(InputError) as error:
        read_weights(tmp_path / "w", FORMS, HEADS)
    assert "\n" not in str(error.value) and len(str(error.value)) < 500


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_changed_bytes_never_surprise(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "changed.safetensors"
    content = bytearray(given_file(path).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content)
    try:
        found = read_weights(path, FORMS, HEADS)
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert all(np.isfinite(array).all() and array.dtype == np.float32 for array in found.arrays.values())


def test_no_file(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_weights(tmp_path / "none", FORMS, HEADS)
    with pytest.raises(InputError, match="is not a file"):
        read_weights(tmp_path, FORMS, HEADS)
