"""Spikes of a run in other formats, read back with the readers of those who made the formats."""

import csv
import json

import h5py
import libsonata
import nir
import numpy as np
import pytest
from runs import LAYERS, make_header

from spikesim.ep.exchange.spikes import read_recording, write_nirdata, write_sonata, write_spike_table
from spikesim.ep.runs.writer import RunReader, RunWriter
from spikesim.errors import InputError

STEPS = 49
SAMPLES = (2, 3, 7)


@pytest.fixture(scope="module")
def spikes():
    """Columns sample, step, layer, neuron; sample 3 has none, and each spike is there once."""
    rng = np.random.default_rng(0)
    found = [
        (sample, step, layer, neuron)
        for sample in (7, 2)  # in the order of a training that was asked for them so
        for step in range(STEPS)
        for layer, info in enumerate(LAYERS)
        for neuron in np.flatnonzero(rng.random(info.neurons) < 0.1)
    ]
    return np.array(found, np.int64)


def write(path, spikes, asked=(7, 2, 3)):
    config = {"record": {"spikes": list(asked)}, "dynamics": {"steps_free": STEPS}}
    with RunWriter.create(path, make_header(config=config)) as writer:
        writer.append_spikes(1, *([column[0]] for column in spikes.T))  # of an earlier test
        writer.append_spikes(2, *spikes.T)
    return path


@pytest.fixture(scope="module")
def recording(tmp_path_factory, spikes):
    with RunReader(write(tmp_path_factory.mktemp("run") / "run.h5", spikes)) as reader:
        return read_recording(reader)


def of_layer(spikes, layer):
    return {(sample, step, neuron) for sample, step, its, neuron in spikes.tolist() if its == layer}


def test_the_recording_is_that_of_the_last_test(recording, spikes):
    assert (recording.epoch, recording.steps, recording.samples) == (2, STEPS, SAMPLES)
    position = np.array(SAMPLES)[recording.sample]
    found = np.stack([position, recording.step, recording.layer, recording.neuron], axis=1)
    assert found.tolist() == sorted(spikes.tolist())


@pytest.mark.parametrize("step_ms", [1.0, 0.3])
def test_sonata_is_read_by_libsonata(tmp_path, recording, spikes, step_ms):
    path = tmp_path / "spikes.h5"
    write_sonata(path, recording, step_ms)
    reader = libsonata.SpikeReader(str(path))
    assert sorted(reader.get_population_names()) == sorted(layer.name for layer in LAYERS)
    for index, layer in enumerate(LAYERS):
        population = reader[layer.name]
        assert (population.sorting, population.time_units) == ("by_time", "ms")
        expected = sorted(
            ((SAMPLES.index(sample) * STEPS + step) * step_ms, neuron)
            for sample, step, neuron in of_layer(spikes, index)
        )
        assert np.array([(time, node) for node, time in population.get()]) == pytest.approx(np.array(expected))
        times = [time for time, _ in expected]
        assert population.times == pytest.approx((times[0], times[-1]))
        first = population.get(node_ids=libsonata.Selection([1, 2]), tstop=(STEPS - 0.5) * step_ms)  # the first sample
        assert len(first) == sum(sample == 2 and neuron in (1, 2) for sample, _, neuron in of_layer(spikes, index))


def test_sonata_says_what_it_has_no_place_for(tmp_path, recording):
    write_sonata(tmp_path / "spikes.h5", recording, 0.5)
    with h5py.File(tmp_path / "spikes.h5") as file:
        about = json.loads(file.attrs["spikesim"])
        assert file.attrs["magic"] == 0x0A7A and file.attrs["version"].tolist() == [0, 1]
        assert all(dataset.compression is None for dataset in file["spikes/conv1"].values())
        assert file["spikes/conv1/timestamps"].dtype == "<f8" and file["spikes/conv1/node_ids"].dtype == "<u8"
    assert (about["samples"], about["steps"], about["step_ms"]) == ([2, 3, 7], STEPS, 0.5)
    assert about["layers"] == {layer.name: list(layer.shape) for layer in LAYERS}
    assert about["config_hash"] == recording.config_hash


@pytest.mark.parametrize("step_ms", [1.0, 0.3, 2.0**-4])
def test_nirdata_is_read_by_nir(tmp_path, recording, spikes, step_ms):
    write_nirdata(tmp_path / "data.h5", recording, step_ms)
    data = nir.read_data(tmp_path / "data.h5")
    assert data.nodes.keys() == {layer.name for layer in LAYERS}
    for index, layer in enumerate(LAYERS):
        events = data.nodes[layer.name].observables["spikes"]
        assert (events.n_samples, events.n_neurons) == (3, layer.neurons)
        gridded = events.to_time_gridded(step_ms * 1e-3).data  # (samples, steps, neurons), by NIR's own rounding
        assert gridded.shape == (3, STEPS, layer.neurons)
        expected = np.zeros((3, STEPS, *layer.shape), bool)
        for sample, step, neuron in of_layer(spikes, index):
            expected[(SAMPLES.index(sample), step, *np.unravel_index(neuron, layer.shape))] = True
        np.testing.assert_array_equal(gridded, np.moveaxis(expected, -1, 2).reshape(gridded.shape))


def test_the_table_has_a_line_a_spike(tmp_path, recording, spikes):
    write_spike_table(tmp_path / "spikes.csv", recording, 0.5)
    with open(tmp_path / "spikes.csv", newline="") as stream:
        lines = list(csv.DictReader(stream))
    names = [layer.name for layer in LAYERS]
    found = []
    for line in lines:
        layer = names.index(line["layer"])
        where = tuple(int(line[key]) for key in ("row", "column", "channel"))
        assert np.ravel_multi_index(where, LAYERS[layer].shape) == int(line["neuron"])
        assert float(line["time_ms"]) == 0.5 * int(line["step"]) and line["epoch"] == "2"
        found.append([int(line["sample"]), int(line["step"]), layer, int(line["neuron"])])
    assert found == sorted(spikes.tolist())


def test_chosen_samples(tmp_path, spikes):
    with RunReader(write(tmp_path / "run.h5", spikes)) as reader:
        one = read_recording(reader, (7,))
        assert (one.samples, one.steps) == ((7,), STEPS)
        assert len(one.step) == sum(spikes[:, 0] == 7) and not one.sample.any()
        assert len(read_recording(reader, (3,)).step) == 0  # silent
        with pytest.raises(InputError, match="no spikes of sample 4; it has 2, 3, 7"):
            read_recording(reader, (3, 4))


def test_a_run_without_spikes(tmp_path):
    with RunWriter.create(tmp_path / "run.h5", make_header()), RunReader(tmp_path / "run.h5") as reader:
        with pytest.raises(InputError, match=r"no recorded spikes; train with --set record.spikes"):
            read_recording(reader)


@pytest.mark.parametrize("wrong", [(2, 0, 3, 0), (2, 0, 0, LAYERS[0].neurons)])
def test_a_spike_of_no_neuron(tmp_path, spikes, wrong):
    path = write(tmp_path / "run.h5", np.vstack([spikes, wrong]))
    with RunReader(path) as reader, pytest.raises(InputError, match="damaged"):
        read_recording(reader)


@pytest.mark.parametrize("asked", ["abc", [-1, "x", None, 2.5], {"a": 1}])
def test_a_configuration_that_says_anything(tmp_path, spikes, asked):
    config = {"record": {"spikes": asked}, "dynamics": {"steps_free": "many"}}
    with RunWriter.create(tmp_path / "run.h5", make_header(config=config)) as writer:
        writer.append_spikes(1, *spikes.T)
    with RunReader(tmp_path / "run.h5") as reader:
        found = read_recording(reader)
    assert (found.samples, found.steps) == ((2, 7), STEPS)
