"""Accuracy against synaptic operations: networks of several activities, free phases of several lengths, early stops.

    python benchmarks/science/sparsity.py RUN.h5 [RUN.h5 ...] --steps 6,8,12,16 --tolerances 0.02,0.05 --plot curve.png

Each run is tested anew (stochastic inference, the whole test set of its data) with free phases of each length, and with
the longest one ended for each sample at equilibrium: when the read-out's answers to the halves of its window differ by
no more than the tolerance. A window is half of its phase, but no longer than that of the run; where phases end at
equilibrium it has --window steps, for the answer is looked at every half window.

Prints a line of Markdown for each test and, with --plot, draws them: one line a run over the lengths, crosses for the
early stops. The training itself is not repeated: a run with `--target-rate` is one more file.
"""

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from spikesim import RunReader
from spikesim.datasets import load
from spikesim.ep.config.parsing import config_of_run, make_config, merge
from spikesim.ep.evaluation.from_run import retest
from spikesim.errors import InputError


@dataclass(frozen=True)
class Point:
    """One test; operations are a sample's."""

    run: str
    steps: int
    tolerance: float | None
    taken: float
    accuracy: float
    activity: float
    accumulates: float
    joule: float


def measure(path: Path, lengths: list[int], tolerances: list[float], options: argparse.Namespace) -> list[Point]:
    """All tests of one run."""
    points = []
    with RunReader(path) as reader:
        own = config_of_run(reader.config)
        dataset = load(own.data.dataset, options.data_dir)
        variants = [(steps, None) for steps in lengths]
        for steps, tolerance in [*variants, *((max(lengths), tolerance) for tolerance in tolerances)]:
            longest = own.dynamics.window_free if tolerance is None else options.window
            window = min(longest, steps // 4 * 2)
            changes = {
                "dynamics.steps_free": steps,
                "dynamics.window_free": window,
                "dynamics.tolerance": tolerance,
                "data.test_limit": options.test_limit,
            }
            config = make_config(merge(own.to_dict(), changes.items()))
            (found,) = retest(reader, config, dataset, 1, options.threads)
            figures = found.steps, found.accuracy, found.activity, found.accumulates, found.joule
            point = Point(path.stem, steps, tolerance, *figures)
            points.append(point)
            limit = "" if tolerance is None else f"{tolerance:g}"
            print(
                f"| {point.run} | {point.taken:.2f} | {limit} | {point.accuracy:.2%} | {point.activity:.1%} | "
                f"{point.accumulates / 1e6:.2f} M | {point.joule * 1e6:.2f} uJ |",
                flush=True,
            )
    return points


def draw(points: list[Point], path: Path) -> None:
    """Accuracy over operations, one colour a run."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import ScalarFormatter

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for number, run in enumerate(dict.fromkeys(point.run for point in points)):
        own = [point for point in points if point.run == run]
        colour = f"C{number}"
        fixed = sorted((point for point in own if point.tolerance is None), key=lambda point: point.steps)
        early = [point for point in own if point.tolerance is not None]
        operations, accuracy = [p.accumulates / 1e6 for p in fixed], [100 * p.accuracy for p in fixed]
        axes.plot(operations, accuracy, "o-", color=colour, label=run)
        if early:
            operations, accuracy = [p.accumulates / 1e6 for p in early], [100 * p.accuracy for p in early]
            axes.plot(operations, accuracy, "x", color=colour, label=f"{run}, ended at equilibrium")
        for point in fixed:
            at = (point.accumulates / 1e6, 100 * point.accuracy)
            axes.annotate(str(point.steps), at, xytext=(4, -11), textcoords="offset points", fontsize=8, color=colour)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_formatter(ScalarFormatter())
    axes.set_xlabel("million accumulates a test sample (numbers: steps of the free phase)")
    axes.set_ylabel("test accuracy, %")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=120)


def main() -> None:
    """Test the runs, print the table, write what was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN.h5")
    parser.add_argument("--steps", default="8,12,16", help="lengths of the free phase (default: 8,12,16)")
    parser.add_argument("--tolerances", default="", help="tolerances of the early stop (default: none)")
    parser.add_argument("--window", type=int, default=4, help="steps, of phases that end at equilibrium (default: 4)")
    parser.add_argument("--test-limit", type=int, help="use only the first N test samples")
    parser.add_argument("--data-dir", type=Path, help="folder of data sets (default: $SPIKESIM_DATA)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--plot", type=Path, help="draw a picture")
    parser.add_argument("--out", type=Path, help="write the points, JSON")
    options = parser.parse_args()
    try:
        lengths = [int(word) for word in options.steps.split(",")]
        tolerances = [float(word) for word in options.tolerances.split(",") if word]
    except ValueError:
        sys.exit(f"Error: --steps {options.steps!r} or --tolerances {options.tolerances!r} is no list of numbers")
    if min(lengths) < 4:
        sys.exit(f"Error: a free phase of {min(lengths)} steps; at least 4")
    print("| run | steps | tolerance | test | activity | ACs | energy |")
    print("|" + "---|" * 7)
    try:
        points = [point for path in options.runs for point in measure(path, lengths, tolerances, options)]
    except InputError as error:
        sys.exit(f"Error: {error}")
    if options.plot is not None:
        draw(points, options.plot)
    if options.out is not None:
        options.out.write_text(json.dumps([asdict(point) for point in points], indent=1) + "\n")


if __name__ == "__main__":
    main()
