"""Threads that share one sparse network: how much faster it runs on two and more.

    python benchmarks/speed/sparse_threads.py [--neurons 100000] [--synapses 1000] [--threads 1 2]

The network of `sparse.py`, built once for each number of threads. They take turns, so that what else the machine does
meets all of them alike: wall-clock time of so many steps, medians over the repeats and, in brackets, the smallest and
the largest, and the speed beside the first number of threads. All must have fired the same spikes.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).resolve().parents[1]))  # measure.py
from measure import machine
from sparse_network import Spec, build

from spikesim.sparse import Simulation


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--neurons", type=int, default=100_000, help="(default: 100000)")
    parser.add_argument("--synapses", type=int, default=1000, help="of each neuron (default: 1000)")
    parser.add_argument("--rate", type=float, default=1.0, help="wanted activity, per cent a step (default: 1)")
    parser.add_argument("--delay", type=int, nargs=2, default=(1, 4), help="steps, from and to (default: 1 4)")
    parser.add_argument("--steps", type=int, default=100, help="of a repeat (default: 100)")
    parser.add_argument("--repeats", type=int, default=5, help="(default: 5)")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="(default: 1 2)")
    options = parser.parse_args()
    if min(*options.threads, options.steps, options.repeats, options.neurons, options.synapses) < 1:
        parser.error("numbers must be 1 or more")
    delay = options.delay[0], options.delay[1]
    spec = Spec(options.neurons, options.synapses, options.rate / 100, delay, leak=2, steps=options.steps)
    print(machine(("numba", "numpy")))
    simulations = {}
    for threads in options.threads:
        net, live = build(spec, 0)
        simulations[threads] = Simulation(net, threads=threads), live
        simulations[threads][0].run(spec.warm)
    first, _ = simulations[options.threads[0]]
    began = int(first.events().sum())
    seconds: dict[int, list[float]] = {threads: [] for threads in simulations}
    for _ in range(options.repeats):
        for threads, (simulation, _) in simulations.items():
            start = time.perf_counter()
            simulation.run(spec.steps)
            seconds[threads].append(time.perf_counter() - start)
    events = (int(first.events().sum()) - began) / options.repeats
    print(
        f"{options.neurons:,} neurons of {options.synapses:,} synapses, delays {delay[0]} to {delay[1]}, "
        f"{events / options.steps:,.0f} events a step"
    )
    print("| threads | ms a step | M events/s | times as fast |\n|---|---|---|---|")
    reference = np.array(seconds[options.threads[0]])
    for threads, (simulation, live) in simulations.items():
        for population, other in zip(simulations[options.threads[0]][1], live, strict=True):
            assert np.array_equal(first.spike_counts(population), simulation.spike_counts(other))
        own = np.array(seconds[threads])
        ratios = reference / own
        print(
            f"| {threads} | {1e3 * np.median(own) / options.steps:.3f} | {events / np.median(own) / 1e6:.0f} "
            f"| {np.median(ratios):.2f} ({ratios.min():.2f} to {ratios.max():.2f}) |"
        )


if __name__ == "__main__":
    main()
