"""Finding and reading data sets, from tiny ones in every layout to the published ones where they are at hand."""

import dataclasses
import gzip
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from datasets_support import install, tar_gz, tiny_cifar, tiny_idx

from spikesim.datasets import Augmentation, ImageSet, check, find, load, names
from spikesim.datasets.catalogue import registry
from spikesim.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
TINY = tiny_idx()
# The same file names and sizes with another content, as MNIST and Fashion-MNIST have.
TWIN = tiny_idx(seed=7, name="twin")
COLOUR = tiny_cifar()


@pytest.fixture(autouse=True)
def _tiny_sets(monkeypatch):
    install(monkeypatch, TINY, TWIN, COLOUR)


def assert_is_tiny(dataset):
    np.testing.assert_array_equal(
        dataset.train.images[..., 0].ravel(), np.frombuffer(TINY.content["train-images-idx3-ubyte"][16:], np.uint8)
    )
    np.testing.assert_array_equal(dataset.train.labels, np.arange(60) % 3)
    np.testing.assert_array_equal(dataset.test.labels, np.arange(20) % 3)
    assert dataset.train.images.shape == (60, 6, 5, 1)
    assert dataset.test.images.shape == (20, 6, 5, 1)
    assert (dataset.name, dataset.classes, dataset.class_names) == ("tiny", 3, ("a", "b", "c"))


@pytest.mark.parametrize("folder", [".", "tiny", "tiny/raw"])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("dotted", [False, True])
def test_idx_set_is_found_under_the_usual_names(tmp_path, folder, packed, dotted):
    TINY.write(tmp_path / folder, packed)
    if dotted:
        for path in (tmp_path / folder).glob("*-idx*"):
            path.rename(path.with_name(path.name.replace("-idx", ".idx")))
    dataset = load("tiny", tmp_path)
    assert_is_tiny(dataset)
    assert Path(dataset.source) == tmp_path / folder == Path(find("tiny", tmp_path)) == Path(check("tiny", tmp_path))


@pytest.mark.parametrize("form", ["plain", "gz", "tar"])
@pytest.mark.parametrize("folder", [".", "tiny-colour", "tiny-colour-bin"])
def test_cifar_set_is_found_under_the_usual_names(tmp_path, form, folder):
    if form == "tar":
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "tiny-colour.tar.gz").write_bytes(COLOUR.published()["tiny-colour.tar.gz"])
    else:
        COLOUR.write(tmp_path / folder, packed=form == "gz")
    dataset = load("tinycolour", tmp_path)
    records = np.frombuffer(COLOUR.content["part_1.bin"] + COLOUR.content["part_2.bin"], np.uint8).reshape(60, 50)
    np.testing.assert_array_equal(dataset.train.images.transpose(0, 3, 1, 2).reshape(60, 48), records[:, 2:])
    np.testing.assert_array_equal(dataset.train.labels, records[:, 1])
    assert dataset.test.images.shape == (20, 4, 4, 3)


def test_order_of_an_archive_does_not_matter(tmp_path):
    plain = load("tinycolour", COLOUR.write(tmp_path / "plain"))
    (tmp_path / "packed").mkdir()
    members = dict(sorted(COLOUR.content.items(), reverse=True))
    (tmp_path / "packed" / "tiny-colour.tar.gz").write_bytes(tar_gz(members))
    np.testing.assert_array_equal(load("tinycolour", tmp_path / "packed").train.images, plain.train.images)


def test_files_come_before_an_archive(tmp_path):
    COLOUR.write(tmp_path)
    (tmp_path / "tiny-colour.tar.gz").write_bytes(b"nothing")
    assert load("tinycolour", tmp_path).source == str(tmp_path)


def test_search_order(tmp_path, monkeypatch):
    given, variable, system = (tmp_path / name for name in ("given", "variable", "system"))
    given.mkdir()
    entry = dataclasses.replace(TINY.entry, system_folder=str(system))
    install(monkeypatch, dataclasses.replace(TINY, entry=entry))
    monkeypatch.setenv("SPIKESIM_DATA", str(variable))
    assert find("tiny", given) is None
    TINY.write(system)
    assert load("tiny", given).source == str(system)
    TINY.write(variable)
    assert load("tiny", given).source == str(variable)
    assert load("tiny").source == str(variable)
    TINY.write(given)
    assert load("tiny", given).source == str(given)


def test_half_a_set_does_not_hide_a_whole_one(tmp_path):
    TINY.write(tmp_path / "tiny")
    (tmp_path / "tiny" / "t10k-labels-idx1-ubyte").unlink()
    TINY.write(tmp_path)
    assert load("tiny", tmp_path).source == str(tmp_path)


def test_sets_of_the_same_file_names_are_told_apart(tmp_path):
    TWIN.write(tmp_path)
    TINY.write(tmp_path / "tiny")
    assert_is_tiny(load("tiny", tmp_path))
    assert load("twin", tmp_path).source == str(tmp_path)
    with pytest.raises(InputError, match=r"tiny is not found .* are those of twin"):
        load("tiny", TWIN.write(tmp_path / "other"))


@pytest.mark.parametrize("name", sorted(TINY.content))
@pytest.mark.parametrize("fault", ["missing", "truncated", "changed"])
def test_faulty_idx_set_is_refused_in_one_line(tmp_path, name, fault):
    TINY.write(tmp_path)
    path = tmp_path / name
    if fault == "missing":
        path.unlink()
    elif fault == "truncated":
        path.write_bytes(path.read_bytes()[:-1])
    else:
        path.write_bytes(path.read_bytes()[:-1] + bytes([path.read_bytes()[-1] ^ 1]))
    expected = {"missing": "lacks", "truncated": "truncated", "changed": "not the published"}[fault]
    for function in (load, check):
        with pytest.raises(InputError, match=expected) as error:
            function("tiny", tmp_path)
        message = str(error.value)
        assert name in message
        assert f"spikesim data fetch tiny --data-dir {tmp_path}" in message
        assert "\n" not in message


def test_faulty_archive_is_refused(tmp_path):
    whole = COLOUR.published()["tiny-colour.tar.gz"]
    (tmp_path / "tiny-colour.tar.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"tiny-colour\.tar\.gz.*spikesim data fetch tinycolour"):
        load("tinycolour", tmp_path)


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match=r"'nist' \(did you mean mnist\?\); known are fashion-mnist-mini, mnist"):
        load("nist")
    with pytest.raises(InputError, match="does not exist"):
        load("tiny", tmp_path / "none")
    with pytest.raises(InputError, match="does not exist"):
        find("tiny", tmp_path / "none")
    with pytest.raises(InputError, match=r"tiny is not found .*no data folder is given"):
        load("tiny")


def test_arrays_are_read_only(tmp_path):
    for dataset in (load("tiny", TINY.write(tmp_path / "a")), load("tinycolour", COLOUR.write(tmp_path / "b"))):
        for array in (dataset.train.images, dataset.train.labels, dataset.test.images, dataset.mean, dataset.std):
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 0


def test_making_an_image_set_leaves_the_array_of_the_caller_writable():
    images = np.zeros((2, 3, 3, 1), np.uint8)
    ImageSet(images, np.zeros(2, np.int64))
    images[0] = 1


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (np.zeros((2, 3, 3), np.uint8), np.zeros(2, np.int64)),
        (np.zeros((2, 3, 3, 1)), np.zeros(2, np.int64)),
        (np.zeros((2, 3, 3, 1), np.uint8), np.zeros(2, np.uint8)),
        (np.zeros((2, 3, 3, 1), np.uint8), np.zeros(3, np.int64)),
    ],
)
def test_image_set_of_wrong_arrays_is_refused(images, labels):
    with pytest.raises(InputError):
        ImageSet(images, labels)


@pytest.mark.parametrize(
    "changes",
    [
        {"classes": 4},
        {"class_names": ("a", "b"), "classes": 2},
        {"mean": np.zeros(3)},
        {"test": ImageSet(np.zeros((1, 5, 5, 1), np.uint8), np.zeros(1, np.int64))},
    ],
)
def test_data_set_that_does_not_fit_together_is_refused(tmp_path, changes):
    with pytest.raises(InputError):
        dataclasses.replace(load("tiny", TINY.write(tmp_path)), **changes)


def test_negative_crop_is_refused():
    with pytest.raises(InputError, match="crop is -1"):
        Augmentation(-1, True)


def test_registry_is_consistent():
    for name in ("fashion-mnist-mini", "mnist", "fashion-mnist", "cifar10", "cifar100"):
        assert name in names()
        entry = registry.find(name)
        assert len(set(entry.class_names)) == len(entry.class_names)
        assert len(entry.mean) == len(entry.std) == entry.shape[2]
        pixels = np.prod(entry.shape)
        if entry.form == "idx":
            expected = [16 + entry.n_train * pixels, 8 + entry.n_train, 16 + entry.n_test * pixels, 8 + entry.n_test]
            assert [file.size for file in entry.files] == expected
        else:
            record = entry.label_bytes + pixels
            assert sum(file.size for file in entry.train) == entry.n_train * record
            assert sum(file.size for file in entry.test) == entry.n_test * record
    assert len(registry.find("cifar100").class_names) == 100


def test_embedded_set_is_balanced_and_whole():
    dataset = load("fashion-mnist-mini", None)
    assert check("fashion-mnist-mini") == find("fashion-mnist-mini") == dataset.source == "embedded"
    assert dataset.train.images.shape == (5000, 28, 28, 1)
    assert dataset.test.images.shape == (1000, 28, 28, 1)
    np.testing.assert_array_equal(np.bincount(dataset.train.labels), np.full(10, 500))
    np.testing.assert_array_equal(np.bincount(dataset.test.labels), np.full(10, 100))
    pixels = dataset.train.images / 255
    np.testing.assert_allclose([pixels.mean(), pixels.std()], [dataset.mean[0], dataset.std[0]], atol=0.01)


def test_embedded_set_carries_its_licence():
    folder = ROOT / "datasets" / "data" / "fashion-mnist-mini"
    assert "Copyright (c) 2017 Zalando SE" in (folder / "LICENSE").read_text()


# Read before the fixture above makes the tests forget it.
PLACES = [Path(folder) for folder in (os.environ.get("SPIKESIM_DATA"), ROOT.parent / "shared" / "data") if folder]


def real(name):
    """Where a published set is on this machine; skips the test if it is nowhere."""
    for folder in (*filter(os.path.isdir, PLACES), None):
        if source := find(name, folder):
            return source
    pytest.skip(f"{name} is not on this machine")


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "cifar10", "cifar100"])
def test_published_set(name):
    dataset = load(name, real(name))
    assert dataset.train.images.shape == (registry.find(name).n_train, *registry.find(name).shape)
    assert set(np.unique(dataset.test.labels)) == set(range(dataset.classes))
    pixels = dataset.train.images[::10].reshape(-1, dataset.train.images.shape[3]) / 255
    np.testing.assert_allclose(pixels.mean(axis=0), dataset.mean, atol=0.01)


def test_embedded_set_is_made_again_the_same(tmp_path):
    source = real("fashion-mnist")
    in_the_way = tmp_path / "t10k-labels-idx1-ubyte.gz"
    in_the_way.write_bytes(b"mine")
    script = ROOT / "examples" / "make_fashion_mnist_mini.py"
    command = [sys.executable, str(script), "--data-dir", source, "--out", str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 1
    assert f"{in_the_way} exists and differs" in result.stderr
    assert in_the_way.read_bytes() == b"mine"
    made = [path for path in tmp_path.iterdir() if path != in_the_way]
    assert len(made) == 3
    for path in made:
        embedded = (ROOT / "datasets" / "data" / "fashion-mnist-mini" / path.name).read_bytes()
        # The packed bytes depend on the version of zlib.
        assert gzip.decompress(path.read_bytes()) == gzip.decompress(embedded)


def test_importing_the_package_does_not_import_numba():
    command = "import sys, spikesim.datasets; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", command], cwd=ROOT).returncode == 0
