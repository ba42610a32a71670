import io
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from runs import append_rows, make_header, write_run

from spikesim.ep.runs.writer import RunWriter
from spikesim.io.hdf5_bytes import SIGNATURE, HDF5Bytes, checksum


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("closed") / "run.h5", 5)


@pytest.fixture(scope="module")
def marked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of a file that is being written, as a killed writer leaves it."""
    folder = tmp_path_factory.mktemp("marked")
    with RunWriter.create(folder / "live.h5", make_header()) as writer:
        append_rows(writer, 0, 5)
        writer.flush()
        shutil.copy(folder / "live.h5", folder / "run.h5")
    return folder / "run.h5"


@pytest.fixture
def shown(request: pytest.FixtureRequest) -> Iterator[HDF5Bytes]:
    descriptor = os.open(request.getfixturevalue(request.param), os.O_RDONLY)
    yield HDF5Bytes(descriptor)
    os.close(descriptor)


def test_the_checksum_is_that_of_the_library(closed: Path, marked: Path) -> None:
    """HDF5 has put it behind superblock, object headers and B-trees."""
    for path in (closed, marked):
        data = path.read_bytes()
        assert checksum(data[:44]) == int.from_bytes(data[44:48], "little")
        header = data.index(b"OHDR")
        flags, at = data[header + 5], header + 6
        at += 16 * bool(flags & 32) + 4 * bool(flags & 16)
        width = 1 << (flags & 3)
        end = at + width + int.from_bytes(data[at : at + width], "little")
        assert checksum(data[header:end]) == int.from_bytes(data[end : end + 4], "little")
        tree = data.index(b"BTHD")
        assert checksum(data[tree : tree + 34]) == int.from_bytes(data[tree + 34 : tree + 38], "little")


def test_the_checksum_has_the_values_that_its_author_gives() -> None:
    """From driver5() of lookup3.c, Bob Jenkins, May 2006, public domain."""
    assert checksum(b"") == 0xDEADBEEF
    assert checksum(b"Four score and seven years ago") == 0x17770551


@pytest.mark.parametrize("shown", ["closed"], indirect=True)
def test_a_closed_file_is_shown_as_it_is(shown: HDF5Bytes, closed: Path) -> None:
    data = closed.read_bytes()
    assert (shown.read(len(data)), shown.size, shown.written, shown.end) == (data, len(data), False, len(data))
    shown.seek(-100, io.SEEK_END)
    shown.seek(40, io.SEEK_CUR)
    assert shown.tell() == len(data) - 60 and shown.read(10) == data[-60:-50]


@pytest.mark.parametrize("shown", ["marked"], indirect=True)
def test_a_marked_file_differs_in_its_superblock_only(shown: HDF5Bytes, marked: Path) -> None:
    data = marked.read_bytes()
    assert shown.written and data[11] == 5
    seen = b"".join(iter(lambda: shown.read(min(37, shown.size - shown.tell())), b""))
    assert len(seen) == len(data) and seen[48:] == data[48:] and seen[:11] == data[:11]
    assert seen[11] == 0 and int.from_bytes(seen[28:36], "little") == len(data)
    assert checksum(seen[:44]) == int.from_bytes(seen[44:48], "little")


@pytest.mark.parametrize("shown", ["closed"], indirect=True)
@pytest.mark.parametrize("beyond", [1, 5000])
def test_what_lies_behind_the_end_is_an_error(shown: HDF5Bytes, beyond: int) -> None:
    """Older versions of h5py hand on what happens to be in the memory."""
    shown.seek(shown.size - 10)
    with pytest.raises(OSError, match="ends before"):
        shown.readinto(bytearray(10 + beyond))


def test_a_damaged_superblock_gets_no_fitting_checksum(marked: Path, tmp_path: Path) -> None:
    data = bytearray(marked.read_bytes())
    data[36] ^= 1
    (tmp_path / "damaged.h5").write_bytes(data)
    with open(tmp_path / "damaged.h5", "rb") as stream:
        assert HDF5Bytes(stream.fileno()).read(48) == data[:48]
        with pytest.raises(OSError, match="checksum"):
            h5py.File(HDF5Bytes(stream.fileno()), "r")


@pytest.mark.parametrize(("version", "at"), [(0, 13), (0, 14), (2, 9), (3, 10)])
def test_other_widths_of_numbers_are_refused(tmp_path: Path, version: int, at: int) -> None:
    data = bytearray(SIGNATURE + bytes([version]) + b"\x08" * 87)
    data[at] = 4
    (tmp_path / "narrow.h5").write_bytes(data)
    with open(tmp_path / "narrow.h5", "rb") as stream, pytest.raises(OSError, match="8 bytes"):
        HDF5Bytes(stream.fileno())


def test_a_heap_without_end_does_not_keep_the_library_busy(tmp_path: Path) -> None:
    """HDF5 itself never returns from this file. Therefore no such heap is read, damaged or not."""
    path = tmp_path / "text.h5"
    with h5py.File(path, "w") as file:
        file.attrs["text"] = "of variable length"
    data = bytearray(path.read_bytes())
    at = data.index(b"GCOL") + 16
    step = 16 + -(-int.from_bytes(data[at + 8 : at + 16], "little") // 8) * 8
    assert data[at : at + 2] == b"\1\0" and data[at + step : at + step + 2] == b"\0\0"
    for length in (data[at + step + 8 : at + step + 16], bytes(8)):
        data[at + step + 8 : at + step + 16] = length
        path.write_bytes(data)
        with open(path, "rb") as stream, h5py.File(HDF5Bytes(stream.fileno()), "r") as file:
            began = time.monotonic()
            with pytest.raises(OSError, match="of a kind that is not read"):
                _ = file.attrs["text"]
            assert time.monotonic() - began < 5


def indexed(path: Path) -> None:
    """A file with every index of chunks and names that is read."""
    with h5py.File(path, "w", libver=("v110", "v110")) as file:
        for name in range(12):
            file[f"many/{name}"] = name
        file.create_dataset("fixed", data=np.arange(40.0), chunks=(8,))
        file.create_dataset("growing", data=np.arange(40.0), chunks=(8,), maxshape=(None,), compression="gzip")


@given(st.data())
def test_indices_with_other_numbers_than_those_of_the_library_are_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("indexed") / "file.h5"
    indexed(path)
    content = bytearray(path.read_bytes())
    signature, places = data.draw(
        st.sampled_from(
            [(b"BTHD", range(5, 12)), (b"FRHP", range(5, 14)), (b"EAHD", range(5, 12)), (b"FAHD", range(5, 8))]
        )
    )
    start = content.index(signature)
    with open(path, "rb") as stream:
        shown = HDF5Bytes(stream.fileno())
        shown.seek(start)
        assert shown.read(146) == content[start : start + 146]
    at = start + data.draw(st.sampled_from(places))
    content[at] ^= 1 << 5
    path.write_bytes(content)
    with open(path, "rb") as stream:
        shown = HDF5Bytes(stream.fileno())
        shown.seek(start)
        with pytest.raises(OSError, match="of a kind that is not read"):
            shown.read(146)
