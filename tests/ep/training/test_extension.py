"""A run that is given more epochs: the same bits as one whose configuration says so from the start."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from journals import digest
from small import DENSE, POOLED, make, make_dataset
from watched import StopAfter, run_watched

from spikesim.ep.config.parsing import make_config, merge
from spikesim.ep.config.sections import Config
from spikesim.ep.runs.reader import RunReader
from spikesim.ep.training.extension import before_extension, ends_training, extended, progress
from spikesim.ep.training.run_store import RunOptions, RunStore
from spikesim.ep.training.trainer import Trainer
from spikesim.ep.training.training_state import Position
from spikesim.errors import InputError

DATASET = make_dataset()  # 24 samples, three mini-batches
BATCHES = 3


def config(epochs: int = 2, **changes: Any) -> Config:
    return make(
        POOLED,
        DENSE,
        data__batch_size=8,
        dynamics__nudged_phase="linear-response",
        dynamics__rule="postsynaptic",
        dynamics__feedback_gain=0.0,
        dynamics__steps_nudged=1,
        dynamics__steps_free=12,
        dynamics__window_free=4,
        optimizer__epochs=epochs,
        record__spikes=[0, 1],
        record__traces=1,
        error_signals__kind="local",
        error_signals__schedule="annealed",
        **changes,
    )


def train(settings: Config, out: Path, stop_after: int | None = None, resume: bool = False) -> None:
    observer = StopAfter(stop_after)
    run_watched(Trainer(settings, DATASET, RunOptions(out, resume=resume), observer), observer)


@pytest.mark.parametrize("stop_after", [None, 1, 3, 4], ids=["finished", "early", "before a test", "late"])
def test_an_extended_run_is_that_of_its_configuration(tmp_path: Path, stop_after: int | None) -> None:
    first = config()
    train(first, tmp_path / "run.h5", stop_after)
    longer = extended(first, tmp_path / "run.h5", 3)
    done = 2 * BATCHES if stop_after is None else stop_after
    assert longer.optimizer.extended_from == (2,) and longer.optimizer.extended_at == (done,)
    train(longer, tmp_path / "run.h5", resume=True)
    train(longer, tmp_path / "whole.h5")
    with RunReader(tmp_path / "run.h5") as run, RunReader(tmp_path / "whole.h5") as whole:
        assert run.digest() == whole.digest() and run.status == "finished"
        assert run.rows == whole.rows and run.rows["epochs"] == 3
        assert run.config == longer.to_dict()
    plan = np.array([progress(longer.optimizer, Position(i // BATCHES, i % BATCHES, i), BATCHES) for i in range(9)])
    expected = [i / BATCHES / (2 if i < done else 3) for i in range(9)]
    np.testing.assert_allclose(plan, expected)


def test_twice(tmp_path: Path) -> None:
    train(config(), tmp_path / "run.h5")
    longer = extended(config(), tmp_path / "run.h5", 3)
    train(longer, tmp_path / "run.h5", 2, resume=True)
    longest = extended(longer, tmp_path / "run.h5", 4)
    assert longest.optimizer.extended_from == (2, 3) and longest.optimizer.extended_at == (6, 8)
    assert before_extension(longest) == longer.to_dict()
    assert before_extension(longer) == config().to_dict() and before_extension(config()) is None
    train(longest, tmp_path / "run.h5", resume=True)
    train(longest, tmp_path / "whole.h5")
    assert digest(tmp_path / "run.h5") == digest(tmp_path / "whole.h5")


def test_killed_before_its_first_checkpoint_it_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file has its new configuration then, the checkpoint that of before."""
    train(config(), tmp_path / "run.h5")
    longer = extended(config(), tmp_path / "run.h5", 3)

    class Killed(Exception):
        pass

    def die(*_: Any) -> None:
        raise Killed

    for method in ("write", "save"):
        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(RunStore, method, die)
            train(longer, tmp_path / "run.h5", resume=True)
    with RunReader(tmp_path / "run.h5") as run:
        assert run.config == longer.to_dict() and run.status != "finished"
    train(longer, tmp_path / "run.h5", resume=True)
    train(longer, tmp_path / "whole.h5")
    assert digest(tmp_path / "run.h5") == digest(tmp_path / "whole.h5")


def test_a_damaged_file_is_written_anew_after_an_extension(tmp_path: Path) -> None:
    train(config(), tmp_path / "run.h5")
    longer = extended(config(), tmp_path / "run.h5", 3)
    train(longer, tmp_path / "run.h5", 2, resume=True)
    (tmp_path / "run.h5").write_bytes(b"\x89HDF\r\n\x1a\nnothing of it")
    train(longer, tmp_path / "run.h5", resume=True)
    train(longer, tmp_path / "whole.h5")
    assert digest(tmp_path / "run.h5") == digest(tmp_path / "whole.h5")


def test_what_is_no_extension_is_refused(tmp_path: Path) -> None:
    train(config(), tmp_path / "run.h5")
    with pytest.raises(InputError, match=r"--epochs is 2, and .*run\.h5 has 2; give a larger number"):
        extended(config(), tmp_path / "run.h5", 2)
    with pytest.raises(InputError, match=r"nothing\.h5 has no checkpoint in"):
        extended(config(), tmp_path / "nothing.h5", 3)
    other = extended(config(data__limit=16), tmp_path / "run.h5", 3)
    with pytest.raises(InputError, match=r"run\.h5 is a run of another configuration: data\.limit"):
        train(other, tmp_path / "run.h5", resume=True)
    with h5py.File(tmp_path / "run.h5") as file:
        assert json.loads(file.attrs["config"])["optimizer"]["epochs"] == 2  # as it was


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"extended_from": [2]}, "extended_from has 1 value and optimizer.extended_at 0"),
        ({"extended_from": [3], "extended_at": [5]}, "an extension must have more epochs"),
        ({"extended_from": [1, 2], "extended_at": [5, 4]}, "come later"),
    ],
)
def test_extensions_that_cannot_be_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_config(merge({}, [("optimizer.epochs", 3), *((f"optimizer.{key}", own) for key, own in given.items())]))


def test_the_last_epoch_of_each_plan_ends_a_training() -> None:
    settings = replace(Config().optimizer, epochs=5, extended_from=(2, 4), extended_at=(6, 9))
    ended = [ends_training(settings, Position(epoch, BATCHES, BATCHES * (epoch + 1))) for epoch in range(5)]
    assert ended == [False, True, False, False, True]  # the second was extended before its end
