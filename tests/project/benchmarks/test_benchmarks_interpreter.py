"""benchmarks/scaling/interpreter.py as a user types it."""

import re
from pathlib import Path

from commands import CONFIG, script


def test_time_in_kernels_and_beside_them(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(CONFIG)
    given = ("--config", tmp_path / "config.toml", "--threads", 1, 1000, "--batches", 3)
    result = script("benchmarks/scaling/interpreter.py", *given, "--set", "data.batch_size=6")
    assert result.returncode == 0, result.stderr
    rows = re.findall(r"^\| (\d+) \| (\d+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) times \|$", result.stdout, re.MULTILINE)
    assert [int(row[0]) for row in rows] == [1, 1000]
    assert int(rows[1][1]) == 6, "no group is smaller than a sample"
    assert all(float(rest) > 0 for _, _, _, rest, _ in rows)


def test_what_cannot_be_measured_is_refused() -> None:
    for wrong, told in ((("--batches", 1), "--batches"), (("--set", "data.batch_size=0"), "batch_size")):
        result = script("benchmarks/scaling/interpreter.py", *wrong)
        assert result.returncode != 0 and told in result.stderr and "Traceback" not in result.stderr
