"""NeuroBench's metrics of a run, by NeuroBench itself and by this program, side by side.

    pip install '.[neurobench]'
    python benchmarks/science/metrics.py RUN.h5 --samples 4

The engine runs the phases of a mini-batch on the first test samples, and what each layer sends is recorded after every
step. NeuroBench then counts what a twin in torch (`metrics_twin.py`) does with the same weights and the same spikes:
feed-forward and feedback apart, with an average pool and the layer behind it as one map that spikes drive, as the
engine counts, and with the pool as a layer of its own. docs/metrics.md has the definitions, and the figures of a run.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.append(str(Path(__file__).resolve().parents[1]))  # chains.py, measure.py
from chains import chain_of
from measure import machine

from spikesim.datasets import load
from spikesim.ep.analysis.summary import NETWORK, parameter_summaries
from spikesim.ep.config.parsing import Config, config_of_run
from spikesim.ep.config.random_streams import STREAM_FREE, STREAM_NUDGED, STREAM_NUDGED_MINUS, stream_of
from spikesim.ep.evaluation.from_run import run_parameters
from spikesim.ep.inputs.pipeline import InputPipeline
from spikesim.ep.network.error_signals import head_strengths
from spikesim.ep.network.model import Model
from spikesim.ep.network.parameters import ParameterTree
from spikesim.ep.phases import workspace as ph
from spikesim.ep.phases.counters import PhaseCounts
from spikesim.ep.runs.reader import RunReader
from spikesim.ep.runs.schema import PHASES
from spikesim.errors import InputError
from spikesim.numerics.fixed_point import INPUT_BITS, ONE, P_MAX

try:
    import torch
    from metrics_twin import Trace, Twin
    from neurobench.benchmarks import Benchmark
    from neurobench.metrics.static import ConnectionSparsity, Footprint, ParameterCount
    from neurobench.metrics.workload import ActivationSparsity, MembraneUpdates, SynapticOperations
    from neurobench.models import TorchModel
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset
except ImportError as error:
    sys.exit(f"benchmarks/science/metrics.py needs NeuroBench and PyTorch: pip install '.[neurobench]' ({error})")

ROUNDING = 4 / ONE
"""The engine rounds the sum of each table and the leak to 2**-16."""
WAYS = ("forward", "feedback")
LAYERED = "forward, pools as layers"

Figures = dict[str, float | None]


@dataclass(frozen=True, eq=False)
class Phase:
    """A phase as it was recorded, and what the engine counted in it."""

    name: str
    trace: Trace
    counts: PhaseCounts


def follow(model: Model, config: Config, images: NDArray[np.int16], labels: NDArray[np.int64]) -> Iterator[Phase]:
    """The phases of samples 0, 1, .. of the first epoch, step by step."""
    dynamics, n, stop = config.dynamics, len(images), np.zeros(1, np.uint8)
    workspace = ph.Workspace(model, dynamics, n, config.seed)
    workspace.rest(images, np.arange(n))
    states, counts = [_state(workspace, n)], PhaseCounts.zero(model.layers)
    for found in workspace.free_steps(n, stream_of(0, STREAM_FREE), stop):
        states.append(_state(workspace, n))
        counts = found
    pixels, onset = images / 2.0**INPUT_BITS, dynamics.onset(model.layers)
    counts.macs[0] += (
        n * model.graph.edges[0].connection.dense_operations
    )  # the images, as `Workspace.free` counts them
    yield Phase(PHASES[0], _trace(states, dynamics.order, images=pixels, onset=onset), counts)

    workspace.rest(images, np.arange(n))
    workspace.free(n, stream_of(0, STREAM_FREE), stop)
    held, graded = model.clamped is not None, dynamics.nudged_phase == "linear-response"
    sent_first = workspace.keep(n)
    if held and not graded:  # mean rates, once, by all tables, and by those that lead back a second time
        yield Phase("mean rates", _rates(workspace, model, n), _macs(model, sent_first, n))
    strengths = dynamics.beta * np.array(head_strengths(config, model.heads, model.layers))
    for name, sign in zip(PHASES[1:], (1, -1), strict=True):
        independent = sign < 0 and dynamics.noise == "independent"
        stream = stream_of(0, STREAM_NUDGED_MINUS if independent else STREAM_NUDGED)
        workspace.restore(n)
        states = [_state(workspace, n)]
        for steps in range(1, dynamics.steps_nudged + 1):  # a phase of so many steps ends where the next one passes
            workspace.restore(n)
            counts = workspace.nudged(n, stream, labels, sign * strengths, stop, steps=steps)
            states.append(_state(workspace, n))
        order = "synchronous" if held else dynamics.order
        trace = _trace(states, "downwards" if graded else order, forward=not held)
        if graded:
            start = trace.potentials
            trace = replace(trace, sent=[rates - rates[0] for rates in start])
        yield Phase(name, trace, counts)


def _state(workspace: ph.Workspace, n: int) -> list[tuple[NDArray[np.bool_], NDArray[np.float64]]]:
    """Spikes and potentials of each layer, (n, H, W, C)."""
    model, found = workspace.model, []
    bits = np.unpackbits(workspace.state.words[:n].view(np.uint8), axis=-1, bitorder="little")
    for layer, population in enumerate(model.graph.populations):
        height, width, channels = population.shape
        lanes = population.blocks * population.lanes
        at = 16 * int(model.compiled.plan.populations[population.index].words)
        own = bits[:, at : at + height * width * lanes].reshape(n, height, width, lanes)
        potentials = population.from_state(workspace.state.membrane[:n, model.state_slice(layer)]) / ONE
        found.append((own[..., :channels].astype(bool), potentials))
    return found


def _trace(states: list[Any], order: str, **changes: Any) -> Trace:
    layers = range(len(states[0]))
    sent = [np.stack([state[layer][0] for state in states]) for layer in layers]
    potentials = [np.stack([state[layer][1] for state in states]) for layer in layers]
    return Trace(changes.pop("images", None), sent, potentials, order, **changes)


def _rates(workspace: ph.Workspace, model: Model, n: int) -> Trace:
    """The mean rates of a window as what a single step finds."""
    window = np.zeros(workspace.state.membrane.shape, np.int32)
    workspace.window_sums(n, window[:n])
    length = workspace.dynamics.window_free
    mean = (
        np.minimum((window[:n] + length // 2) // length, P_MAX) / ONE
    )  # as `mean_rates` of ep/phases/nudged/clamped_drive.py rounds
    rates = [
        np.stack([population.from_state(mean[:, model.state_slice(layer)])] * 2)
        for layer, population in enumerate(model.graph.populations)
    ]
    return Trace(None, rates, rates, "synchronous")


def _macs(model: Model, macs: NDArray[np.int64], n: int) -> PhaseCounts:
    counts = PhaseCounts.zero(model.layers)
    counts.macs[...] = macs
    return counts


def neurobench(twin: Twin, trace: Trace) -> dict[str, Any]:
    """NeuroBench's workload metrics of a twin."""
    images = torch.zeros(trace.samples)
    if trace.images is not None:
        images = torch.from_numpy(np.ascontiguousarray(np.moveaxis(trace.images, -1, 1)))
    data = DataLoader(TensorDataset(images, torch.zeros(len(images))), batch_size=len(images))
    model = TorchModel(twin)
    for kind in {type(module) for module in twin.fires.values()}:
        model.add_activation_module(kind)
    metrics = [ActivationSparsity, SynapticOperations, MembraneUpdates]
    with torch.no_grad():
        results: dict[str, Any] = Benchmark(model, data, [], [], [[], metrics]).run(quiet=True)
    return results


def static(parameters: ParameterTree) -> Figures:
    """NeuroBench's static metrics of the layers and the read-out, float32."""
    net = nn.Module()
    pairs = [(*layer.weights.values(), layer.bias) for layer in parameters.layers.values()]  # one connection a layer
    for number, (weight, bias) in enumerate([*pairs, (parameters.readout.weight, parameters.readout.bias)]):
        flat = torch.from_numpy(weight.reshape(-1, weight.shape[-1]).T.copy())
        module = nn.Linear(flat.shape[1], flat.shape[0])
        module.weight.data, module.bias.data = flat, torch.from_numpy(bias)
        net.add_module(f"layer{number}", module)
    model = TorchModel(net)
    return {metric.__name__: metric()(model) for metric in (ParameterCount, Footprint, ConnectionSparsity)}


def own_static(reader: RunReader) -> Figures:
    """The same from the report of the run."""
    network = next(item for item in parameter_summaries(reader) if item.layer == NETWORK)
    return {
        "ParameterCount": network.parameters,
        "Footprint": network.footprint_bytes,
        "ConnectionSparsity": round(network.connection_sparsity or 0.0, 4),
    }


class Sides:
    """Both ways of counting, for a network."""

    def __init__(self, reader: RunReader, config: Config, model: Model, parameters: ParameterTree) -> None:
        self.layers, self.model, self.parameters = reader.layers, model, parameters
        self.leak = config.dynamics.leak
        self.integers = [c.integers * 2.0**-c.exponent for c in chain_of(model.graph).connections]

    def twin(self, trace: Trace, way: str, *, fused: bool = True, rounded: bool = False) -> dict[str, Any]:
        """What NeuroBench counts.

        Raises
        ------
        InputError
            The recorded potentials are not those that follow from the twin's drives.
        """
        weights = self.integers if rounded else self.parameters.weights(self.model.graph)
        twin = Twin(self.model, weights, self.parameters.biases(), trace, leak=self.leak, fused=fused, counted=way)
        results = neurobench(twin, trace)
        if rounded and twin.error > ROUNDING:
            raise InputError(f"the twin's potentials differ from the engine's by {twin.error:.3g}: it is no twin")
        return results

    def theirs(self, phase: Phase) -> Figures:
        """NeuroBench's figures of a phase, a sample."""
        rates = phase.name == "mean rates"
        by_way = {way: self.twin(phase.trace, way, fused=not rates) for way in WAYS}
        found: Figures = {}
        if phase.counts.spikes.any():
            found["ActivationSparsity"] = by_way["forward"]["ActivationSparsity"]
        macs = 0.0
        for way, results in by_way.items():
            operations = results["SynapticOperations"]
            times = 2 if rates and way == "feedback" else 1
            found[f"Effective_ACs, {way}"] = operations["Effective_ACs"]
            found[f"Dense, {way}"] = times * operations["Dense"]
            macs += times * operations["Effective_MACs"]
        found["Effective_MACs"] = macs
        layered = self.twin(phase.trace, "forward", fused=False)["SynapticOperations"]
        found[f"Dense, {LAYERED}"] = layered["Dense"]
        return found

    def own(self, phase: Phase) -> Figures:
        """What the engine counted in a phase, and what the layers of the run file make of its steps, a sample."""
        counts, n, trace = phase.counts, phase.trace.samples, phase.trace
        rates = phase.name == "mean rates"
        image = float(trace.images is not None)
        once = [image if layer.analogue else float(trace.steps * trace.forward) for layer in self.layers]
        pooled = [layer.synapses_forward * times for layer, times in zip(self.layers, once, strict=True)]
        cells = [1 if rates else layer.cells for layer in self.layers]
        found: Figures = {}
        if counts.spikes.any():
            found["ActivationSparsity"] = 1 - int(counts.spikes.sum()) / int(self.model.neurons.sum() * counts.steps)
        found |= {
            "Effective_ACs, forward": int(counts.events_forward.sum()) / n,
            "Dense, forward": sum(own * count for own, count in zip(pooled, cells, strict=True)),
            "Effective_ACs, feedback": int(counts.events_feedback.sum()) / n,
            "Dense, feedback": sum(layer.synapses_feedback for layer in self.layers) * trace.steps * (1 + rates),
            "Effective_MACs": int(counts.macs.sum()) / n,
            f"Dense, {LAYERED}": sum(pooled),
        }
        return found


def compare(path: Path, options: argparse.Namespace) -> bool:
    """Print both sides; whether all that must be equal is."""
    with RunReader(path) as reader:
        changes = [("dynamics.tolerance", None), ("dynamics.inference", "stochastic")]
        config = config_of_run(reader.config, changes)
        if config.dynamics.pooling == "strided":
            raise InputError("the transpose of a convolution with a stride has no equal among NeuroBench's layers")
        dataset = load(config.data.dataset, options.data_dir)
        model = Model(config, dataset)
        if model.spike_input:
            raise InputError(f"the samples of {dataset.name} enter as spikes; the comparison is for images")
        parameters = run_parameters(reader, model, dataset.name)
        model.set_parameters(parameters)
        sides, first = Sides(reader, config, model, parameters), slice(options.samples)
        own, theirs = own_static(reader), static(parameters)
    pipeline = InputPipeline(config, dataset, model.graph.image.shape)
    print(machine(("neurobench", "torch", "snntorch")))
    print(f"\n{path}: {options.samples} test samples; operations a sample\n")
    print(f"{'':<34}{'spikesim':>16}{'NeuroBench':>16}")
    equal = _show("network", own, theirs)
    total: tuple[Figures, Figures] = {}, {}
    for phase in follow(model, config, pipeline.plain(dataset.test, first), dataset.test.labels[first]):
        own, theirs = sides.own(phase), sides.theirs(phase)
        if phase.name == PHASES[0]:
            own["MembraneUpdates"] = membrane_updates(phase.trace)
            theirs["MembraneUpdates"] = sides.twin(phase.trace, "forward", rounded=True)["MembraneUpdates"]
            free = phase
        equal &= _show(f"{phase.name}, {phase.trace.steps} steps", own, theirs)
        for sums, figures in zip(total, (own, theirs), strict=True):
            for name, value in figures.items():
                if name not in ("ActivationSparsity", "MembraneUpdates"):
                    sums[name] = (sums.get(name) or 0.0) + (value or 0.0)
    equal &= _show("total", *total)
    _show_others(sides, free)
    return equal


def _show(title: str, own: Figures, theirs: Figures) -> bool:
    print(title)
    equal = own.keys() == theirs.keys()
    for name, value in own.items():
        same = abs((value or 0.0) - (theirs[name] or 0.0)) <= 1e-12 * abs(value or 0.0)
        equal &= same
        print(f"  {name:<32}{value:>16.10g}{theirs[name]:>16.10g}  {'equal' if same else 'DIFFERENT'}")
    return equal


def _show_others(sides: Sides, free: Phase) -> None:
    """What the engine does not count, of the free phase."""
    layered = sides.twin(free.trace, "forward", fused=False)["SynapticOperations"]
    rounded = [sides.twin(free.trace, way, rounded=True)["SynapticOperations"]["Effective_ACs"] for way in WAYS]
    zeros = sum(int((weights == 0).sum()) for weights in sides.integers) / sum(w.size for w in sides.integers)
    print("\nfree, by NeuroBench, with the pools as layers")
    for name in ("Effective_ACs", "Effective_MACs"):
        print(f"  {name + ', forward':<48}{layered[name]:>16.10g}")
    print(f"free, by NeuroBench, with the int16 weights of the dynamics, {zeros:.3%} of which are 0 and do not count")
    for way, value in zip(WAYS, rounded, strict=True):
        print(f"  {'Effective_ACs, ' + way:<48}{value:>16.10g}")
    print("free, by the engine")
    print(f"  {'updates of a neuron, all of them':<48}{int(free.counts.updates.sum()) / free.trace.samples:>16.10g}")


def membrane_updates(trace: Trace) -> float:
    """Neurons and steps whose potential changed, those of the first step all of them, a sample."""
    total = 0
    for potentials in trace.potentials:
        total += potentials[1].size + int(np.count_nonzero(np.diff(potentials[1:], axis=0)))
    return total / trace.samples


def main() -> None:
    """Read the command line and compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("run", type=Path, help="a run file")
    parser.add_argument("--samples", type=int, default=4, help="test samples (default: %(default)s)")
    parser.add_argument("--data-dir", type=Path, help="folder of data sets (default: $SPIKESIM_DATA)")
    options = parser.parse_args()
    if options.samples < 1:
        sys.exit(f"Error: --samples is {options.samples}; it must be at least 1")
    try:
        if not compare(options.run, options):
            sys.exit("Error: figures that must be equal are not")
    except InputError as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()
