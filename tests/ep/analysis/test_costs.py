"""What operations cost: published energies, and costs from a file."""

import numpy as np
import pytest
from commands import ROOT

from spikesim.ep.analysis.costs import energy_costs
from spikesim.ep.analysis.published import PUBLISHED
from spikesim.ep.runs.energy import EnergyModel
from spikesim.errors import InputError

FILE = """\
name = "chip"
[picojoule]
accumulate = 1
multiply_accumulate = 3.5
neuron_update = 0.25
[bytes]
weight = 0.5
state = 4
[[memory]]
name = "near"
bytes = 100
weight_fetch = 2
state_access = 5
[[memory]]
name = "far"
bytes = 1000
weight_fetch = 20
state_access = 50
"""


class Run:
    """As much of a run as costs look at."""

    def __init__(self, weights, neurons):
        head = np.zeros((999, 9))
        self._weights = {"conv1/weight": np.zeros(weights), "conv1/bias": np.zeros(999)}
        self._weights |= {"head1/weight": head, "readout/weight": head}
        self.layers = [type("Layer", (), {"neurons": neurons})]

    def weights(self):
        return self._weights


def test_every_operation_fetch_and_access_is_charged(tmp_path):
    (tmp_path / "c.toml").write_text(FILE)
    energy = energy_costs(str(tmp_path / "c.toml")).model(Run(weights=200, neurons=26))
    assert (energy.weights_in, energy.states_in) == ("near", "far")  # 100 and 104 bytes
    events, macs, updates = np.array([7, 0, 0]), np.array([0, 7, 0]), np.array([0, 0, 7])
    picojoules = energy.estimate(events, macs, updates) * 1e12 / 7
    np.testing.assert_allclose(picojoules, [1 + 2 + 2 * 50, 3.5 + 2, 0.25 + 2 * 50])
    assert energy.source == "c.toml" and "2 pJ to fetch a weight from near" in energy.words()


def test_what_fits_nowhere(tmp_path):
    (tmp_path / "c.toml").write_text(FILE)
    costs = energy_costs(str(tmp_path / "c.toml"))
    with pytest.raises(
        InputError, match=r"chip: 251 states of 4 bytes do not fit into any level.*\[\[memory\]\] without bytes"
    ):
        costs.model(Run(weights=2000, neurons=251))
    (tmp_path / "c.toml").write_text(FILE.replace("bytes = 1000\n", ""))
    assert energy_costs(str(tmp_path / "c.toml")).model(Run(weights=9999, neurons=9999)).weights_in == "far"


def test_the_published_ones_are_those_of_the_run_file_without_more():
    own = energy_costs("45nm-fp32").model(Run(5, 5))
    assert own.estimate(3, 4, 5) == EnergyModel().estimate(3, 4) and "no memory traffic" in own.words()
    for row in PUBLISHED:
        costs = energy_costs(row.preset)
        assert (costs.accumulate, costs.multiply_accumulate) == (row.add, pytest.approx(row.add + row.multiply))


def test_the_example_is_such_a_file():
    costs = energy_costs(str(ROOT / "examples" / "energy" / "45nm-int8.toml"))
    assert [level.capacity for level in costs.memory] == [8192, 32768, 1048576, None]


@pytest.mark.parametrize(
    ("old", "new", "fragments"),
    [
        ("accumulate = 1\n", "", ("[picojoule]", "has no accumulate")),
        ("accumulate = 1\n", "accumulate = -1\n", ("accumulate in", "at least 0")),
        ("accumulate = 1\n", "accumulate = nan\n", ("accumulate in", "finite")),
        ("accumulate = 1\n", 'accumulate = "1"\n', ("accumulate in", "a number")),
        ("[bytes]\nweight = 0.5\nstate = 4\n", "", ("[bytes]", "has no weight")),
        ("weight_fetch = 2\n", "", ("[[memory]]", "has no weight_fetch")),
        ("bytes = 100\n", "bytes = 0\n", ("bytes of the memory 'near'", "above 0")),
        ('name = "near"', 'name = ""', ("empty name",)),
        ('name = "chip"\n', "", ("has no name",)),
        ('name = "chip"', 'name = "chip"\nprice = 1', ("unknown key 'price'",)),
        ("[picojoule]", "picojoule = 1\n[other]", ("unknown key 'other'",)),
        ("[[memory]]", "[memory", ("not TOML",)),
    ],
)
def test_a_file_that_says_something_else_is_one_line(tmp_path, old, new, fragments):
    assert old in FILE
    (tmp_path / "c.toml").write_text(FILE.replace(old, new))
    with pytest.raises(InputError) as raised:
        energy_costs(str(tmp_path / "c.toml")).model(Run(2, 2))
    assert all(fragment in str(raised.value) for fragment in fragments), raised.value
    assert "c.toml" in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["28nm-int8", "", "missing.toml", "\n"])
def test_costs_that_are_not_there(name):
    with pytest.raises(InputError, match=r"45nm-int8, 45nm-fp16|cannot read missing.toml") as raised:
        energy_costs(name)
    assert "\n" not in str(raised.value)
