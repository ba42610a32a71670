"""benchmarks/robustness/torn.py as a user types it: torn and reordered writes, and resumed to the same digest."""

import os
import subprocess
import sys

from commands import ROOT, SECONDS


def test_torn_writes_cost_nothing() -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "robustness" / "torn.py"), "--states", "5", "--seed", "3"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, env=env)
    assert result.returncode == 0, result.stdout + result.stderr
    lines = result.stdout.splitlines()
    assert lines[-1] == "all came to the digest of the undisturbed run"
    assert [line.partition(":")[0] for line in lines[-3:-1]] == ["killed", "without power"]
