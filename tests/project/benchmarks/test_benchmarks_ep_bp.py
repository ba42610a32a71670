"""benchmarks/speed/ep_bp.py as a user types it, and its backpropagation through time against loops over steps."""

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from commands import CONFIG, ROOT, script

torch = pytest.importorskip("torch", reason="the benchmark compares with PyTorch, which the package does not need")

SCRIPT = ROOT / "benchmarks" / "speed" / "ep_bp.py"
SIDES = (
    "spikesim train",
    "backpropagation, float32",
    "backpropagation, bfloat16",
    "backpropagation through time, float32",
)


def ep_bp(*arguments: object) -> "subprocess.CompletedProcess[str]":
    return script("benchmarks/speed/ep_bp.py", *arguments)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(CONFIG)
    return path


def test_the_sides_train_and_ratios_are_those_of_their_speeds(config: Path) -> None:
    result = ep_bp("--config", config, "--repeats", 3)
    assert result.returncode == 0, result.stderr
    found = re.findall(r"^ {4}(\S.*?) +([\d.]+) \(([\d.]+) to ([\d.]+)\)$", result.stdout, re.MULTILINE)
    assert tuple(name for name, *_ in found) == SIDES
    assert all(0 < float(least) <= float(median) <= float(most) for _, median, least, most in found)
    speeds = {name: float(median) for name, median, *_ in found}
    times = re.findall(r"^time of spikesim: ([\d.]+) .* times that of (.*)$", result.stdout, re.MULTILINE)
    assert tuple(name for _, name in times) == SIDES[1:3]
    for value, name in times:
        assert float(value) == pytest.approx(speeds[name] / speeds[SIDES[0]], rel=0.02)
    (faster,) = re.findall(r"^spikesim: ([\d.]+) .* times as fast as", result.stdout, re.MULTILINE)
    assert float(faster) == pytest.approx(speeds[SIDES[0]] / speeds[SIDES[3]], rel=0.02)
    losses = re.findall(r"^loss of .*: ([\d.]+) to ([\d.]+)$", result.stdout, re.MULTILINE)
    assert len(losses) == 3
    assert all(float(last) < float(first) for first, last in losses)


def test_backpropagation_through_time_keeps_to_its_memory(config: Path) -> None:
    def size_and_memory(*options: object) -> tuple[int, float]:
        result = ep_bp("--config", config, "--repeats", 1, *options)
        assert result.returncode == 0, result.stderr
        (found,) = re.findall(
            r"^through time: 8 steps, mini-batches of (\d+), ([\d.]+) GB", result.stdout, re.MULTILINE
        )
        return int(found[0]), float(found[1])

    large = ("--set", "data.batch_size=64")
    size, memory = size_and_memory(*large)
    assert size == 64 and memory > 0.02
    less, within = size_and_memory(*large, "--memory", 0.01)
    assert within <= 0.01 and less == pytest.approx(64 * 0.01 / memory, abs=8)


def test_layer_by_layer_is_step_by_step(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])  # the script adds to it
    names = runpy.run_path(str(SCRIPT))
    settings = names["resolve"](config, ("dynamics.leak=1",), {})
    rows = names["architecture"](settings.model.arch, settings.model.layers).layers
    chain = names["chain_of"](names["build"](names["architecture"]("custom", settings.model.layers), (28, 28, 1)))
    torch.manual_seed(0)
    network = names["Recurrent"](rows, chain, 10, False, settings)
    images = torch.rand(3, 1, 28, 28)
    network.initialize(images)
    rates, before = torch.zeros(2, 3, 6, 7, 7)
    membranes = [torch.zeros(3, 4, 28, 28), torch.zeros(3, 6, 14, 14)]
    for step in range(8):
        x = images
        for number, layer in enumerate(network.layers):
            membranes[number] = membranes[number] + (layer(x) - membranes[number]) / 2
            x = torch.nn.functional.avg_pool2d((membranes[number] > names["THRESHOLD"]).float(), 2)
        if step >= 4:
            rates = rates + x / 4
        else:
            before = before + x / 4
    expected = network.readout(rates.flatten(1))
    assert 0 < before.mean() < rates.mean() < 1  # the window counts
    torch.testing.assert_close(network(images), expected)


def test_the_surrogate_gradient_is_that_of_the_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    names = runpy.run_path(str(SCRIPT))
    membrane = torch.linspace(-0.95, 1.95, 30, requires_grad=True)
    spikes = names["Spike"].apply(membrane)
    assert spikes.tolist() == [float(value > names["THRESHOLD"]) for value in membrane]
    (found,) = torch.autograd.grad(spikes.sum(), membrane)
    (expected,) = torch.autograd.grad(membrane.clamp(0, 1).sum(), membrane)
    assert found.equal(expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--repeats", 0), "--repeats 0"),
        (("--memory", "nan"), "--memory nan"),
        (("--set", "model.arch=nope"), "unknown architecture 'nope'"),
    ],
)
def test_faults_are_one_line(arguments: tuple[object, ...], message: str) -> None:
    result = ep_bp(*arguments)
    assert result.returncode == 1
    assert result.stderr.startswith("Error: ") and result.stderr.count("\n") == 1
    assert message in result.stderr
