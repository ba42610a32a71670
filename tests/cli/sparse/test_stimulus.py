"""`spikesim simulate` with inputs of data sets, as a user types it."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from event_files import SIDE, arrays_of, bars, write_file

from spikesim.cli import main
from spikesim.datasets import load
from spikesim.sparse import SimulationReader, Spikes

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "networks" / "stimulus.toml"
EYE = """\
[[population]]
name = "eye"
kind = "spikes"
size = {size}
record = true
{input}
"""


def simulate(path: Path, out: Path, steps: int) -> str:
    result = CliRunner().invoke(
        main, ["simulate", str(path), "--steps", str(steps), "--out", str(out), "--threads", "1"]
    )
    return result.output if result.exit_code else ""


def test_the_example_shows_images_and_goes_on_from_any_step(tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole.h5", tmp_path / "parts.h5"
    assert simulate(EXAMPLE, whole, 150) == ""
    command = ["simulate", str(EXAMPLE), "--out", str(parts), "--threads", "1", "--resume", "--steps"]
    for steps in ("97", "131", "150"):
        assert CliRunner().invoke(main, [*command, steps]).exit_code == 0
    with SimulationReader(whole) as one, SimulationReader(parts) as other:
        for name in one.populations:
            assert np.array_equal(one.counts(name), other.counts(name))
        retina = one.counts("retina")
        assert retina[:100].min() > 0 == retina[100:130].max() and one.counts("clock")[[0, 130]].tolist() == [1, 1]


def test_latencies_of_a_data_set(tmp_path: Path) -> None:
    text = 'images = { dataset = "fashion-mnist-mini", samples = [4], steps = 20 }'
    (tmp_path / "net.toml").write_text(EYE.format(size=784, input=text))
    assert simulate(tmp_path / "net.toml", tmp_path / "out.h5", 20) == ""
    expected = Spikes.of_latencies(load("fashion-mnist-mini").test.images[4:5], 20)
    with SimulationReader(tmp_path / "out.h5") as reader:
        found = reader.spikes("eye")
    assert np.array_equal(found.neurons, expected.neurons) and np.array_equal(found.steps, expected.steps)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('images = { dataset = "fashion-mnist-mini", samples = [99999], steps = 20 }', "there is no 99999"),
        ('images = { dataset = "fashion", samples = [0], steps = 20 }', "fashion"),
        ('recordings = { dataset = "fashion-mnist-mini", samples = [0] }', "give them as images"),
        ('images = { dataset = "fashion-mnist-mini", samples = [0], steps = 20 }', "is given spikes of neuron"),
    ],
)
def test_samples_that_there_are_not(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "net.toml").write_text(EYE.format(size=100, input=text))
    output = simulate(tmp_path / "net.toml", tmp_path / "out.h5", 20)
    assert output.startswith("Error: ") and words in output and output.count("\n") == 1


def test_recordings_of_a_file_beside_the_network(tmp_path: Path) -> None:
    own = bars(4)
    write_file(tmp_path / "own.npz", arrays_of(own, 2))
    text = 'recordings = { dataset = "own.npz", samples = [1, 0], step_ms = 0.5, pause = 5 }'
    (tmp_path / "net.toml").write_text(EYE.format(size=2 * SIDE * SIDE, input=text))
    assert simulate(tmp_path / "net.toml", tmp_path / "out.h5", 120) == ""
    expected, start = set(), 0
    for events, _ in (own[3], own[2]):
        steps = (events.t - events.t.min()) // 500
        neurons = (events.y * SIDE + events.x) * 2 + events.p
        expected |= set(zip((start + steps).tolist(), neurons.tolist(), strict=True))
        start += int(steps.max()) + 1 + 5
    with SimulationReader(tmp_path / "out.h5") as reader:
        found = reader.spikes("eye")
    assert list(zip(found.steps.tolist(), found.neurons.tolist(), strict=True)) == sorted(expected)
