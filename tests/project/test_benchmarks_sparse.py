"""benchmarks/speed/sparse.py as a user types it, without the other side."""

import os
import re
import subprocess
import sys

import pytest
from commands import ROOT

SHORT = ("--neurons", "500", "--synapses", "50", "--steps", "60", "--repeats", "2")


def benchmark(*arguments):
    command = [sys.executable, str(ROOT / "benchmarks" / "speed" / "sparse.py"), *arguments]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=env)


@pytest.mark.parametrize(
    ("options", "rows"), [((), 2), (("--quiet",), 4), (("--large",), 1)], ids=["compare", "quiet", "large"]
)
def test_a_network_fires_as_wanted(options, rows):
    result = benchmark(*options, *SHORT)
    assert result.returncode == 0, result.stderr
    activity = re.findall(r"^spikesim.* (\d\.\d{3}) % ", result.stdout, re.MULTILINE)
    assert len(activity) == rows
    assert all(0.6 < float(share) < 1.5 for share in activity)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--law",), "--law compares with Brian2"),
        (("--quiet", "--large"), "--quiet and --large are measurements of their own"),
        (("--brian", "nowhere/python"), "nowhere/python is no interpreter"),
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
