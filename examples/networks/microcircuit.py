"""The cortical microcircuit of Potjans and Diesmann (2014), scaled or in full, beside what is published of it.

    python examples/networks/microcircuit.py                     # a tenth of the neurons and of the synapses of each
    python examples/networks/microcircuit.py --time 60 --check   # exit code 1 if it is not as published
    python examples/networks/microcircuit.py --scale 1 --threads 2 --out circuit.h5
    spikesim report circuit.h5 --from 500ms

Four layers of cortex, each with an excitatory and an inhibitory population: in full 77,169 neurons and 299 million
synapses. With fewer synapses each is stronger, by 1 / sqrt(scale), and a constant current makes up for the mean that is
missing: rates and irregularity stay, correlations do not.

The model is built as the tables of a TOML file. Prints for each population rate, CV of the inter-spike intervals,
synchrony and correlation, with what is published in parentheses. The CV of few intervals is too low: of L23E and L6E,
which fire about once a second, by 0.1 after 24 s.

Sources: T. C. Potjans, M. Diesmann, "The cell-type specific cortical microcircuit", Cereb. Cortex 24, 785, 2014; the
first potentials as in NEST's `Potjans_2014`; the scaling of S. J. van Albada, M. Helias, M. Diesmann, "Scalability of
asynchronous networks is limited by one-to-one mapping between effective connectivity and correlations", PLoS Comput.
Biol. 11, e1004490, 2015; the published numbers of C. Romaro and others, "NetPyNE implementation and scaling of the
Potjans-Diesmann cortical microcircuit model", Neural Comput. 33, 1993, 2021, tables A.1, A.3 and A.5.
"""

import argparse
import math
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from spikesim import open_simulation
from spikesim.sparse.analysis.recorded import RecordedSimulation
from spikesim.sparse.description import Description, make_network
from spikesim.sparse.job import Job

STEP = 0.1
"""Milliseconds."""
NAMES = ("L23E", "L23I", "L4E", "L4I", "L5E", "L5I", "L6E", "L6I")
NEURONS = np.array([20683, 5834, 21915, 5479, 4850, 1065, 14395, 2948])
PROBABILITIES = np.array(
    [
        [0.1009, 0.1689, 0.0437, 0.0818, 0.0323, 0.0, 0.0076, 0.0],
        [0.1346, 0.1371, 0.0316, 0.0515, 0.0755, 0.0, 0.0042, 0.0],
        [0.0077, 0.0059, 0.0497, 0.1350, 0.0067, 0.0003, 0.0453, 0.0],
        [0.0691, 0.0029, 0.0794, 0.1597, 0.0033, 0.0, 0.1057, 0.0],
        [0.1004, 0.0622, 0.0505, 0.0057, 0.0831, 0.3726, 0.0204, 0.0],
        [0.0548, 0.0269, 0.0257, 0.0022, 0.0600, 0.3158, 0.0086, 0.0],
        [0.0156, 0.0066, 0.0211, 0.0166, 0.0572, 0.0197, 0.0396, 0.2252],
        [0.0364, 0.0010, 0.0034, 0.0005, 0.0277, 0.0080, 0.0658, 0.1443],
    ]
)
"""That a pair of neurons has a synapse or several: onto each population (rows) from each (columns)."""
EXTERNAL_INPUTS, EXTERNAL_RATE = np.array([1600, 1500, 2100, 1900, 2000, 1900, 2900, 2100]), 8.0
"""Poisson inputs of a neuron, and Hz of each."""
CELL = {"C_m": 250.0, "tau_m": 10.0, "E_L": -65.0, "V_th": -50.0, "V_reset": -65.0, "t_ref": 2.0}
TAU_SYN = 0.5
START_MEAN = (-68.28, -63.16, -63.33, -63.45, -63.11, -61.66, -66.72, -61.43)
START_STD = (5.36, 4.57, 4.74, 4.94, 4.94, 4.55, 5.46, 4.48)
"""Of the first potentials, mV: near those of the network at work, so that it begins without a burst."""
RESPONSE, INHIBITION, STRONGER = 0.15, -4.0, 2.0
"""Peak of the potential after an excitatory spike, mV; how an inhibitory one relates to it, and one of L4E at L23E."""
SPREAD = 0.1
"""Standard deviation of the weights over their mean."""
DELAYS = {"E": 1.5, "I": 0.75}
"""Mean delays by source, ms; their standard deviation is half as long."""
BEGIN, BIN, COUNTED = 500.0, 3.0, 1000
"""The statistics begin after so many ms; synchrony is that of counts in bins of so many ms, of so many neurons."""


class Published(NamedTuple):
    """What a simulation of the full network over 60 s gave, by population."""

    rate: tuple[float, ...]  # Hz
    cv: tuple[float, ...]
    synchrony: tuple[float, ...]


PUBLISHED = Published(
    (0.90, 2.80, 4.39, 5.70, 6.80, 8.22, 1.14, 7.60),
    (0.938, 0.916, 0.891, 0.873, 0.847, 0.809, 0.924, 0.819),
    (2.9, 1.8, 3.0, 1.7, 4.4, 1.1, 1.2, 1.0),
)


RATE_SHARE, RATE_HZ = 0.2, 0.35
CV, CV_SLOW, SLOW_HZ, CV_SECONDS = 0.05, 0.15, 2.0, 20.0
"""`--check` tolerates so much of a rate or, if that is more, so many Hz; and of a CV 0.05, of a population below 2 Hz
0.15, where the simulation has 20 s at least."""


class Scale(NamedTuple):
    """How much of the network is simulated.

    Attributes
    ----------
    neurons : float
        Of the neurons of each population.
    synapses : float
        Of the synapses of each neuron.
    """

    neurons: float
    synapses: float


def current_of_response() -> float:
    """The peak of a synaptic current, pA, whose response has its peak at 1 mV."""
    tau_m, ratio = CELL["tau_m"], CELL["tau_m"] / TAU_SYN
    at_peak = ratio ** (-1 / (ratio - 1)) - ratio ** (-ratio / (ratio - 1))
    return CELL["C_m"] / (tau_m * TAU_SYN / (tau_m - TAU_SYN)) / at_peak


def synapse_numbers() -> np.ndarray:
    """Synapses of the full network onto each population (rows) from each (columns), float64 (8, 8).

    So many, at random pairs, that a pair has at least one of them with the probability of the table.
    """
    return np.log(1 - PROBABILITIES) / np.log1p(-1 / np.outer(NEURONS, NEURONS))


def mean_weights() -> np.ndarray:
    """Mean weights of the full network, pA, by target (rows) and source (columns)."""
    own = np.tile([1.0, INHIBITION], (len(NAMES), 4)) * RESPONSE * current_of_response()
    own[NAMES.index("L23E"), NAMES.index("L4E")] *= STRONGER
    return own


def missing_currents(synapses: float) -> np.ndarray:
    """What the mean input of a neuron lacks with a part of the synapses, each 1 / sqrt(synapses) as strong; pA."""
    recurrent = (mean_weights() * synapse_numbers() / NEURONS[:, None]) @ np.array(PUBLISHED.rate)
    external = RESPONSE * current_of_response() * EXTERNAL_INPUTS * EXTERNAL_RATE
    return (1 - math.sqrt(synapses)) * TAU_SYN / 1000 * (recurrent + external)


def tables(scale: Scale, seed: int) -> dict[str, Any]:
    """The network, as a TOML file would describe it."""
    stronger = 1 / math.sqrt(scale.synapses)
    external = RESPONSE * current_of_response() * stronger
    populations = [
        {
            "name": name,
            "kind": "iaf_psc_exp",
            "size": max(1, round(NEURONS[index] * scale.neurons)),
            **CELL,
            "tau_syn_ex": TAU_SYN,
            "tau_syn_in": TAU_SYN,
            "I_e": float(missing_currents(scale.synapses)[index]),
            "V_m": {"distribution": "normal", "mean": START_MEAN[index], "std": START_STD[index]},
            "poisson": {
                "rate_hz": float(EXTERNAL_INPUTS[index] * scale.synapses * EXTERNAL_RATE),
                "weight": external,
            },
            "record": True,
        }
        for index, name in enumerate(NAMES)
    ]
    numbers, weights = synapse_numbers() * scale.neurons * scale.synapses, mean_weights() * stronger
    projections = []
    for target, source in np.argwhere(np.rint(numbers) > 0):
        weight, delay = float(weights[target, source]), DELAYS[NAMES[source][-1]] / STEP
        one_sign = {"low": 0.0} if weight > 0 else {"high": 0.0}
        projections.append(
            {
                "source": NAMES[source],
                "target": NAMES[target],
                "rule": "fixed_total_number",
                "number": round(numbers[target, source]),
                "weight": {"distribution": "normal", "mean": weight, "std": abs(weight) * SPREAD, **one_sign},
                "delay": {"distribution": "normal", "mean": delay, "std": delay / 2, "low": 1},
            }
        )
    return {"dt": STEP, "seed": seed, "population": populations, "projection": projections}


def describe(scale: Scale, seed: int = 1) -> Description:
    """The network, ready for a `Job` or, its attribute `network`, for a `Simulation`."""
    return make_network(tables(scale, seed), Path())


def synchrony(simulation: RecordedSimulation, population: str) -> float:
    """Variance over mean of the spikes of some neurons in bins; 1 of independent Poisson processes."""
    spikes = simulation.spikes(population)
    width, begin = round(BIN / STEP), round(BEGIN / STEP)
    bins = (simulation.steps - begin) // width
    kept = (spikes.neurons < COUNTED) & (spikes.steps >= begin) & (spikes.steps < begin + bins * width)
    counts = np.bincount((spikes.steps[kept] - begin) // width, minlength=bins)
    return float(counts.var() / counts.mean())


def statistics(path: Path) -> dict[str, np.ndarray]:
    """Rate, CV, synchrony and correlation of each population, from the file of a simulation."""
    with open_simulation(path) as simulation:
        activity = simulation.report(simulation.window(round(BEGIN / STEP))).populations
        found = {
            "rate": [own.rate for own in activity],
            "cv": [own.cv.mean if own.cv else math.nan for own in activity],
            "synchrony": [synchrony(simulation, name) for name in NAMES],
            "correlation": [own.correlation.mean if own.correlation else math.nan for own in activity],
        }
    return {name: np.array(values, np.float64) for name, values in found.items()}


def print_table(found: dict[str, np.ndarray]) -> None:
    """A line for each population."""
    print(f"{'':6}{'rate, Hz':>15}{'CV of intervals':>19}{'synchrony':>15}{'correlation':>14}")
    for index, name in enumerate(NAMES):
        rate, cv, sync = (
            f"{found[what][index]:.{digits}f} ({getattr(PUBLISHED, what)[index]:.{digits}f})"
            for what, digits in (("rate", 2), ("cv", 3), ("synchrony", 1))
        )
        print(f"{name:6}{rate:>15}{cv:>19}{sync:>15}{found['correlation'][index]:>14.4f}")


def deviations(found: dict[str, np.ndarray], seconds: float) -> list[str]:
    """What is not as published, a line each."""
    limits = {"rate": np.maximum(RATE_SHARE * np.array(PUBLISHED.rate), RATE_HZ)}
    if seconds >= CV_SECONDS:
        limits["cv"] = np.where(np.array(PUBLISHED.rate) < SLOW_HZ, CV_SLOW, CV)
    return [
        f"{what} of {NAMES[index]} is {found[what][index]:.3f}, published {getattr(PUBLISHED, what)[index]:g}"
        for what, limit in limits.items()
        for index in np.flatnonzero(~(np.abs(found[what] - getattr(PUBLISHED, what)) <= limit))
    ]


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="The microcircuit of Potjans and Diesmann, beside what is published.")
    parser.add_argument("--scale", type=float, default=0.1, help="of the neurons, and of the synapses of each (0.1)")
    parser.add_argument("--scale-neurons", type=float, help="of the neurons alone")
    parser.add_argument("--scale-synapses", type=float, help="of the synapses of each neuron alone")
    parser.add_argument("--time", type=float, default=10.0, help="biological seconds (10)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", help="keep the file of the simulation, for spikesim report")
    parser.add_argument("--overwrite", action="store_true", help="replace it")
    parser.add_argument("--check", action="store_true", help="exit code 1 unless it fires as published")
    return parser.parse_args()


def main() -> None:
    """Build, run, and print."""
    options = parse()
    scale = Scale(options.scale_neurons or options.scale, options.scale_synapses or options.scale)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(options.out or Path(folder, "circuit.h5"))
        began = time.perf_counter()
        description = describe(scale, options.seed)
        network = description.network
        synapses = sum(own.synapses.count(own.source.size) for own in network.projections)
        print(f"{network.neurons:,} neurons, {synapses:,} synapses", flush=True)
        job = Job(description, out, threads=options.threads, overwrite=options.overwrite)
        print(f"built in {time.perf_counter() - began:.0f} s", flush=True)
        done = job.run(round(options.time * 1000 / STEP))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(
            f"{options.time:g} s of biological time in {done.seconds:.0f} s, {done.events:,} synaptic events, "
            f"{done.events / max(done.seconds, 1e-9):.3g} a second; peak memory {peak:.1f} GiB"
        )
        print("in parentheses: published, the full network over 60 s")
        found = statistics(out)
        print_table(found)
        if options.check and (lines := deviations(found, options.time)):
            sys.exit("\n".join(lines))


if __name__ == "__main__":
    main()
