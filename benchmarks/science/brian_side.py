"""A network of `peers.py` in Brian2; peers.py runs it with the interpreter of an environment that has Brian2.

    PEER/bin/python benchmarks/science/brian_side.py spec.json FOLDER

As `nest_side.py`. Synapses are drawn here, by NumPy, and given to Brian2 as lists of pairs. Delays are the same: a
spike of step t over d steps changes a current after the update of step t + d, which moves V from the next step on. A
neuron is refractory from the step of its spike on: a period of r steps is one of r + 1.
"""

import json
import sys
from pathlib import Path
from typing import Any

import brian2 as b2
import numpy as np

EQUATIONS = """
dv/dt = (E_L - v) / tau_m + (i_ex + i_in + I_e) / C_m : volt (unless refractory)
di_ex/dt = -i_ex / tau_syn_ex : amp
di_in/dt = -i_in / tau_syn_in : amp
"""
UNITS = {
    "C_m": b2.pF, "tau_m": b2.ms, "E_L": b2.mV, "V_th": b2.mV, "V_reset": b2.mV, "I_e": b2.pA,
    "tau_syn_ex": b2.ms, "tau_syn_in": b2.ms, "t_ref": b2.ms,
}  # fmt: skip


def drawn(given: Any, count: int, random: np.random.Generator) -> np.ndarray:
    """Numbers, or what a distribution gives; what lies outside of its limits is drawn again."""
    if not isinstance(given, dict):
        return np.full(count, float(given))
    if given["distribution"] == "uniform":
        return random.uniform(given["low"], given["high"], count)
    low, high = given.get("low", -np.inf), given.get("high", np.inf)
    found = np.full(count, np.nan)
    while (wrong := np.flatnonzero(~((found >= low) & (found <= high)))).size:
        found[wrong] = random.normal(given["mean"], given["std"], wrong.size)
    return found


def pairs(table: dict[str, Any], sources: int, targets: int, random: np.random.Generator) -> tuple[Any, Any]:
    """Sources and targets of the synapses of a projection."""
    if table["rule"] == "fixed_indegree":
        count = table["indegree"] * targets
        return random.integers(0, sources, count), np.repeat(np.arange(targets), table["indegree"])
    if table["rule"] == "fixed_total_number":
        return random.integers(0, sources, table["number"]), random.integers(0, targets, table["number"])
    raise ValueError(table["rule"])


def add_cells(table: dict[str, Any], random: np.random.Generator) -> list[Any]:
    """A population of `iaf_psc_exp` and its Poisson drive."""
    names = {"I_e": 0.0, **table}
    namespace = {key: names[key] * unit for key, unit in UNITS.items()}
    step = b2.defaultclock.dt
    cells = b2.NeuronGroup(
        table["size"],
        EQUATIONS,
        threshold="v >= V_th",
        reset="v = V_reset",
        refractory=namespace["t_ref"] + step,
        method="exact",
        namespace=namespace,
    )
    cells.v = drawn(names.get("V_m", names["E_L"]), table["size"], random) * b2.mV
    drive = table.get("poisson")
    if drive:
        rate, weight = drive["rate_hz"] * b2.Hz * step, drive["weight"] * b2.pA
        namespace |= {"arrivals": float(rate), "each": weight}
        cells.run_regularly(
            f"i_{'ex' if drive['weight'] > 0 else 'in'} += each * poisson(arrivals)", when="after_groups"
        )
    return [cells, b2.SpikeMonitor(cells)]


def add_synapses(table: dict[str, Any], source: Any, target: Any, random: np.random.Generator) -> Any:
    """The synapses of a projection."""
    step = b2.defaultclock.dt
    i, j = pairs(table, len(source), len(target), random)
    weights = drawn(table["weight"], len(i), random)
    synapses = b2.Synapses(source, target, "w : amp", on_pre=f"i_{'ex' if weights.mean() > 0 else 'in'}_post += w")
    synapses.connect(i=i, j=j)
    synapses.w = weights * b2.pA
    steps = table["delay_ms"] * b2.ms / step if "delay_ms" in table else drawn(table["delay"], len(i), random)
    synapses.pre.delay = np.maximum(np.rint(steps), 1) * step
    return synapses


def run(tables: dict[str, Any], seed: int, milliseconds: float) -> dict[str, np.ndarray]:
    """Spikes of all populations."""
    b2.start_scope()
    b2.defaultclock.dt = tables["dt"] * b2.ms
    b2.seed(seed)
    random = np.random.default_rng(seed)
    cells = {table["name"]: add_cells(table, random) for table in tables["population"]}
    synapses = [
        add_synapses(table, cells[table["source"]][0], cells[table["target"]][0], random)
        for table in tables["projection"]
    ]
    b2.Network(*(own for both in cells.values() for own in both), *synapses).run(milliseconds * b2.ms)
    found = {}
    for name, (_, monitor) in cells.items():
        found[f"{name}.steps"] = np.rint(np.asarray(monitor.t / b2.defaultclock.dt)).astype(np.int64)
        found[f"{name}.neurons"] = np.asarray(monitor.i).astype(np.int64)
    return found


def main() -> None:
    """Run the network with each seed."""
    with open(sys.argv[1]) as file:
        spec = json.load(file)
    b2.prefs.codegen.target = "auto"  # Cython, or NumPy where there is no compiler
    b2.prefs.logging.file_log = False
    b2.BrianLogger.log_level_error()
    for seed in spec["seeds"]:
        np.savez(Path(sys.argv[2], f"{seed}.npz"), **run(spec["tables"], seed, spec["milliseconds"]))


if __name__ == "__main__":
    main()
