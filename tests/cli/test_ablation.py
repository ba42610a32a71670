"""``spikesim ablation`` as a user types it, on the smallest networks of each depth."""

import json

import pytest
from commands import spikesim, succeed

SMALL = ("--width", 0.03, "--batch", 4, "--limit", 8, "--steps-free", 12, "--set", "dynamics.window_free=4",
         "--steps-nudged", 4, "--set", "model.calibration_samples=4")  # fmt: skip


@pytest.mark.parametrize("phase", ["linear-response", "live-spikes"])
def test_a_row_for_each_depth_and_kind(phase: str) -> None:
    result = succeed(
        "ablation", "--archs", "conv,vgg5", "--kinds", "none,local", "--format", "json", *SMALL,
        "--set", f"dynamics.nudged_phase={phase}", "--set", "error_signals.strength=3",
    )  # fmt: skip
    value = json.loads(result.stdout)
    rows = {(row["arch"], row["error_signals"]): row for row in value["rows"]}
    assert set(rows) == {(arch, kind) for arch in ("conv", "vgg5") for kind in ("none", "local")}
    for (arch, _), row in rows.items():
        layers = 2 if arch == "conv" else 4
        for name in ("layers", "cosine", "norm_ratio", "exact_norm", "share"):
            assert len(row[name]) == layers
        gain = value["config"]["dynamics"]["feedback_gain"] if phase == "live-spikes" else 1.0
        top = row["exact_norm"][-1]
        expected = [norm / top * gain ** (layers - 1 - layer) for layer, norm in enumerate(row["exact_norm"])]
        assert row["share"] == pytest.approx(expected)
        assert all(-1 <= cosine <= 1 for cosine in row["cosine"] if cosine is not None)
    lowest = {kind: rows["vgg5", kind]["exact_norm"][0] for kind in ("none", "local")}
    assert lowest["local"] > lowest["none"], "a head of its own brings the lowest layer more signal"


def test_the_tables() -> None:
    result = succeed("ablation", "--archs", "conv", "--kinds", "none", *SMALL)
    assert "Cosine of the stochastic estimate" in result.stdout and "Norm of the exact gradient" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--archs", "vgg6"), "--archs is 'vgg6'; it must be a list of vgg5, vgg8, vgg9, vgg11, vgg16"),
        (
            ("--kinds", "none,none"),
            "--kinds is 'none,none'; it must be a list of none, local, kd, both, each",
        ),
        (("--kinds", "kd"), "needs a teacher"),
    ],
)
def test_bad_input_is_one_line(arguments: tuple[str, ...], words: str) -> None:
    result = spikesim("ablation", *arguments, *SMALL)
    assert (result.returncode, result.stdout) == (2, "")
    assert words in result.stderr and result.stderr.count("\n") == 1
