"""benchmarks/figures.py: pages that quote a figure have it as the page that it comes from."""

import subprocess
import sys

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


def test_what_cannot_be_measured_here_says_why() -> None:
    for needs, why in (("import nothing_of_this_name", "needs nothing_of_this_name"), ("mnist", "needs --data-dir")):
        line = figures.measured(MEASURED[0]._replace(needs=needs), None)
        assert (line.state, line.words) == ("skipped", why)


def test_an_unknown_name_is_refused() -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "figures.py"), "none"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and "--list" in done.stderr
