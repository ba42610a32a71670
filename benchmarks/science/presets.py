"""The rows of docs/papers.md, from run files of presets: accuracy, gradients by layer, activity, operations and time.

    python benchmarks/science/presets.py RUN.h5 [RUN.h5 ...] [--batch 32] [--data-dir D]

For each run a line of Markdown: the preset; accuracy of the last test; cosine of the estimate with the exact gradient
by layer, the lowest first, for the weights that the run started with and those of its last checkpoint; mean activity
of the free and of a nudged phase; accumulates and multiply-accumulates of a free phase and of the nudged phases
together, per training sample of the last epoch; hours of training and tests. A nudged phase of rates has no spikes.
"""

import argparse
import sys
from pathlib import Path

from spikesim import RunReader
from spikesim.ep.analysis.summary import Report, make_report
from spikesim.ep.config.parsing import Config, config_of_run
from spikesim.ep.evaluation.from_run import RunWeights
from spikesim.ep.gradcheck.check import Variant, check_gradients
from spikesim.ep.inputs.dataset import load_of_run
from spikesim.errors import InputError


def cosines(run: RunReader, config: Config, data_dir: Path | None, *, learned: bool) -> str:
    """Of the estimate with the exact gradient, by layer."""
    config, dataset = load_of_run(config, run, data_dir)
    found = check_gradients(config, dataset, [Variant.of(config)], run=RunWeights(run) if learned else None)
    return " ".join(f"{value:.2f}" for value in found.variants[0].weights["exact"].cosine[0])


def total(report: Report, phase: str) -> tuple[float, float, float]:
    """Activity, accumulates and multiply-accumulates of all layers in a phase, per sample."""
    (work,) = (own for own in report.layers if own.layer == "total" and own.phase == phase)
    accumulates = work.effective_acs_forward + work.effective_acs_feedback
    return work.activity or 0.0, accumulates, work.effective_macs


def row(path: Path, batch: int, data_dir: Path | None) -> str:
    """A line of the table."""
    with RunReader(path) as run:
        config = config_of_run(run.config, [("data.batch_size", batch)])
        report = make_report(run)
        free, plus = total(report, "free"), total(report, "nudged+")
        nudged = [plus, total(report, "nudged-")]
        last = [epoch for epoch in report.epochs if epoch.complete][-1]
        hours = sum(epoch.seconds + (epoch.test_seconds or 0.0) for epoch in report.epochs) / 3600
        done = f"{last.epoch}" if run.status == "finished" else f"{last.epoch} of {config.optimizer.epochs}"
        accuracy, model = 100 * (last.test_accuracy or 0.0), config.model
        cells = [
            config.preset,
            f"{config.data.dataset}, {model.arch}" + (f" x{model.width:g}" if model.width != 1 else ""),
            done,
            f"{accuracy:.2f} %",
            cosines(run, config, data_dir, learned=False),
            cosines(run, config, data_dir, learned=True),
            f"{free[0]:.1%}, {plus[0]:.1%}",
            f"{free[1] / 1e6:.1f}, {free[2] / 1e6:.1f} M",
            f"{sum(own[1] for own in nudged) / 1e6:.1f}, {sum(own[2] for own in nudged) / 1e6:.1f} M",
            f"{hours:.2f} h",
        ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN.h5")
    parser.add_argument("--batch", type=int, default=32, help="samples of the gradient check")
    parser.add_argument("--data-dir", type=Path, help="folder of data sets (default: $SPIKESIM_DATA)")
    options = parser.parse_args()
    titles = (
        "preset", "network", "epochs", "test", "cosines at the start", "at the end", "activity free, nudged",
        "free phase ACs, MACs", "nudged phases ACs, MACs", "time",
    )  # fmt: skip
    print(f"| {' | '.join(titles)} |\n{'|---' * len(titles)}|")
    try:
        for path in options.runs:
            print(row(path, options.batch, options.data_dir), flush=True)
    except InputError as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()
