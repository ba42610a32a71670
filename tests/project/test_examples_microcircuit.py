"""examples/networks/microcircuit.py as a user types it: a tenth of the network fires as the full one is published to.

Its CVs need 20 s, which `--time 60 --check` has (docs/sparse-networks.md).
"""

import re

from commands import script


def test_a_tenth_of_the_microcircuit_fires_as_published():
    done = script("examples/networks/microcircuit.py", "--time", 1.4, "--check")
    assert done.returncode == 0, done.stderr
    assert "7,717 neurons, 2,988,807 synapses" in done.stdout
    rows = re.findall(r"^(L\w+) +([\d.]+) \(([\d.]+)\) +([\d.]+) \(", done.stdout, re.MULTILINE)
    assert [name for name, *_ in rows] == ["L23E", "L23I", "L4E", "L4I", "L5E", "L5I", "L6E", "L6I"]
    assert all(abs(float(rate) - float(published)) < 1.8 for _, rate, published, _ in rows)
    assert all(0.4 < float(cv) < 1.0 for *_, cv in rows)  # irregular; of a second


def test_rates_of_a_network_that_is_too_small_are_noticed():
    done = script("examples/networks/microcircuit.py", "--scale", 0.01, "--time", 0.6, "--check")
    assert done.returncode == 1 and re.search(r"rate of L\w+ is [\d.]+, published", done.stderr)
