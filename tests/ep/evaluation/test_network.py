"""A network out of its run file alone, beside the test that a training makes of it."""

from pathlib import Path

import event_files
import h5py
import numpy as np
import pytest
import small
from runs import expect_fault

import spikesim
from spikesim.datasets import Dataset
from spikesim.ep.config.parsing import Config
from spikesim.ep.config.random_streams import STREAM_EVALUATION, stream_of
from spikesim.ep.evaluation.evaluate import evaluate, logits, record_spikes
from spikesim.ep.inputs.pipeline import InputPipeline
from spikesim.ep.network.model import Model
from spikesim.ep.parallel.thread_pool import ThreadPool
from spikesim.ep.runs.samples import SampleSpec
from spikesim.ep.runs.writer import RunWriter
from spikesim.ep.training.run_rows import make_header

LAYERS = (small.POOLED, {**small.CONV, "channels": 5}, small.DENSE)
SHORT = {"dynamics__steps_free": 12, "dynamics__window_free": 6, "data__batch_size": 4, "seed": 3}
STREAM = stream_of(0, STREAM_EVALUATION)


def write(path: Path, config: Config, dataset: Dataset, *, described: bool = True) -> Path:
    """A run file with random weights and no tests; an older one does not describe its samples."""
    model = Model(config, dataset)
    parameters = small.random_parameters(model)
    samples = SampleSpec.of(dataset) if described else None
    with RunWriter.create(path, make_header(model, config, parameters, "", samples=samples)) as writer:
        writer.write_weights(parameters.leaves())
    return path


def as_tested(config: Config, dataset: Dataset, threads: int = 1):
    """The test of a training, its logits, and the spikes of two samples."""
    model = Model(config, dataset)
    model.set_parameters(small.random_parameters(model))
    pipeline = InputPipeline(config, dataset, model.graph.image.shape)
    with ThreadPool(model, config, threads) as pool:
        found = evaluate(pool, pipeline, dataset.test, len(dataset.test), STREAM)
        said = logits(pool, pipeline, dataset.test, len(dataset.test), STREAM)
        return found, said, dict(record_spikes(pool, pipeline, dataset.test, (2, 7), STREAM))


def given(dataset: Dataset):
    """The test samples, as a user has them."""
    return dataset.test if dataset.recordings else dataset.test.images


def assert_equal(one: spikesim.Prediction, other: spikesim.Prediction, rows: slice = slice(None)) -> None:
    """Equal to the bit: the first, and these rows of the second."""
    for name in ("labels", "logits", "probabilities", "accumulates", "multiply_accumulates", "steps"):
        assert getattr(one, name).tobytes() == getattr(other, name)[rows].tobytes(), name
    for name in ("rates", "spike_counts"):
        assert list(getattr(one, name)) == list(getattr(other, name))
        for layer, values in getattr(one, name).items():
            assert values.tobytes() == getattr(other, name)[layer][rows].tobytes(), (name, layer)


CASES = {
    "images": (small.make_dataset(), {}),
    "no feedback": (
        small.make_dataset(channels=3),
        {
            "dynamics__pooling": "winner",
            "dynamics__feedback_gain": 0,
            "dynamics__nudged_phase": "linear-response",
            "dynamics__rule": "postsynaptic",
        },
    ),
    "several heads answer": (
        small.make_dataset(),
        {"error_signals__kind": "local", "error_signals__answer": "ensemble"},
    ),
    "mean field": (small.make_dataset(), {"dynamics__inference": "mean-field"}),
    "settling": (small.make_dataset(), {"dynamics__tolerance": 0.01}),
    "coded at random": (small.make_dataset(), {"data__encoding": "bernoulli"}),
    "recordings": (event_files.make_recordings(), {}),
    "recordings as frames": (event_files.make_recordings(), {"data__encoding": "current"}),
}


@pytest.mark.parametrize("case", CASES)
def test_the_bits_of_a_test_of_the_run(case, tmp_path):
    dataset, settings = CASES[case]
    config = small.make(*LAYERS, **{**SHORT, **settings})
    net = spikesim.load(write(tmp_path / "run.h5", config, dataset))
    stochastic = config.dynamics.inference == "stochastic"
    found = net.predict(given(dataset), threads=1, spikes=[2, 7] if stochastic else False)
    expected, said, trains = as_tested(config, dataset)
    assert found.logits.tobytes() == said.tobytes() and len(np.unique(said)) > 10
    assert (found.labels == dataset.test.labels).sum() == expected.correct
    counts = expected.counts
    assert [int(own.sum()) for own in found.spike_counts.values()] == counts.spikes.tolist()
    assert found.accumulates.sum() == (counts.events_forward + counts.events_feedback).sum()
    assert found.multiply_accumulates.sum() == counts.macs.sum() and found.steps.sum() == counts.steps
    assert (len(set(found.steps.tolist())) > 1) == (case == "settling")
    for layer, (name, shape) in enumerate(net.layers.items()):
        assert found.rates[name].shape == (len(dataset.test), shape[2]) and found.rates[name].dtype == np.float32
        bins = expected.rates[layer]  # the mean lies between the lower and the upper ends of the bins
        upper = (bins * np.arange(33)).sum() / 32 / bins.sum()
        assert upper - bins[1:].sum() / 32 / bins.sum() - 1e-6 <= found.rates[name].mean() <= upper + 1e-6
    for row, own in found.spikes.items():
        for layer, (name, (steps, neurons)) in enumerate(own.items()):
            train = trains[row]
            kept = (train.layers == layer) & (train.steps < found.steps[row])
            assert (steps == train.steps[kept]).all() and (neurons == train.neurons[kept]).all()
            assert len(steps) == found.spike_counts[name][row]
    assert set(found.spikes) == ({2, 7} if stochastic else set())
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1)


@pytest.mark.parametrize("case", ["images", "coded at random"])
def test_parts_and_threads_do_not_matter(case, tmp_path):
    dataset, settings = CASES[case]
    net = spikesim.load(write(tmp_path / "run.h5", small.make(*LAYERS, **{**SHORT, **settings}), dataset))
    images = given(dataset)
    whole = net.predict(images, threads=1, spikes=True)
    assert_equal(net.predict(images, threads=3), whole)
    for part in (slice(0, 9), slice(9, 24), slice(9, 10)):
        ids = np.arange(24)[part]
        own = net.predict(images[part], ids=ids, threads=2, spikes=True)
        assert_equal(own, whole, part)
        for row, sample in enumerate(ids.tolist()):
            for name, train in own.spikes[row].items():
                assert all(map(np.array_equal, train, whole.spikes[sample][name]))
    other = net.predict(images[9:], threads=1)  # other identities, other random numbers
    assert other.logits.tobytes() != whole.logits[9:].tobytes()
    nothing = net.predict(images[:0])
    assert (len(nothing), nothing.logits.shape, nothing.rates["conv1"].shape) == (0, (0, 3), (0, 4))


def test_other_seeds_lengths_and_dynamics(tmp_path):
    dataset, config = small.make_dataset(), small.make(*LAYERS, **SHORT)
    net = spikesim.load(write(tmp_path / "run.h5", config, dataset))
    images = given(dataset)
    usual = net.predict(images)
    for changes, settings in (
        ({"seed": 4}, {"seed": 4}),
        ({"steps": 20}, {"dynamics__steps_free": 20}),
        ({"inference": "mean-field"}, {"dynamics__inference": "mean-field"}),
    ):
        found = net.predict(images, **changes)
        assert found.logits.tobytes() == as_tested(small.make(*LAYERS, **{**SHORT, **settings}), dataset)[1].tobytes()
        assert found.logits.tobytes() != usual.logits.tobytes()
    assert_equal(net.predict(images), usual)  # nothing is left of the changes


def test_what_the_network_says_of_itself(tmp_path):
    dataset, config = small.make_dataset(size=(6, 8), channels=2), small.make(*LAYERS, **SHORT)
    net = spikesim.load(write(tmp_path / "run.h5", config, dataset))
    assert dict(net.layers) == {"conv1": (6, 8, 4), "conv2": (3, 4, 5), "dense3": (1, 1, 8)}
    assert net.classes == ("class 0", "class 1", "class 2") and net.sample_shape == (6, 8, 2) and not net.recordings
    assert net.config == config.to_dict() and net.config is not net.config
    expected = small.random_parameters(Model(config, dataset)).leaves()
    assert set(net.weights) == set(expected)
    for name, array in net.weights.items():
        assert array.dtype == np.float32 and (array == expected[name]).all()
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.float16])
def test_floats_stand_for_bytes(kind, tmp_path):
    dataset = small.make_dataset()
    net = spikesim.load(write(tmp_path / "run.h5", small.make(*LAYERS, **SHORT), dataset))
    images = dataset.test.images
    expected = net.predict(images)
    assert_equal(net.predict((images / 255).astype(kind)), expected)
    assert_equal(net.predict(images[..., 0]), expected)  # one channel
    assert_equal(net.predict(images.tolist() and np.asfortranarray(images)), expected)
    assert_equal(net.predict(dataset.test), expected)


def test_recordings_in_every_form(tmp_path):
    dataset = event_files.make_recordings(8)
    net = spikesim.load(write(tmp_path / "run.h5", small.make(*LAYERS, **SHORT), dataset))
    assert net.recordings and net.sample_shape == (event_files.SIDE, event_files.SIDE, 2)
    expected = net.predict(dataset.test)
    recordings = [events for events, _ in event_files.bars(8, first=1000)]
    assert_equal(net.predict(recordings), expected)
    fields = [("x", np.int16), ("y", np.int16), ("t", np.int64), ("p", bool)]
    arrays = []
    for events in recordings:
        one = np.zeros(len(events.t), fields)
        for field in "xytp":
            one[field] = getattr(events, field)
        arrays.append(one)
    assert_equal(net.predict(arrays), expected)
    assert_equal(net.predict(arrays[0]), expected, slice(0, 1))
    expect_fault("EventSet", net.predict, np.zeros((2, 8, 8, 2), np.uint8))
    expect_fault("EventSet", net.predict, [np.zeros((3, 4))])
    expect_fault("recording 1: x reaches from 8 to 8", net.predict, [arrays[0], wrong(arrays[0], "x", 8)])
    expect_fault("recording 0: t reaches", net.predict, [wrong(arrays[0], "t", -(2**61))])
    expect_fault("sensor of shape", net.predict, event_files.collected(event_files.bars(3, side=6), 6))


def wrong(events, field, value):
    changed = events.copy()
    changed[field] = value
    return changed


@pytest.mark.parametrize(
    ("images", "told"),
    [
        (np.zeros((6, 6), np.uint8), r"uint8 of shape \(6, 6\).*newaxis"),
        (np.zeros((2, 6, 6, 3), np.uint8), r"of shape \(n, 6, 6, 1\) or \(n, 6, 6\)"),
        (np.zeros((2, 1, 6, 6), np.uint8), "transpose"),
        (np.zeros((2, 6, 6), np.int64), "int64.*as uint8, or floats from 0 to 1"),
        (np.full((2, 6, 6), np.nan), "NaN or infinite"),
        (np.full((2, 6, 6), 1.5), "reach from 1.5 to 1.5; floats must be from 0 to 1"),
        (np.full((2, 6, 6), -1e-9), "floats must be from 0 to 1"),
        (np.zeros((2, 6, 6), complex), "complex128"),
        ([[0.5], [0.5, 1.0]], "not an array"),
        ("a.npy", "the network takes images"),
        (None, "the network takes images"),
        (event_files.make_recordings(3).test, "recordings of events; the network takes images"),
    ],
)
def test_images_that_are_none(images, told, tmp_path):
    net = spikesim.load(write(tmp_path / "run.h5", small.make(*LAYERS, **SHORT), small.make_dataset()))
    expect_fault(told, net.predict, images)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"ids": [0, 1]}, r"integers of shape \(3,\)"),
        ({"ids": [0.0, 1.0, 2.0]}, "integers"),
        ({"ids": [0, 1, 2**32]}, r"0 \.\. 4294967295"),
        ({"ids": [0, 1, -1]}, r"0 \.\. 4294967295"),
        ({"spikes": [3]}, "names sample 3; there are 3"),
        ({"spikes": [0.5]}, "sequence of indices"),
        ({"spikes": "ab"}, "sequence of indices"),
        ({"spikes": True, "inference": "mean-field"}, "no spikes"),
        ({"threads": 0}, "threads is 0"),
        ({"seed": -1}, "seed"),
        ({"steps": 2}, "window_free"),
        ({"inference": "exact"}, "stochastic, mean-field"),
    ],
)
def test_options_that_are_none(options, told, tmp_path):
    net = spikesim.load(write(tmp_path / "run.h5", small.make(*LAYERS, **SHORT), small.make_dataset()))
    expect_fault(told, net.predict, np.zeros((3, 6, 6), np.uint8), **options)


def test_a_file_that_does_not_describe_its_samples(tmp_path):
    dataset, config = small.make_dataset(), small.make(*LAYERS, **SHORT, data__dataset="mine.npz")
    path = write(tmp_path / "run.h5", config, dataset, described=False)
    expect_fault("older version.*mine.npz.*dataset=.*--dataset", spikesim.load, path)
    parts = {"train": dataset.train, "test": dataset.test}
    arrays = {f"{part}_{what}": getattr(own, what) for part, own in parts.items() for what in ("images", "labels")}
    np.savez(tmp_path / "mine.npz", **arrays)
    net = spikesim.load(path, data_dir=tmp_path)
    described = spikesim.load(path, dataset=str(tmp_path / "mine.npz"))
    assert_equal(described.predict(dataset.test.images), net.predict(dataset.test.images))
    expect_fault("not found|imagenet", spikesim.load, path, dataset="imagenet")


def test_files_that_cannot_be_loaded(tmp_path):
    dataset, config = small.make_dataset(), small.make(*LAYERS, **SHORT)
    model = Model(config, dataset)
    header = make_header(model, config, small.random_parameters(model), "", samples=SampleSpec.of(dataset))
    RunWriter.create(tmp_path / "begun.h5", header).close()
    expect_fault("no weights yet", spikesim.load, tmp_path / "begun.h5")
    expect_fault("does not exist", spikesim.load, tmp_path / "none.h5")
    path = write(tmp_path / "run.h5", config, dataset)
    text = SampleSpec.of(dataset).to_json()
    for changed in (
        "[]",
        "{",
        text.replace('"classes":3', '"classes":0'),
        text.replace('["class 0","class 1","class 2"],"classes":3', 'null,"classes":2000000000'),
        text.replace("[6,6,1]", "[6,6]"),
        text.replace("[0.45]", "[NaN]"),
        text.replace("[0.35]", "[0.35,1]"),
        text.replace('"class 1"', "1"),
        text.replace('"recordings":false', '"recordings":true'),
    ):
        with h5py.File(path, "r+") as file:
            del file["samples"]
            file["samples"] = np.bytes_(changed.encode())
        expect_fault("damaged", spikesim.load, path)


@pytest.mark.parametrize("dataset", [small.make_dataset(channels=2), event_files.make_recordings(3)])
def test_a_description_comes_back_to_the_bit(dataset):
    spec = SampleSpec.of(dataset)
    spec = SampleSpec(**{**vars(spec), "mean": np.array([0.1 + 0.2, 1 / 3])})
    back = SampleSpec.from_json(spec.to_json())
    for name, value in vars(spec).items():
        own = getattr(back, name)
        assert own.tobytes() == value.tobytes() if isinstance(value, np.ndarray) else own == value, name
    numbered = SampleSpec(**{**vars(spec), "class_names": ("0", "1", "2")})
    assert "class 1" not in numbered.to_json()
    assert SampleSpec.from_json(numbered.to_json()).class_names == ("0", "1", "2")
