"""Sweep files: which members they have."""

import itertools
import json
import math
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from spikesim.cli import main
from spikesim.cli.sweeps.ranges import drawn, spaced
from spikesim.cli.sweeps.sweep_file import read_sweep, setting_text
from spikesim.ep.config.parsing import parse_setting
from spikesim.errors import InputError


def sweep_of(tmp_path: Path, text: str) -> list[dict[str, object]]:
    path = tmp_path / "sweep.toml"
    path.write_text(text)
    return read_sweep(path)


def test_a_sweep_is_a_grid_a_list_or_both(tmp_path: Path) -> None:
    grid = "[grid]\nseed = [0, 1]\ndynamics.beta = [0.1, 0.2, 0.3]\n"
    listed = '[[runs]]\nmodel.arch = "mlp"\n[[runs]]\nmodel.arch = "conv"\noptimizer.learning_rate = [0.1, 0.2]\n'
    found = sweep_of(tmp_path, grid)
    assert len(found) == 6 and found[1] == {"seed": 0, "dynamics.beta": 0.2}
    assert sweep_of(tmp_path, listed)[1] == {"model.arch": "conv", "optimizer.learning_rate": [0.1, 0.2]}
    both = sweep_of(tmp_path, grid + listed)
    assert len(both) == 12 and both[-1] == {
        "model.arch": "conv", "optimizer.learning_rate": [0.1, 0.2], "seed": 1, "dynamics.beta": 0.3,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("", "is empty"),
        ("gird = 3", "has 'gird'"),
        ("grid = 3", "one table"),
        ("[grid]\nseed = 3", "grid.seed is 3"),
        ("[grid]\nseed = []", "grid.seed"),
        ("[runs]\nseed = 1", "a list of tables"),
        ("runs = []", "no members"),
        ("[grid]\nseed = [1]\n[[runs]]\nseed = 2", r"seed is in \[\[runs\]\] and in \[grid\]"),
        ("samples = 3", "samples needs a random search"),
        ("[random]\nseed = [1]", "samples is missing"),
        ("samples = 0\n[random]\nseed = [1]", "samples is 0"),
        ("samples = 2\nsearch_seed = 0.5\n[random]\nseed = [1]", "search_seed is 0.5"),
        ("[grid]\nk = { low = 0, high = 1 }", "grid.k has no count"),
        ("[grid]\nk = { low = 1, high = 4, count = 6 }", "gives some values twice"),
        ("[grid]\nk = { low = 0, high = 1.0, count = 3, log = true }", "k.low is 0; it must be above 0"),
        ("samples = 2\n[random]\nk = { low = 1.0, high = 1.0 }", "k.high is 1.0; it must be above 1"),
        ("samples = 2\n[random]\nk = { low = 1, high = 2, count = 3 }", "unknown key 'count'"),
        ("samples = 2\n[random]\nk = { low = 1, high = 2, log = 1 }", "k.log is 1"),
        ("[grid]\n" + "".join(f"k{i} = [{', '.join(map(str, range(100)))}]\n" for i in range(3)), "more than 100000"),
    ],
)
def test_what_is_no_sweep_is_refused(text: str, fragment: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=fragment):
        sweep_of(tmp_path, text)


SEARCH = """
samples = 20
search_seed = 3
[random]
optimizer.learning_rate = { low = 1e-3, high = 0.1, log = true }
dynamics.steps_free = { low = 8, high = 11 }
model.arch = ["conv", "mlp"]
[grid]
seed = [0, 1]
"""


def test_a_random_search_has_the_same_plan_every_time(tmp_path: Path) -> None:
    found = sweep_of(tmp_path, SEARCH)
    assert len(found) == 40 and found == sweep_of(tmp_path, SEARCH)
    assert found[0] == {  # on any machine and with any version of the packages
        "optimizer.learning_rate": 0.001138, "dynamics.steps_free": 9, "model.arch": "mlp", "seed": 0,
    }  # fmt: skip
    assert {own["dynamics.steps_free"] for own in found} == {8, 9, 10, 11}
    assert {own["model.arch"] for own in found} == {"conv", "mlp"}
    rates = [own["optimizer.learning_rate"] for own in found]
    assert len(set(rates)) == 20 and 4 <= sum(rate < 0.01 for rate in rates) / 2 <= 16, "evenly in the logarithm"
    assert sweep_of(tmp_path, SEARCH.replace("20", "30"))[:40] == found, "more samples begin with the same"
    other = read_sweep(tmp_path / "sweep.toml", search_seed=4)
    assert other != found and read_sweep(tmp_path / "sweep.toml", search_seed=3)[:40] == found


def test_seeds_are_one_more_axis(tmp_path: Path) -> None:
    assert read_sweep(None, (4, 2)) == [{"seed": 4}, {"seed": 2}]
    (tmp_path / "sweep.toml").write_text("[grid]\ndynamics.beta = [0.1, 0.1, 0.2]\n")
    found = read_sweep(tmp_path / "sweep.toml", (0, 1))
    assert [tuple(own.values()) for own in found] == [(0.1, 0), (0.1, 1), (0.2, 0), (0.2, 1)], "each once"
    (tmp_path / "sweep.toml").write_text("[grid]\nseed = [1]\n")
    with pytest.raises(InputError, match="and in --seeds"):
        read_sweep(tmp_path / "sweep.toml", (0, 1))


@pytest.mark.parametrize(
    ("text", "seeds"), [("0-2", "0 1 2"), ("3", "3"), ("5,1-2,2", "5 1 2"), ("2-1", None), ("-1", None), ("1,,2", None)]
)
def test_seeds_are_numbers_and_ranges(text: str, seeds: str | None, tmp_path: Path) -> None:
    result = CliRunner().invoke(
        main, ["sweep", "--dry-run", f"--seeds={text}", "--", "train", "--out", str(tmp_path / "runs")]
    )
    if seeds is None:
        assert result.exit_code == 2 and f"--seeds is {text!r}" in result.output
    else:
        assert result.output.split()[1::2] == [f"seed={seed}" for seed in seeds.split()]


@given(st.floats(1e-6, 1e6), st.floats(1.5, 1e6), st.integers(2, 9), st.booleans(), st.integers(0, 2**64 - 1))
def test_values_of_a_range_lie_within_it(low: float, factor: float, count: int, log: bool, seed: int) -> None:
    ends = {"low": low, "high": low * factor, "log": log}
    found = spaced({**ends, "count": count}, "k")
    assert (found[0], found[-1]) == (low, low * factor) and found == sorted(found) and len(found) == count
    steps = [math.log(b / a) if log else b - a for a, b in itertools.pairwise(found)]
    assert max(steps) - min(steps) <= 0.01 * (math.log(factor) if log else low * factor - low)
    assert all(low <= value <= low * factor for value in drawn(ends, "k", 5, seed))


def test_an_integer_of_a_range_is_as_likely_as_another() -> None:
    found = drawn({"low": 1, "high": 4}, "k", 4000, 0)
    assert all(abs(found.count(value) - 1000) < 150 for value in (1, 2, 3, 4))
    assert spaced({"low": 1, "high": 1000, "count": 4, "log": True}, "k") == [1, 10, 100, 1000]


TOML_VALUES = st.recursive(
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(blacklist_categories=["Cs"]))
    | st.dates()
    | st.times()
    | st.datetimes(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(blacklist_categories=["Cs"])), inner)
    ),
    max_leaves=6,
)


@given(TOML_VALUES)
@settings(deadline=None)
def test_a_setting_means_the_same_on_the_command_line(value: object) -> None:
    text = setting_text("some.key", value)
    assert text.isascii() and text.isprintable(), "no locale and no shell changes it"
    assert parse_setting(text) == ("some.key", value)
    plain = [json.dumps(one, default=str) for one in (parse_setting(text)[1], value)]
    assert plain[0] == plain[1], "a float remains one, and so does a boolean"


def test_a_setting_may_be_no_number() -> None:
    assert setting_text("a", float("nan")) == "a=nan" and parse_setting("a=inf") == ("a", float("inf"))
