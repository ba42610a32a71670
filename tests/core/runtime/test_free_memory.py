"""What does not fit into the memory is named, in one line."""

import os
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import small
from click.testing import CliRunner
from commands import python_process

from spikesim.cli import main
from spikesim.ep.inputs.dataset import load_dataset
from spikesim.ep.network.model import Model
from spikesim.ep.parallel.thread_pool import ThreadPool
from spikesim.ep.runs.reader import RunReader
from spikesim.ep.training.observer import Silent
from spikesim.ep.training.run_store import RunOptions
from spikesim.ep.training.trainer import Trainer
from spikesim.errors import InputError
from spikesim.io.hdf5_reader import Contents
from spikesim.runtime import free_memory as freememory
from spikesim.runtime.free_memory import free_memory, naming_memory, require_memory


def test_what_is_too_much_is_refused_before_it_is_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(freememory, "free_memory", lambda: 10**9)
    require_memory({"this": 10**9 // 2, "that": 10**9 // 2}, "take less")
    words = r"^1\.40 GiB of memory are needed, 0\.93 GiB for that, and 0\.93 GiB are free; take less$"
    with pytest.raises(InputError, match=words):
        require_memory({"this": 10**9 // 2, "that": 10**9}, "take less")
    monkeypatch.setattr(freememory, "free_memory", lambda: None)
    require_memory({"that": 2**70}, "take less")  # where nothing is known nothing is refused


def test_what_runs_out_is_named() -> None:
    with pytest.raises(InputError, match=r"^there is not enough memory for the map; take less$"):
        with naming_memory("the map", "take less"):
            raise MemoryError
    with (
        pytest.raises(InputError, match=r"the map \(Unable to allocate 1\.00 EiB"),
        naming_memory("the map", "take less"),
    ):
        np.empty(2**60, np.int8)


def test_control_groups_and_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A group is within the limits of those above it; what is only cached can be taken."""
    group = tmp_path / "job" / "step"
    group.mkdir(parents=True)
    for folder, limit, used in ((tmp_path, "max", "0"), (group.parent, "900", "300"), (group, "max", "100")):
        (folder / "memory.max").write_text(f"{limit}\n")
        (folder / "memory.current").write_text(f"{used}\n")
    (group.parent / "memory.stat").write_text("active_file 7\ninactive_file 50\n")
    (tmp_path / "own").write_text("0::/job/step\n")
    (tmp_path / "machine").write_text("MemTotal:  9 kB\nMemAvailable:       5 kB\nSwapFree:  1 kB\n")
    monkeypatch.setattr(freememory, "_GROUPS", tmp_path)
    monkeypatch.setattr(freememory, "_OWN_GROUP", tmp_path / "own")
    monkeypatch.setattr(freememory, "_MACHINE", tmp_path / "machine")
    monkeypatch.setattr(freememory, "_of_limit", lambda: None)
    assert free_memory() == 650
    (group.parent / "memory.max").write_text("max\n")
    assert free_memory() == 6 * 1024
    (tmp_path / "machine").unlink()
    assert free_memory() is None
    old = tmp_path / "memory" / "job"
    old.mkdir(parents=True)
    (old / "memory.limit_in_bytes").write_text("1000\n")
    (old / "memory.usage_in_bytes").write_text("400\n")
    (tmp_path / "own").write_text("7:cpu:/other\n4:memory:/job\n")
    assert free_memory() == 600


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_limit_of_address_space_counts() -> None:
    process = python_process("""
        import resource
        resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31))
        from spikesim.runtime.free_memory import free_memory
        assert 2**29 < free_memory() < 2**31, free_memory()
        try:
            bytearray(free_memory() + 2**20)
        except MemoryError:
            print("less")
    """)
    assert process.communicate()[0] == "less\n"


def test_a_command_ends_with_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RunReader, "__init__", lambda self, path: np.empty(2**60, np.int8))
    result = CliRunner().invoke(main, ["info", "x.h5"])
    assert result.exit_code == 2 and result.output.startswith("Error: out of memory (Unable to allocate 1.00 EiB")
    assert result.output.count("\n") == 1


def test_a_file_for_which_there_is_no_room_is_not_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with h5py.File(tmp_path / "x.h5", "w"):
        pass
    monkeypatch.setattr(Contents, "attribute", lambda *_: np.empty(2**60, np.int8))
    with pytest.raises(InputError, match=r"x\.h5: there is not enough memory for what it holds \(Unable to allocate"):
        RunReader(tmp_path / "x.h5")


def test_a_training_says_what_takes_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(*_: object, **__: object) -> None:
        np.empty(2**60, np.int8)

    dataset, config = small.make_dataset(), small.make(small.POOLED)
    model = Model(config, dataset)
    with monkeypatch.context() as little:
        little.setattr(freememory, "free_memory", lambda: 1000)
        with pytest.raises(
            InputError, match=r"for the samples of a group \(\d+ with \d+ neurons on each of 2 threads\)"
        ):
            ThreadPool(model, config, 2)
    with monkeypatch.context() as none:
        none.setattr("spikesim.ep.phases.workspace.Workspace", no_room)
        with pytest.raises(InputError, match=r"not enough memory for the samples of a group .*; use fewer --threads"):
            ThreadPool(model, config, 2)
    options = RunOptions(out=tmp_path / "run.h5", threads=1)
    with monkeypatch.context() as none:
        none.setattr("spikesim.ep.training.trainer.Model", no_room)
        with pytest.raises(InputError, match=r"not enough memory for the network \(custom for samples of 6x6\)"):
            Trainer(config, dataset, options, Silent())
    with monkeypatch.context() as none:
        none.setattr("spikesim.ep.training.trainer.initial_parameters", no_room)
        with pytest.raises(InputError, match="not enough memory for the weights and what learning keeps of them"):
            Trainer(config, dataset, options, Silent()).run()
    assert not os.listdir(tmp_path) or not (tmp_path / "run.h5").exists()
    images = {"train_images": np.zeros((4, 3, 3), np.uint8), "train_labels": np.arange(4) % 2}
    np.savez(tmp_path / "own.npz", **images, **{name.replace("train", "test"): own for name, own in images.items()})
    with monkeypatch.context() as none:
        none.setattr("spikesim.datasets.formats.labelled_arrays.read_array", no_room)
        named = small.make(small.POOLED, data__dataset=str(tmp_path / "own.npz"))
        with pytest.raises(InputError, match=r"not enough memory for the samples of .*own\.npz \(Unable to allocate"):
            load_dataset(named)
