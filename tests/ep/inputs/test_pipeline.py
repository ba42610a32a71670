"""Images on their way into the network."""

import numpy as np
import pytest
import small

from spikesim.ep.inputs.pipeline import InputPipeline
from spikesim.ep.network.architectures import architecture, input_shape


def test_a_sample_looks_the_same_in_any_batch() -> None:
    dataset = small.make_dataset(samples=40)
    pipeline = InputPipeline(small.make(small.DENSE, data__augment=True, seed=5), dataset, (6, 6, 1))
    ids = np.arange(40)
    together = pipeline.train(2, ids)
    for size in (1, 7, 40):
        shuffled = np.random.default_rng(size).permutation(ids)
        for first in range(0, 40, size):
            part = shuffled[first : first + size]
            np.testing.assert_array_equal(pipeline.train(2, part), together[part])


def test_augmentation_changes_with_epoch_and_seed_only() -> None:
    dataset = small.make_dataset(samples=40)
    ids = np.arange(40)

    def present(epoch: int, **settings: object) -> bytes:
        return InputPipeline(small.make(small.DENSE, **settings), dataset, (6, 6, 1)).train(epoch, ids).tobytes()

    assert present(1, data__augment=True) == present(1, data__augment=True)
    looks = {
        present(0),
        present(0, data__augment=True),
        present(1, data__augment=True),
        present(0, data__augment=True, seed=1),
        present(0, data__augment=True, data__cutout=3),
    }
    assert len(looks) == 5
    assert present(0) == present(9, seed=3), "nothing is random without augmentation"


def test_cutout_covers_a_part_of_an_augmented_image_with_the_mean_colour() -> None:
    dataset = small.make_dataset(channels=3)
    plain, cut = (
        InputPipeline(small.make(small.DENSE, data__augment=True, data__cutout=side), dataset, (6, 6, 3))
        for side in (0, 3)
    )
    before, after = plain.train(1, np.arange(24)), cut.train(1, np.arange(24))
    covered = (before != after).any(axis=3)
    assert covered.any(axis=(1, 2)).all() and (covered.sum(axis=(1, 2)) <= 9).all()
    assert (np.abs(after[covered]) <= 0.5 / 255 / np.asarray(dataset.std) * 2**12 + 1).all(), "the mean is 0"


def test_test_images_are_never_augmented() -> None:
    dataset = small.make_dataset()
    plain = InputPipeline(small.make(small.DENSE), dataset, (6, 6, 1))
    augmenting = InputPipeline(small.make(small.DENSE, data__augment=True, data__cutout=3), dataset, (6, 6, 1))
    for images in (dataset.train, dataset.test):
        found = augmenting.plain(images, slice(3, 9))
        np.testing.assert_array_equal(found, plain.plain(images, np.arange(3, 9)))
        assert found.dtype == np.int16 and found.shape == (6, 6, 6, 1)
    np.testing.assert_array_equal(plain.train(4, np.arange(24)), plain.plain(dataset.train, slice(0, 24)))


@pytest.mark.parametrize("factor", [1.0, 3.0])
def test_pixels_are_normalized_in_fixed_point(factor: float) -> None:
    dataset = small.make_dataset(channels=3)
    found = InputPipeline(small.make(small.DENSE, data__std_factor=factor), dataset, (6, 6, 3)).train(0, np.arange(24))
    exact = (dataset.train.images / 255 - dataset.mean) / dataset.std / factor
    np.testing.assert_allclose(found / 2**12, exact, atol=0.5 / 2**12 + 1e-9)


def test_smaller_images_are_padded_with_black() -> None:
    dataset = small.make_dataset(size=28)
    config = small.make(small.DENSE)
    shape = input_shape("vgg11", architecture("vgg11"), dataset)
    found = InputPipeline(config, dataset, shape).plain(dataset.test, slice(0, 5))
    assert found.shape == (5, 32, 32, 1)
    inner = InputPipeline(config, dataset, (28, 28, 1)).plain(dataset.test, slice(0, 5))
    np.testing.assert_array_equal(found[:, 2:30, 2:30], inner)
    black = round(-dataset.mean[0] / dataset.std[0] * 2**12)
    frame = np.ones((32, 32), bool)
    frame[2:30, 2:30] = False
    assert set(found[:, frame].ravel().tolist()) == {black}
