"""Files of samples without labels."""

import gzip
import pickle
from pathlib import Path

import event_files
import numpy as np
from datasets_support import make_idx
from runs import expect_fault

from spikesim.datasets.formats.unlabelled import image_set, read_images, read_recordings

SHAPE = (5, 4, 1)
SENSOR = (event_files.SIDE, event_files.SIDE, 2)
IMAGES = np.random.default_rng(0).integers(0, 256, (7, *SHAPE), dtype=np.uint8)


def test_images_in_every_format(tmp_path: Path) -> None:
    idx = make_idx(IMAGES[..., 0])
    np.save(tmp_path / "a.npy", IMAGES)
    np.save(tmp_path / "floats.npy", (IMAGES[..., 0] / 255).astype(np.float32))
    np.savez(tmp_path / "one.npz", anything=IMAGES)
    np.savez_compressed(tmp_path / "named.npz", images=IMAGES, names=np.array(["a"] * 7))
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(idx)
    (tmp_path / "t10k-images.idx3-ubyte.gz").write_bytes(gzip.compress(idx))
    for path in tmp_path.iterdir():
        found, names = read_images(path, SHAPE)
        assert names is None
        assert (found.images == IMAGES).all() and found.images.dtype == np.uint8, path.name
        assert found.labels.tolist() == [0] * 7


def test_all_bytes_come_back_from_floats() -> None:
    every = np.arange(256, dtype=np.uint8).reshape(256, 1, 1)
    for kind in (np.float16, np.float32, np.float64):
        assert (image_set((every / 255).astype(kind), (1, 1, 1)).images[..., 0] == every).all()
    large = np.tile(every, (20, 1, 1))  # in several blocks
    assert (image_set(large / 255, (1, 1, 1)).images[..., 0] == large).all()


def test_recordings_in_every_format(tmp_path: Path) -> None:
    bars = event_files.bars(5)
    expected = event_files.collected(bars)
    arrays = event_files.arrays_of(bars, 3)
    for name in ("labelled.npz", "labelled.h5"):
        event_files.write_file(tmp_path / name, arrays)
    without = {name: values for name, values in arrays.items() if name not in ("labels", "n_train")}
    event_files.write_file(tmp_path / "plain.npz", without)
    event_files.write_file(tmp_path / "shape.hdf5", {**without, "shape": np.array(SENSOR[:2])})
    for path in tmp_path.iterdir():
        found, _ = read_recordings(path, SENSOR)
        for name in ("neurons", "times", "offsets"):
            assert (getattr(found, name) == getattr(expected, name)).all(), path.name
        assert found.labels.tolist() == [0] * 5 and found.shape == SENSOR


def test_one_recording(tmp_path: Path) -> None:
    bars = event_files.bars(1)
    arrays = event_files.arrays_of(bars, 1)
    event_files.write_file(tmp_path / "one.npz", {name: arrays[name] for name in "xytp"})
    (tmp_path / "00001.bin").write_bytes(event_files.nmnist_bytes(bars[0][0]))
    for path in tmp_path.iterdir():
        found, _ = read_recordings(path, SENSOR)
        assert len(found) == 1 and (found.neurons == event_files.collected(bars).neurons).all()


def put(folder: Path, name: str, content: bytes) -> Path:
    (folder / name).write_bytes(content)
    return folder / name


def test_images_that_cannot_be_read(tmp_path: Path) -> None:
    expect_fault("does not exist.*npy", read_images, tmp_path / "none.npy", SHAPE)
    expect_fault("has no known ending.*IDX", read_images, put(tmp_path, "a.tga", b"x"), SHAPE)
    for name in ("text.npy", "text.npz", "x-idx3-ubyte", "x.idx3-ubyte.gz"):
        expect_fault(f"{name}", read_images, put(tmp_path, name, b"something else"), SHAPE)
    np.savez(tmp_path / "two.npz", a=IMAGES, b=IMAGES)
    expect_fault("has a, b; .*images", read_images, tmp_path / "two.npz", SHAPE)
    np.save(tmp_path / "short.npy", IMAGES)
    expect_fault("needs", read_images, put(tmp_path, "cut.npy", (tmp_path / "short.npy").read_bytes()[:-1]), SHAPE)
    np.save(tmp_path / "other.npy", IMAGES[:, :, :3])
    expect_fault(r"other.npy: the images are uint8 of shape \(7, 5, 3, 1\)", read_images, tmp_path / "other.npy", SHAPE)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "sprung",))

    trap = np.empty(1, object)
    trap[0] = Trap()
    np.save(tmp_path / "a.npy", trap, allow_pickle=True)
    np.savez(tmp_path / "a.npz", images=trap)
    put(tmp_path, "b.npy", pickle.dumps(Trap()))
    for name in ("a.npy", "a.npz", "b.npy"):
        expect_fault("Python objects|not a .npy", read_images, tmp_path / name, SHAPE)
    assert not (tmp_path / "sprung").exists()


def test_recordings_that_cannot_be_read(tmp_path: Path) -> None:
    arrays = event_files.arrays_of(event_files.bars(3), 2)
    expect_fault("does not exist", read_recordings, tmp_path / "none.npz", SENSOR)
    expect_fault("has no known ending", read_recordings, put(tmp_path, "a.aedat", b"x"), SENSOR)
    expect_fault("multiple", read_recordings, put(tmp_path, "a.bin", b"123456"), SENSOR)
    for changes, told in (
        ({"offsets": np.array([0, 5])}, "offsets must ascend"),
        ({"offsets": arrays["offsets"][::-1]}, "offsets must ascend"),
        ({"shape": np.array([9, 9])}, "network takes recordings of"),
        ({"x": arrays["x"] + 8}, "recording 0: x reaches"),
        ({"p": arrays["p"][:-1]}, "elements; each must have one for each event"),
    ):
        path = event_files.write_file(tmp_path / "wrong.npz", {**arrays, **changes})
        expect_fault(told, read_recordings, path, SENSOR)
    np.savez(tmp_path / "images.npz", images=IMAGES)
    expect_fault("has no array", read_recordings, tmp_path / "images.npz", SENSOR)
