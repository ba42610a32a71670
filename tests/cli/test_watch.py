"""``spikesim watch``: a run that another process writes."""

import contextlib
import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import ROOT, SECONDS, assert_one_line, environment, spikesim, start
from runs import append_rows, make_header, write_run

from spikesim.ep.analysis.summary import make_report
from spikesim.ep.reports.following import LOOKS, follow
from spikesim.ep.runs.reader import RunReader
from spikesim.ep.runs.writer import RunWriter
from spikesim.errors import InputError

CONFIG = {"optimizer": {"epochs": 3}, "data": {"limit": 128}}


@contextlib.contextmanager
def writing(path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that writes a run: for each line of its input a number of mini-batches, or a status as its end."""
    script = """
        import sys
        from runs import append_rows, make_header
        from spikesim.ep.runs.writer import RunWriter
        config = {"optimizer": {"epochs": 3}, "data": {"limit": 128}}
        with RunWriter.create(sys.argv[1], make_header(config=config)) as run:
            print("ready", flush=True)
            for line in sys.stdin:
                if not line.strip().isdigit():
                    run.set_status(line.strip())
                    break
                append_rows(run, run.rows["batches"], run.rows["batches"] + int(line))
                run.flush()
                print("done", flush=True)
    """
    own = environment({"PYTHONPATH": os.pathsep.join([str(ROOT / "tests" / "helpers"), str(ROOT)])})
    command = [sys.executable, "-c", textwrap.dedent(script), str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=own) as process:
        assert process.stdout.readline() == "ready\n"
        try:
            yield process
        finally:
            process.kill()


def tell(process: subprocess.Popen[str], text: str) -> None:
    process.stdin.write(f"{text}\n")
    process.stdin.flush()
    if text.isdigit():
        assert process.stdout.readline() == "done\n"


def lines_until(process: subprocess.Popen[str], fragment: str) -> list[str]:
    """Lines of its output up to one with a fragment."""
    lines = []
    deadline = time.monotonic() + SECONDS
    while not lines or fragment not in lines[-1]:
        lines.append(process.stdout.readline())
        assert lines[-1], lines
        assert time.monotonic() < deadline
    return lines


@pytest.mark.parametrize(
    ("end", "code", "message"),
    [("finished", 0, "finished"), ("stopped", 75, "stopped; the same command with --resume")],
)
def test_a_run_is_followed_to_its_end(tmp_path, end, code, message):
    path = tmp_path / "run.h5"
    with writing(path) as writer, start("watch", path, "--interval", 0.1) as watcher:
        tell(writer, "2")
        (line,) = [line for line in lines_until(watcher, "64/128") if "64/128" in line]
        assert line.startswith("epoch 1/3, 64/128 samples: loss ") and "samples/s" in line
        tell(writer, "3")
        lines = lines_until(watcher, "epoch 2/3, 32/128")
        assert any(line.startswith("epoch 1/3: train loss ") for line in lines)
        tell(writer, end)
        output, errors = watcher.communicate(timeout=SECONDS)
        assert watcher.returncode == code
        assert message in (output if code == 0 else errors)
        assert writer.wait(timeout=SECONDS) == 0


def test_a_writer_that_is_killed(tmp_path):
    path = tmp_path / "run.h5"
    with writing(path) as writer, start("watch", path, "--interval", 0.1) as watcher:
        tell(writer, "6")
        lines_until(watcher, "epoch 2/3, 64/128")
        writer.kill()
        writer.wait()
        _, errors = watcher.communicate(timeout=SECONDS)
        assert watcher.returncode == 75
        assert "killed or has crashed" in errors and "--resume" in errors and errors.count("\n") == 1


def test_a_run_that_was_left_behind(tmp_path):
    write_run(tmp_path / "run.h5", 10, status="running")
    result = spikesim("watch", tmp_path / "run.h5", "--interval", 0.1)
    assert result.returncode == 75 and "killed or has crashed" in result.stderr
    assert [line[:7] for line in result.stdout.splitlines()] == ["epoch 1", "epoch 2", "epoch 3"]


def test_ctrl_c_ends_the_watching_and_not_the_run(tmp_path):
    path = tmp_path / "run.h5"
    with writing(path) as writer, start("watch", path, "--interval", 0.1) as watcher:
        tell(writer, "1")
        lines_until(watcher, "32/128")
        watcher.send_signal(signal.SIGINT)
        _, errors = watcher.communicate(timeout=SECONDS)
        assert (watcher.returncode, errors) == (130, "")
        tell(writer, "1")
        tell(writer, "finished")
        assert writer.wait(timeout=SECONDS) == 0
        with RunReader(tmp_path / "run.h5") as reader:
            assert reader.rows["batches"] == 2


@pytest.mark.parametrize("columns", [110, 80, 60])
def test_tables_on_a_terminal(tmp_path, columns):
    write_run(tmp_path / "run.h5", 10)
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 60, columns, 0, 0))
    command = [sys.executable, "-m", "spikesim", "watch", "run.h5"]  # a long path would be broken
    own = environment({"TERM": "xterm"})
    process = subprocess.Popen(command, stdout=child, stderr=child, env=own, cwd=tmp_path)
    os.close(child)
    output = b""
    while True:
        try:
            piece = os.read(parent, 65536)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        output += piece
    os.close(parent)
    assert process.wait(timeout=SECONDS) == 0
    text = output.decode()
    for fragment in ("finished", "Loss and accuracy by epoch", "3 (so far)", "conv2", "|r+ - r-|", "\x1b["):
        assert fragment in text
    lines = [re.sub(r"\x1b\[[^a-zA-Z]*[a-zA-Z]", "", line) for line in text.split("\r\n")]
    assert [line for line in lines if len(line.strip()) > columns and "run.h5" not in line] == []
    assert "\u2026" not in text
    heads = [i for i, line in enumerate(lines) if line.startswith("layer ")]
    assert len(heads) > (columns < 100)
    for head in heads:
        assert [line.split()[0] for line in lines[head + 2 : head + 5]] == ["conv1", "conv2", "dense3"]
    cells = {cell for head in heads for line in lines[head + 2 : head + 5] for cell in line.split()}
    with RunReader(tmp_path / "run.h5") as reader:
        report = make_report(reader, current=True)
    shown = [work.residual for work in report.layers if work.phase == "free" and work.layer != "total"]
    assert len(shown) == 3 and {f"{value:.2e}" for value in shown} <= cells


def test_what_is_refused(tmp_path):
    (tmp_path / "x.h5").write_text("text")
    assert_one_line(spikesim("watch", tmp_path / "x.h5"), "is not an HDF5 file")
    assert_one_line(spikesim("watch", tmp_path / "none.h5"), "does not exist")
    assert_one_line(spikesim("watch", tmp_path / "x.h5", "--interval", 0), "--interval")


def test_only_what_changes_is_told_and_a_resumed_file_is_followed(tmp_path):
    """The file is replaced, as ``--resume`` does."""
    path = tmp_path / "run.h5"
    seen = []
    watching = follow(path, 0.01)
    with RunWriter.create(path, make_header(config=CONFIG)) as writer:
        first = next(watching)
        assert (first.state, first.last, first.report.epoch) == ("running", None, None)
        append_rows(writer, 0, 5)
        writer.flush()
        seen.append(next(watching))
    with RunWriter.create(path, make_header(config=CONFIG), overwrite=True) as writer:
        append_rows(writer, 0, 6)
        writer.flush()
        seen.append(next(watching))
        writer.set_status("finished")
    seen += list(watching)
    assert [own.report.epochs[-1].train_samples for own in seen] == [32, 64, 64]
    assert [own.state for own in seen] == ["running", "running", "finished"]
    assert seen[0].epochs == 3 and seen[0].samples == 128


def test_the_time_left(tmp_path):
    path = write_run(tmp_path / "run.h5", 6, config=CONFIG)
    (snapshot,) = follow(path)
    first, second = snapshot.report.epochs
    speed = second.train_samples / second.seconds
    assert snapshot.samples_per_second == pytest.approx(speed)
    assert snapshot.seconds_left == pytest.approx(64 / speed + 128 / speed + 2 * first.test_seconds)


def test_a_file_that_cannot_be_read_for_a_moment_is_looked_at_again(tmp_path, monkeypatch):
    path = tmp_path / "run.h5"
    failing = 0
    read = RunReader.__init__

    def sometimes(self, name):
        nonlocal failing
        if failing:
            failing -= 1
            raise InputError("damaged")
        read(self, name)

    monkeypatch.setattr(RunReader, "__init__", sometimes)
    with RunWriter.create(path, make_header(config=CONFIG)) as writer:
        watching = follow(path, 0.001)
        next(watching)
        failing = LOOKS - 1
        append_rows(writer, 0, 1)
        writer.flush()
        assert next(watching).last is not None
        failing = LOOKS
        with pytest.raises(InputError, match="damaged"):
            next(watching)
