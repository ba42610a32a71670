"""benchmarks/figures.py: pages that quote a figure have it as the page that it comes from."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from commands import ROOT

sys.path.append(str(ROOT / "benchmarks"))
import figures
from figures import MEASURED, Measured


def test_pages_agree_on_their_figures() -> None:
    assert [line for line in figures.quoted() if line.state != "ok"] == []


@pytest.mark.parametrize("item", MEASURED, ids=lambda item: item.name)
def test_measured_figures_stand_on_their_page(item: Measured) -> None:
    assert all(float(number) > 0 for number in figures.numbers(item.pattern, item.page))


@pytest.mark.parametrize(("printed", "factor", "state"), [("0.9", 1, "ok"), ("0.8", 1, "DIFFERS"), ("0.8", 1.2, "ok")])
def test_a_figure_is_compared_with_what_its_command_prints(printed: str, factor: float, state: str) -> None:
    command = f"python -c 'print({printed})'"
    item = Measured("energy", "docs/metrics.md", r"charges ([\d.]+) pJ", command, r"^([\d.]+)$", factor)
    assert figures.measured(item, None).state == state


EPOCH = """\
import time
print("epoch 1/6, mini-batch 1/9: loss 0.3, accuracy 90.62 %")
print("epoch 1/6: train loss 0.1, accuracy 97.00 %; test loss 0.1, accuracy 98.61 %", flush=True)
time.sleep(60)
"""


def test_a_long_training_is_interrupted_after_its_first_epoch(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(EPOCH)
    for item in (item for item in MEASURED if item.last):
        shown = figures.output(item._replace(command=f"python {tmp_path / 'train.py'}"), None)
        assert re.findall(item.printed, shown, re.MULTILINE) == ["98.61"]


def test_what_cannot_be_measured_here_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "find", lambda name, folder: None)
    fetch = "needs mnist: spikesim data fetch mnist --data-dir DIR"
    for needs, why in (("import nothing_of_this_name", "needs nothing_of_this_name"), ("mnist", fetch)):
        line = figures.measured(MEASURED[0]._replace(needs=needs), None)
        assert (line.state, line.words) == ("skipped", why)


def test_an_unknown_name_is_refused() -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "figures.py"), "none"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and "--list" in done.stderr
