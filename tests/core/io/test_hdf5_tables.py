"""Files that one process writes and others follow: what run files and files of simulations share."""

import errno
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spikesim.errors import InputError
from spikesim.io import durable
from spikesim.io.formats import MAGIC, SIMULATION_MAGIC
from spikesim.io.hdf5_reader import HDF5File
from spikesim.io.hdf5_tables import (
    FollowedFile,
    GrowingFile,
    make_column,
    read_json,
    read_status,
    require_format,
    require_replaceable,
    write_origin,
)
from spikesim.io.hdf5_writer import create
from spikesim.io.lock import RunLock, holding, lock_holder


def fill(file: Any) -> None:
    write_origin(
        file, magic=MAGIC, version=1, program="0.0", created="2026-01-01T00:00:00", command_line="spikesim", seed=7
    )
    make_column(file, "table/a", "<i8", (), 16)
    make_column(file, "table/b", "<f4", (3,), 16, compressed=True)


def growing(folder: Path) -> GrowingFile:
    path = folder / "file.h5"
    with holding(path) as lock:
        return GrowingFile(path, create(path, 0, fill), lock)


def test_columns_grow_while_a_reader_follows(tmp_path: Path) -> None:
    file = growing(tmp_path)
    with FollowedFile(file.path, "give one", "use a copy") as reader:
        assert (reader.spikesim_version, reader.seed, reader.command_line) == ("0.0", 7, "spikesim")
        assert {"python", "numpy", "h5py"} < reader.versions.keys()
        for at in (0, 20):
            with file.changing():
                file.reserve({"table/a": 20, "table/b": 20})
                rows = np.arange(at, at + 20)
                file.extend({"table/a": rows, "table/b": np.repeat(rows[:, np.newaxis], 3, axis=1)}, at)
                file.flush()
            lengths = reader._file.read(lambda contents: [contents.length(f"table/{name}") for name in "ab"])
            assert lengths == [at + 20, at + 20]
        assert reader._file.read(read_status) == "running"

        def last() -> None:
            with file.changing():
                file.write_status("finished")

        file.close(last)
        assert lock_holder(file.path) is None
    with FollowedFile(file.path, "give one", "use a copy") as reader:
        assert reader._file.read(read_status) == "finished"
        found = reader._file.read(lambda contents: contents.array("table/b", "<f4", (40, 3), compressed=True))
        assert found[:, 1].tolist() == list(range(40))
    file.close(last)
    with pytest.raises(InputError, match=r"file\.h5 is closed"), file.changing():
        pass


def test_what_cannot_be_written_is_closed_and_others_may_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = growing(tmp_path)
    assert lock_holder(file.path) is not None

    def full(descriptor: int, data: object, at: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(durable, "write_at", full)
        with pytest.raises(
            InputError, match=r"cannot write .*No space left on device; what was written before is kept"
        ):
            with file.changing():
                file.write("status", 1)
                file.flush()
    assert not file.is_open and lock_holder(file.path) is None
    file.close(lambda: pytest.fail("it is closed"))
    with FollowedFile(file.path, "give one", "use a copy") as reader:
        assert reader._file.read(read_status) == "running"


def test_a_lock_of_the_caller_stays_his(tmp_path: Path) -> None:
    path = tmp_path / "file.h5"
    with RunLock(path) as lock:
        with holding(path, lock) as own:
            assert own is None
        assert lock_holder(path) is not None
        with pytest.raises(ValueError, match="the lock is on"), holding(tmp_path / "other.h5", lock):
            pass
    with pytest.raises(ZeroDivisionError), holding(path):
        raise ZeroDivisionError
    assert lock_holder(path) is None


def test_only_the_own_kind_of_file_is_replaced() -> None:
    with pytest.raises(InputError, match=r"^x exists: --resume continues it, --overwrite replaces it$"):
        require_replaceable("x", False, lambda: True, "a run file")
    with pytest.raises(InputError, match=r"^x is not a run file; choose another --out, or remove the file yourself$"):
        require_replaceable("x", True, lambda: False, "a run file")
    require_replaceable("x", True, lambda: True, "a run file")


def test_formats_are_told_apart(tmp_path: Path) -> None:
    file = growing(tmp_path)
    file.close(lambda: None)
    stored = HDF5File(file.path, "give one", "use a copy")
    assert stored.read(lambda contents: require_format(contents, "x", MAGIC, "give one"))
    with pytest.raises(InputError, match=r"^x is the run file of a training, .*; give another$"):
        stored.read(lambda contents: require_format(contents, "x", SIMULATION_MAGIC, "give another"))
    stored.close()


@pytest.mark.parametrize("text", ["[1", "3", '{"a": NaN}', '{"a": 1e999}'])
def test_a_text_that_is_no_table_of_finite_numbers_is_refused(text: str) -> None:
    with pytest.raises((ValueError, TypeError)):
        read_json(text, "list")
    assert read_json('{"a": 1}', "list") == {"a": 1}
