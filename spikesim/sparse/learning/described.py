"""The table `[learning]` of a network's TOML file: what it learns from, for how long, and by which phases.

    [learning]
    input = "inputs"
    output = "outputs"
    train = "xor-train.csv"
    test = "xor-test.csv"
    epochs = 30
    batch_size = 16
    rate = 0.1
    free = 60
    nudged = 50
    window = 40
    beta = 1.0

Each column of inputs or targets is for as many neighbouring neurons as there are neurons for a column. With labels,
the outputs are cut into as many equal groups as there are classes; the group of the label is to fire with the rate
`high`, the others with `low`, and the answer is the group that fires most.
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikesim.errors import InputError
from spikesim.io.validation import Limits, flag, nearest, number, require_keys, whole, word
from spikesim.sparse.described_inputs import file_digest
from spikesim.sparse.description import Description
from spikesim.sparse.learning.equilibrium import SCHEMES, Phases
from spikesim.sparse.learning.samples import Samples, read_samples
from spikesim.sparse.network import Population
from spikesim.sparse.plasticity.contrastive import Contrastive

LOW, HIGH = 0.1, 0.6
"""Rates of the groups of outputs, unless given."""
_PHASES = tuple(own.name for own in fields(Phases))
_NEEDED = ("input", "output", "train", "epochs", "rate")
_KEYS = (*_NEEDED, "test", "batch_size", "bias_rate", "decay", "shuffle", "low", "high", *_PHASES)
_ELSEWHERE = {
    "inputs": "input",
    "outputs": "output",
    "learning_rate": "rate",
    "lr": "rate",
    "weight_decay": "decay",
    "batch": "batch_size",
    "data": "train",
    "validation": "test",
    "t_free": "free",
    "t_nudged": "nudged",
}
"""What these keys may be called elsewhere."""


class Patterns(NamedTuple):
    """Samples as neurons have them.

    Attributes
    ----------
    inputs : float64 (samples, neurons)
    targets : float64 (samples, outputs)
    labels : int64 (samples,) or None
    """

    inputs: NDArray[np.float64]
    targets: NDArray[np.float64]
    labels: NDArray[np.int64] | None


class Task(NamedTuple):
    """What a network learns.

    Attributes
    ----------
    input, output : Population
    train : Patterns
    test : Patterns or None
    classes : int or None
        Groups of outputs; None: there are targets and no labels.
    phases : Phases
    epochs, batch_size : int
    rate : float
    bias_rate : float or None
        That of the weights unless given.
    decay : float
    shuffle : bool
        Whether each epoch has an order of its own.
    """

    input: Population
    output: Population
    train: Patterns
    test: Patterns | None
    classes: int | None
    phases: Phases
    epochs: int
    batch_size: int
    rate: float
    bias_rate: float | None
    decay: float
    shuffle: bool

    def right(self, rates: NDArray[np.float64], labels: NDArray[np.int64]) -> int:
        """How many samples are answered rightly, by the rates of the outputs, (samples, outputs)."""
        assert self.classes is not None
        groups = rates.reshape(len(rates), self.classes, -1).sum(axis=2)
        return int((groups.argmax(axis=1) == labels).sum())


def read_task(description: Description) -> Task:
    """What the table `[learning]` of a network says; the digests of its files become part of the description.

    Raises
    ------
    InputError
        There is no such table, an unknown key, a wrong type, or a value out of range.
    """
    given = description.learning
    if given is None:
        raise InputError("the network has no [learning]; add it with input, output, train, epochs and rate")
    require_keys(given, _KEYS, "[learning]", _NEEDED, meant=_meant)
    learning = [own for own in description.network.projections if isinstance(own.plasticity, Contrastive)]
    if not learning:
        raise InputError(
            'the network has [learning] and no projection that learns; give one plasticity = { rule = "contrastive", '
            "limit = 1.0 }"
        )
    ends = [_population(description, given[key], key) for key in ("input", "output")]
    if ends[1].source or ends[0] is ends[1]:
        raise InputError(f"output of [learning] is {ends[1].name}; it must be neither a source nor the input")
    paths, patterns = {}, {}
    samples: dict[str, Samples] = {}
    for key in ("train", "test"):
        if key in given:
            samples[key], path = read_samples(given[key], f"{key} of [learning]", description.folder)
            if path is not None:
                paths[key] = file_digest(path)
    classes = _classes(samples, ends[1])
    levels = _levels(given, classes)
    for key, own in samples.items():
        patterns[key] = _patterns(own, ends[0], ends[1], classes, levels)
    description.content["learning_files"] = paths
    if len(patterns["train"].inputs) < description.trials:
        raise InputError(
            f"batch_size of [learning] is {description.trials}, and train has {len(patterns['train'].inputs)} samples; "
            "it must be at most as many"
        )
    decay = Limits(low=0.0, high=1.0)
    return Task(
        input=ends[0],
        output=ends[1],
        train=patterns["train"],
        test=patterns.get("test"),
        classes=classes,
        phases=_phases(given),
        epochs=whole(given["epochs"], "epochs of [learning]", Limits(low=1)),
        batch_size=description.trials,
        rate=number(given["rate"], "rate of [learning]"),
        bias_rate=number(given["bias_rate"], "bias_rate of [learning]") if "bias_rate" in given else None,
        decay=number(given.get("decay", 0.0), "decay of [learning]", decay),
        shuffle=flag(given.get("shuffle", True), "shuffle of [learning]"),
    )


def _population(description: Description, name: Any, key: str) -> Population:
    named = {own.name: own for own in description.network.populations}
    return named[word(name, f"{key} of [learning]", tuple(named))]


def _phases(given: Mapping[str, Any]) -> Phases:
    found: dict[str, Any] = {
        key: whole(given[key], f"{key} of [learning]", Limits(low=1))
        for key in ("free", "nudged", "window")
        if key in given
    }
    if "beta" in given:
        found["beta"] = number(given["beta"], "beta of [learning]")
    if "nudging" in given:
        found["nudging"] = word(given["nudging"], "nudging of [learning]", tuple(SCHEMES))
    try:
        return Phases(**found)
    except InputError as error:
        raise InputError(f"[learning]: {error}") from None


def _classes(samples: Mapping[str, Samples], output: Population) -> int | None:
    """How many classes the labels have; None where there are targets."""
    labels = {key: own.labels for key, own in samples.items()}
    train = labels["train"]
    if len({own is None for own in labels.values()}) > 1:
        raise InputError("of train and test of [learning] one has labels and the other has targets; give both the same")
    if train is None:
        return None
    classes = int(train.max()) + 1
    test = labels.get("test")
    if test is not None and test.max() >= classes:
        raise InputError(f"{samples['test'].where} has the label {test.max()}; those of train reach to {classes - 1}")
    if classes < 2 or output.size % classes:
        raise InputError(
            f"{output.name} has {output.size} neurons for {classes} classes; it needs as many for each, and two classes"
        )
    return classes


def _levels(given: Mapping[str, Any], classes: int | None) -> tuple[float, float]:
    for key in ("low", "high"):
        if key in given and classes is None:
            raise InputError(f"[learning] has {key}, which is a rate for labels, and its samples have targets")
    limits = Limits(low=0.0, high=1.0)
    low, high = (
        number(given.get(key, own), f"{key} of [learning]", limits) for key, own in (("low", LOW), ("high", HIGH))
    )
    if low >= high:
        raise InputError(f"low of [learning] is {low:g} and high is {high:g}; high must be above it")
    return low, high


def _patterns(
    samples: Samples, source: Population, output: Population, classes: int | None, levels: tuple[float, float]
) -> Patterns:
    inputs = _spread(samples.inputs, source, f"inputs of {samples.where}")
    if source.source and not np.all((inputs >= 0) & (inputs <= 1)):
        raise InputError(
            f"inputs of {samples.where} reach from {inputs.min():.4g} to {inputs.max():.4g}; as rates of "
            f"{source.name}, a source, they must be in 0 .. 1"
        )
    if samples.labels is None or classes is None:
        assert samples.targets is not None
        return Patterns(inputs, _spread(samples.targets, output, f"targets of {samples.where}"), None)
    wanted = samples.labels[:, None] == np.arange(classes)
    targets = np.where(wanted, levels[1], levels[0]).repeat(output.size // wanted.shape[1], axis=1)
    return Patterns(inputs, targets, samples.labels)


def _spread(values: NDArray[np.float64], population: Population, what: str) -> NDArray[np.float64]:
    """Each column for as many neighbouring neurons."""
    columns = values.shape[1]
    if population.size % columns:
        raise InputError(
            f"{what} have {columns} columns for {population.size} neurons of {population.name}; their number must "
            "divide that of the neurons"
        )
    return values.repeat(population.size // columns, axis=1)


def _meant(name: str, known: Any) -> str | None:
    return _ELSEWHERE.get(name.strip().lower()) or nearest(name, known)
