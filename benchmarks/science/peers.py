"""Networks in spikesim, NEST and Brian2: do they follow the same law?

    python benchmarks/science/peers.py --nest NEST/bin/python --brian PEER/bin/python
    python benchmarks/science/peers.py --nest NEST/bin/python --network microcircuit --seeds 3
    python benchmarks/science/peers.py --network bistable --seeds 10  # spikesim alone
    python benchmarks/science/peers.py --network bistable --seeds 200 --first 1000  # a fresh sample

Each network is described once, as the tables of a TOML file, and built and run by each program (`nest_side.py` and
`brian_side.py` have the others' part; the environments are those of benchmarks/README.md). Each seed draws another
network and other inputs. Every statistic is computed by `spikesim.sparse.analysis` from the spikes, for each seed; its
means are compared by Welch's t, whose largest magnitude of `LIMIT` counts as a difference. Of the CVs of single neurons
the distributions are compared, too: the Kolmogorov-Smirnov distance between programs beside that between the two halves
of the seeds of one.

`balanced` is Brunel's network of excitation and inhibition in its asynchronous irregular state, with exponential
currents. `bistable` are two excitatory populations that compete by inhibition they share, with slow excitation (after
Wang, 2002): each trial ends with one of them firing and the other silent, or undecided. `microcircuit` is a tenth of
that of examples/networks/microcircuit.py.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from spikesim.sparse import Simulation
from spikesim.sparse.analysis.correlations import Correlations, sampled_neurons
from spikesim.sparse.analysis.trains import IntervalStatistics, Runs
from spikesim.sparse.description import make_network

ROOT = Path(__file__).resolve().parents[2]
sys.path += [str(ROOT / "benchmarks"), str(ROOT / "examples" / "networks")]
from measure import machine  # noqa: E402
from microcircuit import Scale  # noqa: E402
from microcircuit import tables as microcircuit_tables  # noqa: E402

LIMIT = 3.5
"""Of Welch's t."""
DT, BIN = 0.1, 50.0
"""Milliseconds, of a step and of a bin in which the rates of competing populations are looked at."""
CORRELATED = 10.0
"""Milliseconds, of a bin of which correlations are computed."""
APART = 1000
"""Between seeds: a projection has the seed of its network plus its position, and no two networks should share one."""
DECIDED = 0.5
"""Of the difference of two rates over their sum."""
Spikes = dict[str, tuple[np.ndarray, np.ndarray]]


class Study(NamedTuple):
    """A network and how long it runs.

    Attributes
    ----------
    tables : dict
        As a TOML file has them.
    begin, end : float
        Milliseconds that are looked at.
    seeds : int
        How many, unless told otherwise.
    """

    tables: dict[str, Any]
    begin: float
    end: float
    seeds: int


def projection(source: str, target: str, indegree: int, weight: float, delay: float) -> dict[str, Any]:
    """Synapses of a fixed in-degree."""
    rule = {"rule": "fixed_indegree", "indegree": indegree, "weight": weight, "delay_ms": delay}
    return {"source": source, "target": target, **rule}


def balanced() -> Study:
    """A network of 1,250 neurons that fire irregularly."""
    cell = {
        "kind": "iaf_psc_exp", "C_m": 250.0, "tau_m": 20.0, "E_L": -70.0, "V_th": -50.0, "V_reset": -60.0, "t_ref": 2.0,
        "tau_syn_ex": 2.0, "tau_syn_in": 2.0, "V_m": {"distribution": "uniform", "low": -70.0, "high": -50.0},
        "poisson": {"rate_hz": 3200.0, "weight": 60.0},
    }  # fmt: skip
    sizes = {"E": 1000, "I": 250}
    projections = [
        projection(source, target, sizes[source] // 10, 100.0 if source == "E" else -600.0, 1.5)
        for source in sizes
        for target in sizes
    ]
    populations = [{"name": name, "size": size, **cell} for name, size in sizes.items()]
    return Study({"dt": DT, "population": populations, "projection": projections}, 200.0, 2200.0, 8)


def bistable() -> Study:
    """Two populations that compete."""
    cell = {
        "kind": "iaf_psc_exp", "C_m": 250.0, "tau_m": 20.0, "E_L": -70.0, "V_th": -50.0, "V_reset": -60.0, "t_ref": 2.0,
        "tau_syn_ex": 40.0, "tau_syn_in": 5.0, "V_m": {"distribution": "uniform", "low": -70.0, "high": -50.0},
        "poisson": {"rate_hz": 500.0, "weight": 11.7},
    }  # fmt: skip
    fast = {"tau_m": 10.0, "tau_syn_ex": 5.0, "poisson": {"rate_hz": 4000.0, "weight": 15.0}}
    populations = [{"name": name, "size": 100, **cell} for name in "AB"]
    populations.append({"name": "I", "size": 50, **cell, **fast})
    projections = [
        own
        for name in "AB"
        for own in (
            projection(name, name, 40, 1.9, 1.0),
            projection(name, "I", 40, 18.0, 1.0),
            projection("I", name, 20, -85.0, 1.0),
        )
    ]
    return Study({"dt": DT, "population": populations, "projection": projections}, 100.0, 1100.0, 40)


def microcircuit() -> Study:
    """A tenth of the neurons and of the synapses of each."""
    return Study(microcircuit_tables(Scale(0.1, 0.1), 0), 500.0, 2500.0, 3)


STUDIES = {"balanced": balanced, "bistable": bistable, "microcircuit": microcircuit}


def own_runs(study: Study, seeds: range) -> Iterator[Spikes]:
    """The spikes of spikesim, by seed."""
    for seed in seeds:
        network = make_network({**study.tables, "seed": seed}, Path()).network
        simulation = Simulation(network, seed=seed)
        simulation.record(*network.populations)
        simulation.run(round(study.end / DT))
        spikes = {own.name: simulation.spikes(own) for own in network.populations}
        yield {name: (own.steps, own.neurons) for name, own in spikes.items()}


def peer_runs(side: str, python: str, study: Study, seeds: range) -> Iterator[Spikes]:
    """The spikes of another program, by seed."""
    names = [table["name"] for table in study.tables["population"]]
    with tempfile.TemporaryDirectory() as folder:
        spec = Path(folder, "spec.json")
        spec.write_text(json.dumps({"tables": study.tables, "seeds": list(seeds), "milliseconds": study.end}))
        script = Path(__file__).with_name(side)
        subprocess.run([python, str(script), str(spec), folder], check=True, stdout=subprocess.DEVNULL)
        for seed in seeds:
            with np.load(Path(folder, f"{seed}.npz")) as found:
                yield {name: (found[f"{name}.steps"], found[f"{name}.neurons"]) for name in names}


def trains(study: Study, spikes: Spikes) -> Iterator[tuple[str, int, np.ndarray, np.ndarray]]:
    """Name, size, steps and neurons of each population, of what is looked at, in the order of the steps."""
    begin, end = round(study.begin / DT), round(study.end / DT)
    for table in study.tables["population"]:
        steps, neurons = spikes[table["name"]]
        order = np.argsort(steps, kind="stable")
        steps, neurons = steps[order], neurons[order]
        kept = (steps >= begin) & (steps < end)
        yield table["name"], table["size"], steps[kept] - begin, neurons[kept]


def variations(size: int, steps: np.ndarray, neurons: np.ndarray) -> np.ndarray:
    """CV of each neuron with two intervals."""
    intervals = IntervalStatistics(size, 1)
    intervals.add(Runs.sort(neurons, steps))
    found = intervals.variation()
    return found[np.isfinite(found)]


def irregular(study: Study, spikes: Spikes) -> dict[str, float]:
    """Rate, CV and correlation of each population."""
    found = {}
    width, seconds = round(CORRELATED / DT), (study.end - study.begin) / 1000
    for name, size, steps, neurons in trains(study, spikes):
        found[f"{name} rate, Hz"] = len(steps) / size / seconds
        found[f"{name} CV"] = float(variations(size, steps, neurons).mean())
        pairs = Correlations(size, sampled_neurons(size), 1, round(seconds * 1000 / CORRELATED))
        pairs.add(np.zeros(len(steps), np.int64), steps // width, neurons)
        found[f"{name} correlation"] = float(pairs.coefficients().mean())
    return found


def competing(study: Study, spikes: Spikes) -> dict[str, float]:
    """Who has won at the end, for how long it was decided, and the rates of the winner and the loser."""
    width = round(BIN / DT)
    bins = round((study.end - study.begin) / BIN)
    counts = {name: np.bincount(steps // width, minlength=bins) for name, _, steps, _ in trains(study, spikes)}
    contrast = (counts["A"] - counts["B"]) / np.maximum(counts["A"] + counts["B"], 1)
    last = contrast[-4:].mean()
    rates = {name: counts[name][-4:].mean() / 100 / BIN * 1000 for name in "AB"}
    return {
        "A has won": float(last > DECIDED),
        "B has won": float(last < -DECIDED),
        "undecided": float(abs(last) <= DECIDED),
        "share of time decided": float((np.abs(contrast) > DECIDED).mean()),
        "rate of the winner, Hz": max(rates.values()),
        "rate of the loser, Hz": min(rates.values()),
    }


def halves(values: list[np.ndarray]) -> float:
    """Kolmogorov-Smirnov distance between two halves of the seeds."""
    middle = len(values) // 2
    return float(stats.ks_2samp(np.concatenate(values[:middle]), np.concatenate(values[middle:])).statistic)


def compare_variations(study: Study, runs: dict[str, list[Spikes]]) -> None:
    """The distributions of the CVs of single neurons."""
    print("Kolmogorov-Smirnov distance of the CVs of neurons: halves of the seeds of spikesim, then to each program")
    for place, table in enumerate(study.tables["population"]):
        of = {
            program: [variations(*list(trains(study, spikes))[place][1:]) for spikes in own]
            for program, own in runs.items()
        }
        pooled = {program: np.concatenate(values) for program, values in of.items()}
        beside = [
            f"{program} {stats.ks_2samp(pooled['spikesim'], own).statistic:.3f}"
            for program, own in pooled.items()
            if program != "spikesim"
        ]
        print(f"  {table['name']:6} {halves(of['spikesim']):.3f}; {', '.join(beside)}")


def compare(name: str, study: Study, options: argparse.Namespace) -> bool:
    """Run a network everywhere and print the table; whether all agree."""
    first, count = options.first, options.seeds or study.seeds
    seeds = range(APART * first, APART * (first + count), APART)
    runs = {"spikesim": list(own_runs(study, seeds))}
    for program, side, python in (("NEST", "nest_side.py", options.nest), ("Brian2", "brian_side.py", options.brian)):
        if python:
            runs[program] = list(peer_runs(side, python, study, seeds))
    measured = competing if name == "bistable" else irregular
    found = {program: [measured(study, spikes) for spikes in own] for program, own in runs.items()}
    print(f"\n{name}: {len(seeds)} seeds from {first} on, {study.begin:g} to {study.end:g} ms", end="; ")
    print("mean +- standard error, Welch's t")
    agree = True
    for statistic in found["spikesim"][0]:
        columns, ours = [], np.array([own[statistic] for own in found["spikesim"]])
        for program, values in found.items():
            own = np.array([one[statistic] for one in values])
            columns.append(f"{program} {own.mean():8.4f} +- {own.std(ddof=1) / len(own) ** 0.5:.4f}")
            if program != "spikesim" and (own.std() or ours.std()):
                t = float(stats.ttest_ind(ours, own, equal_var=False).statistic)
                agree = agree and abs(t) < LIMIT
                columns[-1] += f" ({t:+.1f})"
        print(f"  {statistic:24}{'   '.join(columns)}", flush=True)
    if name != "bistable" and len(runs) > 1:
        compare_variations(study, runs)
    return agree


def main() -> None:
    """Compare what is asked for."""
    parser = argparse.ArgumentParser(description="Networks in spikesim, NEST and Brian2.")
    parser.add_argument("--nest", help="the interpreter of an environment with NEST")
    parser.add_argument("--brian", help="the interpreter of an environment with Brian2")
    parser.add_argument("--network", choices=STUDIES, action="append", help="balanced and bistable unless given")
    parser.add_argument("--seeds", type=int, help="networks that are drawn")
    parser.add_argument("--first", type=int, default=0, help="number of the first one")
    options = parser.parse_args()
    print(machine(("numba", "numpy", "scipy")))
    agree = [compare(name, STUDIES[name](), options) for name in options.network or ("balanced", "bistable")]
    if not all(agree):
        sys.exit(f"a difference has a t of {LIMIT:g} or more")


if __name__ == "__main__":
    main()
