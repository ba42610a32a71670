"""Series from files: the .ts format, .npz arrays, the embedded set; what is no series is one line."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from spikesim.cli import main
from spikesim.datasets import EventSet, ImageSet, SeriesSet, find, load
from spikesim.datasets.formats.sequences.series_arrays import form_of_arrays, of_arrays
from spikesim.datasets.formats.sequences.ts_file import parse
from spikesim.datasets.formats.sequences.unlabelled import read_series, series_set
from spikesim.errors import InputError

HEADER = """# made for a test
@problemName steps
@timeStamps false
@univariate false
@dimensions 2
@equalLength false
@classLabel true down up
@data
"""
TRAIN = HEADER + "3,2,1:0,0,0:down\n3,2:1,1:down\n\n1,2:0,.5:up\n# a word\n1,2,3:-1e-3,0,5:up\n"
TEST = HEADER + "9:8:up\n"


def write(folder: Path, train: str = TRAIN, test: str | None = TEST, name: str = "steps_TRAIN.ts") -> Path:
    (folder / name).write_text(train)
    if test is not None:
        (folder / name.replace("TRAIN", "TEST")).write_text(test)
    return folder / name


def listed(series: SeriesSet) -> list[tuple[list[list[float]], int]]:
    split = np.split(series.values, series.offsets[1:-1])
    return [(own.tolist(), label) for own, label in zip(split, series.labels.tolist(), strict=True)]


def loaded(name: object) -> tuple[SeriesSet, SeriesSet]:
    dataset = load(str(name))
    assert isinstance(dataset.train, SeriesSet) and isinstance(dataset.test, SeriesSet)
    return dataset.train, dataset.test


def test_a_pair_of_files_is_a_data_set(tmp_path: Path) -> None:
    path = write(tmp_path)
    dataset = load("steps_TRAIN.ts", tmp_path)
    assert (dataset.kind, dataset.classes, dataset.class_names) == ("series", 2, ("down", "up"))
    assert dataset.source == str(path) == find("steps_TRAIN.ts", tmp_path) == find(dataset.name, tmp_path)
    assert re.fullmatch(r"steps_TRAIN\.ts#[0-9a-f]{16}", dataset.name)
    assert load(dataset.name, tmp_path).name == dataset.name and dataset.shape == (1, 3, 2)
    train, test = loaded(path)
    taken_in_turn = [([[3, 0], [2, 0], [1, 0]], 0), ([[1, 0], [2, 0.5]], 1)]
    assert listed(train)[:2] == taken_in_turn and train.labels.tolist() == [0, 1, 0, 1]
    assert listed(test) == [([[9, 8]], 1)]
    columns = train.values.astype(float)
    np.testing.assert_allclose(dataset.mean, columns.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(dataset.std, columns.std(axis=0), rtol=1e-12)
    (tmp_path / "steps_TEST.ts").write_text(TEST.replace("9:8", "9:7"))
    with pytest.raises(InputError, match=r"the hash of its content is .* give the series with that content"):
        load(dataset.name, tmp_path)


@settings(max_examples=25)
@given(st.lists(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1), min_size=1))
def test_numbers_come_back_to_the_bit(columns: list[list[float]]) -> None:
    text = "".join(f"{','.join(map(repr, column))}:a\n" for column in columns)
    found = parse(f"@univariate true\n@classLabel true a\n@data\n{text}".encode(), "made.ts")
    assert [own[:, 0].tolist() for own in found.series] == columns and found.labels == ["a"] * len(columns)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("@timeStamps false", "@timeStamps true", r"@timeStamps is true; only series of equal steps"),
        ("3,2:1,1:down", "3,?:1,1:down", r"line 10: value 2 of dimension 1 is '\?' and is missing; fill it in"),
        ("3,2:1,1:down", "3,2:1,NaN:down", r"line 10: value 2 of dimension 2 is 'NaN' and must be a finite float32"),
        ("3,2:1,1:down", "3,2:1,1e40:down", r"line 10: value 2 of dimension 2 is '1e40'"),
        ("3,2:1,1:down", "3,2:1,1,1:down", r"line 10: dimension 2 has 3 values and dimension 1 has 2; all dimensions"),
        ("3,2:1,1:down", "3,2:down", r"line 10 has 1 dimensions; it must have 2"),
        ("3,2:1,1:down", "3,2:1,1:left", r"line 10: the label after the last colon is 'left'; .* down, up"),
        ("3,2:1,1:down", "3,2:1,1", r"line 10: the label after the last colon is '1,1'"),
        ("@classLabel true down up", "@classLabel true down up flat", r"class 'flat' has no training series"),
        ("@classLabel true down up", "@classLabel false", r"line 9 has 3 dimensions; it must have 2"),
        ("@classLabel true down up", "@classLabel down up", r"@classLabel begins with 'down'"),
        ("@classLabel true down up", "@targetLabel true", r"has @targetLabel, as files for regression have"),
        ("@dimensions 2", "@dimensions two", r"@dimensions is 'two'"),
        ("@equalLength false", "@equalLength true", r"@equalLength is true, but its series have different lengths"),
        ("@data", "@date", r"line 9 begins with '3,2,1:0,0,0:down'; lines before @data"),
        (TRAIN[len(HEADER) :], "", r"has no series after @data"),
        (TRAIN, "# nothing\n", r"has no line @data"),
        ("# made", "# \udcff", r"not UTF-8 in line 1, byte 3 \(0xff\)"),
    ],
)
def test_files_that_are_none(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = write(tmp_path)
    assert old in TRAIN
    path.write_bytes(TRAIN.replace(old, new).encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match=f"{re.escape(str(path))}: {said}"):
        load(str(path))


def test_what_the_two_files_must_have_in_common(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no steps_TEST\.ts beside it"):
        load(str(write(tmp_path, test=None)))
    with pytest.raises(InputError, match=r"must end in _TRAIN\.ts"):
        load(str(write(tmp_path, name="steps.ts")))
    three = HEADER.replace("@dimensions 2", "@dimensions 3") + "1:2:3:up\n"
    with pytest.raises(InputError, match="training series have 2 channels and test series 3"):
        load(str(write(tmp_path, test=three)))
    unknown = HEADER.replace("down up", "up away") + "1:2:away\n"
    with pytest.raises(
        InputError, match=r"steps_TEST\.ts: line 9 has the label 'away', which is not in the training part"
    ):
        load(str(write(tmp_path, test=unknown)))
    with pytest.raises(InputError, match="has no folds"):
        load(str(write(tmp_path)), fold=1)


def test_the_embedded_set() -> None:
    dataset = load("japanese-vowels")
    assert (dataset.name, dataset.source, find("japanese-vowels")) == ("japanese-vowels", "embedded", "embedded")
    train, test = loaded("japanese-vowels")
    assert (len(train), len(test), dataset.shape, dataset.classes) == (270, 370, (1, 29, 12), 9)
    lengths = np.concatenate([train.lengths(), test.lengths()])
    assert (lengths.min(), lengths.max()) == (7, 29)
    assert np.bincount(test.labels).tolist() == [31, 35, 88, 44, 29, 24, 40, 50, 29]
    assert train.labels[:18].tolist() == [*range(9)] * 2, "so that the first samples are of all classes"
    np.testing.assert_array_equal(train.values[:2, 0], np.float32([1.860936, 1.891651]))


def arrays(**changes: Any) -> dict[str, Any]:
    """Six and two series of 4 frames and 2 channels; the last train_length is shorter."""
    rng = np.random.default_rng(0)
    made: dict[str, Any] = {
        "train_series": rng.normal(size=(6, 4, 2)), "train_labels": np.arange(6) % 3,
        "train_lengths": np.array([4, 4, 1, 2, 4, 3]), "test_series": rng.normal(size=(2, 3, 2)),
        "test_labels": np.array([2, 0]),
    }  # fmt: skip
    return {name: value for name, value in {**made, **changes}.items() if value is not None}


def save(folder: Path, found: dict[str, Any]) -> Path:
    np.savez(folder / "own.npz", **found)
    return folder / "own.npz"


def test_arrays_with_lengths_are_series(tmp_path: Path) -> None:
    made = arrays()
    made["train_series"][2, 1:] = np.nan  # behind the end
    path = save(tmp_path, made)
    dataset = load(str(path))
    train, test = loaded(path)
    assert dataset.shape == (1, 4, 2) and dataset.class_names == ("0", "1", "2")
    assert train.lengths().tolist() == made["train_lengths"].tolist() and test.lengths().tolist() == [3, 3]
    assert listed(train)[3] == (made["train_series"][3, :2].astype(np.float32).tolist(), 0)
    other = {**made, "train_series": np.nan_to_num(made["train_series"])}
    assert load(str(save(tmp_path, other))).name == dataset.name, "what lies behind an end is no content"
    assert of_arrays(made).shape == dataset.shape


FLOATS, BYTES = np.zeros((6, 4, 2)), np.zeros((6, 4, 2), np.uint8)


@pytest.mark.parametrize(
    ("words", "samples", "lengths", "kind"),
    [
        (("x", "y"), FLOATS, False, SeriesSet),
        (("data", "targets"), FLOATS.astype(np.float32), False, SeriesSet),
        (("x", "y"), BYTES, False, ImageSet),
        (("x", "y"), BYTES, True, SeriesSet),
        (("series", "labels"), BYTES, False, SeriesSet),
        (("images", "labels"), BYTES, False, ImageSet),
    ],
)
def test_how_series_are_told_from_images(
    tmp_path: Path, words: tuple[str, str], samples: np.ndarray, lengths: bool, kind: type
) -> None:
    made: dict[str, Any] = {}
    for part in ("train", "test"):
        made |= {f"{words[0]}_{part}": samples, f"{words[1]}_{part}": np.arange(6) % 2}
        made |= {f"{part}_lengths": np.full(6, 3)} if lengths else {}
    assert isinstance(load(str(save(tmp_path, made))).train, kind)
    assert form_of_arrays(made).kind == ("series" if kind is SeriesSet else "images")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"train_series": np.zeros((6, 4))}, r"train_series are float64 of shape \(6, 4\); .*series\[:, :, numpy"),
        ({"train_series": np.full((6, 4, 2), "a")}, "train_series are <U1 of shape"),
        ({"test_series": np.zeros((2, 0, 2))}, "test_series are .* nothing 0"),
        ({"train_lengths": np.array([4, 4, 0, 2, 4, 3])}, r"train_lengths of .* reach from 0 to 4; .* in 1 \.\. 4"),
        ({"train_lengths": np.array([4, 4, 1, 2, 5, 3])}, r"train_lengths of .* reach from 1 to 5"),
        ({"train_lengths": np.ones(5, int)}, r"train_lengths of .* of shape \(5,\)"),
        ({"test_series": np.full((2, 3, 2), np.inf)}, "test_series: series 0 has inf in frame 0, channel 0"),
        ({"test_series": np.zeros((2, 3, 5))}, "training series have 2 channels and test series 5"),
        ({"test_labels": np.array([2, 3])}, "test_labels have class 3, of which there is no training series"),
        ({"train_labels": np.zeros(6, int)}, "train_labels reach from 0 to 0"),
        ({"test_labels": np.array(["a", "b"])}, "of names, store numpy.unique"),
        ({"test_labels": None}, "lacks test_labels; it has test_series"),
        ({"crop": np.array(2)}, "has crop; it may have train_series"),
        (
            {"train_series": np.array([np.zeros((2, 2)), None], object)},
            "Python objects.*one array .* and the lengths",
        ),
    ],
)
def test_arrays_that_are_no_series(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    path = save(tmp_path, arrays(**changes))
    with pytest.raises(InputError, match=f"own.npz: .*{said}|{said}"):
        load(str(path))


def test_a_user_sees_what_a_file_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = arrays(train_lengths=None, train_series=np.zeros((6, 4, 2)))
    made["train_series"][:, :, 0] = np.arange(24).reshape(6, 4)
    save(tmp_path, made)
    done = CliRunner().invoke(main, ["data", "check", "own.npz"])
    assert done.exit_code == 0, done.output
    first, *lines = done.stdout.splitlines()
    assert first == "own.npz: good (own.npz)"
    assert [line.strip() for line in lines[:3]] == [
        "6 training and 2 test series of 2 channels, values 0 .. 23 in training",
        "3 classes of 2 training and 0 .. 1 test samples each, no test sample of class 1",
        "3 / 4 / 4 / 4 / 4 frames a series (least, quartiles, most)",
    ]
    assert "warning: channel 1 has one value in all training frames" in lines[3] and len(lines) == 4
    refused = CliRunner().invoke(main, ["train", "--dataset", "own.npz", "--out", "run.h5"])
    assert refused.exit_code == 2 and "vgg11 is for images, and own.npz" in refused.stderr


def test_recordings_are_still_recordings(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "events.npz", x=np.array([0, 1]), y=np.array([0, 1]), t=np.array([0, 5]), p=np.array([0, 1]),
        offsets=np.array([0, 1, 2]), labels=np.array([0, 1]), n_train=np.array(1),
    )  # fmt: skip
    assert isinstance(load(str(tmp_path / "events.npz")).train, EventSet)


SHAPE = (1, 4, 2)


def test_series_without_labels(tmp_path: Path) -> None:
    made = arrays()
    lengths = made["train_lengths"]
    wanted = [
        own[:length].astype(np.float32).tolist() for own, length in zip(made["train_series"], lengths, strict=True)
    ]
    np.savez(tmp_path / "a.npz", series=made["train_series"], lengths=lengths)
    found = read_series(tmp_path / "a.npz", SHAPE)
    assert [own for own, _ in listed(found)] == wanted and found.shape == SHAPE and not found.labels.any()
    assert listed(series_set([np.array(own) for own in wanted], SHAPE)) == listed(found)
    assert listed(series_set(found, SHAPE)) == listed(found)
    np.save(tmp_path / "a.npy", made["test_series"])
    assert listed(read_series(tmp_path / "a.npy", SHAPE)) == listed(series_set(made["test_series"], SHAPE))
    for text in (TEST, TEST.replace(":up\n", "\n").replace("true down up", "false")):
        (tmp_path / "a.ts").write_text(text)
        assert listed(read_series(tmp_path / "a.ts", SHAPE)) == [([[9, 8]], 0)]
    assert series_set([], SHAPE).shape == SHAPE


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.zeros((2, 4, 3)), "number 0 has 3 channels; the network takes 2"),
        ([np.zeros((5, 2))], "number 0 has 5 frames; the network takes at most 4"),
        ([np.zeros((2, 2)), np.full((3, 2), np.nan)], "number 1 has nan in frame 0, channel 0"),
        ([np.zeros(2)], r"number 0 is float64 of shape \(2,\)"),
        (["good"], "number 0 is <U4"),
        (7, "are of type int"),
        ("good", "are of type str"),
    ],
)
def test_values_that_are_no_series(values: object, said: str) -> None:
    with pytest.raises(InputError, match=said):
        series_set(values, SHAPE)


def test_files_without_labels_that_are_none(tmp_path: Path) -> None:
    np.savez(tmp_path / "objects.npz", series=np.array([np.zeros((2, 2)), None], object))
    np.savez(tmp_path / "two.npz", a=np.zeros(2), b=np.zeros(2))
    (tmp_path / "damaged.npz").write_bytes(b"PK\x03\x04")
    (tmp_path / "a.wav").write_bytes(b"")
    for name, said in (
        ("objects.npz", "Python objects.* store one array"), ("two.npz", "has a, b; give series"),
        ("damaged.npz", "not an .npz file, or a damaged one"), ("a.wav", "has no known ending"),
        ("b.ts", "does not exist"), ("", "is a folder"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=said):
            read_series(tmp_path / name, SHAPE)
