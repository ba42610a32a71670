"""Learning by layer against sums over the rows that were written."""

import math

import numpy as np
import pytest
from runs import LAYERS, append_rows, make_batch, make_epoch, make_header

from spikesim.ep.analysis.layers import layer_learning
from spikesim.ep.runs.writer import RunReader, RunWriter


@pytest.fixture(scope="module")
def learning(tmp_path_factory):
    """One complete epoch of four mini-batches and half of a second; the last layer but one has no head there."""
    path = tmp_path_factory.mktemp("run") / "run.h5"
    with RunWriter.create(path, make_header()) as writer:
        append_rows(writer, 0, 4)
        for index in (4, 5):
            loss = make_batch(index)["head_loss"]
            loss[1] = math.nan
            writer.append_batch(make_batch(index, head_loss=loss))
    with RunReader(path) as run:
        found = layer_learning(run.batches, run.epochs, run.layers)
    return {(item.epoch, item.layer): item for item in found}


def test_means_over_the_mini_batches_of_an_epoch(learning):
    rows = [make_batch(index) for index in range(4)]
    assert len(learning) == 2 * (len(LAYERS) + 1)
    for i, layer in enumerate(LAYERS):
        item = learning[1, layer.name]
        for name in ("rate_difference", "weight_change", "signal_strength", "head_loss"):
            assert getattr(item, name) == pytest.approx(np.mean([row[name][i] for row in rows])), name
        assert item.head_accuracy == pytest.approx(sum(row["head_correct"][i] for row in rows) / 128)
        full = sum(int(row["saturated"][0][i]) for row in rows)
        there = sum(row["neuron_updates"][0][i] / row["steps"][0] * row["samples"] for row in rows)
        assert item.saturated == pytest.approx(full / there)
        assert item.weight_norm == rows[-1]["weight_norm"][i]
        assert item.spectral_norm == make_epoch(1)["spectral_norm"][i]


def test_the_read_out_has_weights_and_no_layer(learning):
    item = learning[1, "readout"]
    assert item.weight_change == pytest.approx(np.mean([make_batch(i)["weight_change"][-1] for i in range(4)]))
    assert (
        item.rate_difference is item.signal_strength is item.head_loss is item.head_accuracy is item.saturated is None
        and item.spectral_norm is None
    )


def test_what_was_not_measured_is_none(learning):
    without = learning[2, LAYERS[1].name]
    assert without.head_loss is without.head_accuracy is without.signal_strength is None
    assert without.rate_difference is not None and without.spectral_norm is None, "the epoch has not ended"
    assert learning[2, LAYERS[0].name].head_loss is not None
