"""Training on texts and on series as a user types it, and what becomes of the run file."""

import csv
import json
import signal
from pathlib import Path

import h5py
import numpy as np
import pytest
from commands import assert_one_line, digest, newest_checkpoint, spikesim, start, succeed, wait_until

import spikesim as package
from spikesim.datasets import SeriesSet, load

SHORT = ("--set", "dynamics.steps_free=8", "--set", "dynamics.window_free=4", "--set", "model.calibration_samples=8")
GIVEN = ("--dataset", "own.tsv", "--arch", "textcnn", "--width", 0.25, "--epochs", 6, *SHORT)
GIVEN = (
    *GIVEN,
    "--batch-size",
    8,
    "--set",
    "data.token_dropout=0.1",
    "--dropout",
    0.1,
    "--set",
    "record.spikes=[0, 1]",
)
WORDS = ("film", "actor", "plot", "scene", "end", "score")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table of texts and a run that was trained on it."""
    folder = tmp_path_factory.mktemp("texts")
    rng = np.random.default_rng(0)
    lines = ["label\ttext"]
    for number in range(120):
        others = " ".join(rng.choice(WORDS, rng.integers(1, 7)))
        lines.append(f"{('no', 'yes')[number % 2]}\t{('dull', 'bright')[number % 2]} {others} {number}")
    (folder / "own.tsv").write_text("\n".join(lines) + "\n")
    succeed("train", *GIVEN, "--threads", 1, "--out", "run.h5", cwd=folder)
    return folder


def test_a_network_learns_which_word_decides(run: Path) -> None:
    tests = json.loads(succeed("evaluate", "run.h5", "--format", "json", cwd=run).stdout)["tests"]
    with h5py.File(run / "run.h5") as file:
        epochs = file["epochs"]
        assert tests[0]["correct"] == epochs["test_correct"][-1], "the answers of the run's own test"
        assert tests[0]["accuracy"] == 1.0 > epochs["test_correct"][0] / epochs["test_samples"][0]
        updates, steps = epochs["test_neuron_updates"][-1].sum(), epochs["test_steps"][-1]
    assert updates / steps < 0.9 * sum(4096 for _ in range(2)), "positions behind the end of a text count nowhere"
    shown = succeed("report", "run.h5", cwd=run).stdout
    assert "tokens1" in shown and "conv2" in shown


def test_threads_and_a_resume_change_no_bit(run: Path) -> None:
    """Nor does the number of processes: each has its part of the samples and all rows of the mini-batch."""
    given = ("train", *GIVEN, "--dataset", run / "own.tsv", "--limit", 90, "--checkpoint-every", 1)
    succeed(*given, "--threads", 2, "--out", "whole.h5", cwd=run)
    process = start(*given, "--threads", 1, "--out", run / "part.h5")
    wait_until(lambda: newest_checkpoint(run / "part.h5") >= 2, process)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    if process.returncode:  # else it was through
        assert process.returncode == 75
        succeed("resume", "part.h5", "--threads", 1, cwd=run)
    assert digest(run / "part.h5") == digest(run / "whole.h5")


def test_texts_are_answered_from_the_command_line_and_from_files(run: Path) -> None:
    told = succeed("predict", "run.h5", "--text", "a bright film", "--text", "dull, dull", cwd=run)
    first, second = told.stdout.splitlines()
    assert first.split()[0] == "yes" and second.split()[0] == "no" and second.endswith("dull, dull")
    (run / "some.txt").write_text("bright plot\na dull end\n")
    succeed("predict", "run.h5", "some.txt", "--out", "some.csv", cwd=run)
    with open(run / "some.csv") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["text"], row["class"]) for row in rows] == [("bright plot", "yes"), ("a dull end", "no")]
    network = package.load(run / "run.h5")
    found = network.predict(["bright plot", "a dull end"])
    assert [f"{value}" for value in found.probabilities.max(axis=1)] == [row["probability"] for row in rows]
    alone = network.predict(["a dull end"], ids=[1])
    np.testing.assert_array_equal(alone.logits[0], found.logits[1], err_msg="a text does not know of others")
    assert network.kind == "text" and not network.recordings
    for given, said in (
        (["run.h5", "--text", "a", "--explain", "--out", "some.csv"], "its name must end in .html"),
        (["run.h5"], "give either FILE or --text"),
        (["run.h5", "some.txt", "--text", "a"], "give either FILE or --text"),
        (["run.h5", "some.txt"], "--out is missing"),
        (["run.h5", "--text", " "], "is empty"),
    ):
        assert_one_line(spikesim("predict", *given, cwd=run), said)


def test_a_report_shows_the_texts_whose_spikes_were_recorded(run: Path) -> None:
    own = load("own.tsv", run).test
    known = set(" ".join(load("own.tsv", run).train.texts).split())
    texts = [
        " ".join(word if word in known else "(unknown)" for word in own.texts[sample].split()) for sample in (0, 1)
    ]
    assert all(text.startswith(("dull", "bright")) and "(unknown)" in text for text in texts)
    succeed("report", "run.h5", "--html", "run.html", "--plot", "pictures", cwd=run)
    page = (run / "run.html").read_text()
    assert all(f"text: {text}" in page for text in texts)


def test_texts_without_a_known_token_are_named(run: Path) -> None:
    told = succeed("predict", "run.h5", "--text", "dull", "--text", "xyzzy", "--text", "a xyzzy", cwd=run)
    assert len(told.stdout.splitlines()) == 3
    assert told.stderr.splitlines()[-1] == (
        "warning: none of the tokens of 2 texts is in the vocabulary of the run, the first is text 2 of 3; their "
        "predictions are those of unknown tokens"
    )
    assert "warning" not in succeed("predict", "run.h5", "--text", "dull xyzzy", cwd=run).stderr


def test_tokens_share_the_evidence_for_the_answer(run: Path) -> None:
    """Of either word that decides: it has the longest bar, and all parts add up to what the read-out says."""
    texts = ["a bright film of the actor", "the plot is dull", "dull scene " * 3]
    network = package.load(run / "run.h5")
    found, explained = network.predict(texts), network.explain(texts)
    bias = network.weights["readout/bias"].astype(np.float64)
    highest = found.probabilities.max(axis=1)
    for text, own, logits, label, sure in zip(texts, explained, found.logits, found.labels, highest, strict=True):
        said = logits - bias
        assert own.label == label and own.evidence == pytest.approx(said[label] - said.mean(), abs=1e-6)
        assert own.probability == sure
        assert own.tokens == tuple(text.split()) and own.known[own.tokens.index("dull" if "dull" in text else "bright")]
        assert own.tokens[own.contributions.argmax()] in ("dull", "bright")
    assert explained[0].known.tolist() == [False, True, True, False, False, True]
    alone = network.explain(texts[1], ids=[1])[0]
    np.testing.assert_array_equal(alone.contributions, explained[1].contributions)
    given = ("predict", "run.h5", "--explain", "--text", texts[0], "--text", texts[1])
    first, second = succeed(*given, cwd=run).stdout.split("no  ", 1)
    lines = dict(line.split()[:2] for line in first.splitlines()[1:7])
    assert max(lines, key=lambda word: float(lines[word])) == "bright" and "(a)" in lines
    assert f"{explained[1].evidence:+.3f}  for no" in second
    succeed(*given, "--out", "words.html", cwd=run)
    page = (run / "words.html").read_text()
    assert f"bright: {explained[0].contributions[1]:+.4f}" in page and "Evidence for no" in page
    assert_one_line(spikesim("predict", "run.h5", "--explain", "--text", "a", "--out", "words.html", cwd=run), "exists")


def test_the_rows_are_exported_and_nir_has_no_node_for_them(run: Path) -> None:
    succeed("export", "run.h5", "--to", "safetensors", "--out", "run.safetensors", cwd=run)
    from safetensors.numpy import load_file

    rows = load_file(run / "run.safetensors")["tokens1.weight"]
    np.testing.assert_array_equal(rows, package.load(run / "run.h5").weights["tokens1/weight"])
    refused = spikesim("export", "run.h5", "--to", "nir", "--out", "run.nir", cwd=run)
    assert_one_line(refused, "for which NIR has no node")


def test_series_come_with_the_program(tmp_path: Path) -> None:
    given = ("--dataset", "japanese-vowels", "--arch", "conv1d", "--width", 0.25, "--epochs", 1, "--threads", 1, *SHORT)
    succeed(
        "train",
        *given,
        "--limit",
        64,
        "--test-limit",
        40,
        "--set",
        "record.spikes=[3]",
        "--out",
        "run.h5",
        cwd=tmp_path,
    )
    tested = json.loads(succeed("evaluate", "run.h5", "--format", "json", cwd=tmp_path).stdout)["tests"][0]
    network = package.load(tmp_path / "run.h5")
    assert network.kind == "series" and network.sample_shape == (1, 29, 12)
    test = load("japanese-vowels").test
    assert isinstance(test, SeriesSet)
    series = [test.values[a:b] for a, b in zip(test.offsets[:40], test.offsets[1:41], strict=True)]
    found = network.predict(series)
    assert (found.labels == test.labels[:40]).mean() == pytest.approx(tested["accuracy"])
    np.savez(tmp_path / "series.npz", series=np.pad(series[0], ((0, 9), (0, 0)))[None], lengths=[len(series[0])])
    succeed("predict", "run.h5", "series.npz", "--out", "p.csv", cwd=tmp_path)
    with open(tmp_path / "p.csv") as stream:
        assert int(next(csv.DictReader(stream))["label"]) == found.labels[0]
    refused = spikesim("train", *given[:2], "--arch", "vgg11", "--out", "none.h5", cwd=tmp_path)
    assert_one_line(refused, "vgg11 is for images", "choose --arch conv1d")
    for change, said in (
        (("--arch", "textcnn"), "input of texts alone"),
        (("--arch", "conv1d", "--set", "data.encoding=latency"), "holds series"),
    ):
        assert_one_line(spikesim("train", *given[:2], *change, "--out", "none.h5", cwd=tmp_path), said)


def test_series_in_memory_are_those_of_a_file(tmp_path: Path) -> None:
    """And a network that sees them frame by frame takes them as it was trained."""
    rng = np.random.default_rng(0)
    arrays = {
        "train_series": rng.normal(size=(24, 6, 2)).astype(np.float32),
        "train_labels": np.arange(24) % 2,
        "train_lengths": rng.integers(2, 7, 24),
        "test_series": rng.normal(size=(6, 6, 2)).astype(np.float32),
        "test_labels": np.arange(6) % 2,
    }
    settings = {"model.arch": "mlp", "model.width": 0.02, "data.encoding": "bernoulli", "optimizer.epochs": 1}
    settings |= {"dynamics.steps_free": 12, "dynamics.window_free": 12, "model.calibration_samples": 8}
    network = package.fit(arrays, tmp_path / "run.h5", settings, progress=False, threads=1)
    np.savez(tmp_path / "own.npz", **arrays)
    other = package.fit(tmp_path / "own.npz", tmp_path / "file.h5", settings, progress=False, threads=1)
    np.testing.assert_array_equal(network.weights["dense1/weight"], other.weights["dense1/weight"])
    found = network.predict(arrays["test_series"][:, :3])
    assert found.logits.shape == (6, 2) and (found.multiply_accumulates == 0).all()
