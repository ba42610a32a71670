"""Names of members, and sweeps that go on in a folder that has runs."""

import json
import re
from pathlib import Path

import pytest
import runs
from hypothesis import given
from hypothesis import strategies as st

from spikesim.cli.sweeps.planning import plan_sweep, state_of
from spikesim.cli.sweeps.sweep_file import Settings
from spikesim.ep.runs.plan import PLAN, read_plan
from spikesim.errors import InputError
from spikesim.io.lock import RunLock


def names(folder: Path, *members: Settings) -> list[str]:
    return [member.name for member in plan_sweep(folder, members).members]


def test_members_are_named_by_what_differs(tmp_path: Path) -> None:
    common = {"dynamics.steps_free": 8}
    assert names(tmp_path, *({**common, "dynamics.beta": beta, "seed": 1} for beta in (0.5, 1e-05))) == [
        "beta-0.5",
        "beta-1e-05",
    ]
    two = ({"dynamics.beta": beta, "seed": seed} for beta in (0.5, -1) for seed in (0, 1))
    assert names(tmp_path, *two)[1:3] == ["beta-0.5_seed-1", "beta--1_seed-0"]
    assert names(tmp_path, {"a.gain": 1, "b.gain": True}, {"a.gain": 2, "b.gain": False})[0] == "a.gain-1_b.gain-true"
    assert names(tmp_path, {"model.arch": "mlp"}) == ["arch-mlp"], "of one member, all"
    assert names(tmp_path, {}, {"x.rate": [0.1, 0.2]}) == ["run", "rate-0.1,0.2"]
    layers = names(tmp_path, *({"model.layers": [{"channels": count, "kind": "conv"}] * 2} for count in (1, 2)))
    assert all(re.fullmatch("layers-[0-9a-f]{8}", name) for name in layers) and len(set(layers)) == 2


KEYS = [f"{section}.{key}" for section in "ab" for key in ("gain", "rate", "a_key_of_many_letters_" * 2)]
VALUES = st.integers() | st.floats(allow_nan=False) | st.booleans() | st.text(max_size=30) | st.just([0.5, 1])


@given(st.lists(st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=6), min_size=1, max_size=5))
def test_whatever_the_settings_names_are_safe_and_differ(
    tmp_path_factory: pytest.TempPathFactory, members: list[Settings]
) -> None:
    found = names(tmp_path_factory.getbasetemp() / "nowhere", *members)
    assert all(re.fullmatch(r"[a-z][A-Za-z0-9.,+_-]{0,119}", name) for name in found)
    different = {json.dumps(own, sort_keys=True) for own in members}
    assert len({name.lower() for name in found}) >= len(different), "also where upper and lower case are the same"


def test_a_sweep_that_grows_keeps_what_it_has(tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    first = plan_sweep(folder, [{"seed": 0}, {"seed": 1}, {"seed": 2}])
    first.begin()
    for member in first.members[:2]:
        runs.write_run(member.path(folder), 4)
    second = plan_sweep(folder, [{"dynamics.beta": 0.5, "seed": 3}, {"seed": 1}])
    assert [member.name for member in second.members] == ["beta-0.5_seed-3", "seed-1"]
    assert [member.name for member in second.others] == ["seed-0"] and second.dropped == ["seed-2"]
    second.begin()
    assert [member.name for member in read_plan(folder)] == ["beta-0.5_seed-3", "seed-1", "seed-0"]


def test_a_folder_whose_members_were_numbered_keeps_their_numbers(tmp_path: Path) -> None:
    runs.write_run(tmp_path / "run-1.h5", 4)
    sweep = plan_sweep(tmp_path, [{"seed": 7}, {"seed": 8}])
    assert [member.name for member in sweep.members] == ["run-0", "run-1"]
    (tmp_path / "sweep.sbatch").write_text(
        "#!/bin/bash\n0) set -- --set seed=7 --out '/some where/run-0.h5' ;;\n"
        "1) set -- --set seed=8 --out /x/run-1.h5 ;;\n"
    )
    assert read_plan(tmp_path) == sweep.members
    sweep.begin()
    assert plan_sweep(tmp_path, [{"seed": 8}, {"seed": 7}]).members == sweep.members[::-1]


@pytest.mark.parametrize(
    "text",
    [
        "none",
        "[]",
        "{}",
        '{"format": "spikesim-sweep", "version": 2, "members": []}',
        '{"format": "spikesim-sweep", "version": 1, "members": [{"name": "../../x", "settings": []}]}',
        '{"format": "spikesim-sweep", "version": 1, "members": [{"name": "x", "settings": [1]}]}',
        "[" * 100_000,
    ],
)
def test_what_is_no_plan_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / PLAN).write_text(text)
    with pytest.raises(InputError, match=r"sweep.json is not the plan of a sweep"):
        read_plan(tmp_path)


def test_states_of_members(tmp_path: Path) -> None:
    assert state_of(tmp_path / "none.h5") == "absent"
    assert state_of(runs.write_run(tmp_path / "a.h5", 4)) == "finished"
    assert state_of(runs.write_run(tmp_path / "b.h5", 2, "stopped")) == "unfinished"
    with RunLock(tmp_path / "b.h5"):
        assert state_of(tmp_path / "b.h5") == "running"
    (tmp_path / "c.h5").write_text("no run file")
    assert state_of(tmp_path / "c.h5") == "unfinished", "its training says why it is not"
