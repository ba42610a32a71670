import io
import os
import pickle
import resource
import signal
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from commands import python_process
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from spikesim.errors import InputError
from spikesim.io import checkpoint

STATE = {"conv1/weight": np.arange(500, dtype=np.float32).reshape(20, 25), "rng": np.array(7, dtype=np.uint64)}

dtypes = st.sampled_from([np.float32, np.float64, np.int16, np.int64, np.uint8, np.bool_])
arrays = dtypes.flatmap(lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, min_side=0, max_side=4)))
names = st.text(st.characters(categories=["L", "N"], max_codepoint=0x24F), min_size=1, max_size=8)


@given(
    state=st.dictionaries(names, arrays, max_size=4),
    meta=st.dictionaries(st.text(), st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()),
    position=st.integers(0, 10**10),
)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_what_is_saved_is_loaded(tmp_path_factory, state, meta, position):
    folder = tmp_path_factory.mktemp("c") / "run.h5.checkpoints"
    checkpoint.save(folder, position, state, meta)
    loaded = checkpoint.load_latest(folder)
    assert (loaded.position, loaded.meta, loaded.warning) == (position, meta, None)
    assert loaded.arrays.keys() == state.keys()
    for name, array in state.items():
        assert loaded.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(loaded.arrays[name], array)


def test_arrays_that_are_not_contiguous(tmp_path):
    state = {
        "f": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
        "s": np.arange(10)[::3],
        "big": np.array([1], ">i4"),
    }
    checkpoint.save(tmp_path, 1, state, {})
    for name, array in checkpoint.load_latest(tmp_path).arrays.items():
        np.testing.assert_array_equal(array, state[name])


def test_nothing_there(tmp_path):
    assert checkpoint.load_latest(tmp_path) is None
    assert checkpoint.load_latest(tmp_path / "none") is None
    assert checkpoint.positions(tmp_path / "none") == []


def test_the_last_two_are_kept_and_nothing_of_others_is_touched(tmp_path):
    folder = checkpoint.checkpoint_folder(tmp_path / "run.h5")
    assert folder == tmp_path / "run.h5.checkpoints"
    for position in (10, 20, 30):
        checkpoint.save(folder, position, STATE, {})
        (folder / "notes.txt").write_text("mine")
    (folder / ".checkpoint-000000040.tmp").write_text("left behind by a kill")
    checkpoint.save(folder, 25, STATE, {})
    assert checkpoint.positions(folder) == [20, 25]
    assert sorted(os.listdir(folder)) == ["000000020.npz", "000000025.npz", "notes.txt"]
    checkpoint.remove(folder)
    assert os.listdir(folder) == ["notes.txt"]
    (folder / "notes.txt").unlink()
    checkpoint.remove(folder)
    checkpoint.remove(folder)
    assert not folder.exists()


def test_python_objects_are_not_stored(tmp_path):
    with pytest.raises(ValueError, match="objects"):
        checkpoint.save(tmp_path, 1, {"a": np.array([{}], dtype=object)}, {})
    with pytest.raises(ValueError):
        checkpoint.save(tmp_path, 1, {}, {"x": float("nan")})
    assert os.listdir(tmp_path) == []


def damage(path: Path, kind: str) -> None:
    data = bytearray(path.read_bytes())
    if kind == "truncated":
        data = data[: len(data) // 2]
    elif kind == "empty":
        data = bytearray()
    elif kind == "bit":
        data[data.index(STATE["conv1/weight"].tobytes()) + 100] ^= 1
    elif kind == "header":  # NumPy's parser ends in the tokenizer of Python
        data = data.replace(b"'shape': (", b"'shape': \xbd")
    elif kind == "text":
        data = bytearray(b"no archive")
    path.write_bytes(data)


@pytest.mark.parametrize("kind", ["truncated", "empty", "bit", "header", "text"])
def test_a_damaged_checkpoint_falls_back_with_a_warning(tmp_path, kind):
    checkpoint.save(tmp_path, 1, STATE, {"epoch": 1})
    newest = checkpoint.save(tmp_path, 2, STATE, {"epoch": 2})
    damage(newest, kind)
    loaded = checkpoint.load_latest(tmp_path)
    assert (loaded.position, loaded.meta) == (1, {"epoch": 1})
    assert "000000002.npz" in loaded.warning and "\n" not in loaded.warning
    damage(tmp_path / "000000001.npz", kind)
    with pytest.raises(InputError, match=r"all checkpoints.*are damaged.*--overwrite"):
        checkpoint.load_latest(tmp_path)


def test_a_checkpoint_under_another_name_is_not_taken(tmp_path):
    os.rename(checkpoint.save(tmp_path, 1, STATE, {}), tmp_path / "000000009.npz")
    with pytest.raises(InputError, match="position 1"):
        checkpoint.load_latest(tmp_path)


def rewrite(path: Path, change) -> None:
    """Rewrite an archive member by member: change(name, data) gives data and the kind of compression."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            data, compression = change(name, data)
            archive.writestr(name, data, compress_type=compression)


class Touch:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_hostile_files_run_no_code_and_take_no_memory(tmp_path):
    def npy(header: str, data: bytes) -> bytes:
        text = header.encode().ljust(117) + b"\n"
        return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data

    pickled = pickle.dumps(np.array([Touch(tmp_path / "touched")], dtype=object))
    bomb = io.BytesIO()
    np.save(bomb, np.zeros(40_000_000, dtype=np.uint8))
    cases = {
        "object": (npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", pickled), zipfile.ZIP_STORED),
        "huge": (
            npy("{'descr': '<f8', 'fortran_order': False, 'shape': (10000000000000,), }", b"x" * 8),
            zipfile.ZIP_STORED,
        ),
        "negative": (
            npy("{'descr': '<f8', 'fortran_order': False, 'shape': (-1, -1), }", b"x" * 8),
            zipfile.ZIP_STORED,
        ),
        "compressed": (bomb.getvalue(), zipfile.ZIP_DEFLATED),
    }
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for name, (data, compression) in cases.items():
        path = checkpoint.save(tmp_path / name, 1, STATE, {})
        rewrite(
            path,
            lambda member, old, new=data, how=compression: (
                (new, how) if member == "rng.npy" else (old, zipfile.ZIP_STORED)
            ),
        )
        with pytest.raises(InputError, match="are damaged"):
            checkpoint.load_latest(tmp_path / name)
    assert not (tmp_path / "touched").exists()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # KiB


@pytest.mark.parametrize("seconds", [0.01, 0.04, 0.09])
def test_a_kill_leaves_the_last_checkpoint_whole(tmp_path, seconds):
    script = """
        import itertools, sys
        import numpy as np
        from spikesim.io import checkpoint
        for position in itertools.count(1):
            checkpoint.save(sys.argv[1], position, {"a": np.full(200_000, position)}, {"p": position})
            print(position, flush=True)
    """
    process = python_process(script, tmp_path)
    assert process.stdout.readline() == "1\n"
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    saved = [1, *(int(line) for line in process.communicate()[0].splitlines(keepends=True) if line.endswith("\n"))]
    loaded = checkpoint.load_latest(tmp_path)
    assert loaded.position >= saved[-1]
    assert loaded.warning is None
    assert (loaded.arrays["a"] == loaded.position).all() and loaded.meta == {"p": loaded.position}
    checkpoint.save(tmp_path, loaded.position + 1, STATE, {})
    assert len(os.listdir(tmp_path)) == 2


def test_a_full_disk_keeps_the_earlier_checkpoints(tmp_path):
    script = """
        import resource, signal, sys
        import numpy as np
        from spikesim.io import checkpoint
        from spikesim.errors import InputError
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        checkpoint.save(sys.argv[1], 1, {"a": np.arange(100)}, {})
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
        try:
            checkpoint.save(sys.argv[1], 2, {"a": np.arange(100_000)}, {})
        except InputError as error:
            sys.exit(str(error))
    """
    process = python_process(script, tmp_path)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "File too large" in errors and errors.count("\n") == 1
    assert os.listdir(tmp_path) == ["000000001.npz"]
    assert checkpoint.load_latest(tmp_path).position == 1


def test_a_folder_that_cannot_be(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot write the checkpoint"):
        checkpoint.save(tmp_path / "file", 1, STATE, {})
