"""The rows of docs/results.md, from run files: accuracy, time, activity, operations and energy a test sample.

    python benchmarks/science/results.py RUN.h5 [RUN.h5 ...]

Prints a line of Markdown for each run, and below them the test accuracy after each epoch and the training accuracy of
the heads in the last one, the lowest layer first and the read-out last. A run that has not ended is marked as such.
"""

import argparse
from pathlib import Path

import numpy as np

from spikesim import RunReader


def row(path: Path) -> tuple[str, str]:
    """A line of the table, and the curve of the test accuracy with the training accuracy of the heads by layer."""
    with RunReader(path) as run:
        epochs, batches, config = run.epochs, run.batches, run.config
        energy, status = run.energy_model, run.status
        neurons = np.array([layer.neurons for layer in run.layers], np.float64)
    if not len(epochs["epoch"]):
        return f"| {path.name} | no complete epoch |", ""
    accuracy = epochs["test_correct"] / np.maximum(epochs["test_samples"], 1)
    samples, steps = int(epochs["test_samples"][-1]), float(epochs["test_steps"][-1])
    events = (epochs["test_events_forward"][-1] + epochs["test_events_feedback"][-1]).astype(np.float64)
    macs = epochs["test_macs"][-1].astype(np.float64)
    activity = epochs["test_spikes"][-1].sum() / (neurons.sum() * steps)
    seconds = float(epochs["seconds"].sum() + epochs["test_seconds"].sum())
    wanted = config["optimizer"]["epochs"]
    done = f"{len(accuracy)}" if status == "finished" else f"{len(accuracy)} of {wanted}, not ended"
    model, pooling = config["model"], config["dynamics"]["pooling"]
    plain = model.get("normalization", "none") == "none"
    cells = (
        f"{config['data']['dataset']}, {model['arch']}"
        + (f" x{model['width']:g}" if model["width"] != 1 else "")
        + ("" if pooling == "average" else f", {pooling}")
        + (", plain weights" if plain else "")
        + (", no feedback" if config["dynamics"]["feedback_gain"] == 0 else ""),
        config["dynamics"]["inference"],
        config["error_signals"]["kind"],
        str(config["seed"]),
        done,
        f"{epochs['train_correct'][-1] / max(1, int(epochs['train_samples'][-1])):.2%}",
        f"{accuracy[-1]:.2%}",
        f"{seconds / 3600:.2f} h",
        f"{activity:.1%}",
        f"{events.sum() / samples / 1e6:.1f} M",
        f"{macs.sum() / samples / 1e6:.2f} M",
        f"{float(np.sum(energy.estimate(events, macs))) / samples * 1e6:.1f} uJ",
    )
    curve = " ".join(f"{100 * value:.2f}" for value in accuracy)
    last = batches["epoch"] == epochs["epoch"][-1]
    heads = 100 * batches["head_correct"][last].sum(axis=0) / batches["samples"][last].sum()
    by_layer = " ".join(f"{value:.0f}" for value in heads)
    return "| " + " | ".join(cells) + " |", f"{path.name}: {curve}; heads, training: {by_layer}"


def main() -> None:
    """Print the table and the curves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN.h5")
    rows = [row(path) for path in parser.parse_args().runs]
    headings = (
        "run",
        "inference",
        "error_signals",
        "seed",
        "epochs",
        "train",
        "test",
        "time",
        "activity",
        "ACs",
        "MACs",
        "energy",
    )
    print("| " + " | ".join(headings) + " |")
    print("|" + "---|" * len(headings))
    for line, _ in rows:
        print(line)
    print()
    for _, curve in rows:
        print(curve)


if __name__ == "__main__":
    main()
