"""Images of one's own: what is stored comes back under the hash of its content, and anything else is one line."""

import hashlib
import io
import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import CONFIG, assert_one_line, digest, spikesim, succeed
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from spikesim.datasets import check, find, load
from spikesim.datasets.formats.image_arrays import is_file
from spikesim.errors import InputError


def make_arrays(seed: int = 0, train: int = 48, test: int = 12, shape: tuple[int, ...] = (8, 8, 1)) -> dict[str, Any]:
    """Three classes of images that differ in their brightness."""
    rng = np.random.default_rng(seed)
    found: dict[str, Any] = {}
    for part, count in (("train", train), ("test", test)):
        labels = np.arange(count) % 3
        noise = rng.integers(0, 60, (count, *shape))
        found[f"{part}_images"] = (noise + 80 * labels.reshape(-1, *[1] * len(shape))).astype(np.uint8)
        found[f"{part}_labels"] = labels
    return found


def write(path: Path, arrays: dict[str, Any], *, compressed: bool = False) -> Path:
    (np.savez_compressed if compressed else np.savez)(path, **arrays)
    return path


@given(
    images=hnp.arrays(np.uint8, st.tuples(*[st.integers(2, 5)] * 4)),
    option=st.sampled_from([{}, {"crop": 2}, {"flip": True}, {"crop": 0, "flip": False}]),
)
def test_what_is_stored_comes_back(
    images: np.ndarray, option: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    labels = np.arange(len(images)) % 2
    arrays = {"train_images": images, "train_labels": labels, "test_images": images[:1], "test_labels": labels[:1]}
    path = write(tmp_path_factory.getbasetemp() / "own.npz", {**arrays, **option})
    found = load(str(path))
    np.testing.assert_array_equal(found.train.images, images)
    np.testing.assert_array_equal(found.train.labels, labels)
    np.testing.assert_array_equal(found.test.images, images[:1])
    assert (found.classes, found.source) == (2, str(path))
    assert (found.augmentation.crop, found.augmentation.flip) == (option.get("crop", 0), option.get("flip", False))
    scaled = images.reshape(-1, images.shape[3]) / 255
    np.testing.assert_allclose(found.mean, scaled.mean(axis=0), atol=1e-12)
    deviation = scaled.std(axis=0)
    np.testing.assert_allclose(found.std, np.where(np.ptp(scaled, axis=0) == 0, 1, deviation), atol=1e-7)


def test_the_hash_is_that_of_the_documentation(tmp_path: Path) -> None:
    arrays = make_arrays()
    head = b'{"crop":0,"flip":false,"format":"spikesim-images","test":[12,8,8,1],"train":[48,8,8,1]}\n'
    parts = [arrays[f"{part}_{kind}"] for part in ("train", "test") for kind in ("images", "labels")]
    wanted = hashlib.sha256(head + b"".join(part.tobytes() for part in parts)).hexdigest()[:16]
    assert load(str(write(tmp_path / "own.npz", arrays))).name == f"own.npz#{wanted}"


def test_the_hash_is_of_the_content_and_not_of_the_storage(tmp_path: Path) -> None:
    arrays = make_arrays()
    names = {load(str(write(tmp_path / "a.npz", arrays))).name}
    names.add(load(str(write(tmp_path / "a.npz", arrays, compressed=True))).name)
    squeezed = {name: value[..., 0] if value.ndim == 4 else value.astype(">i2") for name, value in arrays.items()}
    names.add(load(str(write(tmp_path / "a.npz", squeezed))).name)
    fortran = {name: np.asfortranarray(value) for name, value in reversed(arrays.items())}
    names.add(load(str(write(tmp_path / "a.npz", fortran))).name)
    assert len(names) == 1


@pytest.mark.parametrize("change", ["train_images", "train_labels", "test_images", "test_labels", "crop", "flip"])
def test_the_hash_changes_with_the_content(change: str, tmp_path: Path) -> None:
    arrays = make_arrays()
    before = load(str(write(tmp_path / "a.npz", arrays))).name
    if change in arrays:
        arrays[change].flat[3] ^= 1
    else:
        arrays[change] = np.array(1, np.int64 if change == "crop" else bool)
    after = load(str(write(tmp_path / "a.npz", arrays))).name
    assert before != after
    with pytest.raises(InputError, match=rf"is {after.partition('#')[2]}, not {before.partition('#')[2]}; give"):
        load(str(tmp_path / before))


def test_where_a_file_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPIKESIM_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    folders = [tmp_path / name for name in ("given", "variable", ".")]
    for folder in folders:
        folder.mkdir(exist_ok=True)
        write(folder / "own.npz", make_arrays())
    monkeypatch.setenv("SPIKESIM_DATA", "variable")
    found = []
    for folder in folders:
        found.append(find("own.npz", "given"))
        assert check("own.npz", "given") == found[-1]
        (folder / "own.npz").unlink()
    assert found == ["given/own.npz", "variable/own.npz", "own.npz"]
    assert find("own.npz", "given") is None
    places = r"given/own\.npz, variable/own\.npz, own\.npz"
    with pytest.raises(InputError, match=rf"own\.npz is not found \(looked for {places}\); give its path"):
        load("own.npz#0123456789abcdef", "given")
    for name in ("own.npz", "own.h5"):
        with pytest.raises(InputError, match="data folder none does not exist"):
            load(name, "none")
        os.mkfifo(name)  # opening it would wait for somebody who writes
        for ask in (load, find, check):
            with pytest.raises(InputError, match=f"{name} is not a regular file"):
                ask(name)


def test_images_are_told_from_recordings(tmp_path: Path) -> None:
    events = {"x": np.zeros(3, int), "y": np.zeros(3, int), "t": np.arange(3), "p": np.zeros(3, int)}
    path = tmp_path / "own.npz"
    write(path, {**events, "offsets": np.array([0, 2, 3]), "labels": np.array([0, 1]), "n_train": np.array(1)})
    assert load(str(path)).recordings
    assert not load(str(write(path, make_arrays()))).recordings


@pytest.mark.parametrize(
    "names",
    [
        ("x_train", "y_train", "x_test", "y_test"),
        ("X_train", "Y_train", "X_test", "Y_test"),
        ("train_data", "train_targets", "test_data", "test_targets"),
    ],
)
def test_arrays_under_the_names_that_others_give_them(names: tuple[str, ...], tmp_path: Path) -> None:
    arrays = make_arrays()
    wanted = load(str(write(tmp_path / "own.npz", arrays)))
    renamed = dict(zip(names, arrays.values(), strict=True))
    renamed = {name: array[:, np.newaxis] if array.ndim == 1 else array for name, array in renamed.items()}
    found = load(str(write(tmp_path / "own.npz", renamed)))  # labels as columns too, as Keras has those of CIFAR
    assert found.name == wanted.name, "the same content"
    np.testing.assert_array_equal(found.train.labels, wanted.train.labels)


@pytest.mark.parametrize("names", [("images", "labels"), ("arr_0", "arr_1"), ("x_train", "y_train")])
def test_a_file_of_neither_kind_is_told_what_both_need(names: tuple[str, ...], tmp_path: Path) -> None:
    arrays = list(make_arrays().values())[:2]
    with pytest.raises(InputError) as caught:
        load(str(write(tmp_path / "own.npz", dict(zip(names, arrays, strict=True)))))
    message = str(caught.value)
    assert all(name in message for name in names) and "\n" not in message
    if "x_train" not in names:
        assert "x, y, t, p" in message and "train_images, train_labels, test_images and test_labels" in message
    else:
        assert "lacks test_images, test_labels" in message


def test_which_names_are_files() -> None:
    assert is_file("a/b.npz") and is_file("b.npz#0123456789abcdef")
    assert not any(map(is_file, ("mnist", ".npz", "b.npz#012", "b.npy", "b.npz#0123456789abcdeg")))


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "no labels": ({"test_labels": None}, "lacks test_labels; it has test_images, train_images, train_labels"),
    "a misspelt array": ({"train_image": np.zeros(3)}, "has train_image; it may have train_images, "),
    "floats": ({"train_images": np.zeros((48, 8, 8))}, "train_images are float64 of shape"),
    "flat images": ({"test_images": np.zeros((12, 64), np.uint8)}, "test_images are uint8 of shape"),
    "no images": ({"test_images": np.zeros((0, 8, 8), np.uint8)}, "nothing 0"),
    "labels of another length": ({"train_labels": np.arange(47)}, r"they must be integers of shape \(48,\)"),
    "labels that are numbers": ({"train_labels": np.zeros(48)}, "train_labels are float64"),
    "one class": ({"train_labels": np.zeros(48, int)}, "reach from 0 to 0; they must begin at 0"),
    "a negative label": ({"train_labels": np.arange(48) - 1}, "reach from -1 to 46"),
    "too many classes": ({"train_labels": np.arange(48) * 10**6}, "end at 1 .. 65535"),
    "a test label of no class": ({"test_labels": np.full(12, 3)}, r"test labels of .* must be in 0 \.\. 2"),
    "another size": ({"test_images": np.zeros((12, 8, 9), np.uint8)}, "they must be the same"),
    "a pickle": ({"train_labels": np.array([{}] * 48, object)}, "train_labels.npy holds Python objects, which are not"),
    "a list of images": ({"test_images": np.array([0, None])}, "test_images.npy holds Python objects, .* numpy.stack"),
    "floats from 0 to 1": ({"train_images": np.full((48, 8, 8), 0.5)}, r"from 0.5 to 0.5: store \(images \* 255\)"),
    "whole numbers": ({"train_images": np.full((48, 8, 8), 255)}, r"from 255 to 255: store images.round\(\).astype"),
    "floats beyond": ({"train_images": np.full((48, 8, 8), -1.5)}, "bring them to 0 .. 255"),
    "no numbers": ({"train_images": np.full((48, 8, 8), np.nan)}, "from nan to nan: some are not numbers"),
    "one-hot labels": ({"train_labels": np.eye(48, dtype=int)}, r"one-hot\), store labels.argmax"),
    "float labels": ({"train_labels": np.arange(48.0)}, r"store labels.astype\(int\)"),
    "names for labels": ({"train_labels": np.array(["cat"] * 48)}, "of names, store numpy.unique"),
    "two of a kind": ({"x_train": np.zeros((48, 8, 8), np.uint8)}, "has train_images, x_train; give only one"),
    "a huge crop": ({"crop": np.array(1000)}, r"crop is 1000 pixels, larger than the images of 8x8; .* 0 \.\. 8"),
    "a crop of 2^64": ({"crop": np.array(2**64 - 1, np.uint64)}, "crop is 18446744073709551615 pixels, larger"),
    "a crop that is none": ({"crop": np.array(0.5)}, "crop must be one integer"),
    "a negative crop": ({"crop": np.array(-1)}, "crop is -1"),
    "a flip that is none": ({"flip": np.array([True])}, "flip one boolean"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_one_line(fault: str, tmp_path: Path) -> None:
    changes, message = FAULTS[fault]
    arrays = {name: value for name, value in (make_arrays() | changes).items() if value is not None}
    with pytest.raises(InputError, match=message) as error:
        load(str(write(tmp_path / "own.npz", arrays)))
    assert "own.npz" in str(error.value) or "crop is" in str(error.value)
    assert "\n" not in str(error.value)


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "own.npz"
    for content in (b"", b"PK\x03\x04", b"\x93NUMPY" + bytes(100)):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"own\.npz"):
            load(str(path))
        with pytest.raises(InputError, match="damaged"):
            load(f"{path}#0123456789abcdef")


def test_an_archive_is_believed_up_to_a_limit(tmp_path: Path) -> None:
    path = write(tmp_path / "own.npz", make_arrays())
    content = bytearray(path.read_bytes())
    at = content.rindex(b"PK\x01\x02")  # the last entry of the directory; its length lies 24 bytes behind
    content[at + 24 : at + 28] = b"\xfe\xff\xff\xff"
    path.write_bytes(content)
    with pytest.raises(InputError, match="damaged one"):  # fewer than 16 GB, but not what the array's header says
        load(str(path))
    big = io.BytesIO()
    np.lib.format.write_array_header_1_0(big, {"descr": "|u1", "fortran_order": False, "shape": (2**40, 8, 8)})
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("train_images", "train_labels", "test_images", "test_labels"):
            archive.writestr(f"{name}.npy", big.getvalue())
    with pytest.raises(InputError, match="does not hold the array that it announces"):
        load(str(path))


@given(data=st.data())
def test_a_damaged_file_is_an_input_error_or_the_same(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp()
    path = folder / "damaged.npz"
    write(path, make_arrays(train=6, test=3, shape=(2, 2, 1)))
    name = load(str(path)).name
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    try:
        assert load(str(path)).name == name  # zip checks the sum of each member
    except InputError as error:
        assert "damaged.npz" in str(error)


def test_a_run_on_ones_own_images(tmp_path: Path) -> None:
    """Trained, stopped short, resumed with the file elsewhere, tested; other images are refused."""
    (tmp_path / "run.toml").write_text(CONFIG.replace("limit = 48\ntest_limit = 400\n", ""))
    near, far = tmp_path / "near", tmp_path / "far"
    for folder in (near, far):
        folder.mkdir()
    own = write(near / "own.npz", make_arrays())
    run = tmp_path / "run.h5"
    common = ["train", "--config", tmp_path / "run.toml", "--out", run, "--threads", 1]
    succeed(*common, "--dataset", own)
    shown = succeed("info", run).stdout
    assert load(str(own)).name in shown
    shutil.move(own, far / "own.npz")
    before = digest(run)
    done = succeed(*common, "--dataset", "own.npz", "--data-dir", far, "--resume")
    assert "nothing to do" in done.stderr + done.stdout and digest(run) == before
    tested = succeed("evaluate", run, "--data-dir", far, "--format", "json")
    assert '"samples": 12' in tested.stdout
    assert_one_line(spikesim("evaluate", run), "own.npz is not found")
    write(far / "own.npz", make_arrays(seed=1))
    assert_one_line(spikesim("evaluate", run, "--data-dir", far), "the hash of its content is")
    refused = spikesim(*common, "--dataset", far / "own.npz", "--resume")
    assert_one_line(refused, "data.dataset")


def test_check_of_ones_own_images(tmp_path: Path) -> None:
    path = write(tmp_path / "own.npz", make_arrays())
    said = succeed("data", "check", path).stdout.splitlines()
    assert said[0] == f"{path}: good ({path})"
    assert said[1:] == [
        "  48 training and 12 test images of 8x8 pixels and 1 channel, values 0 .. 219",
        "  3 classes of 16 training and 4 test samples each",
    ]
    path.write_bytes(path.read_bytes()[:-30])
    assert_one_line(spikesim("data", "check", path), "incomplete or damaged")
