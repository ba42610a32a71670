"""benchmarks/science/backprop.py as a user types it."""

import json

import pytest
from commands import CONFIG, script

pytest.importorskip("torch", reason="the benchmark trains with PyTorch, which the package does not need")


def backprop(*arguments):
    return script("benchmarks/science/backprop.py", *arguments)


def test_epochs_are_printed_and_written(tmp_path):
    (tmp_path / "config.toml").write_text(CONFIG)
    out = tmp_path / "result.json"
    result = backprop("--config", tmp_path / "config.toml", "--limit", 400, "--epochs", 3, "--out", out)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("test loss") == 3
    written = json.loads(out.read_text())
    assert written["config"]["data"]["limit"] == 400
    assert [row["epoch"] for row in written["epochs"]] == [1, 2, 3]
    last = written["epochs"][-1]
    assert last["train_loss"] < written["epochs"][0]["train_loss"]
    assert last["test_accuracy"] > 0.3  # of ten classes


@pytest.mark.parametrize("normalization", ["weights", "batch"])
def test_normalized_layers_learn(tmp_path, normalization):
    (tmp_path / "config.toml").write_text(CONFIG)
    out = tmp_path / "result.json"
    more = ("--normalization", normalization, "--activation", "relu" if normalization == "batch" else "clip")
    pooled = ("--set", "dynamics.pooling=winner", "--set", "data.validation=0.1")
    result = backprop("--config", tmp_path / "config.toml", "--limit", 400, "--epochs", 3, "--out", out, *more, *pooled)
    assert result.returncode == 0, result.stderr
    written = json.loads(out.read_text())
    assert (written["normalization"], written["activation"]) == more[1::2]
    assert written["epochs"][-1]["train_loss"] < written["epochs"][0]["train_loss"]
    assert written["epochs"][-1]["test_accuracy"] > 0.3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--arch", "nope"), "unknown architecture 'nope'"),
        (("--lr", "0"), "--lr is 0.0"),
        (("--epochs", "0"), "epochs"),
    ],
)
def test_faults_are_one_line(arguments, message):
    result = backprop(*arguments)
    assert result.returncode == 1
    assert result.stderr.startswith("Error: ") and result.stderr.count("\n") == 1
    assert message in result.stderr


def test_sentences_with_attention_and_dropped_channels(tmp_path):
    words = ("good", "fine", "bad", "dull")
    lines = [f"{'pro' if at % 4 < 2 else 'contra'}\ta {words[at % 4]} film {at % 7}" for at in range(80)]
    (tmp_path / "films.tsv").write_text("\n".join(lines) + "\n")
    out = tmp_path / "result.json"
    given = ("--arch", "textcnn", "--width", 0.25, "--dataset", tmp_path / "films.tsv", "--batch-size", 8)
    dropped = ("--set", "model.dropout=0.2", "--set", "model.dropout_units=channels", "--set", "data.min_count=1")
    result = backprop(*given, *dropped, "--attention", "--epochs", 4, "--lr", 0.02, "--out", out)
    assert result.returncode == 0, result.stderr
    written = json.loads(out.read_text())
    assert written["attention"] and written["epochs"][-1]["test_accuracy"] > 0.9
