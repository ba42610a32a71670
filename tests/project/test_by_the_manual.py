"""The program beside an implementation of docs/model.md that shares nothing with it (tests/helpers/by_the_manual)."""

import ast
import itertools
import re
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest
from by_the_manual import (
    chance,
    dynamics,
    heads,
    integers,
    learning,
    left_out,
    network,
    normalization,
    page,
    phases,
    rules,
    stability,
    training,
)
from by_the_manual.dynamics import Parameters
from by_the_manual.training import COUNTED, Run
from numpy.testing import assert_allclose, assert_array_equal

from spikesim.datasets import Dataset, load
from spikesim.ep.config.parsing import make_config, merge
from spikesim.ep.network.error_signals import block_side
from spikesim.ep.network.initial_weights import initial_parameters
from spikesim.ep.network.model import Model
from spikesim.ep.runs.reader import RunReader
from spikesim.ep.training.observer import Silent
from spikesim.ep.training.run_store import RunOptions
from spikesim.ep.training.trainer import Trainer
from spikesim.io.checkpoint import checkpoint_folder
from spikesim.numerics.quantization import quantize_weights

LAYERS = [
    {"kind": "conv", "channels": 12, "pool": True},
    {"kind": "conv", "channels": 13, "kernel": 5, "padding": 2, "pool": True},
    {"kind": "conv", "channels": 9, "pool": True},
]
"""On 13x11 pixels: odd sides, and channels that fill no octet."""
CONFIG: dict[str, Any] = {
    "model": {"arch": "custom", "layers": LAYERS, "calibration_samples": 8},
    "data": {"limit": 22, "test_limit": 9, "batch_size": 8},
    "optimizer": {"epochs": 2},
    "record": {"spikes": [0, 5], "traces": 0},
    "seed": 12345678901,
}
PLAIN = {"model.normalization": "none"}
REFRACTORY = {"model.neuron": "refractory", "model.refractory": 3}
VARIANTS: dict[str, dict[str, Any]] = {
    "refractory": REFRACTORY,
    "refractory, iid, errors as spikes": {**REFRACTORY, "firing": "iid", "nudged_phase": "clamped-spikes"},
    "refractory, live": {**REFRACTORY, "nudged_phase": "live-spikes", "pooling": "sampled", "trace_leak": 2},
    "refractory, mean field": {**REFRACTORY, "inference": "mean-field"},
    "refractory, mean field, live": {**REFRACTORY, "inference": "mean-field", "nudged_phase": "live-spikes"},
    "iid": {"firing": "iid"},
    "synchronous": {"order": "synchronous"},
    "parity": {"order": "parity"},
    "sampled": {"pooling": "sampled"},
    "sampled, synchronous": {"pooling": "sampled", "order": "synchronous"},
    "sampled, parity": {"pooling": "sampled", "order": "parity"},
    "winners": {"pooling": "winner"},
    "winners, plain weights": {"pooling": "winner", **PLAIN},
    "winners, mean field": {"pooling": "winner", "inference": "mean-field", "order": "parity"},
    "leak 3": {"leak": 3},
    "window 12": {"window_free": 12},
    "40 steps": {"steps_free": 40, "window_free": 32},
    "gain 0.25": {"feedback_gain": 0.25},
    "gain 0.5, plain weights": {"feedback_gain": 0.5, **PLAIN},
    "no feedback": {"feedback_gain": 0.0},
    "no feedback, winners, mean field": {"feedback_gain": 0.0, "pooling": "winner", "inference": "mean-field"},
    "two steps": {"steps_nudged": 2},
    "centered": {"nudging": "centered"},
    "centered, three steps": {"nudging": "centered", "steps_nudged": 3},
    "onset 0": {"steps_onset": 0},
    "live, postsynaptic": {"nudged_phase": "live-spikes"},
    "live, symmetric": {"nudged_phase": "live-spikes", "rule": "symmetric", "record.traces": 2},
    "live, independent": {"nudged_phase": "live-spikes", "noise": "independent", "feedback_gain": 0.5, **PLAIN},
    "errors as spikes": {"nudged_phase": "clamped-spikes"},
    "heads alone": {"error_gain": 0.0},
    "heads alone, errors as spikes": {"nudged_phase": "clamped-spikes", "error_gain": 0.0},
    "errors as spikes, independent": {"nudged_phase": "clamped-spikes", "noise": "independent"},
    "live, low pass": {"nudged_phase": "live-spikes", "trace_leak": 2, "error_signals.learning": "fixed"},
    "geometric, annealed": {
        "error_signals.profile": "geometric",
        "error_signals.schedule": "annealed",
        "error_signals.anneal_from": 0.3,
    },
    "the read-out alone": {"error_signals.answer": "readout"},
    "mean field": {"inference": "mean-field"},
    "mean field, live": {"inference": "mean-field", "nudged_phase": "live-spikes", "order": "parity"},
    "squared error, decay": {"cost": "squared-error", "optimizer.weight_decay": 0.01},
    "plain weights": PLAIN,
    "a dense layer": {"model.layers": [*LAYERS[:2], {"kind": "dense", "channels": 21}]},
    "SGD": {
        "optimizer.name": "sgd",
        "optimizer.schedule": "constant",
        "optimizer.centering": False,
        "optimizer.weight_decay": 0.01,
    },
}
"""What is set besides CONFIG; keys without a section are of `dynamics`."""


class Outcome(NamedTuple):
    """A run by the program: its file, and the parameters that it started with if they are kept."""

    batches: dict[str, Any]
    epochs: dict[str, Any]
    spikes: dict[str, Any]
    traces: dict[str, Any]
    config: dict[str, Any]
    start: Parameters
    end: Parameters


def in_parts(arrays: dict[str, Any]) -> Parameters:
    """Arrays by `name/weight`, `name/bias` and other kinds."""
    found = Parameters({}, {})
    for name, array in arrays.items():
        owner, kind = name.split("/")
        place = {"weight": found.weights, "bias": found.biases}.get(kind, found.extra)
        place[name if place is found.extra else owner] = np.array(array)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images of four classes: patterns and noise."""
    path = tmp_path_factory.mktemp("manual")
    rng = np.random.default_rng(5)
    patterns = rng.integers(0, 2, (4, 13, 11, 2)) * 150

    def images(count: int) -> tuple[Any, Any]:
        labels = rng.integers(0, 4, count)
        return (patterns[labels] + rng.integers(0, 100, (count, 13, 11, 2))).astype(np.uint8), labels

    (train, train_labels), (test, test_labels) = images(26), images(12)
    train_labels[0] = 3
    np.savez(
        path / "noise.npz",
        train_images=train, train_labels=train_labels, test_images=test, test_labels=test_labels,
    )  # fmt: skip
    return path


@pytest.fixture(scope="module")
def dataset(folder: Path) -> Dataset:
    return load("noise.npz", folder)


def by_program(dataset: Dataset, out: Path, changes: dict[str, Any]) -> Outcome:
    """Train with the program."""
    given = {key if "." in key else f"dynamics.{key}": value for key, value in changes.items()}
    config = make_config(merge(CONFIG, given.items()))
    # the first checkpoint is needed, and two are kept: no more, however long the compiler or other programs take
    Trainer(config, dataset, RunOptions(out, checkpoint_every=10**6), Silent()).run()
    with np.load(min(checkpoint_folder(out).glob("*.npz"))) as arrays:
        names = [name for name in arrays.files if name.startswith(("parameters/", "statistics/"))]
        start = in_parts({name.partition("/")[2]: arrays[name] for name in names})
    with RunReader(out) as run:
        return Outcome(
            run.batches, run.epochs, run.spikes(), run.traces, config.to_dict(), start, in_parts(run.weights())
        )


def by_manual(dataset: Dataset, config: dict[str, Any], start: Parameters | None) -> tuple[Run, Any]:
    """Train by the page; the run, and the rows of its epochs."""
    images = dataset.train.images, dataset.test.images
    run = Run(config, images, (dataset.train.labels, dataset.test.labels), start)
    return run, list(run.epochs())


def compare(program: Outcome, run: Run, epochs: Any) -> None:
    """Everything that the run file holds of what the page defines."""
    rows = [row for batches, _ in epochs for row in batches]
    assert len(rows) == len(program.batches["batch"])
    for name in (*COUNTED, "samples", "correct", "head_correct"):
        assert_array_equal(program.batches[name], [row[name] for row in rows], name)
    for name in ("residual", "rate_difference", "hopfield", "learning_rate", "loss", "head_loss", "weight_norm"):
        assert_allclose(program.batches[name], [row[name] for row in rows], rtol=1e-13, atol=0, err_msg=name)
    assert_allclose(program.batches["weight_change"], [row["weight_change"] for row in rows], rtol=1e-6)
    for number, (_, test) in enumerate(epochs):
        for name in (*(f"test_{name}" for name in COUNTED if name != "saturated"), "test_correct", "test_rates"):
            assert_array_equal(program.epochs[name][number], test[name], name)
        assert_allclose(program.epochs["test_loss"][number], test["test_loss"], rtol=1e-13)
        above = (
            program.epochs["spectral_norm"][number] - test["spectral_norm"]
        )  # an estimate from above, to a part in a thousand
        assert (above >= -1e-12).all() and (above <= 1e-3 * test["spectral_norm"]).all()
    traces = [row for _, test in epochs for row in test["traces"]]
    for name in traces[0] if traces else ():
        assert_allclose(program.traces[name], [row[name] for row in traces], rtol=1e-13, err_msg=name)
    for sample in CONFIG["record"]["spikes"]:
        own = program.spikes["sample"] == sample
        found = [program.spikes[name][own] for name in ("step", "layer", "neuron")]
        train = [(t, layer, neurons) for t, layer, of, neurons in epochs[-1][1]["train"] if of == sample]
        assert_array_equal(found[0], np.concatenate([np.full(len(own), t) for t, _, own in train]))
        assert_array_equal(found[1], np.concatenate([np.full(len(own), layer) for _, layer, own in train]))
        assert_array_equal(found[2], np.concatenate([own for _, _, own in train]))
    for kind in ("weights", "biases"):
        for name, own in getattr(program.end, kind).items():
            assert_array_equal(own, getattr(run.parameters, kind)[name], f"{kind} of {name}")


def test_weights_at_the_ends_of_the_range_are_rounded_as_the_page_says() -> None:
    assert integers.quantized(np.array([-1.0], np.float32))[1] == 14
    for value in (1.0, -1.0, 32767 / 32768, -32766.5 / 32768, 0.99999, 2.0**-9, 1e-9, 0.0):
        array = np.array([value, value / 3, -value / 7], np.float32)
        for own, other in zip(quantize_weights(array), integers.quantized(array), strict=True):
            assert_array_equal(own, other)


def test_blocks_of_heads_are_the_pages() -> None:
    for height, width, grid in itertools.product((1, 6, 8, 11, 12, 24), (1, 4, 9, 12, 13, 24), range(1, 7)):
        layer = network.Layer("", (height, width, 1), (1, 1, 1), (1, 1), *np.zeros((3, 1), int), False)
        assert heads.block_side(layer, grid) == block_side((height, width, 1), grid)


def test_a_default_training_is_the_pages(dataset: Dataset, tmp_path: Path) -> None:
    program = by_program(dataset, tmp_path / "run.h5", {"record.traces": 3})
    assert len(program.traces["step"]) == 2 * (16 + 1)
    assert program.batches["spikes"][:, 0].min() > 0
    compare(program, *by_manual(dataset, program.config, None))


def test_fixed_heads_start_as_the_pages(dataset: Dataset) -> None:
    config = make_config(merge(CONFIG, [("error_signals.learning", "fixed")]))
    model = Model(config, dataset)
    found, layers = initial_parameters(model, config), network.build(list(config.model.layers), (13, 11, 2))
    sides = heads.sides_of_heads(layers, config.error_signals.grid)
    own, _ = learning.initial(layers, sides, 4, config.to_dict()["model"], config.seed, fixed=True)
    heads_only = {name: weight for name, weight in own.weights.items() if name.startswith("head")}
    assert len(heads_only) == 2
    for name, weight in heads_only.items():
        assert_array_equal(found.head(name).weight, weight)
        assert len(np.unique(np.abs(weight))) == 1 and np.linalg.matrix_rank(weight) == 4


@pytest.mark.parametrize("every", [1, 2, 50])
def test_the_limit_of_the_coupling_is_the_pages(every: int, dataset: Dataset, tmp_path: Path) -> None:
    stability = {"stability.spectral_norm_limit": 0.4, "stability.spectral_norm_every": every}
    program = by_program(
        dataset, tmp_path / "run.h5", {"optimizer.epochs": 1, "feedback_gain": 0.5, **stability, **PLAIN}
    )
    compare(program, *by_manual(dataset, program.config, None))


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_is_the_pages(name: str, dataset: Dataset, tmp_path: Path) -> None:
    program = by_program(dataset, tmp_path / "run.h5", {"optimizer.epochs": 1, "data.limit": 12, **VARIANTS[name]})
    compare(program, *by_manual(dataset, program.config, program.start))


MODULES = (network, dynamics, heads, phases, learning, normalization, stability, chance, integers, rules, training)
REFERENCES = ("Whose formula is which", "Sources")
"""Sections of the page that define nothing."""


def quoted() -> list[str]:
    """All passages of the page that are followed or left out."""
    followed = [passage for module in MODULES for passage in page.passages(module)]
    return [*followed, *map(page.plain, left_out.EXPLAINED), *map(page.plain, left_out.MISSING)]


def unheard(sections: dict[str, str]) -> dict[str, list[str]]:
    """What of the page is in none of the passages, by section."""
    found = {}
    for heading, text in sections.items():
        for passage in sorted(quoted(), key=len, reverse=True):
            text = text.replace(passage, "\n")
        rest = [part.strip() for part in text.split("\n") if re.search(r"\w", part)]
        if rest and heading not in REFERENCES:
            found[heading] = rest
    return found


def test_what_is_followed_stands_on_the_page_once() -> None:
    text = "\n".join(page.sections().values())
    assert {passage: text.count(passage) for passage in quoted()} == dict.fromkeys(quoted(), 1)
    assert max(Counter(quoted()).values()) == 1


def test_every_sentence_of_the_page_is_followed_or_left_out() -> None:
    assert unheard(page.sections()) == {}


def test_a_sentence_more_on_the_page_would_be_noticed() -> None:
    sections = page.sections()
    sections["Dynamics"] = sections["Dynamics"].replace("There is no reset", "Spikes are green. There is no reset")
    assert "Spikes are green." in " ".join(unheard(sections)["Dynamics"])


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_modules_follow_the_order_of_the_page(module: ModuleType) -> None:
    for text in page.sections().values():
        places = [text.index(first) for first in page.firsts(module) if first in text]
        assert places == sorted(places)


def test_the_implementation_shares_nothing_with_the_package() -> None:
    for path in Path(page.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert all(name.split(".")[0] not in ("spikesim", "ep", "datasets", "numba") for name in names), path
