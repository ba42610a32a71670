"""`spikesim resume` as a user types it: the file knows the rest."""

import shlex
import signal
from pathlib import Path

from commands import CONFIG, assert_one_line, digest, newest_checkpoint, spikesim, start, succeed, wait_until


def test_a_stopped_run_goes_on_and_gets_more_epochs(tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(CONFIG)
    given = ("train", "--config", tmp_path / "tiny.toml", "--threads", 1)
    run, whole = tmp_path / "run.h5", tmp_path / "whole.h5"
    succeed(*given, "--out", whole)
    process = start(*given, "--out", run, "--checkpoint-every", 1)
    wait_until(lambda: newest_checkpoint(run) >= 3, process)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 75
    process = start("resume", run, "--checkpoint-every", 1)
    wait_until(lambda: newest_checkpoint(run) >= 6, process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 75
    words = shlex.split(errors.splitlines()[-1].partition("the same command continues from there: ")[2])
    assert words == ["spikesim", "resume", str(run), "--checkpoint-every", "1"]
    result = succeed(*words[1:])
    assert "resuming" in result.stderr and digest(run) == digest(whole)
    kept = run.rename(tmp_path / "kept.h5")  # its rows and its configuration are beside it
    succeed("resume", run)
    assert digest(run) == digest(whole)
    kept.replace(run)
    succeed("resume", run, "--epochs", 3, "--threads", 1)
    shown = succeed("info", run).stdout
    assert "command:     spikesim train --config" in shown and "optimizer.extended" not in succeed("info", whole).stdout
    assert "optimizer.epochs = 3" in shown and "optimizer.extended_from = [2]" in shown
    assert_one_line(spikesim("resume", run, "--epochs", 3), "give a larger number")
