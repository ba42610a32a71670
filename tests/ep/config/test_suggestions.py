"""What is asked of somebody who gave a key, a word or an option that there is not."""

from typing import Any

import pytest
from click.testing import CliRunner

from spikesim.cli import main
from spikesim.ep.config import suggestions
from spikesim.ep.config.parsing import all_keys, make_config, merge
from spikesim.ep.network.architectures import architecture
from spikesim.errors import InputError


@pytest.mark.parametrize(
    ("key", "value", "meant"),
    [
        ("dynamics.betta", 1, "beta"),
        ("dynamics.Beta", 1, "beta"),
        ("dynamics.steps-free", 8, "steps_free"),
        ("dynamics.t_free", 8, "steps_free"),
        ("dynamics.T1", 8, "steps_free"),
        ("dynamics.T2", 8, "steps_nudged"),
        ("dynamics.learning_rate", 1, "optimizer.learning_rate"),
        ("optimizer.lr", 1, "learning_rate"),
        ("optimiser.lr", 1, "optimizer.learning_rate"),
        ("optimiser.momentum", 0.5, "optimizer.momentum"),
        ("optimiser.nothing_like_it", 1, "optimizer"),
        ("signals.strength", 1, "error_signals.strength"),
        ("lr", 1, "optimizer.learning_rate"),
        ("sed", 1, "seed"),
        ("optimizer.name", "adamm", "adam"),
        ("dynamics.noise", "comon", "common"),
        ("preset", "stochep_crn", "stochep-crn"),
        ("dynamics.xyzzy", 1, None),
        ("dynamics.noise", "xyzzy", None),
    ],
)
def test_what_was_meant_is_asked(key: str, value: Any, meant: str | None) -> None:
    with pytest.raises(InputError) as caught:
        make_config(merge({}, [(key, value)]))
    text = str(caught.value)
    assert text.isprintable() and (f"(did you mean {meant}?)" in text if meant else "did you mean" not in text)


def test_other_names_are_of_keys_that_there_are() -> None:
    assert set(suggestions._NAMES.values()) <= set(all_keys())
    assert set(suggestions._SECTIONS.values()) <= {key.partition(".")[0] for key in all_keys()}


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"kind": "conv", "channels": 4, "skip": "conv1"}, "unknown key 'skip' in a layer (did you mean from?)"),
        ({"kind": "conv", "filters": 4}, "unknown key 'filters' in a layer (did you mean channels?)"),
        ({"kind": "cnv", "channels": 4}, "kind is 'cnv'; it must be one of conv, dense, tokens (did you mean conv?)"),
        ({"channels": 4}, "a layer has no kind"),
    ],
)
def test_a_wrong_row_is_named(row: dict[str, Any], words: str) -> None:
    good = {"kind": "conv", "channels": 4}
    with pytest.raises(InputError, match=r"^row 2 of model\.layers, \{") as caught:
        architecture("custom", (good, row, good))
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("command", "option", "meant"),
    [
        ("train", "--lr", "--set optimizer.learning_rate=VALUE"),
        ("train", "--learning-rate", "--set optimizer.learning_rate=VALUE"),
        ("train", "--optimizer", "--set optimizer.name=VALUE"),
        ("train", "--t-free", "--steps-free"),
        ("gradcheck", "--loss", "--set dynamics.cost=VALUE"),
        ("train", "--epoch", "--epochs"),
        ("report", "--lr", None),
    ],
)
def test_an_option_is_answered_with_the_one_that_is_meant(command: str, option: str, meant: str | None) -> None:
    result = CliRunner().invoke(main, [command, option, "1"])
    assert result.exit_code == 2
    last = result.output.splitlines()[-1]
    assert last.startswith(f"Error: No such option '{option}'") and "Traceback" not in result.output
    assert meant in last if meant else "--set" not in last


def test_the_nearest_architecture_is_asked() -> None:
    with pytest.raises(InputError, match=r"^unknown architecture 'vgg-11' \(did you mean vgg11\?\); it is one of mlp"):
        architecture("vgg-11")
