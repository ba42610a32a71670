"""The counters of a run for other programs: under NeuroBench's names, and as a table with a line a number."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from spikesim import __version__
from spikesim.ep.analysis.summary import NETWORK, TEST_PHASE, TOTAL, LayerWork, make_report
from spikesim.ep.runs.reader import RunReader
from spikesim.ep.runs.schema import PHASES, READOUT, TABLES, Column
from spikesim.errors import InputError
from spikesim.runtime.manual import manual

__all__ = ["NEUROBENCH_LOSSES", "neurobench_results", "write_neurobench", "write_table"]

NEUROBENCH_LOSSES = (
    "MembraneUpdates is null: the engine updates every neuron at every step and does not count which potentials changed"
)


def neurobench_results(reader: RunReader) -> dict[str, Any]:
    """Results under the names that NeuroBench 2.3 gives its metrics, of the last test of a run.

    ``"spikesim"`` holds what NeuroBench has no name for: forward and feedback apart, the phases of training, the
    operations with a pool as a layer of its own. docs/metrics.md says what is counted.

    Raises
    ------
    InputError
        No epoch with a test is complete.
    """
    report = make_report(reader)
    test = {work.layer: work for work in report.layers if work.phase == TEST_PHASE}
    if not test:
        raise InputError(f"{reader.path} has no complete epoch with a test; NeuroBench's metrics are those of a test")
    epoch = next(summary for summary in report.epochs if summary.epoch == report.epoch)
    network = next(summary for summary in report.parameters if summary.layer == NETWORK)
    whole = test[TOTAL]
    sparsity = network.connection_sparsity
    return {
        "ParameterCount": network.parameters,
        "Footprint": network.footprint_bytes,
        "ConnectionSparsity": None if sparsity is None else round(sparsity, 4),
        "ClassificationAccuracy": epoch.test_accuracy,
        "ActivationSparsity": whole.activation_sparsity,
        "ActivationSparsityByLayer": {name: work.activation_sparsity for name, work in test.items() if name != TOTAL},
        "SynapticOperations": {
            "Effective_MACs": whole.effective_macs,
            "Effective_ACs": whole.effective_acs_forward + whole.effective_acs_feedback,
            "Dense": whole.dense_forward + whole.dense_feedback,
        },
        "MembraneUpdates": None,
        "spikesim": {
            "version": __version__,
            "neurobench": f"names and definitions of NeuroBench 2.3.0; {manual('metrics')}",
            "losses": NEUROBENCH_LOSSES,
            "config_hash": reader.config_hash,
            "epoch": report.epoch,
            "samples": whole.samples,
            "phases": {
                phase: {work.layer: _operations(work) for work in report.layers if work.phase == phase}
                for phase in (*PHASES, TOTAL, TEST_PHASE)
            },
        },
    }


def write_neurobench(path: Path, reader: RunReader) -> None:
    """Write `neurobench_results` as JSON."""
    text = json.dumps(neurobench_results(reader), indent=2, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def write_table(path: Path, reader: RunReader, table: str) -> None:
    """Write the columns of ``"batches"`` or ``"epochs"`` as CSV, a line a number.

    The columns are those that number the rows, then phase, layer, metric and value; "" where they do not apply.
    """
    keys = [name for name in ("epoch", "batch") if name in {column.name for column in TABLES[table]}]
    values = reader.batches if table == "batches" else reader.epochs
    layers = [*(layer.name for layer in reader.layers), READOUT]
    with open(path, "x", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow((*keys, "phase", "layer", "metric", "value"))
        for row in range(len(values["epoch"])):
            place = [int(values[key][row]) for key in keys]
            for column in TABLES[table]:
                if column.name not in keys:
                    for where, value in _cells(column, values[column.name][row], layers):
                        writer.writerow((*place, *where, repr(value)))


def _cells(column: Column, values: Any, layers: list[str]) -> Iterator[tuple[tuple[str, str, str], Any]]:
    """(phase, layer, metric) and value of every number of a row; what was not measured is left out."""
    for index, value in zip(np.ndindex(*values.shape), values.reshape(-1).tolist(), strict=True):
        if value != value:
            continue
        phase, layer, metric = "", "", column.name
        for symbol, position in zip(column.trailing, index, strict=True):
            if symbol == "P":
                phase = PHASES[position]
            elif symbol in ("L", "L+1"):
                layer = layers[position]
            else:
                metric += f"[{position}]"
        yield (phase, layer, metric), value


def _operations(work: LayerWork) -> dict[str, Any]:
    return {
        "forward": {
            "Effective_ACs": work.effective_acs_forward,
            "Dense": work.dense_forward,
            "Dense_with_pooling_layers": work.dense_forward_pooled,
        },
        "feedback": {"Effective_ACs": work.effective_acs_feedback, "Dense": work.dense_feedback},
        "Effective_MACs": work.effective_macs,
        "ActivationSparsity": work.activation_sparsity,
        "neuron_updates": work.neuron_updates,
        "steps": work.steps,
    }
