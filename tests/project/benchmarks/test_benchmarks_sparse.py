"""benchmarks/speed/sparse.py as a user types it: without other sides, and beside NEST where it is installed."""

import importlib
import importlib.util
import math
import re
import sys

import pytest
from commands import ROOT, script

SHORT = ("--neurons", "500", "--synapses", "50", "--steps", "60", "--repeats", "2")


def benchmark(*arguments):
    return script("benchmarks/speed/sparse.py", *arguments)


@pytest.mark.parametrize(
    ("options", "rows"), [((), 2), (("--quiet",), 4), (("--large",), 1)], ids=["compare", "quiet", "large"]
)
def test_a_network_fires_as_wanted(options, rows):
    result = benchmark(*options, *SHORT)
    assert result.returncode == 0, result.stderr
    activity = re.findall(r"^spikesim.* (\d\.\d{3}) % ", result.stdout, re.MULTILINE)
    assert len(activity) == rows
    assert all(0.6 < float(share) < 1.5 for share in activity)


def activities(result, side):
    """Of each row of a side, per cent a step."""
    assert result.returncode == 0, result.stderr
    return [float(share) for share in re.findall(rf"^{side}.* (\d\.\d{{3}}) % ", result.stdout, re.MULTILINE)]


LIF = ("--lif", "--neurons", "1000", "--synapses", "100", "--steps", "500", "--delay", "10-20", "--rate", "0.5")


def test_the_balanced_network_fires_as_wanted():
    result = benchmark(*LIF, "--repeats", "1")
    found = activities(result, "spikesim")
    assert len(found) == 1 and 0.4 < found[0] < 0.6
    # 0.5 % of the steps of 0.1 ms are 50 spikes a second
    rates = re.findall(r" ms a biological second, (\d+\.\d+) .* spikes/s a neuron$", result.stdout, re.MULTILINE)
    assert len(rates) == 1 and float(rates[0]) == pytest.approx(100 * found[0], rel=0.01)


@pytest.mark.skipif(importlib.util.find_spec("nest") is None, reason="NEST is not installed")
def test_nest_fires_alike():
    """The script itself compares potentials and mean rates."""
    result = benchmark("--nest", sys.executable, *LIF, "--repeats", "3")
    found = activities(result, "NEST")
    assert len(found) == 1 and 0.4 < found[0] < 0.6
    result = benchmark("--nest", sys.executable, *LIF, "--repeats", "3", "--peer-leak", "6")
    assert result.returncode == 1 and "do not fire alike" in result.stderr


def test_an_interpreter_without_nest(tmp_path):
    """It says so in a line; a folder ahead of the others hides a NEST that is installed."""
    (tmp_path / "nest.py").write_text("raise ModuleNotFoundError('not here')\n")
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH="{tmp_path}" exec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    result = benchmark("--nest", str(python), *LIF)
    assert result.returncode == 1
    assert result.stderr == f"Error: {python} cannot import NEST: ModuleNotFoundError: not here\n"


def test_the_mean_field_without_noise(monkeypatch):
    """Is the rate of a membrane that relaxes from the reset to the threshold and then rests."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks" / "speed"))
    lif = importlib.import_module("lif_network")
    constant = lif.membrane_steps(8)
    assert (1 - 2.0**-8) ** constant == pytest.approx(math.exp(-1))
    for mean in (25.0, 40.0):
        interval = constant * math.log((mean - lif.RESET) / (mean - lif.THRESHOLD)) + lif.REFRACTORY
        assert lif.mean_field_rate(mean, 0.05, constant) == pytest.approx(1 / interval, rel=1e-3)
    assert lif.mean_field_rate(15.0, 0.05, constant) == 0.0
    spec = lif.LifSpec(12_500, 1250, 0.001, (15, 15), 8, 100)
    assert lif.LifSpec(12_500, 1250, 0.003, (15, 15), 8, 100).arrivals > spec.arrivals > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--law",), "--law compares with Brian2 or NEST"),
        (("--law", "--nest", "a", "--brian", "b"), "--law compares with one other side"),
        (("--lif", "--quiet"), "--quiet is a measurement of probabilistic neurons"),
        (("--lif", "--rate", "5"), "makes 5 % of the neurons fire"),
        (("--quiet", "--large"), "--quiet and --large are measurements of their own"),
        (("--nest", "nowhere/python"), "nowhere/python is no interpreter; --nest names"),
        (("--neurons", "7"), "must be multiples of 5"),
        (("--delay", "4-1"), "'4-1' is no range of delays"),
        (("--rate", "0"), "--rate is 0.0"),
    ],
)
def test_faults_are_one_line(arguments, message):
    result = benchmark(*arguments)
    assert result.returncode == 1
    assert result.stderr.startswith("Error: ") and result.stderr.count("\n") == 1
    assert message in result.stderr
