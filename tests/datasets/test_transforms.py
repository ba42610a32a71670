"""Padding, augmentation and fixed point."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from spikesim.datasets import Augmentation
from spikesim.datasets.samples.transforms import INPUT_FRACTION_BITS, augment, cut_out, normalize, pad
from spikesim.errors import InputError

images_of = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=4, max_dims=4, max_side=5))


def random_images(count, height=8, width=8, channels=3):
    rng = np.random.default_rng(3)
    return rng.integers(0, 256, (count, height, width, channels), dtype=np.uint8)


def reference_shift(image, dy, dx, crop, flip):
    """One image, as in the books: pad by repeating the edge, cut out, mirror."""
    height, width, _ = image.shape
    padded = np.pad(image, ((crop, crop), (crop, crop), (0, 0)), mode="edge")
    shifted = padded[crop + dy : crop + dy + height, crop + dx : crop + dx + width]
    return shifted[:, ::-1] if flip else shifted


@given(images_of, st.integers(0, 3))
def test_pad_puts_images_into_the_middle(images, margin):
    images = images[:, : images.shape[2], : images.shape[1]]  # square
    side = images.shape[1]
    padded = pad(images, side + 2 * margin)
    assert padded.dtype == np.uint8
    assert padded.shape == (len(images), side + 2 * margin, side + 2 * margin, images.shape[3])
    np.testing.assert_array_equal(padded[:, margin : margin + side, margin : margin + side], images)
    assert padded.sum(dtype=np.int64) == images.sum(dtype=np.int64)


@pytest.mark.parametrize(("shape", "size"), [((9, 9), 8), ((8, 10), 8), ((7, 8), 8), ((8, 7), 8)])
def test_pad_refuses_what_does_not_fit(shape, size):
    with pytest.raises(InputError, match=f"{shape[0]}x{shape[1]}"):
        pad(np.zeros((1, *shape, 1), np.uint8), size)


@pytest.mark.parametrize("augmentation", [Augmentation(2, True), Augmentation(3, False), Augmentation(0, True)])
def test_every_augmented_image_is_a_shift_of_its_original(augmentation):
    images = random_images(40, 7, 6)
    result = augment(images, np.arange(40), seed=5, epoch=1, augmentation=augmentation)
    assert result.shape == images.shape
    assert result.dtype == np.uint8
    crop = augmentation.crop
    seen = set()
    for image, changed in zip(images, result, strict=True):
        matches = [
            (dy, dx, flip)
            for dy in range(-crop, crop + 1)
            for dx in range(-crop, crop + 1)
            for flip in ((False, True) if augmentation.flip else (False,))
            if np.array_equal(changed, reference_shift(image, dy, dx, crop, flip))
        ]
        assert matches
        seen.update(matches[:1])
    assert len(seen) > min(12, (2 * crop + 1) ** 2)
    assert {flip for _, _, flip in seen} == ({False, True} if augmentation.flip else {False})


def test_no_augmentation_copies():
    images = random_images(4)
    result = augment(images, np.arange(4), seed=0, epoch=0, augmentation=Augmentation(0, False))
    np.testing.assert_array_equal(result, images)
    assert not np.shares_memory(result, images)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(0, 39), min_size=0, max_size=12),
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**32 - 1),
)
def test_augmentation_of_a_sample_does_not_depend_on_its_batch(chosen, seed, epoch):
    images = random_images(40)
    ids = np.arange(40) * 107_374_182  # up to nearly 2**32
    keys = {"seed": seed, "epoch": epoch, "augmentation": Augmentation(3, True)}
    together = augment(images, ids, **keys)
    np.testing.assert_array_equal(augment(images[chosen], ids[chosen], **keys), together[chosen])


def test_augmentation_depends_on_seed_epoch_and_sample():
    image = random_images(1, 16, 16)
    images = np.repeat(image, 50, axis=0)

    def changed(first, seed, epoch):
        return augment(images, first + np.arange(50), seed=seed, epoch=epoch, augmentation=Augmentation(4, True))

    base = changed(0, 1, 1)
    assert len(np.unique(base.reshape(50, -1), axis=0)) > 25
    for other in (changed(50, 1, 1), changed(0, 2, 1), changed(0, 1 + 2**32, 1), changed(0, 1, 2)):
        assert (base != other).any(axis=(1, 2, 3)).mean() > 0.8


def test_shifts_are_uniform():
    # A single bright pixel in the middle says how far an image was moved.
    n, crop = 9000, 1
    images = np.zeros((n, 5, 5, 1), np.uint8)
    images[:, 2, 2] = 1
    result = augment(images, np.arange(n), seed=11, epoch=0, augmentation=Augmentation(crop, False))
    counts = result.sum(axis=0, dtype=np.int64)[1:4, 1:4, 0]
    assert counts.sum() == n
    assert np.abs(counts - n / 9).max() < 5 * np.sqrt(n / 9)
    ramp = np.broadcast_to(np.arange(5, dtype=np.uint8)[:, np.newaxis], (n, 5, 5, 1))
    mirrored = augment(ramp, np.arange(n), seed=11, epoch=0, augmentation=Augmentation(0, True))[:, 0, 0, 0] == 4
    assert abs(mirrored.mean() - 0.5) < 5 * 0.5 / np.sqrt(n)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epoch": -1}, "epoch is -1"),
        ({"epoch": 2**32}, "epoch is 4294967296"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 2**64}, "seed is"),
        ({"sample_ids": np.array([0, -1])}, "from -1 to 0"),
        ({"sample_ids": np.array([0, 2**32])}, "to 4294967296"),
        ({"sample_ids": np.array([0])}, "shape"),
        ({"sample_ids": np.array([0.0, 1.0])}, "integers"),
        ({"images": np.zeros((2, 4, 4, 1))}, "uint8"),
        ({"images": np.zeros((2, 4, 4), np.uint8)}, "uint8"),
    ],
)
def test_augment_refuses_what_it_cannot_key(changes, message):
    arguments = {
        "images": np.zeros((2, 4, 4, 1), np.uint8),
        "sample_ids": np.arange(2),
        "seed": 0,
        "epoch": 0,
        "augmentation": Augmentation(1, True),
    } | changes
    with pytest.raises(InputError, match=message):
        augment(**arguments)


@given(
    images_of,
    st.floats(0, 1),
    st.floats(0.01, 1),
    st.floats(0.1, 10),
)
def test_normalize_is_the_formula(images, mean, std, factor):
    channels = images.shape[3]
    means = mean * np.linspace(0.5, 1, channels)
    stds = std * np.linspace(1, 2, channels)
    result = normalize(images, means, stds, factor)
    exact = (images / 255 - means) / (stds * factor) * 2.0**INPUT_FRACTION_BITS
    assert result.dtype == np.int16
    assert result.shape == images.shape
    np.testing.assert_allclose(result, np.clip(exact, -(2**15), 2**15 - 1), rtol=0, atol=0.5 + 1e-6)


@pytest.mark.parametrize("std", [1e-3, 1e-300])
def test_normalize_clips_and_does_not_wrap(std):
    images = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    result = normalize(images, [0.5], [std]).ravel()
    assert (result[0], result[-1]) == (-(2**15), 2**15 - 1)
    assert (np.diff(result.astype(np.int64)) >= 0).all()


def test_normalized_unit_is_two_to_the_twelve():
    images = np.array([0, 255], np.uint8).reshape(2, 1, 1, 1)
    assert normalize(images, [0.0], [1.0]).ravel().tolist() == [0, 4096]
    assert normalize(images, [0.0], [1.0], std_factor=2.0).ravel().tolist() == [0, 2048]


@pytest.mark.parametrize(
    ("mean", "std", "factor"),
    [
        ([0.5], [0.0], 1.0),
        ([0.5], [-1.0], 1.0),
        ([0.5], [1.0], 0.0),
        ([0.5], [1.0], float("nan")),
        ([0.5], [1.0], float("inf")),
        ([float("nan")], [1.0], 1.0),
        ([0.5], [float("inf")], 1.0),
        ([0.5, 0.5], [1.0], 1.0),
        ([0.5], [1.0, 1.0], 1.0),
        ([0.5], [1e300], 1e300),
        ([0.5], [1e-300], 1e-300),
    ],
)
def test_normalize_refuses_meaningless_constants(mean, std, factor):
    with pytest.raises(InputError):
        normalize(np.zeros((1, 2, 2, 1), np.uint8), mean, std, factor)


def test_cutout_covers_a_square_that_may_reach_over_the_edge():
    images = random_images(300, 7, 6)
    images[images == 99] = 98
    changed = cut_out(images, np.arange(300), seed=5, epoch=1, side=4, fill=np.full(3, 99, np.uint8))
    places = set()
    for image, own in zip(images, changed, strict=True):
        covered = (own == 99).all(axis=2)
        rows, columns = np.flatnonzero(covered.any(axis=1)), np.flatnonzero(covered.any(axis=0))
        assert covered[np.ix_(rows, columns)].all() and covered.sum() == len(rows) * len(columns)
        assert (np.diff(rows) == 1).all() and (np.diff(columns) == 1).all()
        assert 2 <= len(rows) <= 4 and 2 <= len(columns) <= 4, "half of the square is inside"
        assert len(rows) == 4 or rows[0] == 0 or rows[-1] == 6
        np.testing.assert_array_equal(own[~covered], image[~covered])
        places.add((rows[0] if rows[0] else rows[-1] - 3, columns[0] if columns[0] else columns[-1] - 3))
    assert len(places) == 7 * 6, "the middle may be any pixel"


def test_cutout_depends_on_the_sample_and_not_on_its_batch():
    images, black = random_images(20), np.zeros(3, np.uint8)
    together = cut_out(images, np.arange(20), seed=3, epoch=2, side=3, fill=black)
    for i in (0, 7, 19):
        alone = cut_out(images[i : i + 1], np.array([i]), seed=3, epoch=2, side=3, fill=black)
        np.testing.assert_array_equal(alone[0], together[i])
    other = cut_out(images, np.arange(20), seed=3, epoch=3, side=3, fill=black)
    assert (other != together).any()
    for wrong in ({"seed": -1}, {"epoch": 2**32}, {"sample_ids": np.arange(3)}):
        given = {"sample_ids": np.arange(20), "seed": 3, "epoch": 2, "side": 3, "fill": black} | wrong
        with pytest.raises(InputError):
            cut_out(images, **given)
