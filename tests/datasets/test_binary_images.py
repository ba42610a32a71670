"""IDX and CIFAR: what is written comes back, and nothing but InputError comes of anything else."""

import numpy as np
import pytest
from datasets_support import make_idx
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from spikesim.datasets import read_cifar, read_idx
from spikesim.errors import InputError


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=4, max_side=6)))
def test_idx_round_trip(array):
    found = read_idx(make_idx(array))
    assert found.dtype == np.uint8
    assert not found.flags.writeable
    np.testing.assert_array_equal(found, array)


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=3, max_side=5)), st.data())
def test_idx_of_another_length_is_refused(array, data):
    whole = make_idx(array)
    cut = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(InputError):
        read_idx(whole[:cut])
    with pytest.raises(InputError):
        read_idx(whole + b"\0")


@given(st.one_of(st.binary(max_size=64), st.binary(max_size=40).map(lambda tail: b"\0\0\x08" + tail)))
def test_idx_of_anything_is_an_array_or_an_input_error(data):
    try:
        array = read_idx(data)
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert make_idx(array) == data


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "nothing"),
        (b"\x1f\x8b\x08\x00", "1f8b0800"),
        (b"\0\0\x0d\x01" + bytes(4), "0x0d"),
        (b"\0\0\x08\x00", "0 dimensions"),
        (b"\0\0\x08\xff" + bytes(2000), "255 dimensions"),
        (b"\0\0\x08\x03" + bytes(5), "header"),
        (b"\0\0\x08\x02" + bytes(8), "must not be 0"),
        # 2**16 to the fourth is 0 in 64 bits: an empty file must not pass for it.
        (b"\0\0\x08\x04" + 2 * bytes([0, 1, 0, 0]) + 2 * bytes([0, 1, 0, 0]), "need"),
    ],
)
def test_idx_faults_are_named(data, message):
    with pytest.raises(InputError, match=message) as error:
        read_idx(data, "some-file")
    assert str(error.value).startswith("some-file: ")


@given(
    hnp.array_shapes(min_dims=3, max_dims=3, max_side=4),
    st.integers(1, 2),
    st.integers(1, 5),
    st.integers(0, 2**32 - 1),
)
def test_cifar_round_trip(shape, label_bytes, count, seed):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, *shape), dtype=np.uint8)
    labels = rng.integers(0, 256, (count, label_bytes), dtype=np.uint8)
    planes = images.transpose(0, 3, 1, 2).reshape(count, -1)
    found, found_labels = read_cifar(np.concatenate([labels, planes], axis=1).tobytes(), shape, label_bytes)
    np.testing.assert_array_equal(found, images)
    np.testing.assert_array_equal(found_labels, labels[:, -1])
    assert (found.dtype, found_labels.dtype) == (np.uint8, np.int64)


@given(st.binary(max_size=100))
def test_cifar_of_anything_is_whole_records_or_an_input_error(data):
    try:
        images, labels = read_cifar(data, (2, 3, 3), 2)
    except InputError as error:
        assert not data or len(data) % 20, error
    else:
        assert len(images) == len(labels) == len(data) // 20 > 0
