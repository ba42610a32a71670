import json

import pytest
from commands import CONFIG, spikesim, succeed

from spikesim.ep.config.sections.presets import PRESETS

SHORT = ("--steps-free", 8, "--set", "dynamics.window_free=4", "--steps-nudged", 4, "--epochs", 1)


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp("presets") / "tiny.toml"
    path.write_text(CONFIG)
    return path


def test_the_list():
    text = succeed("presets").stdout
    assert [line.partition(":")[0] for line in text.splitlines() if line[0] != " "] == list(PRESETS)
    assert '  dynamics.noise = "independent"' in text.splitlines()
    found = json.loads(succeed("presets", "--format", "json").stdout)
    assert {name: own["keys"] for name, own in found.items()} == {name: own.keys for name, own in PRESETS.items()}


def test_a_run_of_a_preset_says_so(config, tmp_path):
    run, twin = tmp_path / "run.h5", tmp_path / "twin.h5"
    succeed("train", "--config", config, "--preset", "stochep-crn", *SHORT, "--out", run)
    lines = succeed("info", run).stdout.splitlines()
    at = lines.index("preset: stochep-crn, but for")
    differing = lines[at + 1 : lines.index("configuration:")]
    assert "  dynamics.steps_free = 8" in differing and '  preset = "stochep-crn"' in lines
    assert not any("feedback_gain" in line for line in differing), "as the preset has it"
    toml = tmp_path / "preset.toml"
    toml.write_text('preset = "stochep-crn"\n' + CONFIG)
    succeed("train", "--config", toml, *SHORT, "--out", twin)
    assert lines[-1].startswith("digest: ") and succeed("info", twin).stdout.splitlines()[-1] == lines[-1]
    checked = json.loads(
        succeed("gradcheck", "--run", run, "--preset", "stochep", "--batch", 4, "--format", "json").stdout
    )
    assert checked["config"]["preset"] == "stochep" and checked["config"]["dynamics"]["noise"] == "independent"
    assert checked["config"]["dynamics"]["steps_free"] == PRESETS["stochep"].keys["dynamics.steps_free"]


def test_other_names_are_refused(config, tmp_path):
    for command in (("train", "--out", tmp_path / "run.h5"), ("gradcheck",), ("ablation",)):
        result = spikesim(*command, "--config", config, "--preset", "stoch")
        assert result.returncode == 2 and result.stderr.count("\n") == 1
        assert "'stoch'" in result.stderr and "stochep-signals" in result.stderr
