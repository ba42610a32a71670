"""HDF5 files that are written so that a fault of the disk reaches the user and not the library."""

import os
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from commands import python_process
from runs import append_rows, make_header

from spikesim.ep.runs.writer import RunReader, RunWriter
from spikesim.errors import InputError
from spikesim.io import durable
from spikesim.io.hdf5_output import FileBytes, storing


def write(stored: FileBytes) -> None:
    with h5py.File(stored, "w") as file:
        for number in range(20):
            file[f"group/{number}"] = np.arange(1000) + number
            file[f"group/{number}"].attrs["unit"] = "mV"


def fail(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """The write of this number fails."""
    calls = iter(range(1 << 20))
    real = durable.write_at

    def written(descriptor: int, data: memoryview | bytes, at: int) -> None:
        if next(calls) == number:
            raise OSError(5, "Input/output error")
        real(descriptor, data, at)

    monkeypatch.setattr(durable, "write_at", written)


def test_what_h5py_writes_by_name_it_writes_this_way_too(tmp_path: Path) -> None:
    with storing(tmp_path / "stored.h5") as stored:
        write(stored)
    with h5py.File(tmp_path / "stored.h5") as file:
        assert [int(file[f"group/{number}"][-1]) for number in range(20)] == [999 + number for number in range(20)]
    with storing(tmp_path / "stored.h5", new=False) as stored, h5py.File(stored, "r+") as file:
        file["more"] = 1
    with h5py.File(tmp_path / "stored.h5") as file:
        assert set(file) == {"group", "more"}
    with pytest.raises(FileExistsError), storing(tmp_path / "stored.h5"):
        pass


@pytest.mark.parametrize("number", [0, 1, 7, 20])
def test_hdf5_reads_back_what_did_not_reach_the_file(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that it can go on and close the file; the fault is raised then, and nothing more was written."""
    fail(monkeypatch, number)
    with pytest.raises(OSError, match="Input/output error"), storing(tmp_path / "stored.h5") as stored:
        with h5py.File(stored, "w") as file:
            for index in range(20):
                file[f"group/{index}"] = np.arange(1000) + index
                file.flush()
            if number < 20:
                assert stored.error is not None
            assert [int(file[f"group/{index}"][-1]) for index in range(20)] == [999 + index for index in range(20)]
    assert stored.closed


def test_room_behind_the_end_is_given_back(tmp_path: Path) -> None:
    with storing(tmp_path / "stored.h5") as stored:
        durable.reserve(stored.descriptor, 0, 1 << 20)
        assert os.fstat(stored.descriptor).st_size == 1 << 20
        write(stored)
    assert (tmp_path / "stored.h5").stat().st_size < 1 << 19


def test_other_programs_can_follow_a_run(tmp_path: Path) -> None:
    """With the HDF5 library alone, in its mode for that."""
    script = """
        import sys, h5py
        with h5py.File(sys.argv[1], "r", swmr=True) as file:
            count = int(file["rows/batches"][()])
            print(count, len(file["batches/loss"][:count]))
    """
    with RunWriter.create(tmp_path / "run.h5", make_header()) as writer:
        append_rows(writer, 0, 70)
        writer.flush()
        output, errors = python_process(script, tmp_path / "run.h5").communicate(timeout=60)
    assert output.split() == ["70", "70"], errors


def test_a_writer_that_nobody_closes_ends_quietly(tmp_path: Path) -> None:
    script = """
        import sys
        from runs import append_rows, make_header
        from spikesim.ep.runs.writer import RunWriter
        writer = RunWriter.create(sys.argv[1], make_header())
        append_rows(writer, 0, 5)
        writer.flush()
        append_rows(writer, 5, 6)
    """
    process = python_process(script, tmp_path / "run.h5")
    assert process.communicate(timeout=60) == ("", "") and process.returncode == 0
    with RunReader(tmp_path / "run.h5") as run:
        assert (run.status, run.rows["batches"]) == ("running", 5)


def append(writer: RunWriter) -> None:
    append_rows(writer, 3, 9)
    writer.flush()


@pytest.mark.parametrize("change", [append, lambda writer: writer.set_status("finished"), RunWriter.close])
def test_a_fault_while_a_run_is_written_is_one_line(
    change: Callable[[RunWriter], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Readers see what was there before; nothing else happens to the file."""
    path = tmp_path / "run.h5"
    writer = RunWriter.create(path, make_header())
    append_rows(writer, 0, 3)
    writer.flush()
    fail(monkeypatch, 0)
    before = path.read_bytes()
    with pytest.raises(
        InputError, match=r"cannot write .*run\.h5: Input/output error; what was written before is kept"
    ):
        change(writer)
    writer.close()
    assert path.read_bytes()[: len(before)] == before
    with RunReader(path) as run:
        assert (run.status, run.rows["batches"]) == ("running", 3)
    assert not (tmp_path / "run.h5.lock").exists()
