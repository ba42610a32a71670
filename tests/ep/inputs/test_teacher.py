import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import small
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from spikesim.ep.evaluation.from_run import retest, training_logits
from spikesim.ep.inputs import teacher as module
from spikesim.ep.inputs.teacher import check_target, read_teacher, soften, write_teacher
from spikesim.ep.runs.reader import RunReader
from spikesim.ep.training.observer import Silent
from spikesim.ep.training.run_store import RunOptions
from spikesim.ep.training.trainer import Trainer
from spikesim.errors import InputError

SAMPLES, CLASSES = 24, 3


def make_logits(seed: int = 0, samples: int = SAMPLES, classes: int = CLASSES) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(size=(samples, classes)) * 5


def refused(path: Path, *fragments: str, **options: Any) -> None:
    with pytest.raises(InputError) as found:
        read_teacher(path, **options)
    message = str(found.value)
    assert "\n" not in message and str(path) in message
    for fragment in fragments:
        assert fragment in message


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "teacher.h5"


@pytest.fixture
def good(path: Path) -> Path:
    write_teacher(path, make_logits(), "patterns", "a teacher of the tests")
    return path


# Writing and reading


@pytest.mark.parametrize("dtype", ["<f4", "<f8", ">f4", ">f8"])
def test_round_trip(path: Path, dtype: str) -> None:
    logits = make_logits().astype(dtype)
    written = write_teacher(path, logits, "patterns", "free text\nof two lines")
    read = read_teacher(path)
    assert read.logits.dtype == np.float64 and not read.logits.flags.writeable
    np.testing.assert_array_equal(read.logits, logits)
    assert (read.dataset, read.digest) == ("patterns", written.digest)
    with h5py.File(path) as file:
        assert file["logits"].dtype == dtype
        assert {name: file.attrs[name] for name in file.attrs} == {
            "format": b"spikesim-teacher",
            "format_version": 1,
            "dataset": b"patterns",
            "description": b"free text\nof two lines",
        }
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


@settings(max_examples=25, deadline=None)
@given(
    logits=hnp.arrays(
        st.sampled_from([np.float32, np.float64]),
        st.tuples(st.integers(1, 6), st.integers(1, 4)),
        elements=st.floats(-1e6, 1e6, width=32),
    ),
    name=st.text(st.characters(categories=("L", "N", "P")), min_size=1, max_size=20),
)
def test_any_finite_logits_come_back(tmp_path_factory: pytest.TempPathFactory, logits, name: str) -> None:
    path = tmp_path_factory.mktemp("teacher") / "any.h5"
    written = write_teacher(path, logits, name)
    read = read_teacher(path)
    np.testing.assert_array_equal(read.logits, logits)
    assert (read.dataset, read.digest) == (name, written.digest)


def test_other_programs_write_it_in_their_ways(good: Path, tmp_path: Path) -> None:
    path = tmp_path / "other.h5"
    with h5py.File(path, "w") as file:
        file.attrs["format"] = np.array([b"spikesim-teacher"])  # a fixed length, in an array of one
        file.attrs["format_version"] = np.array([1], np.uint8)
        file.attrs["dataset"] = np.bytes_(b"patterns")
        file.create_dataset("logits", data=make_logits(), chunks=(5, 2), compression="gzip", shuffle=True)
        file["more"] = np.arange(3)
    assert read_teacher(path).digest == read_teacher(good).digest


def test_the_digest_is_of_name_shape_and_values() -> None:
    logits = make_logits()
    digest = module.make_teacher(logits, "patterns").digest
    head = {"dataset": "patterns", "format": "spikesim-teacher", "shape": [SAMPLES, CLASSES]}
    canonical = json.dumps(head, separators=(",", ":")).encode() + b"\n" + logits.astype("<f8").tobytes()
    assert digest == hashlib.sha256(canonical).hexdigest()
    assert digest == module.make_teacher(np.asfortranarray(logits), "patterns").digest
    changed = logits.copy()
    changed[7, 1] = np.nextafter(changed[7, 1], np.inf)
    others = [
        module.make_teacher(changed, "patterns").digest,
        module.make_teacher(logits, "pattern").digest,
        module.make_teacher(logits.reshape(CLASSES, SAMPLES), "patterns").digest,
    ]
    assert len({digest, *others}) == 4
    single = logits.astype(np.float32)
    same = module.make_teacher(single, "patterns").digest
    assert same == module.make_teacher(single.astype(np.float64), "patterns").digest


def test_the_digest_stays() -> None:
    """Runs name their teacher by it, so it must not change."""
    logits = np.array([[1.0, -2.5], [0.0, 3.0], [0.125, 1e6]])
    assert module.make_teacher(logits, "mnist").digest == (
        "9539b94a2e93bd0e27c1fa923243c58fa2337d1547da29a60cdce2d7ef55c003"
    )


def test_a_file_that_exists_stays_unless_it_may_go(good: Path) -> None:
    before = good.read_bytes()
    with pytest.raises(InputError, match="exists: --overwrite"):
        write_teacher(good, make_logits(1), "patterns")
    assert good.read_bytes() == before
    other = write_teacher(good, make_logits(1), "patterns", overwrite=True)
    assert read_teacher(good).digest == other.digest


def test_only_a_teacher_file_is_replaced(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.attrs["format"] = "spikesim-run"
    before = path.read_bytes()
    for _ in range(2):
        with pytest.raises(InputError, match="replaces only teacher files"):
            check_target(path, overwrite=True)
        with pytest.raises(InputError, match="replaces only teacher files"):
            write_teacher(path, make_logits(), "patterns", overwrite=True)
        assert path.read_bytes() == before
        before = b"text"
        path.write_bytes(before)


def test_a_write_that_fails_leaves_what_was_there(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    before = good.read_bytes()
    monkeypatch.setattr(module.os, "fsync", fail)
    with pytest.raises(InputError, match="No space left"):
        write_teacher(good, make_logits(1), "patterns", overwrite=True)
    assert good.read_bytes() == before
    assert [entry.name for entry in good.parent.iterdir()] == [good.name]


@pytest.mark.parametrize(
    ("logits", "name", "fragment"),
    [
        (np.zeros((3, 2), np.int64), "patterns", "int64"),
        (np.zeros((3, 2), np.float16), "patterns", "float16"),
        (np.zeros(3), "patterns", "(3,)"),
        (np.zeros((0, 2)), "patterns", "(0, 2)"),
        (np.full((3, 2), np.nan), "patterns", "nan for class 0 of sample 0"),
        (np.zeros((3, 2)), "", "name"),
        (np.zeros((3, 2)), "two\nlines", "name"),
    ],
)
def test_what_is_not_written(path: Path, logits: NDArray[Any], name: str, fragment: str) -> None:
    with pytest.raises(InputError) as found:
        write_teacher(path, logits, name)
    assert fragment in str(found.value) and "\n" not in str(found.value)
    assert not path.exists()


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a folder"):
        write_teacher(tmp_path / "missing" / "t.h5", make_logits(), "patterns")


# Bad files


def test_no_file_and_no_hdf5(path: Path) -> None:
    refused(path, "does not exist")
    path.mkdir()
    refused(path, "is a folder")
    path.rmdir()
    for content in (b"", b"no HDF5", b"\x89HDF\r\n\x1a\n", b"\x89HDF\r\n\x1a\n" + bytes(range(256)) * 8):
        path.write_bytes(content)
        refused(path)


def change_attribute(name: str, value: Any) -> Callable[[Any], None]:
    def change(file: Any) -> None:
        del file.attrs[name]
        if value is not None:
            file.attrs[name] = value

    return change


def replace(**options: Any) -> Callable[[Any], None]:
    def change(file: Any) -> None:
        del file["logits"]
        file.create_dataset("logits", **options)

    return change


def link(target: Any) -> Callable[[Any], None]:
    def change(file: Any) -> None:
        file.move("logits", "elsewhere")
        file["logits"] = target

    return change


def not_finite(file: Any) -> None:
    file["logits"][4, 2] = -np.inf


def no_dataset(file: Any) -> None:
    del file["logits"]


def a_group(file: Any) -> None:
    del file["logits"]
    file.create_group("logits")


def virtual(file: Any) -> None:
    del file["logits"]
    layout = h5py.VirtualLayout((SAMPLES, CLASSES), "f8")
    layout[...] = h5py.VirtualSource("other.h5", "logits", (SAMPLES, CLASSES))
    file.create_virtual_dataset("logits", layout)


def compact(file: Any) -> None:
    del file["logits"]
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_layout(h5py.h5d.COMPACT)
    space = h5py.h5s.create_simple((SAMPLES, CLASSES))
    h5py.h5d.create(file.id, b"logits", h5py.h5t.IEEE_F64LE, space, properties)


BAD = {
    "no format": (change_attribute("format", None), "format"),
    "a run file": (change_attribute("format", np.bytes_("spikesim-run")), "spikesim-run"),
    "a format of variable length": (change_attribute("format", "spikesim-teacher"), "must be of fixed length"),
    "a number as format": (change_attribute("format", 3), "3"),
    "an array as format": (change_attribute("format", [1, 2]), "format is not one value"),
    "an empty format": (change_attribute("format", h5py.Empty("S1")), "format is not one value"),
    "no version": (change_attribute("format_version", None), "format_version None"),
    "a newer version": (change_attribute("format_version", 2), "format_version 2"),
    "a word as version": (change_attribute("format_version", np.bytes_("1")), "format_version '1'"),
    "no data set": (change_attribute("dataset", None), "'dataset'"),
    "a number as data set": (change_attribute("dataset", 5), "'dataset'"),
    "lines as data set": (change_attribute("dataset", np.bytes_("a\nb")), "'a\\nb'"),
    "no logits": (no_dataset, "no dataset 'logits'"),
    "a group": (a_group, "/logits is a group; it must be an array"),
    "a soft link": (link(h5py.SoftLink("/elsewhere")), "a link to something else"),
    "another file": (link(h5py.ExternalLink("other.h5", "/logits")), "a link to something else"),
    "virtual": (virtual, "damaged"),
    "external": (
        replace(shape=(4, 2), dtype="f8", external=[("teacher.raw", 0, h5py.h5f.UNLIMITED)]),
        "outside the file",
    ),
    "compact": (compact, "rare layout"),
    "integers": (replace(data=np.zeros((4, 2), np.int64)), "int64"),
    "halves": (replace(data=np.zeros((4, 2), np.float16)), "float16"),
    "complex": (replace(data=np.zeros((4, 2), np.complex64)), "complex64"),
    "text": (replace(data=[["a", "b"]]), "object"),
    "compound": (replace(data=np.zeros((4, 2), [("a", "f8"), ("b", "f8")])), "[('a', '<f8')"),
    "one dimension": (replace(data=np.zeros(4)), "(4,)"),
    "three dimensions": (replace(data=np.zeros((4, 2, 1))), "(4, 2, 1)"),
    "a scalar": (replace(data=1.0), "()"),
    "no shape": (replace(data=h5py.Empty("f8")), "None"),
    "no samples": (replace(shape=(0, 10), dtype="f8", chunks=(1, 10), maxshape=(None, 10)), "(0, 10)"),
    "too many samples": (replace(shape=(2**27 + 1, 2), dtype="f4", chunks=(64, 2)), "134217729"),
    "too many classes": (replace(shape=(4, 2**16 + 1), dtype="f4", chunks=(4, 64)), "65537"),
    "too many values": (replace(shape=(2**20, 2**12), dtype="f4", chunks=(64, 64)), "2147483648 values"),
    "nothing stored": (replace(shape=(2**20, 2**10), dtype="f8", chunks=(64, 64)), "not all of /logits"),
    "nothing stored, in one piece": (replace(shape=(100, 10), dtype="f8"), "not all of /logits"),
    "not finite": (not_finite, "-inf for class 2 of sample 4"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files(good: Path, name: str) -> None:
    change, fragment = BAD[name]
    with h5py.File(good, "r+") as file:
        change(file)
    refused(good, fragment)


def test_a_damaged_chunk(path: Path) -> None:
    write_teacher(path, make_logits(), "patterns")
    with h5py.File(path, "r+") as file:
        replace(data=make_logits(), chunks=(SAMPLES, CLASSES), compression="gzip", fletcher32=True)(file)
        chunk = file["logits"].id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset + chunk.size // 2] ^= 255
    path.write_bytes(content)
    refused(path, "damaged")


@pytest.mark.parametrize("share", [0.01, 0.1, 0.3, 0.5, 0.8, 0.99])
def test_truncated(good: Path, share: float) -> None:
    content = good.read_bytes()
    good.write_bytes(content[: int(len(content) * share)])
    refused(good)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_garbage_never_escapes(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Bytes changed anywhere: one line, or a file that is still whole."""
    path = tmp_path_factory.mktemp("garbage") / "t.h5"
    write_teacher(path, make_logits(), "patterns")
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        read = read_teacher(path)
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert np.isfinite(read.logits).all() and read.logits.ndim == 2


# Does it fit


def test_fits(good: Path) -> None:
    dataset = small.make_dataset(samples=SAMPLES, classes=CLASSES)
    assert read_teacher(good, dataset).digest == read_teacher(good).digest
    for change, fragments in (
        ({"samples": SAMPLES + 1}, (f"({SAMPLES}, {CLASSES})", f"({SAMPLES + 1}, {CLASSES})")),
        ({"classes": CLASSES + 1}, (f"({SAMPLES}, {CLASSES})", f"({SAMPLES}, {CLASSES + 1})")),
    ):
        other = small.make_dataset(**{"samples": SAMPLES, "classes": CLASSES, **change})
        refused(good, *fragments, dataset=other)
    renamed = dataclasses.replace(dataset, name="stripes")
    refused(good, "'patterns'", "'stripes'", dataset=renamed)


# Softened


@settings(max_examples=40, deadline=None)
@given(
    logits=hnp.arrays(np.float64, st.tuples(st.integers(1, 5), st.integers(1, 6)), elements=st.floats(-50, 50)),
    temperature=st.floats(0.5, 1000),
)
def test_soften_is_the_softmax(logits: NDArray[np.float64], temperature: float) -> None:
    found = soften(logits, temperature)
    powers = np.exp((logits - logits.max(axis=1, keepdims=True)) / temperature)
    np.testing.assert_allclose(found, powers / powers.sum(axis=1, keepdims=True), rtol=1e-12, atol=0)


@pytest.mark.parametrize("temperature", [5e-324, 1e-300, 4.0, 1000.0])
def test_soften_never_overflows(temperature: float) -> None:
    found = soften(np.array([[1.7e308, -1.7e308, 0.0], [2.0, 2.0, 1.0]]), temperature)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found.sum(axis=1), 1)
    np.testing.assert_array_equal(found[0], [1, 0, 0])


# Made of a run


@pytest.mark.parametrize("kind", ["none", "local"])
def test_the_logits_of_a_run(tmp_path: Path, kind: str) -> None:
    dataset = small.make_dataset()
    layers = small.CONV, small.POOLED
    short = {"dynamics__steps_free": 8, "dynamics__window_free": 4, "dynamics__steps_nudged": 6}
    config = small.make(
        *layers,
        **short,
        data__limit=8,
        data__batch_size=4,
        data__augment=True,
        optimizer__epochs=2,
        error_signals__kind=kind,
    )
    run = tmp_path / "run.h5"
    Trainer(config, dataset, RunOptions(run), Silent()).run()
    mean_field = dataclasses.replace(config, dynamics=dataclasses.replace(config.dynamics, inference="mean-field"))
    done: list[int] = []
    with RunReader(run) as reader:
        one = training_logits(reader, config, dataset, 1, 1, done.append)
        again = training_logits(reader, config, dataset, 1, 3)
        two = training_logits(reader, config, dataset, 2, 2)
        field = training_logits(reader, mean_field, dataset, 1, 2)
        fields = training_logits(reader, mean_field, dataset, 2, 1)
        # the same free phases as the run's own last test, on other images
        tested = retest(reader, config, dataclasses.replace(dataset, test=dataset.train), 1, 2)[0]
    assert one.shape == (SAMPLES, CLASSES) and sum(done) == SAMPLES  # all, although the run was limited to 8
    np.testing.assert_array_equal(one, again)
    np.testing.assert_array_equal(field, fields)  # no noise
    assert not np.array_equal(one, two) and not np.array_equal(one, field)
    labels = dataset.train.labels
    assert tested.correct == (one.argmax(axis=1) == labels).sum()
    losses = -np.log(soften(one, 1.0)[np.arange(SAMPLES), labels])
    assert tested.loss == pytest.approx(losses.mean(), rel=1e-12)


def test_a_run_that_does_not_fit_the_data(tmp_path: Path) -> None:
    dataset = small.make_dataset()
    config = small.make(small.CONV, data__limit=4, data__batch_size=4, optimizer__epochs=1)
    Trainer(config, dataset, RunOptions(tmp_path / "run.h5"), Silent()).run()
    with RunReader(tmp_path / "run.h5") as reader, pytest.raises(InputError, match="the run's weights"):
        training_logits(reader, config, small.make_dataset(classes=4), 1, 1)
