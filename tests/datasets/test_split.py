"""A part of the training samples, held out for validation."""

from dataclasses import replace

import event_files as ef
import numpy as np
import pytest
import small

from spikesim.datasets import load
from spikesim.datasets.samples.event_set import EventSet
from spikesim.datasets.samples.split import hold_out, subset
from spikesim.errors import InputError


@pytest.mark.parametrize(("share", "each"), [(0.25, 2), (0.1, 1), (0.5, 4), (0.01, 1)])
def test_each_class_gives_its_share_and_no_sample_is_lost(share: float, each: int) -> None:
    dataset = small.make_dataset(samples=24)
    found, rest = hold_out(dataset, share, 3)
    assert np.bincount(found.test.labels).tolist() == [each] * 3
    assert np.bincount(found.train.labels).tolist() == [8 - each] * 3
    held = np.setdiff1d(np.arange(24), rest)
    for part, ids in ((found.train, rest), (found.test, held)):
        np.testing.assert_array_equal(part.images, dataset.train.images[ids])
        np.testing.assert_array_equal(part.labels, dataset.train.labels[ids])
    assert (np.diff(rest) > 0).all(), "in their old order"


def test_the_seed_decides() -> None:
    dataset = small.make_dataset(samples=60)
    first, again, other = (hold_out(dataset, 0.2, seed)[1].tolist() for seed in (5, 5, 2**63 - 1))
    assert first == again != other


def test_a_class_with_one_sample_cannot_give_any() -> None:
    dataset = small.make_dataset(samples=24)
    labels = np.where(np.arange(24) == 7, 2, np.arange(24) % 2)
    with pytest.raises(InputError, match=r"class 2 of patterns has 1 training sample; data\.validation needs"):
        hold_out(replace(dataset, train=replace(dataset.train, labels=labels)), 0.1, 0)


def test_recordings_keep_their_events(tmp_path) -> None:
    np.savez(tmp_path / "bars.npz", **ef.arrays_of(ef.bars(12), 9))
    dataset = load(str(tmp_path / "bars.npz"))
    found, rest = hold_out(dataset, 0.4, 1)
    held = np.setdiff1d(np.arange(len(dataset.train)), rest)
    whole = dataset.train
    assert isinstance(whole, EventSet)
    for part, ids in ((found.train, rest), (found.test, held)):
        assert isinstance(part, EventSet) and len(part) == len(ids) > 0
        for number, sample in enumerate(ids):
            own, old = slice(*part.offsets[number : number + 2]), slice(*whole.offsets[sample : sample + 2])
            np.testing.assert_array_equal(part.neurons[own], whole.neurons[old])
            np.testing.assert_array_equal(part.times[own], whole.times[old])
    assert len(subset(whole, np.zeros(0, np.int64))) == 0
