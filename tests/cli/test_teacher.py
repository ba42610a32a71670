import json
import signal

import numpy as np
import pytest
from commands import CONFIG, assert_one_line, digest, newest_checkpoint, spikesim, start, succeed, wait_until

from spikesim.datasets import load
from spikesim.ep.inputs.teacher import read_teacher, write_teacher
from spikesim.ep.runs.reader import RunReader

SMALL = CONFIG.replace("test_limit = 400", "test_limit = 40")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A configuration, a run, and the teacher that is made of it."""
    folder = tmp_path_factory.mktemp("teacher")
    (folder / "tiny.toml").write_text(SMALL)
    succeed("train", "--config", folder / "tiny.toml", "--out", folder / "run.h5", "--threads", 2)
    before = (folder / "run.h5").read_bytes()
    result = succeed("teacher", folder / "run.h5", "--out", folder / "teacher.h5", "--threads", 2)
    assert (folder / "run.h5").read_bytes() == before
    (folder / "printed.txt").write_text(result.stdout)
    return folder


def student(folder, *arguments):
    return ("train", "--config", folder / "tiny.toml", "--teacher", folder / "teacher.h5", *arguments)


@pytest.fixture(scope="module")
def reference(folder):
    """A student that nothing disturbed."""
    succeed(*student(folder, "--signals", "kd", "--out", folder / "kd.h5", "--threads", 1))
    return digest(folder / "kd.h5")


# Making a teacher


def test_the_teacher_has_all_training_samples(folder):
    dataset = load("fashion-mnist-mini")
    teacher = read_teacher(folder / "teacher.h5", dataset)  # of all samples, although the run was limited to 48
    right = (teacher.logits.argmax(axis=1) == dataset.train.labels).mean()
    lines = (folder / "printed.txt").read_text().splitlines()
    assert lines == [
        f"5000 training samples of fashion-mnist-mini, {right:.2%} right",
        f"teacher file: {folder / 'teacher.h5'}",
        f"digest: {teacher.digest}",
    ]


def test_threads_do_not_change_a_teacher(folder, tmp_path):
    succeed("teacher", folder / "run.h5", "--out", tmp_path / "one.h5", "--threads", 1)
    assert (tmp_path / "one.h5").read_bytes() == (folder / "teacher.h5").read_bytes()


def test_an_unasked_overwrite_is_refused(folder):
    before = (folder / "teacher.h5").read_bytes()
    refused = spikesim("teacher", folder / "run.h5", "--out", folder / "teacher.h5")
    assert_one_line(refused, "exists", "--overwrite")
    assert (folder / "teacher.h5").read_bytes() == before
    run = (folder / "run.h5").read_bytes()
    assert_one_line(spikesim("teacher", folder / "run.h5", "--out", folder / "run.h5", "--overwrite"), "only teacher")
    assert (folder / "run.h5").read_bytes() == run


def test_a_teacher_of_what_is_no_run(folder, tmp_path):
    out = tmp_path / "t.h5"
    assert_one_line(spikesim("teacher", tmp_path / "missing.h5", "--out", out), "missing.h5")
    assert_one_line(spikesim("teacher", folder / "teacher.h5", "--out", out), "teacher.h5")
    assert_one_line(spikesim("teacher", folder / "run.h5", "--out", out, "--dataset", "imagenet"), "imagenet")
    assert_one_line(spikesim("teacher", folder / "run.h5", "--out", tmp_path / "no" / "t.h5"), "not a folder")
    assert_one_line(spikesim("teacher", folder / "run.h5"), "--out")
    assert not out.exists()


# Learning from it


def test_kd_with_other_threads(folder, reference, tmp_path):
    run = tmp_path / "run.h5"
    succeed(*student(folder, "--signals", "kd", "--out", run, "--threads", 2, "--checkpoint-every", 3))
    assert digest(run) == reference
    with RunReader(run) as reader:
        assert reader.config["error_signals"]["teacher"] == read_teacher(folder / "teacher.h5").digest
        assert "teacher.h5" not in json.dumps(reader.config)


def test_stopped_and_resumed_with_the_teacher_elsewhere(folder, reference, tmp_path):
    run, moved = tmp_path / "run.h5", tmp_path / "moved.h5"
    command = ("--signals", "kd", "--out", run, "--checkpoint-every", 1, "--threads", 1)
    process = start(*student(folder, *command))
    wait_until(lambda: newest_checkpoint(run) >= 4, process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 75, process.communicate()[1]
    process.communicate()
    moved.write_bytes((folder / "teacher.h5").read_bytes())

    resume = ("train", "--config", folder / "tiny.toml", *command, "--resume")
    logits = read_teacher(moved).logits.copy()
    logits[4999, 9] += 1e-9
    write_teacher(tmp_path / "changed.h5", logits, "fashion-mnist-mini")
    before = run.read_bytes()
    assert_one_line(spikesim(*resume, "--teacher", tmp_path / "changed.h5"), "error_signals.teacher")
    assert_one_line(spikesim(*resume), "--teacher FILE")
    assert run.read_bytes() == before

    succeed(*resume, "--teacher", moved)
    assert digest(run) == reference


def test_both(folder, reference, tmp_path):
    found = set()
    for name, threads in (("a", 1), ("b", 2)):
        run = tmp_path / f"{name}.h5"
        succeed(*student(folder, "--signals", "both", "--out", run, "--threads", threads))
        found.add(digest(run))
    assert len(found) == 1 and found != {reference}


def test_the_configuration_of_a_run_names_its_teacher(folder, reference, tmp_path):
    own = read_teacher(folder / "teacher.h5").digest
    command = student(folder, "--signals", "kd", "--out", tmp_path / "run.h5")
    refused = spikesim(*command, "--set", f"error_signals.teacher={'0' * 64}")
    assert_one_line(refused, "0" * 64, own, "teacher.h5")
    assert not (tmp_path / "run.h5").exists()
    succeed(*command, "--set", f"error_signals.teacher={own}")
    assert digest(tmp_path / "run.h5") == reference


def test_what_is_refused(folder, tmp_path):
    run = tmp_path / "run.h5"
    base = ("train", "--config", folder / "tiny.toml", "--out", run)
    teacher = ("--teacher", folder / "teacher.h5")
    assert_one_line(spikesim(*base, *teacher, "--signals", "none"), "--teacher is not used", "'none'")
    assert_one_line(spikesim(*base, *teacher, "--signals", "local"), "--teacher is not used", "'local'")
    assert_one_line(spikesim(*base, "--signals", "both"), "--teacher FILE")
    write_teacher(tmp_path / "short.h5", np.zeros((48, 10)), "fashion-mnist-mini")
    write_teacher(tmp_path / "other.h5", np.zeros((5000, 10)), "mnist")
    (tmp_path / "text.h5").write_text("no HDF5")
    for name, fragment in (
        ("short.h5", "(5000, 10)"),
        ("other.h5", "'mnist'"),
        ("text.h5", "not an HDF5 file"),
        ("none.h5", "does not exist"),
    ):
        assert_one_line(spikesim(*base, "--signals", "kd", "--teacher", tmp_path / name), name, fragment)
    assert_one_line(spikesim(*base, "--signals", "kd", "--teacher", folder / "run.h5"), "run.h5", "spikesim-teacher")
    assert not run.exists()
