"""benchmarks/science/metrics.py as a user types it: NeuroBench counts what the engine counts."""

import pytest
from commands import CONFIG, script, succeed

pytest.importorskip("neurobench", reason="the benchmark compares with NeuroBench, which the package does not need")


def metrics(*arguments):
    return script("benchmarks/science/metrics.py", *arguments)


@pytest.mark.parametrize(
    "settings",
    [
        (),
        ("dynamics.pooling=sampled", "dynamics.order=parity", "dynamics.leak=2", "dynamics.nudged_phase=live-spikes"),
        ("dynamics.order=synchronous", "dynamics.firing=iid", "dynamics.feedback_gain=0.25", "error_signals.kind=none"),
        ("dynamics.nudged_phase=clamped-spikes",),
    ],
)
def test_all_figures_are_equal(tmp_path, settings):
    text = CONFIG.replace("test_limit = 400", "test_limit = 8").replace("limit = 48", "limit = 8")
    text = text.replace("pool = true },\n]", 'pool = true },\n  { kind = "dense", channels = 7 },\n]')
    (tmp_path / "config.toml").write_text(text)
    changes = [word for setting in settings for word in ("--set", setting)]
    run = tmp_path / "run.h5"
    succeed("train", "--config", tmp_path / "config.toml", "--threads", 1, "--out", run, "--epochs", 1, *changes)
    result = metrics(run, "--samples", 2)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("  equal\n") >= 3 + 8 + 2 * 6 + 6 and "DIFFERENT" not in result.stdout


def test_strides_are_refused(tmp_path):
    (tmp_path / "config.toml").write_text(CONFIG.replace("limit = 48", "limit = 8"))
    arguments = ("--config", tmp_path / "config.toml", "--threads", 1, "--epochs", 1, "--test-limit", 8)
    succeed("train", *arguments, "--set", "dynamics.pooling=strided", "--out", tmp_path / "run.h5")
    result = metrics(tmp_path / "run.h5")
    assert result.returncode == 1 and result.stderr.startswith("Error: the transpose of a convolution with a stride")
