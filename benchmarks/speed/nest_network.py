"""The network of lif_network.py in NEST; sparse.py runs it with the interpreter of an environment that has NEST.

    python benchmarks/speed/nest_network.py '{"mode": "network", "neurons": 12500, ...}'

The argument is a `LifSpec` of lif_network.py. It prints a line of JSON, builds and runs the network for each line that
it reads, a seed, and prints a line of JSON about that run. It is a program of its own because NEST is installed in an
environment of its own.

The neuron is `iaf_psc_delta`, the fastest of NEST's for synapses that act as jumps, unless another is asked for. A
spike of step t over a synapse of a delay of d steps arrives in step t + d, as in spikesim. All synapses of a neuron
have one weight: they are `static_synapse_hom_w`, which holds it once and not for each synapse.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Iterator
from typing import Any, TextIO

ANSWERS: TextIO = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # NEST greets and reports on the standard output, where only answers may be

import nest  # noqa: E402
import numpy as np  # noqa: E402


def reset(spec: dict[str, Any], seed: int) -> None:
    """An empty kernel with one thread."""
    nest.ResetKernel()
    nest.set(resolution=spec["step_ms"], local_num_threads=1, rng_seed=seed)


def add_cells(spec: dict[str, Any], size: int) -> Any:
    """The neurons, potentials from rest."""
    if spec["model"] == "izhikevich" or spec["parameters"]:
        return nest.Create(spec["model"], size, spec["parameters"])
    parameters = {
        "tau_m": spec["membrane_ms"], "C_m": 1.0, "E_L": 0.0, "V_m": 0.0, "I_e": 0.0,
        "V_th": spec["threshold"], "V_reset": spec["reset"], "t_ref": spec["refractory"] * spec["step_ms"],
    }  # fmt: skip
    return nest.Create("iaf_psc_delta", size, parameters)


def build(spec: dict[str, Any]) -> Any:
    """The network; its cells, the excitatory ones first."""
    step, (low, high) = spec["step_ms"], spec["delay"]
    cells = add_cells(spec, spec["neurons"])
    excitatory, inhibitory = cells[: spec["excitatory"]], cells[spec["excitatory"] :]
    delay = low * step if high == low else (low + nest.random.uniform_int(high - low + 1)) * step
    for name, source, weight in (
        ("from_excitatory", excitatory, spec["weight"]),
        ("from_inhibitory", inhibitory, -spec["inhibition"] * spec["weight"]),
    ):
        nest.CopyModel("static_synapse_hom_w", name, {"weight": weight})
        for target in (excitatory, inhibitory):
            moving = spec.get("stdp") if source is target is excitatory else None
            synapse = (
                {"synapse_model": "stdp_synapse", "weight": weight, **moving} if moving else {"synapse_model": name}
            )
            number = spec["synapses"] * len(target) // spec["neurons"]
            rule = {
                "rule": "fixed_outdegree", "outdegree": number, "allow_multapses": True, "allow_autapses": True,
            }  # fmt: skip
            nest.Connect(source, target, rule, {**synapse, "delay": delay})
    noise = nest.Create("poisson_generator", params={"rate": spec["arrivals"] / step * 1e3})
    nest.Connect(noise, cells, syn_spec={"weight": spec["weight"], "delay": low * step})
    return cells


def network(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The network, drawn and run anew for each seed."""
    yield {"build": 0.0}
    for line in sys.stdin:
        began = time.perf_counter()
        reset(spec, int(line))
        cells = build(spec)
        recorder = None
        if spec["record"]:
            recorder = nest.Create("spike_recorder")
            nest.Connect(cells, recorder)
        nest.Prepare()
        nest.Run(spec["warm"] * spec["step_ms"])
        setup = time.perf_counter() - began
        first = time.process_time()
        nest.Run(spec["steps"] * spec["step_ms"])
        seconds = time.process_time() - first
        nest.Cleanup()
        spikes = int(nest.local_spike_counter)  # of the last call of Run
        if recorder is not None:
            found = recorder.get("events")
            steps = np.rint(found["times"] / spec["step_ms"]).astype(np.int64) - 1
            np.savez(spec["record"], steps=steps, neurons=found["senders"] - cells[0].global_id)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        run = {"seconds": seconds, "spikes": spikes, "events": spikes * spec["synapses"]}
        yield {**run, "peak": peak, "setup": setup}


def potentials(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Potentials of cells that receive given spikes over given synapses, after each step."""
    reset(spec, 1)
    step, given = spec["step_ms"], np.load(spec["given"])
    cells = add_cells(spec, int(given["targets"]))
    # a spike of step t is stamped with the end of that step
    trains = [(given["steps"][given["fired"] == source] + 1) * step for source in range(int(given["sources"]))]
    sources = nest.Create("spike_generator", len(trains))
    sources.set([{"spike_times": np.round(train, 6)} for train in trains])
    seen = nest.Create("multimeter", params={"record_from": ["V_m"], "interval": step})
    nest.Connect(seen, cells)
    synapses = {"weight": np.full(len(given["i"]), spec["weight"]), "delay": given["delays"] * step}
    first, first_cell = sources[0].global_id, cells[0].global_id
    nest.Connect(given["i"] + first, given["j"] + first_cell, "one_to_one", synapses)
    nest.Simulate((spec["steps"] + 10) * step)
    events = seen.get("events")
    found = np.full((spec["steps"] + 10, len(cells)), np.nan)
    at = np.rint(events["times"] / step).astype(np.int64) - 1
    found[at, events["senders"] - first_cell] = events["V_m"]
    np.save(spec["record"], found[: spec["steps"]])
    yield {}


def weights(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Weights of plastic synapses whose sources and targets fire when they are told to.

    Both are relays; what comes over a synapse to receptor 1 of one moves its weight, and the relay ignores it.
    """
    reset(spec, 1)
    given, step = np.load(spec["given"]), spec["step_ms"]
    relays = []
    for side in ("pre", "post"):
        steps, fired = given[f"{side}_steps"], given[f"{side}_neurons"]
        trains = nest.Create("spike_generator", int(given[side]))
        trains.set([{"spike_times": np.round((steps[fired == i] + 1) * step, 6)} for i in range(len(trains))])
        relays.append(nest.Create("parrot_neuron", len(trains), {"tau_minus": spec["tau_minus"]}))
        nest.Connect(trains, relays[-1], "one_to_one", {"delay": step})
    pre, post = (own[0].global_id for own in relays)
    synapses = {"synapse_model": "stdp_synapse", "weight": given["weights"], "delay": given["delays"] * step}
    synapses |= {name: np.full(len(given["i"]), own) for name, own in spec["stdp"].items()}
    synapses["receptor_type"] = np.ones(len(given["i"]), int)
    nest.Connect(given["i"] + pre, given["j"] + post, "one_to_one", synapses)
    nest.Simulate((spec["steps"] + 100) * step)
    own = nest.GetConnections(synapse_model="stdp_synapse")
    found = own.get(["source", "target", "weight"])
    i, j = np.array(found["source"]) - pre, np.array(found["target"]) - post
    seen = np.zeros((int(given["pre"]), int(given["post"])))
    seen[i, j] = found["weight"]
    np.save(spec["record"], seen[given["i"], given["j"]])
    yield {}


def main() -> None:
    """Answer in lines of JSON."""
    spec = json.loads(sys.argv[1])
    for answer in {"network": network, "potentials": potentials, "weights": weights}[spec["mode"]](spec):
        print(json.dumps(answer), file=ANSWERS, flush=True)


if __name__ == "__main__":
    main()
