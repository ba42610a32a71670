import itertools
import os
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from runs import append_rows, make_header

from spikesim.ep.runs.reader import RunReader
from spikesim.ep.runs.writer import RunWriter
from spikesim.errors import InputError
from spikesim.io import hdf5_reader as hdf5file
from spikesim.io.hdf5_reader import ATTRIBUTE_BYTES_MAX, Contents, HDF5File, write_text
from spikesim.runtime.printable import one_line

VALUES = np.arange(12, dtype="<f8").reshape(4, 3)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file in which everything is as it should be."""
    path = tmp_path / "file.h5"
    with h5py.File(path, "w", libver=("v110", "v110")) as file:
        write_text(file.attrs, "text", "größe")
        file.attrs["number"] = 7
        file.attrs["real"] = 2.5
        file["group/plain"] = VALUES
        file.create_dataset("group/packed", data=VALUES, chunks=(2, 3), compression="gzip", shuffle=True)
    return path


def read(path: Path, what: Callable[[Contents], Any]) -> Any:
    file = HDF5File(path, "give another", "make it again")
    try:
        return file.read(what)
    finally:
        file.close()


def refused(path: Path, what: Callable[[Contents], Any]) -> str:
    with pytest.raises(InputError) as found:
        read(path, what)
    assert str(path) in str(found.value) and "\n" not in str(found.value)
    return str(found.value)


def test_what_is_in_a_file(path: Path) -> None:
    assert read(path, lambda contents: contents.text("text")) == "größe"
    assert read(path, lambda contents: [contents.attribute(name) for name in ("number", "real")]) == [7, 2.5]
    assert read(path, lambda contents: contents.names("/group")) == ["packed", "plain"]
    assert read(path, lambda contents: [contents.has(f"/group/{name}") for name in ("plain", "other")]) == [True, False]
    for name in ("/group/plain", "/group/packed"):
        np.testing.assert_array_equal(
            read(path, lambda contents, name=name: contents.array(name, "<f8", (4, 3), compressed=True)), VALUES
        )
    rows = read(path, lambda contents: contents.rows("/group/packed", 1, 4, "<f8", (3,), compressed=True))
    np.testing.assert_array_equal(rows, VALUES[1:])
    assert read(path, lambda contents: contents.rows("/group/packed", 4, 4, "<f8", (3,))).shape == (0, 3)


def test_files_that_are_none(tmp_path: Path) -> None:
    def message(path: Path) -> str:
        with pytest.raises(InputError) as found:
            HDF5File(path, "give another", "make it again")
        return str(found.value)

    assert message(tmp_path / "none.h5") == f"{tmp_path}/none.h5 does not exist; give another"
    assert message(tmp_path) == f"{tmp_path} is a folder; give another"
    (tmp_path / "text.h5").write_text("text")
    assert message(tmp_path / "text.h5") == f"{tmp_path}/text.h5 is not an HDF5 file; give another"
    os.mkfifo(tmp_path / "pipe")
    assert message(tmp_path / "pipe") == f"{tmp_path}/pipe is not a regular file; give another"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        assert "cannot be read" in message(tmp_path / "socket")
    with h5py.File(tmp_path / "block.h5", "w", userblock_size=1024) as file:
        file["x"] = 1
    assert "block.h5 begins with a user block, as MATLAB writes it, which is not read; give" in message(
        tmp_path / "block.h5"
    )
    (tmp_path / "short.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    assert message(tmp_path / "short.h5").endswith("; make it again")


def variable(file: Any) -> None:
    file.attrs["text"] = "of variable length"


def pair(file: Any) -> None:
    file.attrs["text"] = [1, 2]


def empty(file: Any) -> None:
    file.attrs["text"] = h5py.Empty("S3")


def compound(file: Any) -> None:
    file.attrs["text"] = np.zeros((), [("a", "i4"), ("b", "i4")])


def reference(file: Any) -> None:
    file.attrs.create("text", file["group"].ref, dtype=h5py.ref_dtype)


@pytest.mark.parametrize("change", [variable, pair, empty, compound, reference])
def test_attributes_of_other_types_are_not_read(path: Path, change: Callable[[Any], None]) -> None:
    with h5py.File(path, "r+") as file:
        del file.attrs["text"]
        change(file)
    assert "attribute text" in refused(path, lambda contents: contents.text("text"))


def soft(file: Any) -> None:
    file["group"] = h5py.SoftLink("/other")


def external(file: Any) -> None:
    file["group"] = h5py.ExternalLink("other.h5", "/other")


@pytest.mark.parametrize("link", [soft, external])
def test_links_are_not_followed_wherever_they_are_in_a_path(path: Path, link: Callable[[Any], None]) -> None:
    with h5py.File(path, "r+") as file:
        file.move("group", "other")
        link(file)
    with h5py.File(path.with_name("other.h5"), "w") as file:
        file["other/plain"] = VALUES
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["group/plain"], VALUES)  # h5py follows it
    assert "/group is a link" in refused(path, lambda contents: contents.array("/group/plain", "<f8", compressed=True))


def outside(file: Any) -> None:
    file.create_dataset("group/plain", shape=(4, 3), dtype="<f8", external=[("raw.bin", 0, 96)])


def virtual(file: Any) -> None:
    layout = h5py.VirtualLayout((4, 3), "<f8")
    layout[...] = h5py.VirtualSource("other.h5", "values", (4, 3))
    file.create_virtual_dataset("group/plain", layout)


def scaled(file: Any) -> None:
    file.create_dataset("group/plain", data=VALUES, chunks=(2, 3), scaleoffset=2)


def summed_first(file: Any) -> None:
    """With a checksum that is not the last filter: h5py puts it last."""
    filters = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    filters.set_chunk((2, 3))
    filters.set_fletcher32()
    filters.set_deflate(4)
    space = h5py.h5s.create_simple((4, 3))
    h5py.h5d.create(file["group"].id, b"plain", h5py.h5t.IEEE_F64LE, space, filters).write(space, space, VALUES)


def without_values(file: Any) -> None:
    file["group/plain"] = h5py.Empty("<f8")


def a_group(file: Any) -> None:
    file.create_group("group/plain")


def missing(file: Any) -> None:
    file.create_dataset("group/plain", shape=(1 << 30, 3), dtype="<f8", chunks=(1024, 3))


def not_allocated(file: Any) -> None:
    file.create_dataset("group/plain", shape=(1 << 40, 3), dtype="<f8")


def wide(file: Any) -> None:
    file.create_dataset("group/plain", data=VALUES, maxshape=(None, None))


def limited(file: Any) -> None:
    file.create_dataset("group/plain", data=VALUES, maxshape=(9, 3))


def other_type(file: Any) -> None:
    file["group/plain"] = VALUES.astype("<f4")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (outside, "outside the file"),
        (virtual, "of a kind that is not read"),
        (scaled, "went through filter 6 (scale-offset), which is not read; store it plain or with gzip"),
        (summed_first, "went through filter 3 (fletcher32 before another filter), which is not read"),
        (a_group, "/group/plain is a group; it must be an array"),
        (missing, "not all of"),
        (not_allocated, "not all of"),
        (wide, "could grow to (None, None)"),
        (limited, "could grow to (9, 3)"),
        (other_type, "array of float32"),
    ],
)
def test_data_that_are_not_read(path: Path, change: Callable[[Any], None], words: str) -> None:
    with h5py.File(path, "r+") as file:
        del file["group/plain"]
        change(file)
    assert words in refused(path, lambda contents: contents.array("/group/plain", "<f8", compressed=True))


@pytest.mark.parametrize("change", [scaled, summed_first, without_values, a_group, soft, external, outside, wide])
def test_what_is_sound_is_not_called_damaged(path: Path, change: Callable[[Any], None]) -> None:
    with h5py.File(path, "r+") as file:
        del file["group" if change in (soft, external) else "group/plain"]
        change(file)
    assert "damaged" not in refused(path, lambda contents: contents.array("/group/plain", "<f8", compressed=True))


@pytest.mark.parametrize("compression", [None, "gzip", "lzf"])
def test_checksums_are_read_and_heeded(path: Path, compression: str | None) -> None:
    with h5py.File(path, "r+") as file:
        del file["group/plain"]
        options = {"chunks": (2, 3), "compression": compression, "shuffle": True}
        file.create_dataset("group/plain", data=VALUES, fletcher32=True, **options)
        at = file["group/plain"].id.get_chunk_info(1).byte_offset
    np.testing.assert_array_equal(
        read(path, lambda contents: contents.array("/group/plain", "<f8", compressed=True)), VALUES
    )
    data = bytearray(path.read_bytes())
    data[at + 2] ^= 4
    path.write_bytes(data)
    assert "is damaged" in refused(path, lambda contents: contents.array("/group/plain", "<f8", compressed=True))


def test_a_chunk_shorter_than_its_checksum_is_not_read(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["group/plain"]
        dataset = file.create_dataset("group/plain", shape=(4, 3), dtype="<f8", chunks=(4, 3), fletcher32=True)
        dataset.id.write_direct_chunk((0, 0), b"sum")
    assert "shorter than its checksum" in refused(
        path, lambda contents: contents.array("/group/plain", "<f8", compressed=True)
    )


def test_a_chunk_that_is_there_for_many_is_not_read(tmp_path: Path) -> None:
    """Its bytes would be counted once in the file, and many times in memory."""
    path = tmp_path / "twice.h5"
    with h5py.File(path, "w", libver=("earliest", "v110")) as file:
        file.create_dataset("twice", data=np.arange(40 * 640.0).reshape(40, 640), chunks=(1, 640))
        addresses = [file["twice"].id.get_chunk_info(index).byte_offset for index in range(40)]
    assert read(path, lambda contents: contents.array("/twice", "<f8")).sum() == sum(range(40 * 640))
    data = path.read_bytes()
    for address in addresses[1:]:
        data = data.replace(address.to_bytes(8, "little"), addresses[0].to_bytes(8, "little"))
    end = addresses[0] + 640 * 8
    path.write_bytes(data[:40] + end.to_bytes(8, "little") + data[48:end])  # the superblock has the length
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["twice"][:, 0], np.zeros(40))
    assert "not all of" in refused(path, lambda contents: contents.array("/twice", "<f8"))


def test_what_is_written_while_it_is_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reading that fails in a file that is being written is tried again, in one at rest it is not."""
    calls = itertools.count(1)

    def fail_twice(contents: Contents) -> int:
        number = next(calls)
        if number < 3:
            raise OSError("a wrong checksum")
        return number

    assert "a wrong checksum" in refused(path, fail_twice)
    with h5py.File(path, "r+", libver=("v110", "v110")) as file:
        file.swmr_mode = True
        data = path.read_bytes()
    live = path.with_name("live.h5")
    live.write_bytes(data)
    calls = itertools.count(1)
    assert read(live, fail_twice) == 3
    calls = itertools.count(-100)
    began = time.monotonic()
    assert "a wrong checksum" in refused(live, fail_twice)
    assert sum(hdf5file.PAUSES) <= time.monotonic() - began < 5
    assert next(calls) == -100 + len(hdf5file.PAUSES) + 1


READ_ON = """
    import sys
    from spikesim.ep.runs.writer import RunReader
    seen = -1
    with RunReader(sys.argv[1]) as reader:
        print("ready", flush=True)
        readings = 0
        while reader.status == "running":
            rows = reader.rows["batches"]
            batches, spikes = reader.batches, reader.spikes()
            assert len(batches["loss"]) >= rows >= seen, (len(batches["loss"]), rows, seen)
            assert (batches["samples"] == 32).all() and (spikes["step"] == 3).all()
            seen = rows
            readings += 1
        print(readings, reader.rows["batches"], reader.digest())
"""


def test_a_reader_that_never_rests_sees_whole_rows_of_a_live_run(tmp_path: Path) -> None:
    """Hundreds of openings while rows are flushed as fast as they can be."""
    path = tmp_path / "run.h5"
    with RunWriter.create(path, make_header()) as writer:
        command = [sys.executable, "-c", textwrap.dedent(READ_ON), str(path)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as reader:
            assert reader.stdout is not None and reader.stdout.readline() == "ready\n"
            began = time.monotonic()
            while time.monotonic() - began < 4:
                append_rows(writer, writer.rows["batches"], writer.rows["batches"] + 1)
                writer.flush()
            rows = writer.rows["batches"]
            writer.set_status("finished")
            readings, seen, digest = reader.stdout.read().split()
        assert reader.returncode == 0
    assert int(readings) > 5 and int(seen) == rows
    with RunReader(path) as reader:
        assert reader.digest() == digest


def test_texts_that_are_too_long_for_an_attribute(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        write_text(file.attrs, "long", "x" * ATTRIBUTE_BYTES_MAX)
        with pytest.raises(InputError, match="too_long is a text of 60001 bytes"):
            write_text(file.attrs, "too_long", "x" * (ATTRIBUTE_BYTES_MAX + 1))
        write_text(file.attrs, "nothing", "")
        write_text(file.attrs, "no text", "a\udcffb")
    assert read(path, lambda contents: contents.text("long")) == "x" * ATTRIBUTE_BYTES_MAX
    assert read(path, lambda contents: contents.text("nothing")) == ""
    assert read(path, lambda contents: contents.text("no text")) == "a?b"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (OSError("first\nsecond"), "first"),
        (KeyError("'key'"), "key"),
        (ValueError(), "ValueError"),
        ("a\tb\x1b", "a?b?"),
    ],
)
def test_one_line(value: object, shown: str) -> None:
    assert one_line(value) == shown


def test_compressed_arrays_are_read_only_where_they_are_expected(tmp_path: Path) -> None:
    path = tmp_path / "file.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=VALUES, compression="gzip")
    for read_x in (
        lambda contents: contents.array("/x", "<f8"),
        lambda contents: contents.rows("/x", 0, 2, "<f8", VALUES.shape[1:]),
    ):
        assert "/x is compressed" in refused(path, read_x)
    rows = read(path, lambda contents: contents.rows("/x", 0, 2, "<f8", VALUES.shape[1:], compressed=True))
    np.testing.assert_array_equal(rows, VALUES[:2])
