"""A balanced random network: excitation and inhibition cancel, and the neurons fire irregularly.

    python examples/balanced_network.py [--neurons N] [--steps N] [--plot raster.png]

Four fifths of the leaky integrate-and-fire neurons excite, one fifth inhibits, six times as strongly; each is connected
to a tenth of all, with delays, and driven by a Poisson process of its own (Brunel 2000, "Dynamics of sparsely connected
networks of excitatory and inhibitory spiking neurons"; one step is about 1 ms). Prints the rates, the coefficient of
variation of the intervals (1 for a Poisson process, 0 for a clock) and what the simulation cost. The picture needs
matplotlib (the extra `plot`).
"""

import argparse
import time

import numpy as np

from spikesim.sparse import LeakyIntegrateAndFire, Network, Population, RandomSynapses, Simulation

LEAK = 4
WEIGHT, INHIBITION = 0.06, 6.0
"""Of an excitatory synapse, for 10,000 neurons; and how much stronger an inhibitory one is."""
DRIVE = 1.5
"""Potential at which the external arrivals alone would hold a neuron, the threshold being 1."""


def build(neurons: int, seed: int) -> tuple[Network, Population, Population]:
    """The network, its excitatory and its inhibitory population."""
    model = LeakyIntegrateAndFire(leak=LEAK, threshold=1.0, width=0.05, reset=0.0, refractory=2)
    net = Network()
    excitatory = net.add_population(neurons * 4 // 5, model, name="excitatory")
    inhibitory = net.add_population(neurons - excitatory.size, model, name="inhibitory")
    scale = (10_000 / neurons) ** 0.5  # the fewer synapses, the stronger each: the fluctuations stay
    for index, (source, weight) in enumerate(((excitatory, WEIGHT), (inhibitory, -INHIBITION * WEIGHT))):
        for target in (excitatory, inhibitory):
            pattern = RandomSynapses(target.size // 10, weight * scale, delay=(1, 4), seed=seed + index)
            net.connect(source, target, pattern)
    for population in (excitatory, inhibitory):
        net.add_poisson(population, DRIVE / (2**LEAK * WEIGHT * scale), WEIGHT * scale)
    return net, excitatory, inhibitory


def variation(steps: np.ndarray, neurons: np.ndarray) -> float:
    """Mean coefficient of variation of the intervals, of the neurons with at least ten of them."""
    order = np.lexsort((steps, neurons))
    steps, neurons = steps[order], neurons[order]
    starts = np.flatnonzero(np.diff(neurons, prepend=-1))
    trains = [train for train in np.split(steps, starts[1:]) if len(train) > 10]
    return float(np.mean([np.std(np.diff(train)) / np.mean(np.diff(train)) for train in trains])) if trains else np.nan


def draw(path: str, simulation: Simulation, populations: tuple[Population, ...], first: int) -> None:
    """Raster of some neurons of each population, and the rate of all in each step, of 1 ms."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    raster, rate = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    offset = 0
    for population, colour in zip(populations, ("tab:blue", "tab:red"), strict=True):
        shown = population.size // 40
        spikes = simulation.spikes(population)
        seen = (spikes.neurons < shown) & (spikes.steps >= first)
        raster.plot(spikes.steps[seen], spikes.neurons[seen] + offset, ".", markersize=2, color=colour)
        counts = simulation.counts(population)[first:]
        rate.plot(first + np.arange(len(counts)), 1000 * counts / population.size, color=colour, label=population.name)
        offset += shown
    raster.set_ylabel("neuron")
    rate.set(xlabel="time (ms)", ylabel="rate (Hz)")
    rate.legend(loc="upper right")
    figure.savefig(path, dpi=150)


def main() -> None:
    """Run, print, draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--neurons", type=int, default=10_000)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plot", metavar="FILE", help="PNG, SVG or PDF")
    arguments = parser.parse_args()
    if arguments.neurons < 100 or arguments.steps < 100:
        parser.error("it takes at least 100 neurons and 100 steps")
    net, *populations = build(arguments.neurons, arguments.seed)
    simulation = Simulation(net, seed=arguments.seed)
    simulation.record(*populations)
    simulation.run(100)  # compiles, and lets the network forget its start
    before, started = simulation.events().sum(), time.perf_counter()
    simulation.run(arguments.steps)
    seconds, events = time.perf_counter() - started, int(simulation.events().sum() - before)
    for population in populations:
        spikes = simulation.spikes(population)
        late = spikes.steps >= 100
        share = late.sum() / population.size / arguments.steps
        print(
            f"{population.name}: {100 * share:.2f} % of the neurons fire in a step, coefficient of variation "
            f"{variation(spikes.steps[late], spikes.neurons[late]):.2f}"
        )
    print(f"{events / 1e6:.1f} M synaptic events in {seconds:.2f} s: {events / seconds / 1e6:.0f} M/s")
    if arguments.plot:
        draw(arguments.plot, simulation, tuple(populations), max(100, 100 + arguments.steps - 300))


if __name__ == "__main__":
    main()
