"""benchmarks/robustness/torn.py as a user types it: torn and reordered writes, and resumed to the same digest."""

from commands import script


def test_torn_writes_cost_nothing() -> None:
    result = script("benchmarks/robustness/torn.py", "--states", 5, "--seed", 3)
    assert result.returncode == 0, result.stdout + result.stderr
    lines = result.stdout.splitlines()
    assert lines[-1] == "all came to the digest of the undisturbed run"
    assert [line.partition(":")[0] for line in lines[-3:-1]] == ["killed", "without power"]
