"""The network of sparse.py in Brian2; sparse.py runs it with the interpreter of an environment that has Brian2.

    python benchmarks/speed/brian_network.py '{"mode": "standalone", "neurons": 20000, ...}'

The argument is a `Spec` of sparse.py. It builds the network, prints a line of JSON, and then runs the network for each
line that it reads, a seed, and prints a line of JSON about that run. It is a program of its own because Brian2 can need
another NumPy than spikesim.

A time step of Brian2 is one of spikesim. In a step Brian2 updates the groups, compares with the threshold, and then
delivers: a spike of step t with a delay of zero arrives after the update of step t, in time for that of t + 1. So a
delay of d steps in spikesim is one of d - 1 here.

With a = 2**-leak, u the bias and s the weights that arrive, spikesim's neuron is V <- V + (u + s - V) a. Here an
arrival adds its weight times a / (1 - a) to V, and V <- (1 - a) V + a u follows: the same, in one variable. This is
faster than a second one for s.

A `LifSpec` of lif_network.py asks for leaky integrate-and-fire neurons. They leak first and then receive, and what
finds a neuron refractory is lost. There the synapses deliver between the update and the comparison with the threshold:
a spike of step t with a delay of zero arrives in step t + 1, so again a delay of d steps is one of d - 1 here.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Iterator
from typing import Any

import brian2 as b2
import numpy as np

SEED = "BRIAN_NETWORK_SEED"
PEAK = "peak.txt"


def add_cells(spec: dict[str, Any], size: int, bias: float) -> Any:
    """Neurons that fire with probability V, which `rand()`, in [0, 1), clips to 0 .. 1; or those of a `LifSpec`."""
    if "threshold" in spec:
        return add_lif(spec, size)
    a = 2.0 ** -spec["leak"]
    cells = b2.NeuronGroup(size, "v : 1", threshold="rand() < v")
    cells.run_regularly(f"v = {1 - a!r} * v + {a * bias!r}", when="groups")
    return cells


def add_lif(spec: dict[str, Any], size: int) -> Any:
    """Leaky integrate-and-fire neurons with a Poisson input of their own, if there is one."""
    cells = b2.NeuronGroup(
        size,
        f"dv/dt = -v / ({spec['membrane_ms']!r} * ms) : 1 (unless refractory)",
        threshold=f"v >= {spec['threshold']!r}",
        reset=f"v = {spec['reset']!r}",
        refractory=(spec["refractory"] + 1) * b2.defaultclock.dt,  # counted from the step of the spike
        method="exact",
    )
    if spec["arrivals"]:
        cells.run_regularly(f"v += {spec['weight']!r} * poisson({spec['arrivals']!r})", when="after_groups")
    return cells


def add_synapses(spec: dict[str, Any], source: Any, target: Any, weight: float) -> Any:
    """Synapses of one weight, without a pattern yet."""
    a = 2.0 ** -spec["leak"]
    low, high = spec["delay"]
    one = {} if high > low else {"delay": (low - 1) * b2.defaultclock.dt}  # Brian2 has a faster queue for equal delays
    if "threshold" not in spec:
        return b2.Synapses(source, target, on_pre=f"v_post += {weight * a / (1 - a)!r}", **one)
    synapses = b2.Synapses(source, target, on_pre=f"v_post += {weight!r}", **one)
    synapses.pre.when = "after_groups"
    return synapses


def build(spec: dict[str, Any]) -> dict[str, Any]:
    """The objects of the network."""
    size, excitatory = spec["neurons"], spec["excitatory"]
    low, high = spec["delay"]
    objects: dict[str, Any] = {"cells": add_cells(spec, size, spec.get("bias", 0.0))}
    cells = objects["cells"]
    if spec["resting"]:
        objects["resting"] = add_cells(spec, spec["resting"], spec["resting_bias"])
    # of the synapses of a neuron, as many go to each population as would on average if drawn among all
    split = spec["synapses"] * excitatory // size
    to_inhibitory = f"int(k >= {split})"
    among = f"({excitatory} - {to_inhibitory} * {2 * excitatory - size})"
    drawn = f"{to_inhibitory} * {excitatory} + int(rand() * {among})"
    for name, source, weight in (
        ("from excitatory", cells[:excitatory], spec["weight"]),
        ("from inhibitory", cells[excitatory:], -spec["inhibition"] * spec["weight"]),
    ):
        synapses = add_synapses(spec, source, cells, weight)
        synapses.connect(j=f"{drawn} for k in range({spec['synapses']})")
        if high > low:
            synapses.delay = f"({low - 1} + int(rand() * {high - low + 1})) * dt"
        objects[name] = synapses
    objects["rates"] = b2.PopulationRateMonitor(cells)
    if spec["record"]:
        objects["spikes"] = b2.SpikeMonitor(cells)
    return objects


def told(spec: dict[str, Any], objects: dict[str, Any], seconds: float) -> dict[str, Any]:
    """What there is to say of the last steps; recorded spikes go into a file."""
    shares = np.asarray(objects["rates"].rate[-spec["steps"] :] * b2.defaultclock.dt)
    spikes = round(float(shares.sum()) * spec["neurons"])
    if spec["record"]:
        steps = np.rint(np.asarray(objects["spikes"].t / b2.defaultclock.dt)).astype(np.int64)
        np.savez(spec["record"], steps=steps, neurons=np.asarray(objects["spikes"].i).astype(np.int64))
    return {"seconds": seconds, "spikes": spikes, "events": spikes * spec["synapses"]}


def standalone(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A C++ program, which draws the network and runs it, anew for each seed."""
    began = time.perf_counter()
    folder, dt = spec["folder"], b2.defaultclock.dt
    b2.set_device("cpp_standalone", build_on_run=False, directory=folder)
    b2.prefs.codegen.cpp.headers += ["<sys/resource.h>"]
    seed = f'brian::_random_generators[0].seed(strtoul(getenv("{SEED}"), NULL, 10));'
    b2.device.insert_code("main", seed)  # compiled once, for all seeds
    peak = f'std::ofstream(brian::results_dir + "{PEAK}") << usage.ru_maxrss;'
    b2.device.insert_code("before_end", "{ struct rusage usage; getrusage(RUSAGE_SELF, &usage); " + peak + " }")
    objects = build(spec)
    network = b2.Network(*objects.values())
    network.run(spec["warm"] * dt)
    network.run(spec["steps"] * dt)
    b2.device.build(directory=folder, run=False)
    yield {"build": time.perf_counter() - began}
    for line in sys.stdin:
        os.environ[SEED] = str(int(line))
        began = time.perf_counter()
        b2.device.run(folder, with_output=False)
        whole = time.perf_counter() - began
        with open(os.path.join(b2.device.results_dir, PEAK)) as file:
            peak_kib = int(file.read())
        run = told(spec, objects, b2.device._last_run_time)  # processor time of the second of the two calls of run
        yield {**run, "peak": peak_kib * 1024, "setup": whole - run["seconds"]}


def runtime(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Compiled pieces (Cython) that Python calls; the network is drawn once and goes on."""
    began = time.perf_counter()
    dt = b2.defaultclock.dt
    b2.prefs.codegen.target = "cython"
    b2.prefs.codegen.runtime.cython.cache_dir = spec["folder"]
    b2.seed(spec["seed"])
    objects = build(spec)
    network = b2.Network(*objects.values())
    network.run(spec["warm"] * dt)
    yield {"build": time.perf_counter() - began}
    for _ in sys.stdin:
        first = time.process_time()
        network.run(spec["steps"] * dt)
        seconds = time.process_time() - first
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        yield {**told(spec, objects, seconds), "peak": peak * 1024, "setup": 0.0}


def potentials(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Potentials of silent cells that receive given spikes over given synapses, after each step."""
    b2.prefs.codegen.target = "numpy"
    given, dt = np.load(spec["given"]), b2.defaultclock.dt
    fired = b2.SpikeGeneratorGroup(int(given["sources"]), given["fired"], given["steps"] * dt)
    cells = add_cells(spec, int(given["targets"]), spec.get("bias", 0.0))
    synapses = add_synapses(spec, fired, cells, spec["weight"])
    synapses.connect(i=given["i"], j=given["j"])
    synapses.delay = (given["delays"] - 1) * dt
    seen = b2.StateMonitor(cells, "v", record=True, when="end" if "threshold" in spec else "thresholds")
    b2.Network(fired, cells, synapses, seen).run(spec["steps"] * dt)
    np.save(spec["record"], np.asarray(seen.v).T)
    yield {}


def main() -> None:
    """Answer in lines of JSON."""
    spec = json.loads(sys.argv[1])
    b2.prefs.logging.file_log = False
    b2.BrianLogger.log_level_error()
    versions = {"Brian2": b2.__version__, "numpy": np.__version__, "Python": sys.version.split()[0]}
    modes = {"standalone": standalone, "runtime": runtime, "potentials": potentials}
    for answer in modes[spec["mode"]](spec):
        print(json.dumps({**answer, "versions": versions}), flush=True)


if __name__ == "__main__":
    main()
