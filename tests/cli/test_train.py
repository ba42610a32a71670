import ctypes
import os
import re
import resource
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import h5py
import pytest
from commands import (
    BATCHES,
    CONFIG,
    ROOT,
    assert_one_line,
    digest,
    newest_checkpoint,
    spikesim,
    start,
    succeed,
    wait_until,
)

from spikesim.cli.commands.train import train
from spikesim.cli.views.estimate import spoken

TEST_OF_FIRST_EPOCH = BATCHES  # position of the checkpoint before the first test
AFTER_FIRST_EPOCH = BATCHES + 1  # a test counts as one


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("config") / "tiny.toml"
    path.write_text(CONFIG)
    return path


@pytest.fixture(scope="module")
def reference(tmp_path_factory, config):
    """A run that nothing disturbed."""
    run = tmp_path_factory.mktemp("reference") / "run.h5"
    result = succeed("train", "--config", config, "--out", run, "--threads", 1, "--progress-every", 0.1)
    return run, result, digest(run)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# The same result, whatever happens


def test_threads_do_not_change_the_result(reference, config, tmp_path):
    succeed("train", "--config", config, "--out", tmp_path / "run.h5", "--threads", 3)
    assert digest(tmp_path / "run.h5") == reference[2]


def test_killed_five_times_and_resumed_with_other_threads(reference, config, tmp_path):
    run = tmp_path / "run.h5"
    command = ("train", "--config", config, "--out", run, "--checkpoint-every", 1, "--resume")
    moments = (-1, 2, TEST_OF_FIRST_EPOCH, AFTER_FIRST_EPOCH + 4, AFTER_FIRST_EPOCH + BATCHES)
    for number, position in enumerate(moments):
        process = start(*command, "--threads", 1 + number % 3)
        if position < 0:
            while "calibrating" not in process.stderr.readline():
                assert process.poll() is None
        else:
            wait_until(lambda position=position: newest_checkpoint(run) >= position, process)
            time.sleep(0.01 * number)
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    result = succeed(*command, "--threads", 2)
    assert "resuming" in result.stderr
    assert digest(run) == reference[2]
    assert not list(tmp_path.glob("*.part")) and not list(tmp_path.glob(".*.part"))


def test_without_compilation(tmp_path):
    path = tmp_path / "smaller.toml"
    path.write_text(
        """\
        [model]
        arch = "custom"
        calibration_samples = 1
        layers = [
          { kind = "conv", channels = 3, kernel = 25, padding = 0, pool = true },
          { kind = "conv", channels = 2 },
        ]
        [dynamics]
        steps_free = 4
        window_free = 2
        steps_nudged = 4
        [data]
        limit = 3
        test_limit = 2
        batch_size = 2
        [optimizer]
        epochs = 1
        """
    )
    found = []
    for disabled in ("0", "1"):
        run = tmp_path / f"{disabled}.h5"
        succeed("train", "--config", path, "--out", run, "--threads", 1, env={"NUMBA_DISABLE_JIT": disabled})
        found.append(digest(run))
    assert found[0] == found[1]


# Stopped by a signal


def stop(process: subprocess.Popen[str], number: signal.Signals) -> str:
    began = time.monotonic()
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 75, errors
    assert time.monotonic() - began < 5
    assert "Traceback" not in errors
    last = errors.splitlines()[-1]
    assert last.startswith("Stopped at epoch ") and "--resume" in last
    return last


@pytest.mark.parametrize(
    ("number", "position"), [(signal.SIGINT, 5), (signal.SIGTERM, TEST_OF_FIRST_EPOCH)], ids=["training", "test"]
)
def test_signal_and_resume(number, position, reference, config, tmp_path):
    run = tmp_path / "run.h5"
    command = ("train", "--config", config, "--out", run, "--checkpoint-every", 1, "--threads", 1, "--overwrite")
    process = start(*command)
    wait_until(lambda: newest_checkpoint(run) >= position, process)
    last = stop(process, number)
    assert newest_checkpoint(run) >= position
    assert "stopped" in succeed("info", run).stdout
    if position == TEST_OF_FIRST_EPOCH:
        assert f"epoch 1, mini-batch {BATCHES};" in last
        program, *words = shlex.split(last.partition("--resume continues from there: ")[2])
        assert program == "spikesim" and words == [*map(str, command[:-1]), "--resume"]
        succeed(*words)
    else:
        succeed(*command, "--resume")  # which goes before --overwrite
    assert digest(run) == reference[2]


def test_a_signal_that_is_sent_twice_is_one(reference, config, tmp_path):
    """As coreutils' timeout does: to the process, and to its group."""
    run = tmp_path / "run.h5"
    command = ("train", "--config", config, "--out", run, "--checkpoint-every", 1, "--threads", 1)
    process = start(*command)
    wait_until(lambda: newest_checkpoint(run) >= 3, process)
    process.send_signal(signal.SIGTERM)
    stop(process, signal.SIGTERM)
    succeed(*command, "--resume")
    assert digest(run) == reference[2]


def test_signal_during_calibration(reference, config, tmp_path):
    run = tmp_path / "run.h5"
    command = ("train", "--config", config, "--out", run, "--threads", 1)
    process = start(*command)
    while "calibrating" not in process.stderr.readline():
        assert process.poll() is None
    last = stop(process, signal.SIGTERM)
    assert "epoch 1, mini-batch 0" in last
    assert newest_checkpoint(run) == -1
    succeed(*command, "--resume")
    assert digest(run) == reference[2]


# What is refused

LAYERS_THAT_SHRINK = 'model.layers=[{kind="conv",channels=2,pool=true},{kind="conv",channels=2,kernel=17,padding=0}]'
WRONG_VALUES = [
    (("--arch", "vgg99"), "vgg99"),
    (("--arch", "vgg11"), "model.layers"),
    (("--dataset", "imagenet"), "imagenet"),
    (("--inference", "quantum"), "quantum"),
    (("--set", "model.colour=3"), "model.colour"),
    (("--set", "colour=3"), "colour"),
    (("--set", "beta"), "key=value"),
    (("--set", "model=3"), "model"),
    (("--set", "dynamics.beta=nan"), "dynamics.beta"),
    (("--set", "dynamics.beta=inf"), "dynamics.beta"),
    (("--set", "dynamics.beta=1e400"), "dynamics.beta"),
    (("--set", "dynamics.beta=two"), "dynamics.beta"),
    (("--beta", "nan"), "dynamics.beta"),
    (("--beta", "-inf"), "dynamics.beta"),
    (("--beta", "two"), "--beta"),
    (("--width", "0"), "model.width"),
    (("--epochs", "0"), "optimizer.epochs"),
    (("--epochs", "1.5"), "--epochs"),
    (("--batch-size", "-4"), "data.batch_size"),
    (("--limit", "0"), "data.limit"),
    (("--limit", "5001"), "5001"),
    (("--test-limit", "1001"), "1001"),
    (("--steps-free", "1"), "dynamics.steps_free"),
    (("--seed", "-1"), "seed"),
    (("--seed", "9223372036854775808"), "seed"),
    (("--seed", "1" + 400 * "0"), "seed"),
    (("--set", "seed=1" + 5000 * "0"), "seed"),
    (("--set", "model.gain=" + 2000 * "["), "model.gain"),
    (("--set", "dynamics.window_free=5"), "dynamics.window_free"),
    (("--set", "optimizer.learning_rate=[0.1]"), "optimizer.learning_rate"),
    (("--set", "record.spikes=[400]"), "record.spikes"),
    (("--set", 'model.layers=[{kind="conv",channels=4.5}]'), "channels"),
    (("--set", 'model.layers=[{kind="conv",channels=4,kernel=-3}]'), "layer 1"),
    (("--set", 'model.layers=[{kind="conv",channels=1000000000000}]'), "layer"),
    (("--set", LAYERS_THAT_SHRINK), "28x28"),
    (("--threads", "0"), "--threads"),
    (("--colour", "red"), "--colour"),
]


@pytest.mark.parametrize(
    ("arguments", "fragment"), WRONG_VALUES, ids=lambda value: " ".join(value)[:40] if isinstance(value, tuple) else ""
)
def test_a_wrong_value_is_one_line(arguments, fragment, config, tmp_path):
    result = spikesim("train", "--config", config, "--out", tmp_path / "run.h5", *arguments)
    assert_one_line(result, fragment)
    assert len(result.stderr.splitlines()) == 1
    assert files(tmp_path) == {}


@pytest.mark.parametrize(
    ("content", "fragment"),
    [
        (None, "config.toml"),
        (b"[model\n", "not TOML"),
        (b"\xff\xfe\x00", "not TOML"),
        (b"[model]\ncolour = 3\n", "model.colour"),
        (b'[dynamics]\nbeta = "two"\n', "dynamics.beta"),
        (b"[dynamics]\nsteps_free = 8.0\n", "dynamics.steps_free"),
        (b"seed = 1" + 5000 * b"0", "config.toml"),
    ],
    ids=["missing", "syntax", "encoding", "key", "type", "whole number", "digits"],
)
def test_a_wrong_configuration_file(content, fragment, tmp_path):
    path = tmp_path / "config.toml"
    if content is not None:
        path.write_bytes(content)
    before = files(tmp_path)
    assert_one_line(spikesim("train", "--config", path, "--out", tmp_path / "run.h5"), fragment)
    assert files(tmp_path) == before


def test_data_that_are_missing_or_truncated(config, tmp_path):
    run = tmp_path / "run.h5"
    command = ("train", "--config", config, "--dataset", "mnist", "--out", run)
    assert_one_line(spikesim(*command), "mnist", "--data-dir")
    assert_one_line(spikesim(*command, "--data-dir", tmp_path / "missing"), "missing")
    data = tmp_path / "data"
    data.mkdir()
    assert_one_line(spikesim(*command, "--data-dir", data), "mnist")
    for part in ("train", "t10k"):
        (data / f"{part}-images-idx3-ubyte").write_bytes(bytes.fromhex("00000803 0000ea60 0000001c 0000001c 01"))
        (data / f"{part}-labels-idx1-ubyte").write_bytes(bytes.fromhex("00000801 0000ea60"))
    assert_one_line(spikesim(*command, "--data-dir", data), "idx", "bytes")
    assert not run.exists()


# Estimates


def test_a_dry_run_writes_nothing(reference, config, tmp_path):
    run = reference[0]
    before = files(run.parent)
    small = ("--limit", 14, "--test-limit", 12, "--threads", 1)
    result = succeed("train", "--config", config, *small, "--dry-run", "--out", run, "--overwrite", cwd=tmp_path)
    assert files(tmp_path) == {} and files(run.parent) == before
    lines = dict(line.split(":", 1) for line in result.stdout.splitlines()[:-1])
    assert list(lines) == [
        "network", "neurons", "weights", "synapses", "training", "memory", "run file", "compilation", "preparation",
        "calibration", "mini-batch", "epoch", "test", "whole run",
    ]  # fmt: skip
    assert (
        lines["training"].split() == "2 epochs of 4 mini-batches, 14 samples; after each a test of 12 samples".split()
    )
    assert lines["network"].strip() == "custom, 2 layers, input 28x28x1" and lines["neurons"].strip() == "4312"
    assert "activity" in result.stdout.splitlines()[-1]


def test_a_signal_ends_a_dry_run_at_once(config):
    process = start("train", "--config", config, "--dry-run")
    while "calibrating" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=5)
    assert process.returncode == -signal.SIGINT and not output and not errors


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0213, "21.3 ms"), (1.0, "1.00 s"), (99.9, "99.9 s"), (99.96, "1 min 40 s"), (3599.4, "59 min 59 s"),
        (3599.6, "1 h 00 min"), (86_340, "23 h 59 min"), (270_000, "3 d 03 h"),
    ],
)  # fmt: skip
def test_times_as_people_say_them(seconds, text):
    assert spoken(seconds) == text


def test_only_a_dry_run_needs_no_run_file():
    assert train.make_context("train", ["--dry-run"]).params["out"] is None
    with pytest.raises(click.MissingParameter, match="out"):
        train.make_context("train", ["--resume"])


# The run file


def test_an_existing_file_is_kept(reference, config, tmp_path):
    run, _, _ = reference
    before = files(run.parent)
    assert_one_line(spikesim("train", "--config", config, "--out", run), "--resume", "--overwrite")
    assert_one_line(spikesim("train", "--config", config, "--out", run, "--resume", "--seed", 7), "seed")
    changed = spikesim("train", "--config", config, "--out", run, "--resume", "--beta", 1.5)
    assert_one_line(changed, "dynamics.beta", "1.5")
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["data"] = [1, 2, 3]
    (tmp_path / "text.h5").write_text("no HDF5")
    (tmp_path / "folder.h5").mkdir()
    (tmp_path / "folder.h5" / "file").write_text("kept")
    foreign = files(tmp_path)
    for name in ("other.h5", "text.h5", "folder.h5"):
        for choice in ((), ("--resume",), ("--overwrite",)):
            assert_one_line(spikesim("train", "--config", config, "--out", tmp_path / name, *choice), name)
    assert files(tmp_path) == foreign
    assert files(run.parent) == before


def test_a_finished_run_is_left_alone(reference, config):
    run, _, _ = reference
    before = files(run.parent)
    result = succeed("train", "--config", config, "--out", run, "--resume")
    assert "finished" in result.stderr
    assert files(run.parent) == before


def test_what_fails_at_the_start_does_not_replace_a_run(reference, config, tmp_path):
    run = tmp_path / "run.h5"
    run.write_bytes(reference[0].read_bytes())
    before = files(tmp_path)
    for setting in (
        "model.activity=[0.1]",
        "optimizer.learning_rate=[0.1]",
        "model.gain=[0.1]",
    ):
        result = spikesim("train", "--config", config, "--out", run, "--overwrite", "--set", setting)
        assert result.returncode == 2, setting
        assert_one_line(result)
        assert files(tmp_path) == before


def test_without_its_checkpoints_a_run_is_not_started_again(reference, config, tmp_path):
    finished = tmp_path / "finished.h5"
    finished.write_bytes(reference[0].read_bytes())
    unfinished = tmp_path / "unfinished.h5"
    unfinished.write_bytes(reference[0].read_bytes())
    with h5py.File(unfinished, "r+") as file:
        file["status"][...] = 0
    before = files(tmp_path)
    assert "finished" in succeed("train", "--config", config, "--out", finished, "--resume").stderr
    assert_one_line(spikesim("train", "--config", config, "--out", unfinished, "--resume"), "checkpoint")
    assert files(tmp_path) == before


def test_folders_that_cannot_take_a_file(config, tmp_path):
    missing = tmp_path / "missing" / "run.h5"
    assert_one_line(spikesim("train", "--config", config, "--out", missing), "missing")
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    result = spikesim("train", "--config", config, "--out", closed / "run.h5", preexec_fn=_obey_permissions)
    assert_one_line(result, "closed", "Permission denied")
    assert files(tmp_path) == {}


def _obey_permissions() -> None:
    # The superuser may write everywhere, but not in a program that cannot have the right to: drop it before exec.
    drop_from_bounding_set, right_to_override_permissions = 24, 1
    ctypes.CDLL(None).prctl(drop_from_bounding_set, right_to_override_permissions, 0, 0, 0)


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="needs prlimit")
def test_a_disk_that_becomes_full(reference, config, tmp_path):
    run = tmp_path / "run.h5"
    command = ("train", "--config", config, "--out", run, "--threads", 1, "--checkpoint-every", 1)
    process = start(*command)
    wait_until(lambda: newest_checkpoint(run) >= 2, process)
    size = run.stat().st_size
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size, size))
    _, errors = process.communicate()
    assert_one_line(subprocess.CompletedProcess([], process.returncode, "", errors), "cannot write", "--resume")
    assert newest_checkpoint(run) >= 2
    succeed(*command, "--resume")
    assert digest(run) == reference[2]


def test_a_full_disk_at_the_start(config, tmp_path):
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    result = spikesim("train", "--config", config, "--out", tmp_path / "run.h5", preexec_fn=limit)
    assert_one_line(result, "cannot write", "run.h5")
    assert files(tmp_path) == {}


def test_a_run_in_progress(config, tmp_path):
    """Others can follow it, and cannot write it."""
    run = tmp_path / "run.h5"
    long = ("train", "--config", config, "--out", run, "--checkpoint-every", 1, "--threads", 1, "--epochs", 500)
    process = start(*long)
    try:
        wait_until(lambda: newest_checkpoint(run) >= AFTER_FIRST_EPOCH, process)
        assert f"running (process {process.pid} on " in succeed("report", run).stdout
        assert '"accuracy"' in succeed("evaluate", run, "--test-limit", 8, "--format", "json").stdout
        for choice in ("--resume", "--overwrite"):
            assert_one_line(spikesim(*long, choice), f"process {process.pid}")
        assert process.poll() is None
        stop(process, signal.SIGTERM)
    finally:
        process.kill()
        process.communicate()
    assert "stopped" in succeed("info", run).stdout


def test_weights_that_explode_end_the_run(config, tmp_path):
    run = tmp_path / "run.h5"
    result = spikesim(
        "train", "--config", config, "--out", run, "--checkpoint-every", 1, "--set", "optimizer.name=sgd",
        "--set", "optimizer.learning_rate=1000", "--set", "optimizer.readout_learning_rate=1000", "--epochs", 3,
    )  # fmt: skip
    assert_one_line(result, "lower the learning rate")
    assert newest_checkpoint(run) >= 0
    assert "--resume" in succeed("info", run).stdout


def test_biases_that_overflow_end_the_run(config, tmp_path):
    result = spikesim(
        "train", "--config", config, "--out", tmp_path / "run.h5", "--set", "optimizer.name=sgd",
        "--set", "optimizer.weight_decay=10", "--set", "optimizer.learning_rate=1000", "--epochs", 3,
    )  # fmt: skip
    assert_one_line(result)


# What is shown


def test_lines_of_progress(reference):
    _, result, _ = reference
    lines = result.stderr.splitlines()
    assert result.stdout == f"run file: {reference[0]}\n"
    assert "48 training samples, 12 mini-batches per epoch, 1 thread, seed 0" in lines[0]
    assert lines[1] == (
        "data: 5000 training and 1000 test images of 28x28 pixels and 1 channel, values 0 .. 255; "
        "10 classes of 500 training and 100 test samples each"
    )
    assert "warning" not in result.stderr
    epochs = [line for line in lines if line.startswith("epoch ") and "test loss" in line]
    assert [line.split(":")[0] for line in epochs] == ["epoch 1/2", "epoch 2/2"]
    assert any(line.startswith("epoch 1/2, mini-batch ") and "samples/s" in line for line in lines)
    assert "\x1b" not in result.stderr and "\r" not in result.stderr


def test_the_command_starts_without_heavy_imports():
    imports = "import sys, spikesim.cli, spikesim.cli.commands.train"
    code = imports + "; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert not {"numba", "h5py", "scipy", "rich", "matplotlib"} & set(result.stdout.split())


def test_help_names_every_default():
    text = succeed("train", "--help").stdout
    entries = [" ".join(entry.split()) for entry in re.split(r"\n  (?:-\w, )?--", text)[1:]]
    assert len(entries) > 35
    without = (
        "patience", "limit", "test-limit", "tolerance", "residual-tolerance", "target-rate", "teacher", "config", "set",
        "out", "dry-run", "resume", "overwrite", "init-from", "freeze", "verbose", "quiet", "log",
        "tensorboard", "help",
    )  # fmt: skip
    for entry in entries:
        name, _, rest = entry.partition(" ")
        assert len(rest) > 10
        assert ("[default: " in entry) != (name in without), entry
