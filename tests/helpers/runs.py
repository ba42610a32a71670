"""Small run files with random counts, for the tests of whatever writes or reads them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from spikesim.ep.runs.last_test import LastTest, RecordedSamples
from spikesim.ep.runs.samples import SampleSpec
from spikesim.ep.runs.schema import TABLES, Column
from spikesim.ep.runs.writer import LayerInfo, RunHeader, RunWriter
from spikesim.errors import InputError

LAYERS = (
    LayerInfo("conv1", (4, 4, 3), 27, 432, 0, True),
    LayerInfo("conv2", (2, 2, 5), 135, 540, 600, False, 4),
    LayerInfo("dense3", (1, 1, 7), 140, 140, 0, False),
)
SAMPLES = SampleSpec(
    name="sprites#0123456789abcdef",
    kind="images",
    shape=(4, 4, 1),
    classes=10,
    class_names=tuple(map(str, range(10))),
    mean=np.array([0.25]),
    std=np.array([0.5]),
    duration=None,
)
RECORDED = RecordedSamples(np.array([9]), np.array([3]), np.arange(16, dtype=np.uint8).reshape(1, 4, 4, 1))
WEIGHT_SHAPES = {
    "conv1/weight": (3, 3, 1, 3),
    "conv1/bias": (3,),
    "conv2/weight": (3, 3, 3, 5),
    "conv2/bias": (5,),
    "dense3/weight": (20, 7),
    "dense3/bias": (7,),
    "readout/weight": (7, 10),
    "readout/bias": (10,),
}


def make_header(**changes: Any) -> RunHeader:
    values: dict[str, Any] = {
        "config": {"arch": "conv", "ep": {"beta": 2.0, "steps": [60, 20]}, "name": "größe"},
        "seed": 7,
        "layers": LAYERS,
        "weight_shapes": WEIGHT_SHAPES,
        "command_line": "spikesim train",
        "samples": SAMPLES,
        "recorded": RECORDED,
    }
    return RunHeader(**{**values, **changes})


def make_row(table: str, index: int, **changes: Any) -> dict[str, Any]:
    """A row that depends on its index only."""
    random = np.random.default_rng([index, len(table)])

    def value(column: Column) -> Any:
        shape = column.row_shape(len(LAYERS))
        return random.random(shape) if column.dtype == "<f8" else random.integers(1, 1000, shape)

    return {column.name: value(column) for column in TABLES[table]} | changes


NEURONS = np.array([layer.neurons for layer in LAYERS])


def make_batch(index: int, batches_per_epoch: int = 4, **changes: Any) -> dict[str, Any]:
    row = make_row("batches", index, epoch=index // batches_per_epoch + 1, batch=index % batches_per_epoch, samples=32)
    steps = np.array(changes.get("steps", [32 * 60, 32 * 20, 32 * 20]))
    row |= {"correct": index % 32, "steps": steps, "neuron_updates": np.outer(steps, NEURONS)} | changes
    if "joule" not in changes:
        del row["joule"]
    return row


def make_epoch(epoch: int, **changes: Any) -> dict[str, Any]:
    samples = {"train_samples": 128, "train_correct": 100, "test_samples": 50, "test_correct": 40, "test_steps": 3000}
    updates = samples["test_steps"] * NEURONS
    return make_row("epochs", epoch, epoch=epoch, test_neuron_updates=updates, **samples) | changes


def make_weights(seed: int = 0) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    return {name: random.normal(size=shape).astype(np.float32) for name, shape in WEIGHT_SHAPES.items()}


def make_last_test(epoch: int) -> LastTest:
    """Counts by true and predicted class, of which no class has none."""
    return LastTest(
        epoch, np.random.default_rng(epoch).integers(0, 9, (10, 10)) + 9 * np.eye(10, dtype=int), np.array([4])
    )


def make_traces(epoch: int, steps: int = 2) -> dict[str, Any]:
    """Steps of each phase, followed after an epoch."""
    rows = [
        make_row("traces", 100 * epoch + 10 * phase + step, epoch=epoch, phase=phase, step=step)
        for phase in range(3)
        for step in range(1, steps + 1)
    ]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def append_rows(writer: RunWriter, start: int, stop: int, batches_per_epoch: int = 4) -> None:
    """Mini-batches, their spikes, and an epoch's rows after its last mini-batch."""
    for index in range(start, stop):
        writer.append_batch(make_batch(index, batches_per_epoch))
        writer.append_spikes(index, [index, index + 1], 3, [0, 1], [5, 6])
        if (index + 1) % batches_per_epoch == 0:
            writer.append_traces(make_traces(index // batches_per_epoch + 1))
            writer.append_epoch(make_epoch(index // batches_per_epoch + 1))


def write_run(path: Path, batches: int = 10, status: str = "finished", **changes: Any) -> Path:
    with RunWriter.create(path, make_header(**changes)) as writer:
        append_rows(writer, 0, batches)
        if batches >= 4:
            writer.write_last_test(make_last_test(batches // 4))
        writer.write_weights(make_weights())
        writer.set_status(status)
    return path


def make_foreign(path: Path) -> None:
    """A file of HDF5 that is no run file."""
    with h5py.File(path, "w") as file:
        file["x"] = 1


def expect_fault(pattern: str, action: Callable[..., object], *arguments: object, **options: object) -> None:
    """The action refuses, in one line."""
    with pytest.raises(InputError, match=pattern) as caught:
        action(*arguments, **options)
    assert "\n" not in str(caught.value)
