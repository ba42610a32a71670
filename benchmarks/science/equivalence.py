"""Mean firing rates of spikes against the fixed point of the mean field: a table and a figure.

    python benchmarks/science/equivalence.py [--samples 64] [--leaks 1 4] [--windows 4 16 64 256] [--plot FILE.png]

The network of `firing.py`, with full feedback and with that of the defaults. r is the mean firing probability of a
neuron in a window that begins once the low pass has forgotten the start, p* the fixed point (`firing.py` has the
details). The table and the figure have, by layer,

- over the windows, the difference of a sample: root mean square of r - p* over samples and neurons, noise and bias;
- in the longest window, the bias: root mean square over neurons of the mean of r over the samples, less p*; the noise
  that the mean of so many samples still has is taken off.

If the spikes have the mean field's equilibrium, the first falls with the square root of the window, or faster with
stratified firing, down to the second; and the second falls with a slower low pass.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).resolve().parents[1]))  # measure.py
from firing import SETTINGS, Bench, rms
from measure import machine, network_parser, read_network

from spikesim.ep.config.parsing import Config
from spikesim.errors import InputError

FIRINGS = ("iid", "stratified")
GAINS = (1.0, Config().dynamics.feedback_gain)


@dataclass(frozen=True)
class Distance:
    """How far the rates of one layer are from the fixed point."""

    gain: float  # of the feedback
    layer: str
    firing: str
    leak: int
    window: int
    difference: float
    bias: float


def distances(bench: Bench, leak: int, firing: str, window: int, samples: int) -> list[Distance]:
    """Those of each layer."""
    found = []
    rates = bench.rates(leak, firing, window, samples)
    for name, own, rest in zip(bench.model.names, rates, bench.rest.rates, strict=True):
        apart = own - rest.ravel()
        noise = own.var(axis=0, ddof=1).mean() / samples
        bias = float(np.sqrt(max(0.0, (apart.mean(axis=0) ** 2).mean() - noise)))
        found.append(Distance(bench.config.dynamics.feedback_gain, name, firing, leak, window, rms(apart), bias))
    return found


def print_table(found: list[Distance], windows: list[int]) -> None:
    """A row for each layer, leak and way of firing; a column a window, then the bias in the longest one."""
    print(f"| feedback gain | layer | firing | leak | {' | '.join(f'window {own}' for own in windows)} | bias |")
    print("|---" * (len(windows) + 5) + "|")
    rows: dict[tuple[float, str, str, int], dict[int, Distance]] = {}
    for own in found:
        rows.setdefault((own.gain, own.layer, own.firing, own.leak), {})[own.window] = own
    for (gain, layer, firing, leak), row in sorted(rows.items(), key=lambda item: (-item[0][0], item[0][1:])):
        cells = [f"{row[window].difference:.4f}" for window in windows]
        print(f"| {gain:g} | {layer} | {firing} | {leak} | {' | '.join(cells)} | {row[windows[-1]].bias:.4f} |")


def draw(found: list[Distance], path: Path) -> None:
    """A row of panels for each feedback gain, a column a layer."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib.figure import Figure

    gains, layers = ([*dict.fromkeys(getattr(own, name) for own in found)] for name in ("gain", "layer"))
    leaks = sorted({own.leak for own in found})
    figure = Figure(figsize=(1.5 + 2.6 * len(layers), 0.8 + 2.6 * len(gains)), layout="constrained")
    panels = figure.subplots(len(gains), len(layers), sharex=True, sharey=True, squeeze=False)
    for row, gain in zip(panels, gains, strict=True):
        for panel, layer in zip(row, layers, strict=True):
            for firing in FIRINGS:
                for leak in leaks:
                    line = (gain, layer, firing, leak)
                    own = [one for one in found if (one.gain, one.layer, one.firing, one.leak) == line]
                    panel.loglog(
                        [one.window for one in own],
                        [one.difference for one in own],
                        color=f"C{leaks.index(leak)}",
                        linestyle="-" if firing == "iid" else "--",
                        marker=".",
                        label=f"{firing}, leak {leak}",
                    )
            panel.set_title(f"{layer}, feedback gain {gain:g}", fontsize="medium")
        row[0].set_ylabel("rms of r - p*")
    for panel in panels[-1]:
        panel.set_xlabel("window (steps)")
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(handles), fontsize="small")
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = network_parser(__doc__)
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--leaks", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--windows", type=int, nargs="+", default=[4, 16, 64, 256])
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="draw it (needs matplotlib)")
    options = parser.parse_args()
    if options.samples < 2:
        parser.error("--samples must be at least 2")
    try:
        found = []
        for gain in GAINS:
            settings = {**SETTINGS, "dynamics.feedback_gain": gain}
            bench = Bench(*read_network(options, {} if options.config else settings))
            print(bench.describe())
            for leak in options.leaks:
                for firing in FIRINGS:
                    for window in options.windows:
                        found += distances(bench, leak, firing, window, options.samples)
        print(machine(("numba", "numpy")), end="\n\n")
        print_table(found, options.windows)
        if options.plot is not None:
            draw(found, options.plot)
    except InputError as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()
