"""Recordings of events: published formats, sets in folders, a user's own file, and what is refused."""

import io
import os
import zipfile
from pathlib import Path
from typing import Any

import event_files as ef
import h5py
import numpy as np
import pytest
from datasets_support import serve, tar_gz
from disk import assert_on_disk_first, record_order
from event_files import bar, bars
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from spikesim.datasets import Dataset, Events, EventSet, ImageSet, load
from spikesim.datasets import check as check_set
from spikesim.datasets import find as find_set
from spikesim.datasets.catalogue import registry
from spikesim.datasets.catalogue.registry import Archive
from spikesim.datasets.fetching import archives
from spikesim.datasets.fetching.fetch import fetch
from spikesim.datasets.formats.event_parsing import read_gesture, read_nmnist, read_npy
from spikesim.datasets.samples.event_set import Collector
from spikesim.errors import InputError

QUICK = settings(max_examples=60, deadline=None, derandomize=True, database=None)


def listed(recordings: EventSet) -> list[tuple[list[tuple[int, int, int, int]], int]]:
    """Every event (x, y, t, p) of every recording, and its label, one by one."""
    width, found = recordings.shape[1], []
    for i, label in enumerate(recordings.labels):
        events = []
        for at in range(recordings.offsets[i], recordings.offsets[i + 1]):
            pixel, polarity = divmod(int(recordings.neurons[at]), 2)
            events.append((pixel % width, pixel // width, int(recordings.times[at]), polarity))
        found.append((events, int(label)))
    return found


def wanted(recordings: list[tuple[Events, int]], unit: int = 1) -> list[tuple[list[tuple[int, int, int, int]], int]]:
    """The same of what was written, times in whole units since the first event."""
    found = []
    for events, label in recordings:
        times = events.t // unit * unit
        rows = zip(events.x.tolist(), events.y.tolist(), (times - times.min()).tolist(), events.p.tolist(), strict=True)
        found.append((list(rows), label))
    return found


def events_of(array: Events) -> list[NDArray[np.int64]]:
    return [array.x, array.y, array.t, array.p]


# -- Formats ----------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 33), st.integers(0, 33), st.integers(0, 2**23 - 1), st.integers(0, 1))))
@QUICK
def test_nmnist_is_read_as_it_is_described(rows: list[tuple[int, int, int, int]]) -> None:
    data = b"".join(bytes([x, y]) + (p << 23 | t).to_bytes(3, "big") for x, y, t, p in rows)
    found = read_nmnist(data)
    assert list(zip(*(column.tolist() for column in events_of(found)), strict=True)) == rows


def test_an_entry_in_row_240_moves_the_clock() -> None:
    event = ef.nmnist_bytes(Events(*(np.array([value]) for value in (3, 4, 100, 1))))
    overflow = ef.nmnist_bytes(Events(*(np.array([value]) for value in (0, 240, 0, 0))))
    found = read_nmnist(event + overflow + event + overflow + event)
    assert found.t.tolist() == [100, 100 + 2**13, 100 + 2**14]
    assert found.x.tolist() == [3, 3, 3] and found.y.tolist() == [4, 4, 4]


@pytest.mark.parametrize("dtype", [np.int16, np.int64, np.uint32, np.float64])
@pytest.mark.parametrize("order", ["C", "F"])
def test_gestures_are_read_whatever_the_numbers_are(dtype: Any, order: Any) -> None:
    events = bar(0, 1)
    columns = np.stack([events.x, events.y, events.p, events.t // 1000], axis=1)
    found = read_gesture(ef.npy_bytes(columns.astype(dtype, order=order)))
    for one, other in zip(events_of(found), [events.x, events.y, events.t // 1000 * 1000, events.p], strict=True):
        np.testing.assert_array_equal(one, other)


class Harmful:
    def __reduce__(self) -> Any:
        return os.system, ("touch /tmp/spikesim-harm",)


BAD_NPY = {
    "nothing": (b"", "not a .npy"),
    "text": (b"x,y,t,p\n1,2,3,4\n", "not a .npy"),
    "truncated": (ef.npy_bytes(np.zeros((9, 4)))[:-1], "needs 288"),
    "longer": (ef.npy_bytes(np.zeros((9, 4))) + b"0", "needs 288"),
    "objects": (ef.npy_bytes(np.array([[Harmful()] * 4], object)), "must be numbers"),
    "words": (ef.npy_bytes(np.array([["a"] * 4])), "must be numbers"),
    "other columns": (ef.npy_bytes(np.zeros((9, 3))), r"\(events, 4\)"),
    "one dimension": (ef.npy_bytes(np.zeros(8)), r"\(events, 4\)"),
    "fractions": (ef.npy_bytes(np.full((2, 4), 0.5)), "whole numbers"),
    "no numbers": (ef.npy_bytes(np.full((2, 4), np.nan)), "whole numbers"),
    "eternity": (ef.npy_bytes(np.full((2, 4), 2**60)), "lasts so long"),
    "a huge shape": (
        b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little")
        + b"{'descr': '<i8', 'fortran_order': False, 'shape': (4611686018427387904, 4), }".ljust(117) + b"\n",
        "needs",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_NPY)
def test_what_is_no_gesture_is_refused_in_one_line(case: str) -> None:
    data, words = BAD_NPY[case]
    with pytest.raises(InputError, match=words) as caught:
        read_gesture(data, "x.npy")
    assert "\n" not in str(caught.value) and str(caught.value).startswith("x.npy: ")
    assert not os.path.exists("/tmp/spikesim-harm")


@given(st.binary(max_size=400), st.integers(0, 127), st.integers(0, 255))
@QUICK
def test_damaged_npy_files_never_raise_anything_else(noise: bytes, at: int, value: int) -> None:
    data = bytearray(ef.npy_bytes(np.arange(12).reshape(3, 4)))
    data[at] = value
    for attempt in (bytes(data), noise, bytes(data[:80]) + noise):
        try:
            assert read_npy(attempt, "x").dtype.kind in "biuf"
        except InputError as error:
            assert "\n" not in str(error)


# -- Sets in folders --------------------------------------------------------------------------------------------------


def nmnist_parts() -> dict[str, list[tuple[Events, int]]]:
    return {"Train": bars(12), "Test": bars(6, first=100)}


def test_nmnist_folders_are_read_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    parts = nmnist_parts()
    ef.write_nmnist(tmp_path / "NMNIST", parts)
    (tmp_path / "NMNIST" / "Train" / "0" / "readme.txt").write_text("not a recording")
    (tmp_path / "NMNIST" / "Train" / "x").mkdir()
    dataset = load("nmnist", tmp_path)
    assert isinstance(dataset.train, EventSet) and isinstance(dataset.test, EventSet)
    assert dataset.shape == (34, 34, 2) and dataset.duration == 300 and dataset.recordings
    assert listed(dataset.train) == wanted(parts["Train"])
    assert listed(dataset.test) == wanted(parts["Test"])
    assert "12 of 60000 and 6 of 10000 recordings" in check_set("nmnist", tmp_path)
    assert find_set("nmnist", tmp_path / "NMNIST") == str(tmp_path / "NMNIST"), "the folder itself will do"


def test_gesture_folders_are_read(tmp_path: Path) -> None:
    parts = {"ibmGestureTrain": bars(9, side=128), "ibmGestureTest": bars(3, side=128, first=50)}
    ef.write_gestures(tmp_path, parts)
    dataset = load("dvsgesture", tmp_path)
    assert isinstance(dataset.train, EventSet) and isinstance(dataset.test, EventSet)
    assert dataset.shape == (128, 128, 2) and dataset.classes == 11
    assert listed(dataset.train) == wanted(parts["ibmGestureTrain"], 1000)
    assert listed(dataset.test) == wanted(parts["ibmGestureTest"], 1000)


def test_times_begin_at_the_first_event_and_are_sorted() -> None:
    collector = Collector(8, 8)
    collector.add(Events(*(np.array(column) for column in ([1, 2, 3], [0, 0, 0], [900, 100, 900], [0, 1, 1]))), 0, "r")
    collector.add(Events(*(np.zeros(0, np.int64) for _ in range(4))), 1, "empty")
    found = collector.finish()
    assert listed(found) == [([(2, 0, 0, 1), (1, 0, 800, 0), (3, 0, 800, 1)], 0), ([], 1)]
    assert found.durations().tolist() == [800, 0]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("Train/3/00009.bin", b"1234", "multiple"),
        ("Train/3/00009.bin", bytes([34, 0, 0, 0, 0]), "0 .. 33"),
        ("ibmGestureTrain/user01_led/0.npy", b"", "not a .npy"),
        ("ibmGestureTrain/user01_led/11.npy", ef.gesture_bytes(bar(0, 0)), "class 11"),
    ],
)
def test_a_bad_recording_is_named(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    ef.write_nmnist(tmp_path, nmnist_parts())
    ef.write_gestures(tmp_path, {"ibmGestureTrain": bars(3), "ibmGestureTest": bars(3)})
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_bytes(content)
    dataset = "nmnist" if name.endswith("bin") else "dvsgesture"
    for use in (load, check_set):
        with pytest.raises(InputError, match=words) as caught:
            use(dataset, tmp_path)
        assert name in str(caught.value) and "\n" not in str(caught.value)


def test_a_set_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPIKESIM_DATA", raising=False)
    ef.write_nmnist(tmp_path, {"Train": bars(3)})
    assert find_set("nmnist", tmp_path) is None, "half a set is none"
    for use in (load, check_set):
        with pytest.raises(InputError, match="spikesim data fetch nmnist"):
            use("nmnist", tmp_path)


# -- A user's own file ------------------------------------------------------------------------------------------------


def own_arrays() -> dict[str, NDArray[Any]]:
    return ef.arrays_of(bars(10), 7)


def structured(arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The events as Tonic has them, a structured array."""
    events = np.zeros(len(arrays["t"]), [("x", np.int16), ("y", np.int16), ("t", np.int64), ("p", bool)])
    for field in "xytp":
        events[field] = arrays[field]
    return {"events": events, **{name: array for name, array in arrays.items() if name not in tuple("xytp")}}


@pytest.mark.parametrize("form", [dict, structured])
@pytest.mark.parametrize("name", ["mine.npz", "mine.h5", "mine.hdf5"])
def test_a_file_of_ones_own(tmp_path: Path, name: str, form: Any) -> None:
    ef.write_file(tmp_path / name, form(own_arrays()), compression="gzip")
    dataset = load(name, tmp_path)
    assert isinstance(dataset.train, EventSet) and isinstance(dataset.test, EventSet)
    assert listed(dataset.train) == wanted(bars(10)[:7]) and listed(dataset.test) == wanted(bars(10)[7:])
    assert dataset.classes == 3 and dataset.shape == (8, 8, 2)
    durations = [np.ptp(events.t) for events, _ in bars(10)[:7]]
    assert dataset.duration == (np.median(durations) + 1) / 1000
    assert load(str(tmp_path / name)).source == str(tmp_path / name), "a path will do"


def changed(**changes: Any) -> dict[str, NDArray[Any]]:
    arrays = {**own_arrays(), **{name: np.asarray(value) for name, value in changes.items() if value is not None}}
    return {name: array for name, array in arrays.items() if name not in changes or changes[name] is not None}


BAD_FILES: dict[str, tuple[dict[str, NDArray[Any]], str]] = {
    "no times": (changed(t=None), "no array 't'"),
    "no labels": (changed(labels=None), "no array 'labels'"),
    "a label less": (changed(labels=own_arrays()["labels"][1:]), "offsets must be 10"),
    "offsets that fall": (changed(offsets=own_arrays()["offsets"][::-1]), "ascend"),
    "an event too many": (changed(offsets=own_arrays()["offsets"] + 1), "ascend"),
    "nothing to train on": (changed(n_train=0), "n_train is"),
    "nothing to test on": (changed(n_train=10), "n_train is"),
    "a negative class": (changed(labels=own_arrays()["labels"] - 1), "labels reach"),
    "a class beyond all": (changed(labels=own_arrays()["labels"] + 10**6), "labels reach"),
    "columns of other lengths": (changed(x=own_arrays()["x"][1:]), "one for each event"),
    "two dimensions": (changed(x=own_arrays()["x"][:, None]), "one dimension"),
    "fractions of a pixel": (changed(x=own_arrays()["x"] + 0.5), "whole"),
    "a third polarity": (changed(p=own_arrays()["p"] + 1), "p reaches"),
    "outside the sensor": (changed(shape=[8, 7]), "x reaches"),
    "a sensor without end": (changed(x=own_arrays()["x"] + 10**6), "shape is"),
    "hours": (changed(t=own_arrays()["t"] * 10**6), "lasts"),
    "objects": (changed(x=np.array([Harmful()] * 1200, object)), "must be numbers"),
    "fields of another kind": (
        {**own_arrays(), "events": np.zeros(3, [("x", int)])},
        "must have x, y, t, p",
    ),
}


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_files_are_refused_in_one_line(tmp_path: Path, case: str, suffix: str) -> None:
    arrays, words = BAD_FILES[case]
    if suffix == ".h5" and any(array.dtype.hasobject for array in arrays.values()):
        arrays = {**arrays, "x": np.array([b"text"] * 1200)}
    path = ef.write_file(tmp_path / f"bad{suffix}", arrays)
    with pytest.raises(InputError, match=words) as caught:
        load(str(path))
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    assert not os.path.exists("/tmp/spikesim-harm")


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
def test_truncated_and_damaged_files_are_refused_in_one_line(tmp_path: Path, suffix: str) -> None:
    whole = ef.write_file(tmp_path / f"good{suffix}", own_arrays()).read_bytes()
    path, rng = tmp_path / f"bad{suffix}", np.random.default_rng(3)
    refused = 0
    for attempt in range(40):
        data = bytearray(whole if attempt % 2 else whole[: rng.integers(0, len(whole))])
        for at in rng.integers(0, max(1, len(data)), 4) if data else ():
            data[at] ^= 1 << rng.integers(0, 8)
        path.write_bytes(data)
        try:
            load(str(path))
        except InputError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused >= 20


def test_a_file_that_unpacks_to_far_more_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from spikesim.datasets.formats import event_file as eventfile

    monkeypatch.setattr(eventfile, "SMALL", 1000)
    zeros = np.zeros(10**6, np.int64)
    for name in ("bomb.npz", "bomb.h5"):
        path = ef.write_file(tmp_path / name, changed(x=zeros, y=zeros, t=zeros, p=zeros), compression="gzip")
        with pytest.raises(InputError, match="unpacks to more than"):
            load(str(path))


def test_hdf5_that_points_elsewhere_is_refused(tmp_path: Path) -> None:
    other = ef.write_file(tmp_path / "other.h5", own_arrays())
    path = ef.write_file(tmp_path / "mine.h5", changed(x=None))
    with h5py.File(path, "a") as file:
        file["x"] = h5py.ExternalLink(str(other), "x")
    with pytest.raises(InputError, match="x is a link to something else"):
        load(str(path))


def test_hdf5_with_checksums_and_a_group_of_events_is_read(tmp_path: Path) -> None:
    arrays = own_arrays()
    grouped = {f"events/{name}" if name in tuple("xytp") else name: array for name, array in arrays.items()}
    wanted_sets = load(str(ef.write_file(tmp_path / "plain.h5", arrays)))
    for content, options in ((arrays, {"fletcher32": True, "compression": "gzip"}), (grouped, {})):
        found = load(str(ef.write_file(tmp_path / "own.h5", content, **options)))
        assert listed(found.train) == listed(wanted_sets.train) and found.shape == wanted_sets.shape


@pytest.mark.parametrize(
    ("rename", "words"),
    [
        ({"x": "events/x", "y": "events/y", "t": "events/ts", "p": "events/p"}, "has no array 't', but .*events/ts"),
        ({"x": "labels/x", "labels": "label"}, "labels is a group; it must be an array"),
        ({"x": "train_images"}, "has no array 'x', but .*train_images"),
        ({name: f"data/{name}" for name in own_arrays()}, "has no array 'x', but data/labels, .*data/x, data/y"),
    ],
)
def test_what_an_hdf5_file_has_instead_is_told(tmp_path: Path, rename: dict[str, str], words: str) -> None:
    arrays = {rename.get(name, name): array for name, array in own_arrays().items()}
    if "labels/x" in arrays:
        arrays["x"] = own_arrays()["x"]
    with pytest.raises(InputError, match=words) as caught:
        load(str(ef.write_file(tmp_path / "own.h5", arrays)))
    assert "damaged" not in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_that_is_not_there_or_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none.npz is not found \(looked for"):
        load("none.npz", tmp_path)
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(InputError, match="not a regular file"):
        load("folder.npz", tmp_path)


def test_a_data_set_is_of_one_kind_and_shape_and_recordings_have_a_duration() -> None:
    good = vars(ef.make_recordings(6))
    images = ImageSet(np.zeros((2, 8, 8, 2), np.uint8), np.zeros(2, np.int64))
    for changes, words in (
        ({"test": ef.collected(bars(3, side=9), 9)}, "they must be the same"),
        ({"test": images}, "of one kind"),
        ({"duration": None}, "duration of bars is None"),
    ):
        with pytest.raises(InputError, match=words):
            Dataset(**{**good, **changes})


# -- Archives ---------------------------------------------------------------------------------------------------------


def zipped(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return stream.getvalue()


def files_below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def published(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Archives of a tiny set in the published form, known to the registry; them, and what they must unpack to."""
    import hashlib
    from types import MappingProxyType

    entry, source = registry.find(name), tmp_path / "source"
    if name == "nmnist":
        ef.write_nmnist(source, nmnist_parts())
    else:
        ef.write_gestures(source, {"ibmGestureTrain": bars(6), "ibmGestureTest": bars(3)})
    content = files_below(source)
    packed, files = [], {}
    for archive, part in zip(entry.archives, sorted({path.split("/")[0] for path in content})[::-1], strict=True):
        own = {path: data for path, data in content.items() if path.startswith(part)}
        harm = {f"../{part}/../../harm.bin": b"x", f"{part}/0/../../harm.bin": b"x", f"__MACOSX/{part}/0/._1.bin": b"x"}
        pack = zipped if archive.name.endswith(".zip") else tar_gz
        files[archive.name] = pack({**own, **harm, "readme.txt": b"words"})
        md5 = hashlib.md5(files[archive.name], usedforsecurity=False).hexdigest()
        packed.append(Archive(archive.name, archive.url, md5))
    known = {own.name: own for own in registry.entries()}
    known[name] = registry.Entry(**{**vars(entry), "archives": tuple(packed)})
    monkeypatch.setattr(registry, "_ENTRIES", MappingProxyType(known))
    return files, content


def test_recordings_are_on_the_disk_before_their_folder_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, _ = published(tmp_path, "nmnist", monkeypatch)
    order = record_order(monkeypatch)
    with serve(files) as server:
        folder = fetch("nmnist", tmp_path / "data", base_urls=[server.url])
    assert_on_disk_first(order, folder / "Train")


@pytest.mark.parametrize("name", ["nmnist", "dvsgesture"])
def test_recordings_are_fetched_once_and_nothing_else_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    files, content = published(tmp_path, name, monkeypatch)
    target = tmp_path / "data"
    with serve(files) as server:
        folder = fetch(name, target, base_urls=[server.url])
        assert files_below(target) == {f"{folder.name}/{path}": data for path, data in content.items()}
        requests = len(server.requests)
        assert requests == 2 and fetch(name, target, base_urls=[server.url]) == folder
        assert len(server.requests) == requests, "what is there is not fetched again"
    assert not list(tmp_path.rglob("harm*"))
    assert isinstance(load(name, target).train, EventSet)


def test_an_archive_that_is_not_the_published_one_unpacks_to_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, _ = published(tmp_path, "nmnist", monkeypatch)
    good = files["test.zip"]
    with serve({**files, "test.zip": good[:-1] + b"0"}) as server:
        with pytest.raises(InputError, match=r"not the published test\.zip"):
            fetch("nmnist", tmp_path / "data", base_urls=[server.url])
        assert not (tmp_path / "data" / "nmnist" / "Test").exists()
        server.files["test.zip"] = good
        assert fetch("nmnist", tmp_path / "data", base_urls=[server.url]) == tmp_path / "data" / "nmnist"


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "not a whole"), (b"PK\x03\x04 and no more", "not a whole"), (zipped({"a/b.txt": b"c"}), "no recordings")],
)
def test_what_cannot_be_unpacked_leaves_nothing(tmp_path: Path, content: bytes, words: str) -> None:
    entry = registry.find("nmnist")
    (tmp_path / "some.part").write_bytes(content)
    with pytest.raises(InputError, match=words):
        archives.unpack(tmp_path / "some.part", entry.archives[0], entry, tmp_path / "data")
    assert files_below(tmp_path / "data") == {}


def test_an_archive_cannot_fill_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = registry.find("nmnist")
    (tmp_path / "some.part").write_bytes(zipped({f"Train/0/{i:05d}.bin": bytes(500) for i in range(20)}))
    monkeypatch.setattr(archives, "UNPACKED_MAX", 5000)
    with pytest.raises(InputError, match="more than 5000 bytes"):
        archives.unpack(tmp_path / "some.part", entry.archives[0], entry, tmp_path / "data")
    assert files_below(tmp_path / "data") == {}
