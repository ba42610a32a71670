"""Plastic synapses beside NEST's `stdp_synapse`: the same weights, and events a second with and without plasticity.

    python benchmarks/speed/stdp.py --nest NEST/bin/python  # without it spikesim alone, and no weights

NEST is an environment of its own (`sparse.py` says how it is made). First, some hundred synapses whose sources and
targets fire when they are told to: their weights at the end, for additive, multiplicative and other exponents. Then the
balanced network of `lif_network.py`, in which synapses among excitatory neurons are fixed or plastic. Their rule is
multiplicative with as much potentiation as depression, so that weights stay at about half of Wmax and rates where they
are. Times are processor time of one thread.
"""

import argparse
import dataclasses
import shlex
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from lif_network import STEP_MS, LifSpec, membrane_steps
from sparse_sides import HEADER, NEST, Side, measure

sys.path.append(str(Path(__file__).resolve().parents[1]))  # measure.py
from measure import machine, spread

from spikesim.sparse import STDP, EdgeList, LeakyIntegrateAndFire, Network, OneToOne, Simulation, Spikes

OWN = [sys.executable, str(Path(__file__).resolve().parent / "lif_network.py")]
RULES: dict[str, dict[str, float]] = {
    "multiplicative": {},
    "additive": {"mu_plus": 0.0, "mu_minus": 0.0, "alpha": 1.05},
    "mu = 0.4": {"mu_plus": 0.4, "mu_minus": 0.4, "tau_plus": 15.0, "alpha": 0.9},
}
TAU_MINUS = 30.0
"""ms; in NEST it is of the target."""
DIFFERENCE = 1e-5
"""By which weights may differ, in units of Wmax."""


def given_spikes(random: np.random.Generator, neurons: int, rate: float, steps: int, last: int | None = None) -> Spikes:
    """Spikes of neurons at random; all fire in step `last`, too."""
    fires = random.random((steps, neurons)) < rate
    at, fired = np.nonzero(fires)
    if last is not None:
        at, fired = np.append(at, np.full(neurons, last)), np.append(fired, np.arange(neurons))
    return Spikes.at_steps(fired, at)


def difference(name: str, python: str, folder: Path) -> float:
    """Largest difference of weights from NEST's, in units of Wmax."""
    random, sources, targets, steps = np.random.default_rng(0), 20, 15, 20_000
    stdp = {
        "Wmax": 0.01,
        "lambda": 0.03,
        "alpha": 1.0,
        "mu_plus": 1.0,
        "mu_minus": 1.0,
        "tau_plus": 20.0,
        **RULES[name],
    }
    own = {"lambda_" if key == "lambda" else key: value for key, value in stdp.items()}
    pre, post = given_spikes(random, sources, 0.002, steps, steps + 200), given_spikes(random, targets, 0.002, steps)
    i, j = (axis.ravel() for axis in np.meshgrid(np.arange(sources), np.arange(targets)))
    delays, weights = random.integers(1, 40, len(i)), random.uniform(0.0, 0.01, len(i))
    net = Network(dt=STEP_MS)
    before = net.add_spike_trains(sources, pre, name="pre")
    driver = net.add_spike_trains(targets, Spikes.at_steps(post.neurons, post.steps), name="driver")
    after = net.add_population(targets, LeakyIntegrateAndFire(0, threshold=0.5, width=0.0), name="post")
    net.connect(driver, after, OneToOne(weight=1.0))
    rule = STDP(tau_minus=TAU_MINUS, **own)
    plastic = net.connect(before, after, EdgeList(i, j, weight=weights, delay=delays), plasticity=rule)
    simulation = Simulation(net)
    simulation.record(after)
    simulation.run(steps + 300)
    fired = simulation.spikes(after)
    np.savez(
        folder / "given.npz", pre=sources, post=targets, pre_steps=pre.steps, pre_neurons=pre.neurons,
        post_steps=fired.steps, post_neurons=fired.neurons, i=i, j=j, delays=delays, weights=weights,
    )  # fmt: skip
    spec = LifSpec(targets, sources, 0.01, (1, 5), 8, steps + 300, mode="weights", record=str(folder / "seen.npy"))
    told = {"stdp": stdp, "tau_minus": TAU_MINUS, "given": str(folder / "given.npz"), "arrivals": 0.0}
    Side("NEST", NEST.command(python), spec, **told).close()
    found = simulation.synapses(plastic)
    ours = np.asarray(found.matrix().toarray())[j, i]
    moved = float(np.abs(ours - weights).max() / 0.01)
    apart = float(np.abs(ours - np.load(folder / "seen.npy")).max() / 0.01)
    print(f"{name}: weights move by up to {moved:.2f} Wmax and differ by up to {apart:.1e} Wmax")
    return apart


def speed(options: argparse.Namespace) -> None:
    """The balanced network, fixed and plastic."""
    spec = LifSpec(options.neurons, options.synapses, options.rate / 100, (15, 15), 8, options.steps)
    print(f"\n{spec.neurons:,} neurons with {spec.synapses:,} synapses each, delays of 15 steps, {spec.steps} steps")
    print(HEADER, flush=True)
    sides = []
    other: dict[str, Any] = {"leak": 8, "membrane_ms": membrane_steps(8) * STEP_MS}
    for plastic in (False, True):
        own, kind = dataclasses.replace(spec, plastic=plastic), "plastic" if plastic else "fixed"
        sides.append(Side(f"spikesim, {kind}", OWN, own))
        if options.nest:
            told = dataclasses.replace(own, mode="network")
            sides.append(Side(f"NEST, {kind}", NEST.command(options.nest), told, **other))
    measure(sides, options.repeats)
    for side in sides:
        print(side.row(), flush=True)
    for fixed, plastic in zip(sides[: len(sides) // 2], sides[len(sides) // 2 :], strict=True):
        pairs = [a / b for a, b in zip(fixed.speeds, plastic.speeds, strict=True)]
        print(f"{fixed.name} over plastic: {spread(pairs, 2)} times the events a second")
    if options.nest:
        for ours, theirs in zip(sides[::2], sides[1::2], strict=True):
            pairs = [a / b for a, b in zip(ours.speeds, theirs.speeds, strict=True)]
            print(f"{ours.name} over {theirs.name}: {spread(pairs, 2)} times the events a second")


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--nest", metavar="PYTHON", help="interpreter that has NEST")
    parser.add_argument("--neurons", type=int, default=5000)
    parser.add_argument("--synapses", type=int, default=500, help="of each neuron")
    parser.add_argument("--rate", type=float, default=0.1, help="wanted activity, per cent a step")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    print(__doc__.splitlines()[0])
    print(machine(("numba", "llvmlite", "numpy")))
    print(shlex.join(["python", "benchmarks/speed/stdp.py", *sys.argv[1:]]), flush=True)
    if options.nest:
        print(f"another side: {NEST.versions(options.nest)}")
        with tempfile.TemporaryDirectory() as name:
            apart = [difference(rule, options.nest, Path(name)) for rule in RULES]
        if max(apart) > DIFFERENCE:
            sys.exit("the two sides do not find the same weights: the comparison is void")
    speed(options)


if __name__ == "__main__":
    main()
