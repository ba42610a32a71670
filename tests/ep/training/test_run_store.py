"""A run file that is damaged or missing is written anew from the checkpoints, and nothing of it is thrown away."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import journals
import pytest
from journals import BATCHES, digest
from runs import append_rows, make_header, make_weights

from spikesim.ep.parallel.communicator import Alone
from spikesim.ep.runs.row_log import LoggedRows, RowLog, log_path
from spikesim.ep.runs.schema import TABLES
from spikesim.ep.runs.writer import RunReader, RunWriter
from spikesim.ep.training.run_store import RunOptions, RunStore
from spikesim.errors import InputError
from spikesim.io import checkpoint
from spikesim.io.checkpoint import checkpoint_folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    out = tmp_path_factory.mktemp("whole") / "run.h5"
    assert journals.run(out) == []
    return out


@pytest.fixture
def out(whole: Path, tmp_path: Path) -> Path:
    """A copy of it, with its checkpoints."""
    shutil.copytree(checkpoint_folder(whole), tmp_path / "run.h5.checkpoints")
    return Path(shutil.copy(whole, tmp_path / "run.h5"))


def tear(out: Path) -> None:
    """Spoil the structures of HDF5, at the end of one of which there is a checksum."""
    data = bytearray(out.read_bytes())
    data[data.index(b"OHDR") + 20] ^= 255
    out.write_bytes(data)


def tear_index(out: Path) -> None:
    """Likewise where it only shows when rows are read."""
    data = bytearray(out.read_bytes())
    data[data.rindex(b"EAHD") + 20] ^= 255
    out.write_bytes(data)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "torn": tear,
    "torn within": tear_index,
    "empty": lambda out: out.write_bytes(b""),
    "zeros": lambda out: out.write_bytes(bytes(out.stat().st_size)),
    "cut": lambda out: os.truncate(out, out.stat().st_size // 2),
    "missing": Path.unlink,
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_written_anew_from_the_checkpoints_alone(kind: str, whole: Path, out: Path) -> None:
    DAMAGE[kind](out)
    before = out.read_bytes() if out.exists() else b""
    (note,) = journals.run(out, resume=True)
    assert "\n" not in note and "written anew" in note and str(out) in note
    assert digest(out) == digest(whole)
    with RunReader(out) as run, RunReader(whole) as undisturbed:
        assert (run.status, run.created) == ("finished", undisturbed.created)
    kept = out.with_name("run.h5.damaged")
    assert kept.exists() == (kind != "missing")
    assert kind == "missing" or (kept.read_bytes() == before and str(kept) in note)
    assert journals.run(out, resume=True) == ["finished"]


def test_each_damaged_file_is_kept(out: Path) -> None:
    for number in range(2):
        out.write_bytes(b"%d" % number)
        journals.run(out, resume=True)
    assert out.with_name("run.h5.damaged").read_bytes() == b"0"
    assert out.with_name("run.h5.damaged-2").read_bytes() == b"1"


def test_a_file_that_lacks_rows_is_written_anew(whole: Path, out: Path) -> None:
    """As one that was copied back from before."""
    rows = {"batches": 4, "epochs": 1, "spikes": 8, "traces": 6}
    RunWriter.resume(out, make_header(), rows=rows).close()
    (note,) = journals.run(out, resume=True)
    assert f"has 4 rows of /batches, and its checkpoint counts on {BATCHES}" in note
    assert digest(out) == digest(whole)


def test_the_checkpoint_before_is_enough(whole: Path, out: Path) -> None:
    newest = max(checkpoint_folder(out).glob("*.npz"))
    newest.write_bytes(newest.read_bytes()[:-100])
    tear(out)
    assert any("written anew" in note for note in journals.run(out, resume=True))
    assert digest(out) == digest(whole)


def test_without_resume_nothing_is_touched(out: Path) -> None:
    tear(out)
    before = out.read_bytes()
    with pytest.raises(InputError, match="--resume"):
        journals.run(out)
    assert out.read_bytes() == before
    out.unlink()
    with pytest.raises(InputError, match="write it again with --resume"):
        journals.run(out)
    assert not out.exists()


@pytest.mark.parametrize("damage", [tear, Path.unlink])
def test_the_checkpoints_of_another_run_are_not_used(damage: Callable[[Path], object], out: Path) -> None:
    damage(out)
    before = sorted(os.listdir(out.parent))
    with pytest.raises(InputError, match=r"another configuration: arch: conv in the file, mlp now"):
        journals.run(out, resume=True, config={"arch": "mlp", "ep": {"beta": 2.0, "steps": [60, 20]}, "name": "größe"})
    assert sorted(os.listdir(out.parent)) == before


def test_a_sound_file_of_another_program_or_run_is_left_alone(out: Path) -> None:
    with h5py.File(out, "w") as file:
        file["x"] = 1
    before = out.read_bytes()
    with pytest.raises(InputError, match="another program"):
        journals.run(out, resume=True)
    RunWriter.create(out.with_name("other.h5"), make_header(config={"arch": "mlp"})).close()
    assert out.read_bytes() == before
    other = out.with_name("other.h5").replace(out).read_bytes()
    with pytest.raises(InputError, match="those of a run with another configuration"):
        journals.run(out, resume=True)
    assert out.read_bytes() == other


def stopped_at_four(out: Path) -> None:
    """A run with a checkpoint of its fourth mini-batch, and two mini-batches more in its file."""
    header = make_header()
    with RunStore(RunOptions(out), Alone()) as run_store:
        found = run_store.find(journals.config_of(header))
        run_store.open(header, found)
        run_store.write(lambda writer: append_rows(writer, 0, 4))
        run_store.save(4, make_weights(4), make_weights(4), {"at": 4})
        run_store.write(lambda writer: append_rows(writer, 4, 6))


def test_rows_behind_the_checkpoint_are_dropped(whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "run.h5"
    stopped_at_four(out)
    assert journals.run(out, resume=True) == []
    assert digest(out) == digest(whole)
    assert not list(tmp_path.glob("*.damaged*"))


def without_log(out: Path) -> None:
    """Checkpoints as versions without a log of rows wrote them."""
    folder = checkpoint_folder(out)
    found = checkpoint.load_latest(folder)
    assert found is not None
    checkpoint.remove(folder)
    meta = {name: value for name, value in found.meta.items() if name != "log"}
    checkpoint.save(folder, found.position, found.arrays, meta)


def spoil_log(out: Path) -> None:
    """A log in which one bit has turned."""
    path = log_path(checkpoint_folder(out))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("change", [without_log, spoil_log])
def test_without_a_log_the_rows_come_from_the_file(change: Callable[[Path], None], whole: Path, tmp_path: Path) -> None:
    """As in checkpoints of older versions. If that is damaged too, nothing is changed. Afterwards there is a log."""
    out = tmp_path / "run.h5"
    stopped_at_four(out)
    change(out)
    sound = out.read_bytes()
    tear(out)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match="is damaged"):
        journals.run(out, resume=True)
    assert sorted(tmp_path.rglob("*")) == before
    out.unlink()
    with pytest.raises(InputError, match="do not hold its rows"):
        journals.run(out, resume=True)
    out.write_bytes(sound)
    journals.run(out, resume=True)
    assert digest(out) == digest(whole)
    tear(out)
    journals.run(out, resume=True)
    assert digest(out) == digest(whole)


def test_killed_before_anything_was_saved(whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "run.h5"
    header = make_header()
    with RunStore(RunOptions(out), Alone()) as run_store:
        run_store.open(header, run_store.find(journals.config_of(header)))
    tear(out)
    (note,) = journals.run(out, resume=True)
    assert "begins anew" in note and digest(out) == digest(whole)


def test_without_its_checkpoints_a_damaged_run_is_not_begun_anew(out: Path) -> None:
    for path in checkpoint_folder(out).glob("*.npz"):
        path.unlink()
    tear(out)
    with pytest.raises(InputError, match="is damaged"):
        journals.run(out, resume=True)


# The log of rows


def test_a_log_has_the_rows_of_its_run(out: Path) -> None:
    found = checkpoint.load_latest(checkpoint_folder(out))
    assert found is not None
    logged = LoggedRows(log_path(checkpoint_folder(out)), found.meta["log"])
    with RunReader(out) as run:
        assert logged.rows == run.rows and (logged.config, logged.seed) == (run.config, run.seed)
        for table, count in run.rows.items():
            (wanted,) = run.blocks(table, count)
            at = 0
            for block in logged.blocks(table, count):
                for name, values in block.items():
                    assert values.tobytes() == wanted[name][at : at + len(values)].tobytes()
                at += len(values)
            assert at == count
            assert sum(len(next(iter(block.values()))) for block in logged.blocks(table, 1)) == 1


@pytest.mark.parametrize("change", ["bit", "short", "missing", "pieces"])
def test_a_log_that_is_not_what_the_checkpoint_says(change: str, out: Path) -> None:
    path = log_path(checkpoint_folder(out))
    found = checkpoint.load_latest(checkpoint_folder(out))
    assert found is not None
    mark = dict(found.meta["log"])
    if change == "bit":
        spoil_log(out)
    elif change == "missing":
        path.unlink()
    elif change == "short":
        os.truncate(path, path.stat().st_size - 1)
    else:  # a checksum that fits, of a log that does not end with a whole piece
        with RunReader(out) as run:
            log = RowLog.create(path.parent, make_header(), run, dict.fromkeys(TABLES, 0))
        log._add(b"rows" + bytes(4) + (2**60).to_bytes(8, "little"))
        mark = log.mark()
        log.close()
    with pytest.raises(ValueError):
        LoggedRows(path, mark)
