"""benchmarks/speed/step.py as a user types it, and the dense side in its number formats."""

import re
import runpy
import sys
from typing import Any

import numpy as np
import pytest
from commands import ROOT, script

torch = pytest.importorskip("torch", reason="the benchmark compares with PyTorch, which the package does not need")

SCRIPT = ROOT / "benchmarks" / "speed" / "step.py"
FORMATS = ("float32", "bfloat16", "int8")


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setattr(sys, "path", [str(SCRIPT.parent), *sys.path])  # the script adds to it
    return runpy.run_path(str(SCRIPT))


def test_each_number_format_is_compared() -> None:
    short = ("--steps", "1", "--repeats", "1", "--batch", "2", "--group", "2", "--threads", "1")
    chosen = ("--activity", "6", "60", "--pooling", "average", "--firing", "iid")
    result = script("benchmarks/speed/step.py", *short, *chosen)
    assert result.returncode == 0, result.stderr
    for name in FORMATS:
        assert len(re.findall(rf"faster than dense .*[\d.]+ times \({name}\)", result.stdout)) == 2
        assert re.search(rf"dense wins from an activity of .*\({name}\)", result.stdout)


@pytest.mark.parametrize("name", FORMATS)
def test_the_dense_side_fires_as_wanted(names: dict[str, Any], name: str) -> None:
    chain = names["make_chain"]("average")
    weights = [np.full(c.integers.shape, 1e-12, np.float32) for c in chain.connections]
    for way in names["ways"](name):
        dense = names["Dense"](chain, weights, 0.06 * names["UNIT"], 1, way)
        before = [layer.clone() for layer in dense.spikes]
        dense.run(2, names["LEAK"])
        rates = torch.cat([layer.flatten().float() for layer in dense.spikes])
        assert set(rates.tolist()) == {0.0, 1.0}
        assert abs(float(rates.mean()) - 0.06) < 5 * (0.06 * 0.94 / len(rates)) ** 0.5
        assert not any(old.equal(new) for old, new in zip(before, dense.spikes, strict=True))


def test_where_dense_wins(names: dict[str, Any]) -> None:
    """The time of the events is 1 + activity, that of the dense side 21: they meet at 20 %."""
    ratios = {activity: 21 / (1 + activity) for activity in (3.0, 15.0, 30.0)}
    crossing = names["crossing"]
    assert crossing([*ratios], [*ratios.values()]) == "20 %"
    assert crossing([30.0, 3.0, 15.0], [ratios[activity] for activity in (30.0, 3.0, 15.0)]) == "20 %"
    assert crossing([3.0, 15.0], [ratios[3.0], ratios[15.0]]) == "above 15 %"
    assert crossing([30.0], [ratios[30.0]]) == "below 30 %"
