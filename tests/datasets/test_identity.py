"""A user's own data are known by their content: the hash behind the name, wherever a run meets its data."""

import hashlib
import json
import os
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import event_files as ef
import numpy as np
import pytest
import small
from click.testing import CliRunner, Result

from spikesim.cli import main
from spikesim.datasets import find, load
from spikesim.datasets.samples.identity import base_name, split_name
from spikesim.ep.inputs.dataset import is_name_of, load_of_run, named
from spikesim.ep.inputs.teacher import read_teacher, write_teacher
from spikesim.ep.network.model import Model
from spikesim.ep.runs.writer import RunReader, RunWriter
from spikesim.ep.training.run_rows import make_header
from spikesim.errors import InputError

ARRAYS = ef.arrays_of(ef.bars(12), 9)
NETWORK = (
    "--arch", "mlp", "--width", "0.02", "--epochs", "1", "--set", "model.calibration_samples=4",
    "--steps-free", "4", "--set", "dynamics.window_free=2", "--set", "record.traces=0",
)  # fmt: skip
TRAIN = ("train", *NETWORK, "--threads", "1")


def command(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def succeed(*arguments: object) -> str:
    result = command(*arguments)
    assert result.exit_code == 0, result.output
    return result.output


def refuse(*arguments: object) -> str:
    """The last line of a command that refuses."""
    result = command(*arguments)
    assert result.exit_code == 2, result.output
    assert result.output.splitlines()[-1].startswith("Error: ")
    return result.output.splitlines()[-1]


def changed(what: str) -> dict[str, Any]:
    """The arrays with one thing changed."""
    arrays = {name: array.copy() for name, array in ARRAYS.items()}
    if what == "shape":
        arrays["shape"] = np.array([ef.SIDE, ef.SIDE + 1])
    elif what == "labels":
        arrays["labels"][[0, 1]] = arrays["labels"][[1, 0]]
    elif what == "offsets":
        arrays["offsets"][1] += 1
    elif what == "n_train":
        arrays["n_train"] -= 1
    elif what == "p":
        arrays["p"][5] ^= 1
    elif what in ("x", "y"):
        arrays[what][5] ^= 1
    else:
        arrays["t"][-1] += 1
    return arrays


def test_the_hash_is_that_of_the_documentation(tmp_path: Path) -> None:
    data = load("bars.npz", ef.write_file(tmp_path / "bars.npz", ARRAYS).parent)
    head = {"classes": 3, "format": "spikesim-recordings", "recordings": [9, 3], "shape": [ef.SIDE, ef.SIDE]}
    text = json.dumps(head, separators=(",", ":")).encode() + b"\n"
    for part in (data.train, data.test):
        text += part.labels.astype("<i8").tobytes() + part.offsets.astype("<i8").tobytes()
        text += part.neurons.astype("<u4").tobytes() + part.times.astype("<u4").tobytes()
    assert data.name == f"bars.npz#{hashlib.sha256(text).hexdigest()[:16]}"


def test_it_is_of_the_content_and_not_of_the_storage(tmp_path: Path) -> None:
    events = np.zeros(len(ARRAYS["t"]), [(name, "<i8") for name in "xytp"])
    for name in "xytp":
        events[name] = ARRAYS[name]
    together = {"events": events, **{name: array for name, array in ARRAYS.items() if len(name) > 1}}
    later = {**ARRAYS, "t": ARRAYS["t"] + 12345, "x": ARRAYS["x"].astype(np.uint16)}
    found = set()
    for number, (suffix, arrays, options) in enumerate(
        [("npz", ARRAYS, {}), ("h5", ARRAYS, {}), ("hdf5", ARRAYS, {"compression": "gzip"}), ("npz", together, {}),
         ("h5", later, {})]
    ):  # fmt: skip
        path = ef.write_file(tmp_path / f"{number}.{suffix}", arrays, **options)
        found.add(split_name(load(str(path)).name)[1])
    assert len(found) == 1 and None not in found


@pytest.mark.parametrize("what", ["x", "y", "t", "p", "labels", "offsets", "n_train", "shape"])
def test_it_changes_with_the_content(tmp_path: Path, what: str) -> None:
    first = load(str(ef.write_file(tmp_path / "bars.npz", ARRAYS))).name
    other = load(str(ef.write_file(tmp_path / "bars.npz", changed(what)))).name
    assert first != other and base_name(first) == base_name(other) == "bars.npz"
    with pytest.raises(InputError, match=f"the hash of its content is {split_name(other)[1]}, not"):
        load(first, tmp_path)


def test_a_folder_that_grows_or_changes_is_another_set(tmp_path: Path) -> None:
    parts = {"Train": ef.bars(6), "Test": ef.bars(3, first=100)}
    ef.write_nmnist(tmp_path / "nmnist", parts)
    name = load("nmnist", tmp_path).name
    assert split_name(name)[0] == "nmnist" and load(name, tmp_path).name == name
    assert find(name, tmp_path) == find("nmnist", tmp_path)
    moved = tmp_path / "elsewhere"
    (tmp_path / "nmnist").rename(moved)
    assert load(name, moved).name == name
    one = moved / "Train" / "0" / "00001.bin"
    kept = one.read_bytes()
    for change in (
        lambda: one.write_bytes(kept[:-5]),
        one.unlink,
        lambda: (one.parent / "00009.bin").write_bytes(kept),
    ):
        change()
        with pytest.raises(InputError, match=r"the hash of its content is [0-9a-f]{16}, not .* give the recordings"):
            load(name, moved)
        one.write_bytes(kept)
    with pytest.raises(InputError, match="unknown data set 'mnist#"):
        load("mnist#0123456789abcdef", tmp_path)


def test_where_a_file_with_a_hash_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = ef.write_file(tmp_path / "bars.h5", ARRAYS)
    name = load(str(path)).name
    assert find(name, tmp_path) == str(path) == load(name, tmp_path).source
    monkeypatch.chdir(tmp_path)
    assert load(name).name == load("./bars.h5").name == load(os.path.abspath("bars.h5")).name == name
    monkeypatch.chdir("/")
    with pytest.raises(InputError, match=r"bars\.h5 is not found"):
        load(name)


def write_run(path: Path, data: Any, name: str) -> Path:
    """A run file without mini-batches, of a configuration that names its data so."""
    config = small.make(small.DENSE, data__dataset=name, error_signals__kind="none")
    model = Model(config, data)
    parameters = small.random_parameters(model)
    with RunWriter.create(path, make_header(model, config, parameters, "", data_source=data.source)) as writer:
        writer.write_weights(parameters.leaves())
    return path


def test_runs_and_teachers_from_before_the_hash_go_on(tmp_path: Path) -> None:
    data = load(str(ef.write_file(tmp_path / "bars.npz", ARRAYS)))
    config = small.make(small.DENSE)
    for old, same in (("bars.npz", True), ("sub/bars.npz", True), ("/a/bars.npz", True), ("bras.npz", False)):
        assert is_name_of(old, data) == same
        run = write_run(tmp_path / "run.h5", data, old)
        assert named(config, data, run).data.dataset == (old if same else data.name)
        run.unlink()
    assert not is_name_of(f"bars.npz#{'0' * 16}", data) and not is_name_of(None, data)
    images = replace(small.make_dataset(samples=4), name=f"own.npz#{'0' * 16}")
    assert is_name_of(images.name, images) and not is_name_of("own.npz", images), "images always had a hash"
    write_teacher(tmp_path / "teacher.h5", np.zeros((9, 3)), "sub/bars.npz")
    assert read_teacher(tmp_path / "teacher.h5", data).logits.shape == (9, 3)
    (tmp_path / "teacher.h5").unlink()
    write_teacher(tmp_path / "teacher.h5", np.zeros((9, 3)), f"bars.npz#{'0' * 16}")
    with pytest.raises(InputError, match=r"the run is on 'bars\.npz#"):
        read_teacher(tmp_path / "teacher.h5", data)


def test_a_run_that_was_begun_on_other_content_is_not_continued(tmp_path: Path) -> None:
    data = load(str(ef.write_file(tmp_path / "bars.npz", ARRAYS)))
    run = write_run(tmp_path / "run.h5", data, data.name)
    config = small.make(small.DENSE)
    assert named(config, data, run).data.dataset == data.name
    other = load(str(ef.write_file(tmp_path / "bars.npz", changed("labels"))))
    with pytest.raises(InputError, match=r"was started on other data: data\.dataset is bars\.npz#[0-9a-f]{16} in"):
        named(config, other, run)
    (tmp_path / "damaged.h5").write_bytes(run.read_bytes()[:500])
    assert named(config, other, tmp_path / "damaged.h5").data.dataset == other.name, "others say what is wrong with it"


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_the_data_of_a_run_are_looked_for_where_they_were(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if kind == "file":
        data = load(str(ef.write_file(tmp_path / "bars.npz", ARRAYS).relative_to(tmp_path)))
    else:
        ef.write_nmnist(tmp_path / "nmnist", {"Train": ef.bars(6), "Test": ef.bars(3, first=100)})
        data = load("nmnist", tmp_path)
    run = write_run(tmp_path / "run.h5", data, data.name)
    monkeypatch.chdir("/")
    with RunReader(run) as reader:
        config = small.make(small.DENSE, data__dataset=data.name)
        assert os.path.isabs(reader.data_source)
        assert load_of_run(config, reader)[1].source == reader.data_source
        with pytest.raises(InputError, match=r"nothing\.npz is not found"):
            load_of_run(small.make(small.DENSE, data__dataset="nothing.npz"), reader)
        if kind == "file":
            ef.write_file(tmp_path / "bars.npz", changed("p"))
        else:
            next((tmp_path / "nmnist" / "Train").rglob("*.bin")).unlink()
        with pytest.raises(InputError, match="the hash of its content is"):
            load_of_run(config, reader)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run on a file of recordings in a sub-folder, named from there; and other recordings."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "sub").mkdir()
    (folder / "other").mkdir()
    ef.write_file(folder / "sub" / "bars.npz", ARRAYS)
    ef.write_file(folder / "other" / "bars.npz", changed("labels"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        succeed(*TRAIN, "--dataset", "sub/bars.npz", "--out", "run.h5")
    return folder


def test_the_same_file_under_another_path_is_the_same(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(trained)
    for named_so in (("./sub/bars.npz",), (trained / "sub" / "bars.npz",), ("bars.npz", "--data-dir", "sub")):
        assert "nothing to do" in succeed(*TRAIN, "--out", "run.h5", "--resume", "--dataset", *named_so)
    succeed("teacher", "run.h5", "--out", "teacher.h5", "--threads", 1)
    for folder, options in (("sub", ()), ("/", ()), ("/", ("--data-dir", trained / "sub"))):
        monkeypatch.chdir(folder)
        succeed("evaluate", trained / "run.h5", "--threads", 1, *options)
    kd = ("--signals", "kd", "--teacher", trained / "teacher.h5", "--out", trained / "kd.h5")
    succeed(*TRAIN, *kd, "--dataset", "bars.npz", "--data-dir", trained / "sub")


def test_another_content_under_the_same_name_is_refused(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(trained)
    other = ("--dataset", "bars.npz", "--data-dir", "other")
    assert "was started on other data" in refuse(*TRAIN, *other, "--out", "run.h5", "--resume")
    for command_line in (
        ("evaluate", "run.h5"),
        ("teacher", "run.h5", "--out", "t.h5"),
        ("gradcheck", "--run", "run.h5"),
    ):
        assert "the hash of its content" in refuse(*command_line, "--data-dir", "other")


def test_weights_of_a_run_on_recordings_are_exported_and_imported(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("safetensors")
    monkeypatch.chdir(trained)
    succeed("export", "run.h5", "--to", "safetensors", "--out", "weights.safetensors")
    said = succeed("import", "weights.safetensors", *NETWORK, "--dataset", "sub/bars.npz", "--out", "imported.h5")
    with RunReader("imported.h5") as reader:
        assert split_name(reader.setting("data.dataset"))[1] is not None
        assert reader.input_shape == (ef.SIDE, ef.SIDE, 2)
    further = shlex.split(said.splitlines()[-1].removeprefix("continue training: spikesim "))
    assert "the hash of its content" in refuse("evaluate", "imported.h5", "--data-dir", "other")
    succeed(*further, "--threads", 1)
    pytest.importorskip("nir")
    succeed("export", "imported.h5", "--to", "nir", "--out", "network.nir")
