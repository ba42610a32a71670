"""A network of `peers.py` in NEST; peers.py runs it with the interpreter of an environment that has NEST.

    PEER/bin/python benchmarks/science/nest_side.py spec.json FOLDER

The JSON object has `tables`, the network as a TOML file of `spikesim simulate` describes it, `seeds` and
`milliseconds`. It takes what the networks of peers.py use: integrate-and-fire neurons with units, Poisson drives, rules
of connection. The spikes of each seed, arrays `NAME.steps` and `NAME.neurons` of each population, go to
`FOLDER/SEED.npz`.

NEST stamps a spike of step t of spikesim with (t + 1) dt.
"""

import json
import sys
from pathlib import Path
from typing import Any

import nest
import numpy as np

NUMBERS = {"fixed_indegree": "indegree", "fixed_total_number": "number"}
OF_TABLE = ("name", "kind", "size", "poisson", "record")


def value(given: Any, unit: float = 1.0) -> Any:
    """A number or a distribution, in so many units of NEST."""
    if not isinstance(given, dict):
        return given * unit
    if given["distribution"] == "uniform":
        return nest.random.uniform(given["low"] * unit, given["high"] * unit)
    drawn = nest.random.normal(given["mean"] * unit, given["std"] * unit)
    low, high = given.get("low", -np.inf), given.get("high", np.inf)
    return nest.math.redraw(drawn, min=low * unit, max=high * unit) if np.isfinite([low, high]).any() else drawn


def connect(table: dict[str, Any], source: Any, target: Any, dt: float) -> None:
    """The synapses of a projection."""
    number = NUMBERS[table["rule"]]
    rule = {"rule": table["rule"], {"number": "N"}.get(number, number): table[number]}
    delay = table["delay_ms"] if "delay_ms" in table else value(table["delay"], dt)
    nest.Connect(source, target, rule, {"weight": value(table["weight"]), "delay": delay})


def run(tables: dict[str, Any], seed: int, milliseconds: float) -> dict[str, np.ndarray]:
    """Spikes of all populations."""
    dt = tables["dt"]
    nest.ResetKernel()
    nest.set(resolution=dt, rng_seed=seed + 1)
    cells, recorders = {}, {}
    for table in tables["population"]:
        name, drive = table["name"], table.get("poisson")
        parameters = {key: value(given) for key, given in table.items() if key not in OF_TABLE}
        cells[name] = nest.Create(table["kind"], table["size"], parameters)
        recorders[name] = nest.Create("spike_recorder")
        nest.Connect(cells[name], recorders[name])
        if drive:
            generator = nest.Create("poisson_generator", params={"rate": drive["rate_hz"]})
            nest.Connect(generator, cells[name], syn_spec={"weight": drive["weight"], "delay": dt})
    for table in tables["projection"]:
        connect(table, cells[table["source"]], cells[table["target"]], dt)
    nest.Simulate(milliseconds)
    found = {}
    for name, recorder in recorders.items():
        events = recorder.get("events")
        found[f"{name}.steps"] = np.rint(events["times"] / dt).astype(np.int64) - 1
        found[f"{name}.neurons"] = events["senders"].astype(np.int64) - cells[name][0].global_id
    return found


def main() -> None:
    """Run the network with each seed."""
    with open(sys.argv[1]) as file:
        spec = json.load(file)
    nest.verbosity = nest.VerbosityLevel.ERROR
    for seed in spec["seeds"]:
        np.savez(Path(sys.argv[2], f"{seed}.npz"), **run(spec["tables"], seed, spec["milliseconds"]))


if __name__ == "__main__":
    main()
