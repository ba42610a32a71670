"""Runs that differ in the seed alone as one setting: mean and standard deviation, curves, and paired tests."""

import itertools
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from spikesim.ep.reports.comparison import ComparedRun, EpochPoint, comparison_document
from spikesim.io.formats import finite

__all__ = ["MEASURES", "PairedTest", "SeedGroup", "Spread", "group_by_seed", "grouped_document", "have_seeds",
           "paired_test", "paired_tests"]  # fmt: skip

SEED = "seed"
MEASURES = ("test_accuracy", "train_accuracy", "activity", "accumulates", "joule")
"""Of the last epoch of a run, those of which a group has the mean."""
PAIRS_MAX = 1000
"""Tests of a report, at most, unless there are more settings."""
CURVES = ("test_accuracy", "train_accuracy", "test_loss", "train_loss", "activity", "accumulates", "joule")


class Spread(NamedTuple):
    """Mean and standard deviation (of a sample, n - 1) of `n` values; None where there are too few."""

    n: int
    mean: float | None
    sd: float | None

    @classmethod
    def of(cls, values: Iterable[float | None]) -> "Spread":
        """That of the values that are there."""
        found = [value for value in values if value is not None and math.isfinite(value)]
        n = len(found)
        mean = math.fsum(found) / n if n else None
        if mean is None or n < 2:
            return cls(n, mean, None)
        return cls(n, mean, math.sqrt(math.fsum((value - mean) ** 2 for value in found) / (n - 1)))


@dataclass(frozen=True)
class SeedGroup:
    """A setting: the finished runs that differ in the seed alone.

    Attributes
    ----------
    setting : str
        Its settings in words.
    settings : dict
        Those in which the groups differ.
    seeds : list of int or None
        One a run; None where a single run was made and no other seed.
    runs : list of ComparedRun
        In the order of the seeds.
    left_out : list of str
        Names of runs with these settings that are not finished, or have a seed that another run has.
    """

    setting: str
    settings: dict[str, Any]
    seeds: list[int | None]
    runs: list[ComparedRun]
    left_out: list[str]

    def spread(self, measure: str) -> Spread:
        """That of a measure after the last epoch."""
        return Spread.of(getattr(run.row, measure) for run in self.runs)

    @property
    def tested_on(self) -> str:
        """What the tests of its runs were made on."""
        return self.runs[0].row.tested_on

    def curves(self) -> list[dict[str, Any]]:
        """An entry for each epoch that all runs have: ``epoch``, and the mean and standard deviation of each curve."""
        by_epoch: list[dict[int, EpochPoint]] = [{point.epoch: point for point in run.epochs} for run in self.runs]
        shared = sorted(set.intersection(*map(set, by_epoch)))
        return [
            {"epoch": epoch, **{key: _entry(getattr(own[epoch], key) for own in by_epoch) for key in CURVES}}
            for epoch in shared
        ]


@dataclass(frozen=True)
class PairedTest:
    """The test accuracies of two settings over the seeds that both have.

    Attributes
    ----------
    setting, reference : str
        Names of the groups.
    seeds : int
        Pairs.
    difference, standard_error : float or None
        Mean of the differences, `setting` less `reference`, and its standard error.
    t, p_value : float or None
        Of a paired t test of a difference, two-sided; None where all pairs differ by the same.
    """

    setting: str
    reference: str
    seeds: int
    difference: float | None
    standard_error: float | None
    t: float | None
    p_value: float | None


def group_by_seed(runs: Sequence[ComparedRun]) -> list[SeedGroup]:
    """Groups of the finished runs, in the order of their first runs."""
    finished: dict[str, list[ComparedRun]] = {}
    others: dict[str, list[str]] = {}
    for run in runs:
        key = json.dumps(_without_seed(run), sort_keys=True)
        if run.row.state == "finished" and run.row.epochs:
            taken = [own.settings.get(SEED) for own in finished.setdefault(key, [])]
            if run.settings.get(SEED) not in taken:
                finished[key].append(run)
                continue
        others.setdefault(key, []).append(run.row.run)
    return [_group(own, others.get(key, [])) for key, own in finished.items()]


def have_seeds(groups: Iterable[SeedGroup]) -> bool:
    """Whether a group has runs of several seeds."""
    return any(len(group.runs) > 1 for group in groups)


def paired_tests(groups: Sequence[SeedGroup]) -> list[PairedTest]:
    """Of every two groups, the later one less the earlier one; of many groups, each less the first.

    They are tested on the same and have two seeds in common, at least.
    """
    many = len(groups) * (len(groups) - 1) // 2 > PAIRS_MAX
    pairs = ((groups[0], other) for other in groups[1:]) if many else itertools.combinations(groups, 2)
    tests = (paired_test(second, first) for first, second in pairs if first.tested_on == second.tested_on)
    return [test for test in tests if test.seeds > 1]


def paired_test(group: SeedGroup, reference: SeedGroup) -> PairedTest:
    """The difference of two groups over their common seeds."""
    both = [_accuracies(own) for own in (group, reference)]
    differences = [both[0][seed] - both[1][seed] for seed in both[0] if seed in both[1]]
    n, mean, sd = Spread.of(differences)
    error = None if sd is None else sd / math.sqrt(n)
    t = p = None
    if mean is not None and error is not None and error > 1e-12 * abs(mean):
        from scipy.special import stdtr  # the distribution alone: scipy.stats takes long to import

        t = mean / error
        p = float(2 * stdtr(n - 1, -abs(t)))
    return PairedTest(group.setting, reference.setting, n, mean, error, t, p)


def grouped_document(runs: Sequence[ComparedRun]) -> dict[str, Any]:
    """What `comparison_document` gives, and ``groups`` and ``tests``."""
    groups = group_by_seed(runs)
    return {
        **comparison_document(list(runs)),
        "groups": [finite(_group_entry(group)) for group in groups],
        "tests": [finite(asdict(test)) for test in paired_tests(groups)],
    }


def _group_entry(group: SeedGroup) -> dict[str, Any]:
    return {
        "setting": group.setting,
        "settings": group.settings,
        "seeds": group.seeds,
        "runs": [run.row.run for run in group.runs],
        "left_out": group.left_out,
        "tested_on": group.tested_on,
        **{measure: group.spread(measure)._asdict() for measure in MEASURES},
        "curves": group.curves(),
    }


def _group(runs: list[ComparedRun], left_out: list[str]) -> SeedGroup:
    runs = sorted(runs, key=lambda run: run.settings.get(SEED) or 0)
    settings = _without_seed(runs[0])
    return SeedGroup(_words(settings), settings, [run.settings.get(SEED) for run in runs], runs, left_out)


def _without_seed(run: ComparedRun) -> dict[str, Any]:
    return {key: value for key, value in run.settings.items() if key != SEED}


def _words(settings: dict[str, Any]) -> str:
    """Settings as a name: the last parts of their keys where these differ."""
    last = [key.rpartition(".")[2] for key in settings]
    words = [word if last.count(word) == 1 else key for key, word in zip(settings, last, strict=True)]
    values = ["not set" if value is None else str(value) for value in settings.values()]
    return ", ".join(map(" ".join, zip((word.replace("_", " ") for word in words), values, strict=True))) or "all runs"


def _accuracies(group: SeedGroup) -> dict[int | None, float]:
    pairs = zip(group.seeds, group.runs, strict=True)
    return {seed: run.row.test_accuracy for seed, run in pairs if run.row.test_accuracy is not None}


def _entry(values: Iterable[float | None]) -> dict[str, float | None]:
    spread = Spread.of(values)
    return {"mean": spread.mean, "sd": spread.sd}
