"""What enters the network: coded images, events in their steps, and their means."""

from pathlib import Path
from typing import Any

import event_files as ef
import numpy as np
import pytest
import reference
import small
from numpy.typing import NDArray
from pairs import dense

from spikesim.datasets import Events, load
from spikesim.engine.spike_trains import SpikeTrains
from spikesim.ep.config.parsing import make_config
from spikesim.ep.config.random_streams import STREAM_FREE
from spikesim.ep.inputs import encoding as cd
from spikesim.ep.inputs.pipeline import InputPipeline
from spikesim.ep.network.model import Model
from spikesim.errors import InputError

SHAPE = (3, 5, 2)
IDS = np.array([7, 0, 2**32 - 1])


def pixels(seed: int = 0) -> NDArray[np.uint8]:
    values = np.random.default_rng(seed).integers(0, 256, (3, *SHAPE)).astype(np.uint8)
    values[0, 0, 0], values[0, 0, 1] = (0, 255), (255, 0)
    return values


def test_bernoulli_spikes_are_those_of_the_reference_generator() -> None:
    images, seed, stream = pixels(), 5 + 2**40, 3 * 8 + STREAM_FREE
    found = dense(cd.bernoulli(images, IDS, steps=6, stream=stream, seed=seed), 30)
    for sample, image in zip(range(3), images.reshape(3, -1), strict=True):
        for step in range(6):
            counters = np.array([[octet, step, IDS[sample], 0xFB000000 + stream] for octet in range(4)])
            words = reference.philox(counters, seed).astype(np.int64)
            bits = np.stack([words & 0xFFFF, words >> 16], axis=-1).ravel()[:30]
            np.testing.assert_array_equal(found[sample, step], bits < image.astype(np.int64) * 257)


def test_bernoulli_spikes_at_the_rate_of_the_pixel_and_belong_to_the_sample() -> None:
    images, steps = pixels(), 2000
    found = cd.bernoulli(images, IDS, steps=steps, stream=1, seed=0)
    rates = found.counts(30, 0, steps) / steps
    p = images.reshape(3, -1) / 255
    assert np.abs(rates - p).max() < 5 * np.sqrt(0.25 / steps)
    assert (rates[p == 0] == 0).all() and (rates[p == 1] > 0.99).all()
    alone = cd.bernoulli(images[1:2], IDS[1:2], steps=steps, stream=1, seed=0)
    np.testing.assert_array_equal(dense(alone, 30)[0], dense(found, 30)[1])
    for other in (
        cd.bernoulli(images, IDS, steps=steps, stream=2, seed=0),
        cd.bernoulli(images, IDS, steps=steps, stream=1, seed=1),
        cd.bernoulli(images, IDS[::-1], steps=steps, stream=1, seed=0),
    ):
        assert (dense(other, 30)[0] != dense(found, 30)[0]).mean() > 0.1


@pytest.mark.parametrize("steps", [1, 2, 16, 255, 300])
def test_latency_is_one_spike_the_earlier_the_brighter(steps: int) -> None:
    images = pixels()
    found = dense(cd.latency(images, steps=steps), 30)
    for sample, image in zip(range(3), images.reshape(3, -1), strict=True):
        for neuron, x in enumerate(image.tolist()):
            wanted = [] if x == 0 else [int(np.floor((255 - x) * steps / 255 + 1e-9))]
            assert np.flatnonzero(found[sample, :, neuron]).tolist() == wanted


@pytest.mark.parametrize(("steps", "duration", "coarse"), [(16, 20.0, 1), (7, 20.0, 1), (5, 11.0, 2), (4, 40.0, 3)])
def test_events_are_delivered_in_their_step(steps: int, duration: float, coarse: int) -> None:
    recordings = ef.make_recordings(6).train
    samples = np.array([4, 1])
    side = -(-8 // coarse)
    found = dense(cd.follow(recordings, samples, steps=steps, duration=duration, coarse=coarse), side * side * 2)
    wanted = np.zeros_like(found)
    for row, sample in enumerate(samples):
        events, _ = ef.bars(6)[sample]
        for x, y, t, p in zip(events.x, events.y, events.t - events.t.min(), events.p, strict=True):
            step = int(t) * steps // round(duration * 1000)
            if step < steps:
                wanted[row, step, ((y // coarse) * side + x // coarse) * 2 + p] = True
    np.testing.assert_array_equal(found, wanted)
    assert wanted[:, -1].any() == (duration <= 20), "a long duration leaves the last steps empty"


@pytest.mark.parametrize(("steps", "frames", "duration"), [(16, 4, 20.0), (7, 3, 20.0), (5, 5, 11.0), (6, 1, 11.0)])
def test_a_frame_is_shown_in_all_of_its_steps(steps: int, frames: int, duration: float) -> None:
    recordings = ef.make_recordings(6).train
    samples = np.array([4, 1])
    found = dense(cd.follow(recordings, samples, steps=steps, duration=duration, frames=frames), 128)
    wanted = np.zeros_like(found)
    for row, sample in enumerate(samples):
        events, _ = ef.bars(6)[sample]
        for x, y, t, p in zip(events.x, events.y, events.t - events.t.min(), events.p, strict=True):
            frame = int(t) * frames // round(duration * 1000)
            for step in range(steps):
                wanted[row, step, (y * 8 + x) * 2 + p] |= step * frames // steps == frame
    np.testing.assert_array_equal(found, wanted)
    assert wanted.any(axis=2).all() and (frames == steps or not wanted.all(axis=2).any())
    if frames == steps:
        np.testing.assert_array_equal(found, dense(cd.follow(recordings, samples, steps=steps, duration=duration), 128))


def test_an_empty_recording_and_none_at_all() -> None:
    empty = ef.collected([(Events(*(np.zeros(0, np.int64) for _ in range(4))), 0)], 8)
    assert not dense(cd.follow(empty, np.array([0]), steps=4, duration=1.0), 128).any()
    none = cd.follow(empty, np.zeros(0, np.int64), steps=4, duration=1.0)
    assert len(none) == 0 and none.steps == 4
    framed = cd.follow(empty, np.zeros(0, np.int64), steps=4, duration=1.0, frames=2)
    assert len(framed) == 0 and framed.steps == 4
    nothing = np.zeros((0, *SHAPE), np.uint8)
    for trains in (cd.bernoulli(nothing, IDS[:0], steps=4, stream=0, seed=0), cd.latency(nothing, steps=4)):
        assert len(trains) == 0 and trains.steps == 4


def test_means_are_those_of_the_last_steps() -> None:
    spikes = np.random.default_rng(1).random((2, 9, 30)) < 0.5
    found = cd.window_means(SpikeTrains.of_dense(spikes), SHAPE, 6)
    np.testing.assert_array_equal(found.reshape(2, -1), np.floor(spikes[:, 3:].mean(axis=1) * 4096 + 0.5))


# -- What is chosen ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("coding", "events", "kind"),
    [
        ("auto", False, "image"),
        ("current", False, "image"),
        ("bernoulli", False, "spikes"),
        ("latency", False, "spikes"),
        ("auto", True, "spikes"),
        ("events", True, "spikes"),
        ("current", True, "image"),
    ],
)
def test_how_samples_enter(coding: str, events: bool, kind: str) -> None:
    dataset = ef.make_recordings(6) if events else small.make_dataset(size=8)
    for inference in ("stochastic", "mean-field"):
        config = small.make(small.DENSE, data__encoding=coding, dynamics__inference=inference)
        model = Model(config, dataset)
        pipeline = InputPipeline(config, dataset, model.graph.image.shape)
        found = pipeline.train(2, np.arange(3)), pipeline.plain(dataset.test, slice(1, 3), 5)
        spikes = kind == "spikes" and inference == "stochastic"
        assert model.spike_input == spikes and [len(one) for one in found] == [3, 2]
        assert all(isinstance(one, SpikeTrains) == spikes for one in found)
        assert model.graph.image.spike_input == spikes


def test_the_mean_field_takes_the_mean_of_the_window() -> None:
    dataset = ef.make_recordings(6)
    spiking, mean = (small.make(small.DENSE, dynamics__inference=mode) for mode in ("stochastic", "mean-field"))
    ids = np.array([3, 0, 5])
    trains = InputPipeline(spiking, dataset, (8, 8, 2)).train(1, ids)
    assert isinstance(trains, SpikeTrains)
    wanted = cd.window_means(trains, (8, 8, 2), spiking.dynamics.window_free)
    np.testing.assert_array_equal(InputPipeline(mean, dataset, (8, 8, 2)).train(1, ids), wanted)
    np.testing.assert_array_equal(InputPipeline(spiking, dataset, (8, 8, 2)).mean(trains), wanted)


def test_coded_images_are_augmented_and_padded() -> None:
    dataset = small.make_dataset(size=6)
    config = small.make(small.DENSE, data__encoding="latency", data__augment=True)
    padded = InputPipeline(config, dataset, (8, 8, 1))
    found = padded.train(1, np.arange(9))
    assert isinstance(found, SpikeTrains)
    maps = found.counts(64, 0, found.steps).reshape(9, 8, 8)
    assert not maps[:, 0].any() and not maps[:, :, 7].any() and maps[:, 1:7, 1:7].any()
    plain = padded.plain(dataset.train, slice(0, 9))
    assert isinstance(plain, SpikeTrains)
    assert (plain.counts(64, 0, plain.steps).reshape(9, 8, 8) != maps).any(), "shifted at random"


def test_a_gesture_fits_a_vgg_network_when_pixels_share_neurons(tmp_path: Path) -> None:
    ef.write_gestures(tmp_path, {"ibmGestureTrain": ef.bars(3, side=128), "ibmGestureTest": ef.bars(3, side=128)})
    dataset = load("dvsgesture", tmp_path)
    config = make_config({"model": {"arch": "vgg5", "width": 0.05}, "data": {"coarse": 4, "duration": 20.0}})
    model = Model(config, dataset)
    assert model.graph.image.shape == (32, 32, 2)
    found = InputPipeline(config, dataset, (32, 32, 2)).train(0, np.arange(3))
    assert isinstance(found, SpikeTrains)
    maps = found.counts(32 * 32 * 2, 0, found.steps).reshape(3, 32, 32, 2)
    assert (maps.sum(axis=(1, 2, 3)) > 100).all() and maps[0, :, 31].any(), "the bars cross the whole sensor"
    with pytest.raises(InputError, match=r"vgg5 takes images of 32x32.*dvsgesture#[0-9a-f]{16} has 128x128"):
        Model(make_config({"model": {"arch": "vgg5"}}), dataset)


@pytest.mark.parametrize(("coding", "events"), [("bernoulli", True), ("latency", True), ("events", False)])
def test_a_coding_that_does_not_suit_the_data(coding: str, events: bool) -> None:
    config = small.make(small.DENSE, data__encoding=coding)
    dataset: Any = ef.make_recordings(3) if events else small.make_dataset()
    for make in (lambda: Model(config, dataset), lambda: InputPipeline(config, dataset, (8, 8, 2))):
        with pytest.raises(InputError, match=f"data.encoding is '{coding}'"):
            make()


def test_the_duration_goes_into_the_configuration_of_recordings() -> None:
    config = small.make(small.DENSE)
    assert cd.with_duration(config, small.make_dataset()) == config
    assert "duration" not in config.to_dict()["data"], "what came later is left out at its default"
    found = cd.with_duration(config, ef.make_recordings(3))
    assert found.to_dict()["data"]["duration"] == ef.MILLISECONDS
    given = small.make(small.DENSE, data__duration=5.0)
    assert cd.with_duration(given, ef.make_recordings(3)) == given
