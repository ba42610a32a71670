"""Files that take their place at one stroke: the disk has their content before, and an error leaves nothing behind."""

import multiprocessing
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from disk import assert_nothing_is_left, assert_on_disk_first, everything, record_order
from runs import make_header

from spikesim.ep.exchange.output import write_output
from spikesim.ep.inputs.teacher import write_teacher
from spikesim.ep.reports.files import write_files
from spikesim.ep.runs.row_log import RowLog
from spikesim.ep.runs.schema import TABLES
from spikesim.ep.runs.writer import RunWriter
from spikesim.errors import InputError
from spikesim.io import checkpoint
from spikesim.io.atomic import replacing, replacing_folder
from spikesim.sparse import Network, Simulation
from spikesim.sparse.description import make_network
from spikesim.sparse.recorder import SimulationWriter


def file(folder: Path) -> Path:
    with replacing(folder / "file") as part:
        part.write_bytes(b"new")
    return folder / "file"


def file_of_that_name(folder: Path) -> Path:
    with replacing(folder / "file", folder / "part") as part:
        part.write_bytes(b"new")
    return folder / "file"


def folder_of_files(folder: Path) -> Path:
    with replacing_folder(folder / "whole", folder / "whole.tmp") as part:
        part.mkdir()
        (part / "file").write_bytes(b"new")
    return folder / "whole"


def checkpoint_of_a_run(folder: Path) -> Path:
    return checkpoint.save(folder, 1, {"a": np.arange(3)}, {})


def run(folder: Path) -> Path:
    RunWriter.create(folder / "run.h5", make_header(), overwrite=True).close()
    return folder / "run.h5"


def row_log(folder: Path) -> Path:
    log = RowLog.create(
        folder, make_header(), SimpleNamespace(created="", blocks=lambda *_: []), dict.fromkeys(TABLES, 0)
    )
    log.close()
    return log.path


def simulation(folder: Path) -> Path:
    description = make_network({"population": [{"name": "a", "size": 1, "kind": "source", "rate": 0.5}]}, folder)
    with SimulationWriter(folder / "file.h5", description, Simulation(description.network), overwrite=True):
        pass
    return folder / "file.h5"


def state(folder: Path) -> Path:
    network = Network(0)
    network.add_source(1, 0.5)
    Simulation(network).save(folder / "file.state")
    return folder / "file.state"


def export(folder: Path) -> Path:
    write_output(folder / "file.csv", lambda part: part.write_text("1"), overwrite=True)  # type: ignore[arg-type, return-value]
    return folder / "file.csv"


def report(folder: Path) -> Path:
    write_files({folder / "file.html": b"new"}, overwrite=True)
    return folder / "file.html"


def teacher(folder: Path) -> Path:
    write_teacher(folder / "teacher.h5", np.zeros((3, 2), np.float32), "digits", overwrite=True)
    return folder / "teacher.h5"


USERS = (
    file,
    file_of_that_name,
    folder_of_files,
    checkpoint_of_a_run,
    run,
    row_log,
    simulation,
    state,
    export,
    report,
    teacher,
)


@pytest.mark.parametrize("make", USERS)
def test_the_disk_has_a_file_before_its_name(
    make: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = record_order(monkeypatch)
    assert_on_disk_first(order, make(tmp_path))


@pytest.mark.parametrize("make", USERS)
def test_after_an_error_nothing_is_left(
    make: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither where there was no file nor where one is to be replaced, which stays."""
    kind = OSError if make in (file, file_of_that_name, folder_of_files) else InputError
    assert_nothing_is_left(lambda: make(tmp_path), tmp_path, kind, monkeypatch)
    make(tmp_path)
    if make is not folder_of_files:
        assert_nothing_is_left(lambda: make(tmp_path), tmp_path, kind, monkeypatch)


@pytest.mark.parametrize("own", [True, False])
def test_an_error_while_it_is_made_leaves_what_was_there(own: bool, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"older")
    with (
        pytest.raises(ZeroDivisionError),
        replacing(tmp_path / "file", tmp_path / "part" if own else None) as part,
    ):
        part.write_bytes(b"half")
        raise ZeroDivisionError
    assert everything(tmp_path) == {"file": b"older"}


def test_what_a_kill_left_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "part").write_bytes(b"half")
    (tmp_path / "whole.tmp").mkdir()
    (tmp_path / "whole.tmp" / "half").write_bytes(b"half")
    file_of_that_name(tmp_path)
    folder_of_files(tmp_path)
    assert everything(tmp_path) == {"file": b"new", "whole": None, "whole/file": b"new"}


def _write_often(path: Path, letter: bytes) -> None:
    for _ in range(40):
        with replacing(path) as part:
            part.write_bytes(letter * 100_000)


def test_two_processes_do_not_meet(tmp_path: Path) -> None:
    """What is there is always whole, of the one or of the other."""
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_write_often, args=(tmp_path / "file", letter)) for letter in (b"a", b"b")]
    for process in processes:
        process.start()
    seen = set()
    while any(process.is_alive() for process in processes):
        if (tmp_path / "file").exists():
            seen.add((tmp_path / "file").read_bytes())
    assert [process.exitcode for process in processes] == [0, 0]
    assert seen <= {b"a" * 100_000, b"b" * 100_000}
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
