"""The notebooks of examples/notebooks run, with the small numbers of `SHORT`, and store no output.

With ``SPIKESIM_MANUAL=all`` they run as they are, and what their text says of the results is compared (`CLAIMS`).
"""

import ast
import json
import os
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
from commands import ROOT

ALL = os.environ.get("SPIKESIM_MANUAL") == "all"
FOLDER = ROOT / "examples" / "notebooks"
TINY = {"samples": 64, "test_samples": 32, "epochs": 1}
SHORT: dict[str, dict[str, Any]] = {
    "train_and_look": {**TINY, "width": 0.25},
    "check_the_gradient": {"batch": 2, "repeats": 1, "betas": [0.5, 2], "depth": 2},
    "own_architecture": {**TINY, "batch": 2, "width": 0.25},
    "own_neuron": {**TINY, "neurons": 4},
    "event_camera": {"n_train": 16, "n_test": 8, "epochs": 1},
    "sparse_network": {"size": 500, "duration": 200.0},
    "sentiment_with_spikes": {"count": 60, "epochs": 2, "width": 0.125},
    "read_a_run": TINY,
}
"""Parameters in place of those of a notebook."""

Namespace = dict[str, Any]


def learned(found: Namespace) -> bool:
    return bool(found["scores"]["test_accuracy"][-1] > 0.7)


def noise_or_bias(found: Namespace) -> bool:
    """The last check is that of the deep network with heads, whose lowest layer has a gradient."""
    return found["spikes"].min() > 0.9 and found["result"].variants[0].weights["exact"].cosine[:, 0].mean() > 0.5


def backwards_is_opposite(found: Namespace) -> bool:
    return found["scores"]["test_accuracy"][-1] > 0.95 and np.array_equal(found["found"].labels, found["truth"] ^ 1)


def four_states(found: Namespace) -> bool:
    measured = np.array([found["measure"](*one) for one in found["simulations"].values()])
    _, variation, synchrony = measured.T
    return variation.argmin() == 0 and synchrony.argmin() == 2 and synchrony.argmax() == 3


CLAIMS: dict[str, Callable[[Namespace], bool]] = {
    "train_and_look": learned,
    "check_the_gradient": noise_or_bias,
    "own_architecture": learned,
    "own_neuron": lambda found: learned(found) and max(found["error"]) < 0.01,
    "event_camera": backwards_is_opposite,
    "sparse_network": four_states,
    "sentiment_with_spikes": lambda found: (
        learned(found) and [own.label for own in found["explained"]] == found["found"].labels.tolist()
    ),
    "read_a_run": learned,
}


def cells(path: Path) -> list[dict[str, Any]]:
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def source(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def is_parameters(cell: dict[str, Any]) -> bool:
    return "parameters" in cell["metadata"].get("tags", ())


def check_figure(figure: Any) -> None:
    """Axes are named, unless they are those of an image; ticks of epochs are whole."""
    for axis in figure.axes:
        assert (axis.get_xlabel() or axis.get_shared_x_axes().joined(axis, figure.axes[-1])) or not axis.axison
        assert axis.get_xlabel() != "epoch" or all(tick % 1 == 0 for tick in axis.get_xticks())
    figure.canvas.draw()  # as a notebook does, with its warnings


def run(path: Path, parameters: dict[str, Any]) -> Namespace:
    """What a notebook leaves behind, with parameters in place of its own, in the present folder."""
    namespace: Namespace = {"__name__": "__main__"}
    for cell in cells(path):
        if cell["cell_type"] == "code":
            exec(compile(source(cell), f"{path.name}:{cell['id']}", "exec"), namespace)
            namespace.update(parameters if is_parameters(cell) else {})
            for number in plt.get_fignums():
                check_figure(plt.figure(number))
            plt.close("all")
    return namespace


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.ipynb")))
def test_a_notebook_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plt, "show", lambda: None)
    plt.switch_backend("agg")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = run(FOLDER / f"{name}.ipynb", {} if ALL else SHORT[name])
    assert not ALL or CLAIMS[name](found)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_notebook_is_whole(path: Path) -> None:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    ids = [cell["id"] for cell in cells(path)]
    assert len(set(ids)) == len(ids) and all(re.fullmatch(r"[\w-]{1,64}", name) for name in ids)
    code = [cell for cell in cells(path) if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    (given,) = (cell for cell in code if is_parameters(cell))
    names = {name.id for name in ast.walk(ast.parse(source(given))) if isinstance(name, ast.Name)}
    assert set(SHORT[path.stem]) <= names
    first, *_, last = (source(cell) for cell in cells(path) if cell["cell_type"] == "markdown")
    assert first.startswith("# ") and "matplotlib" in first
    assert re.findall(r"^(\d)\. ", last.partition("## Exercises")[2], re.MULTILINE) == ["1", "2"]


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.ipynb")), ids=lambda path: path.stem)
def test_the_links_of_a_notebook_lead_somewhere(path: Path) -> None:
    text = "\n".join(source(cell) for cell in cells(path) if cell["cell_type"] == "markdown")
    targets = re.findall(r"\]\(([^)#]+)", text)
    assert targets and all((FOLDER / target).is_file() for target in targets), targets
