"""A layer with delays: which of two ears hears a sound first?

    python examples/delay_lines.py [--shift 3]

Clicks at random moments reach the left and the right ear, one of them later. Each detector hears the left ear through a
delay of its own and the right ear through the same one as all others, and fires when both arrive in the same step: the
place of the most active detector tells the shift (Jeffress 1948, "A place theory of sound localization"). Prints how
often each detector fired.
"""

import argparse

import numpy as np
from scipy import sparse

from spikesim.sparse import LeakyIntegrateAndFire, Network, Simulation

DETECTORS = 11
"""Of the shifts -5 .. 5."""


def build(shift: int) -> tuple[Network, str]:
    """The network, and the name of its detectors; shift: steps by which the right ear hears later."""
    relay = LeakyIntegrateAndFire(leak=0, threshold=0.5, width=2**-16)  # forgets within a step, fires at each arrival
    net = Network()
    clicks = net.add_source(1, rate=0.02, name="clicks")
    ears = net.add_population(2, relay, name="ears")
    detectors = net.add_population(DETECTORS, relay, name="detectors")
    one = sparse.csc_array(np.ones((2, 1)))
    late = sparse.csc_array([[1 + max(-shift, 0)], [1 + max(shift, 0)]])
    net.connect(clicks, ears, one, delay=late)
    half = sparse.csc_array(np.full((DETECTORS, 2), 0.4))  # one ear alone stays below the threshold
    left = 1 + np.arange(DETECTORS)
    right = np.full(DETECTORS, 1 + DETECTORS // 2)
    net.connect(ears, detectors, half, delay=sparse.csc_array(np.stack([left, right], axis=1)))
    return net, detectors.name


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--shift", type=int, default=3, help="steps by which the right ear hears later, -5 .. 5")
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if abs(arguments.shift) > DETECTORS // 2 or arguments.steps < 100:
        parser.error("the shift is in -5 .. 5, the steps are at least 100")
    net, name = build(arguments.shift)
    simulation = Simulation(net, seed=arguments.seed)
    simulation.run(arguments.steps)
    population = next(own for own in net.populations if own.name == name)
    counts = simulation.spike_counts(population)
    for detector, count in enumerate(counts):
        print(f"shift {detector - DETECTORS // 2:+d}: {count:4d} {'#' * (40 * int(count) // max(1, counts.max()))}")


if __name__ == "__main__":
    main()
