"""Runs a NIR graph of IF neurons in the programs that are installed; `nir_readers.py` starts it.

    python benchmarks/science/nir_side.py FOLDER --steps 16 64

FOLDER has ``network.nir`` and ``images.npz`` with the arrays ``images`` (n, channels, rows, columns) and ``labels``.
Prints a line of JSON for each program. It needs nir and NumPy; spikesim need not be installed where the others are.
"""

import argparse
import importlib
import json
from collections.abc import Callable
from graphlib import TopologicalSorter
from importlib.metadata import version
from pathlib import Path
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

Reals = NDArray[np.float32]
Step = Callable[[Reals], Reals]
"""Takes the images of a step, gives the read-out of that step; the state of the neurons stays with it."""

CHUNK = 250
"""Images that are shown at a time."""


def in_numpy(graph: Any) -> Step:
    """The graph by itself: IF neurons that are reset by subtraction, several edges into a node add up."""
    sources = {name: [begin for begin, end in graph.edges if end == name] for name in graph.nodes}
    order = list(TopologicalSorter(sources).static_order())
    potentials: dict[str, Reals] = {}

    def step(images: Reals) -> Reals:
        values: dict[str, Reals] = {}
        for name in order:
            node = graph.nodes[name]
            x = sum(values[source] for source in sources[name]) if sources[name] else images
            if isinstance(node, nir.Conv2d):
                x = _convolve(node, x)
            elif isinstance(node, nir.IF):
                drive = potentials.get(name, 0) + node.r * x
                x = (drive >= node.v_threshold).astype(np.float32)
                potentials[name] = drive - x * node.v_threshold
            values[name] = x
        return values[order[-1]]

    return step


def _convolve(node: Any, x: Reals) -> Reals:
    high, wide = (int(side) for side in np.broadcast_to(node.padding, 2))
    down, right = (int(side) for side in np.broadcast_to(node.stride, 2))
    padded = np.pad(x, ((0, 0), (0, 0), (high, high), (wide, wide)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, node.weight.shape[2:], axis=(2, 3))[
        :, :, ::down, ::right
    ]
    sums = np.tensordot(windows, node.weight, axes=((1, 4, 5), (1, 2, 3)))  # (n, rows, columns, channels)
    return np.moveaxis(sums, -1, 1) + np.asarray(node.bias)[:, None, None]


def in_nirtorch(graph: Any) -> Step:
    """NIRTorch, which has modules for linear nodes alone: one for IF neurons is added, reset by subtraction."""
    import nirtorch
    import torch

    class Neurons(torch.nn.Module):
        def __init__(self, node: Any) -> None:
            super().__init__()
            self.threshold, self.potential = torch.as_tensor(node.v_threshold), torch.zeros(())

        def forward(self, x: Any) -> Any:
            drive = self.potential + x
            spikes = (drive >= self.threshold).to(x.dtype)
            self.potential = drive - spikes * self.threshold
            return spikes

    def module(node: Any) -> Any:
        if isinstance(node, nir.IF):
            return Neurons(node)
        if not isinstance(node, nir.Conv2d):
            return torch.nn.Identity()
        stride, padding = ([int(side) for side in np.broadcast_to(given, 2)] for given in (node.stride, node.padding))
        found = torch.nn.Conv2d(node.weight.shape[1], node.weight.shape[0], node.weight.shape[2:], stride, padding)
        found.weight.data, found.bias.data = torch.as_tensor(node.weight), torch.as_tensor(node.bias)
        return found

    return _stateful(nirtorch.load(graph, module))


def in_snntorch(graph: Any) -> Step:
    """snnTorch, whose reader gives IF neurons a leak and hands their state to nobody: both are put right."""
    import snntorch
    import torch
    from snntorch.import_nir import import_from_nir

    net = import_from_nir(graph)
    for neurons in net.modules():
        if isinstance(neurons, snntorch.Leaky):
            neurons.init_hidden, neurons.beta = True, torch.tensor(1.0)
            neurons.mem = neurons.reset_mem()
    return _stateful(net)


def in_norse(graph: Any) -> Step:
    """Norse, as it reads the graph."""
    import norse

    return _stateful(norse.torch.from_nir(graph))


def in_sinabs(graph: Any) -> Step:
    """Sinabs, as it reads the graph; its neurons hold a state for each image of a chunk."""
    import sinabs.nir

    return _stateful(sinabs.nir.from_nir(graph, num_timesteps=1))


def _stateful(net: Any) -> Step:
    """A network of torch; some return their state, which they want back."""
    import torch

    state: list[Any] = []

    def step(images: Reals) -> Reals:
        with torch.no_grad():
            found = net(torch.from_numpy(images), *state)
        if isinstance(found, tuple):
            state[:] = found[1:]
            found = found[0]
        return np.asarray(found.numpy())

    return step


PROGRAMS: dict[str, tuple[str, Callable[[Any], Step]]] = {
    "NumPy, reset by subtraction": ("numpy", in_numpy),
    "NIRTorch": ("nirtorch", in_nirtorch),
    "snnTorch": ("snntorch", in_snntorch),
    "Norse": ("norse", in_norse),
    "Sinabs": ("sinabs", in_sinabs),
}
"""By name, the package that it needs, and how it reads a graph."""


def answers(make: Callable[[], Step], images: Reals, steps: list[int]) -> dict[int, NDArray[np.int64]]:
    """Labels by the mean of the read-out over so many steps."""
    found: dict[int, list[NDArray[np.int64]]] = {count: [] for count in steps}
    for begin in range(0, len(images), CHUNK):
        shown, step, total = images[begin : begin + CHUNK], make(), np.float32(0)
        for count in range(1, max(steps) + 1):
            total = total + step(shown).reshape(len(shown), -1)
            if count in found:
                found[count].append(total.argmax(1))
    return {count: np.concatenate(own) for count, own in found.items()}


def main() -> None:
    """Print what each program answers."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, nargs="+", required=True)
    options = parser.parse_args()
    with np.load(options.folder / "images.npz") as arrays:
        images, labels = arrays["images"], arrays["labels"]

    def read(make: Callable[[Any], Step]) -> Step:
        return make(nir.read(options.folder / "network.nir"))

    for name, (package, make) in PROGRAMS.items():
        try:
            importlib.import_module(package)
        except ImportError:
            continue
        found = answers(lambda make=make: read(make), images, options.steps)
        accuracies = [float((found[count] == labels).mean()) for count in options.steps]
        print(json.dumps({"program": name, "version": version(package), "accuracies": accuracies}), flush=True)


if __name__ == "__main__":
    main()
