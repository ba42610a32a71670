"""Spikes of predictions, as the formats of spikes take them."""

import csv

import numpy as np
import pytest
from runs import LAYERS, expect_fault

from spikesim.ep.exchange.exporting import ExportOptions, export
from spikesim.ep.exchange.predicted import PredictedSpikes
from spikesim.ep.exchange.spikes import read_recording

ARRAYS = {
    "config_hash": np.array("ab" * 32),
    "layers": np.array([layer.name for layer in LAYERS]),
    "layer_shapes": np.array([layer.shape for layer in LAYERS]),
    "steps": np.array([9, 7, 8]),
    "recorded": np.array([5, 3, 4]),
    "spike_sample": np.array([5, 5, 3]),
    "spike_layer": np.array([0, 2, 1]),
    "spike_step": np.array([8, 1, 0]),
    "spike_neuron": np.array([47, 6, 19]),
}


def write(path, **changes):
    np.savez(path, **{name: values for name, values in {**ARRAYS, **changes}.items() if values is not None})
    return PredictedSpikes(path)


def test_they_are_what_a_run_would_have(tmp_path):
    found = read_recording(write(tmp_path / "p.npz"))
    assert (found.samples, found.steps, found.epoch, found.config_hash) == ((3, 4, 5), 9, 0, "ab" * 32)
    assert [layer.shape for layer in found.layers] == [layer.shape for layer in LAYERS]
    assert found.sample.tolist() == [0, 2, 2] and found.step.tolist() == [0, 1, 8]
    assert found.layer.tolist() == [1, 2, 0] and found.neuron.tolist() == [19, 6, 47]
    export(write(tmp_path / "p.npz"), "csv", tmp_path / "s.csv", ExportOptions(table="spikes", samples=(5,)))
    with open(tmp_path / "s.csv") as stream:
        assert [(row["sample"], row["layer"], row["row"]) for row in csv.DictReader(stream)] == [
            ("5", "dense3", "0"),
            ("5", "conv1", "3"),
        ]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"spike_step": None}, "no recorded spikes"),
        ({"layers": None}, "damaged"),
        ({"spike_step": np.array([8, 1])}, "do not belong together"),
        ({"spike_step": np.array([8.0, 1.0, 0.0])}, "damaged"),
        ({"spike_neuron": np.array([48, 6, 19])}, "neurons that its layers do not have"),
        ({"spike_layer": np.array([0, 3, 1])}, "neurons that its layers do not have"),
        ({"spike_layer": np.array([0, -1, 1])}, "damaged"),
        ({"layers": np.array(["a/b", "b", "c"])}, "do not belong together"),
        ({"layer_shapes": np.zeros((3, 3), int)}, "do not belong together"),
        ({"layer_shapes": np.zeros(3)}, "damaged"),
        ({"recorded": np.array([{}], object)}, "Python objects"),
    ],
)
def test_files_that_are_none(changes, told, tmp_path):
    expect_fault(told, lambda: read_recording(write(tmp_path / "p.npz", **changes)))


def test_what_is_no_archive(tmp_path):
    (tmp_path / "p.npz").write_bytes(b"something else")
    expect_fault("not an .npz file", PredictedSpikes, tmp_path / "p.npz")
    expect_fault("does not exist", PredictedSpikes, tmp_path / "none.npz")
    for to, options in (("nir", ExportOptions()), ("csv", ExportOptions()), ("neurobench", ExportOptions())):
        expect_fault("holds predictions", export, write(tmp_path / "p.npz"), to, tmp_path / "x", options)
