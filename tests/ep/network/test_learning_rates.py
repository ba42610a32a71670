"""Absolute learning rates of a run file are those that its training had."""

from pathlib import Path
from typing import Any

import pytest
import small

from spikesim.ep.network.learning_rates import learning_rates, rates_of_run
from spikesim.ep.network.model import Model
from spikesim.ep.runs.samples import SampleSpec
from spikesim.ep.runs.writer import RunReader, RunWriter
from spikesim.ep.training.run_rows import make_header
from spikesim.errors import InputError

SETTINGS: tuple[dict[str, Any], ...] = (
    {
        "model__gain": 1.5,
        "model__gain_growth": 1.3,
        "error_signals__kind": "local",
        "error_signals__learning_rate": 0.3,
    },
    {"model__gain": (0.5, 0.6, 0.7, 0.8), "optimizer__learning_rate": [0.1, 0.2, 0.3, 0.4]},
)


def write(path: Path, settings: dict[str, Any], **kept: Any) -> tuple[Any, Any]:
    config, dataset = small.make(*small.SKIPS, **settings), small.make_dataset(size=8)
    model = Model(config, dataset)
    parameters = small.random_parameters(model)
    with RunWriter.create(path, make_header(model, config, parameters, "", **kept)) as writer:
        writer.write_weights(parameters.leaves())
    return model, config


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("described", [True, False])  # older files do not say what their samples are
def test_they_are_those_of_the_training(settings: dict[str, Any], described: bool, tmp_path: Path) -> None:
    kept = {"samples": SampleSpec.of(small.make_dataset(size=8))} if described else {}
    model, config = write(tmp_path / "run.h5", settings, **kept)
    expected = learning_rates(model, config)
    with RunReader(tmp_path / "run.h5") as reader:
        found = rates_of_run(reader)
    assert set(found) == {*model.names, *(head.name for head in model.heads)}
    for name, own in found.items():
        assert (own.weights, own.biases) == (expected[f"{name}/weight"], expected[f"{name}/bias"])
        assert (own.deviation is None) == (name not in model.names)


def test_a_network_of_another_version_is_not_guessed_at(tmp_path: Path) -> None:
    write(tmp_path / "run.h5", {})
    with RunReader(tmp_path / "run.h5") as reader:
        reader.config["model"]["layers"] = reader.config["model"]["layers"][:3]
        with pytest.raises(InputError, match="has 4 layers; custom has 3"):
            rates_of_run(reader)
