"""What is said of a data set, and what looks odd in one: every odd thing is told, and good data give no warning."""

import json
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import event_files as ef
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from spikesim.cli import main
from spikesim.datasets import Dataset, Events, load
from spikesim.datasets.inspection.plausibility import of_limit, warnings
from spikesim.datasets.inspection.summary import as_json, facts, summarise
from spikesim.datasets.loading import inspect
from spikesim.datasets.samples.clock import SLACK, straighten
from spikesim.datasets.samples.event_set import Collector
from spikesim.ep.config.parsing import make_config
from spikesim.ep.inputs.encoding import with_duration
from spikesim.errors import InputError

QUICK = settings(max_examples=80, deadline=None, derandomize=True, database=None)
Arrays = dict[str, NDArray[Any]]


def check(path: Path) -> tuple[str, list[str]]:
    """What ``spikesim data check`` says of a file, in one text, and its warnings."""
    result = CliRunner().invoke(main, ["data", "check", str(path)])
    assert result.exit_code == 0, result.output
    lines = [line.strip() for line in result.stdout.splitlines()]
    assert lines[0] == f"{path}: good ({path})"
    return "\n".join(lines[1:]), [line for line in lines if line.startswith("warning: ")]


# -- Clocks -----------------------------------------------------------------------------------------------------------

COUNTERS: dict[str, Any] = {
    "32 bits": lambda t: t % 2**32,
    "32 bits with a sign": lambda t: (t % 2**32).astype(np.uint32).view(np.int32).astype(np.int64),
    "31 bits": lambda t: t % 2**31,
}


@given(
    gaps=st.lists(st.integers(0, SLACK), min_size=1, max_size=40),
    counter=st.sampled_from(sorted(COUNTERS)),
    start=st.integers(0, 2**40),
    near=st.booleans(),
)
@QUICK
def test_a_counter_that_begins_anew_is_undone_exactly(gaps: list[int], counter: str, start: int, near: bool) -> None:
    true = (2**33 - 1000 if near else start) + np.cumsum([0, *gaps])
    times, clock = straighten(COUNTERS[counter](true))
    assert (times - times[0]).tolist() == (true - true[0]).tolist()
    period = 2**31 if counter == "31 bits" else 2**32
    shift = 2**31 if counter.endswith("sign") else 0
    assert clock == ((true[-1] + shift) // period - (true[0] + shift) // period, 0, 0)


def test_events_out_of_order_where_a_counter_begins_anew() -> None:
    true = 2**32 + np.array([-9, -5, 2, -3, 1, 4, -1, 8])
    times, clock = straighten(true % 2**32)
    assert (times - times[0]).tolist() == (true - true[0]).tolist()
    assert (clock.wraps, clock.falls) == (1, 2)


@pytest.mark.parametrize(
    ("times", "clock"),
    [
        ([], (0, 0, 0)),
        ([5, 5, 7], (0, 0, 0)),
        ([10**15, 10**15 + 4, 10**15 + 2], (0, 1, 0)),
        ([*range(5000, 5100), *range(100)], (0, 1, 1)),
        ([0, *range(2**32 - 50, 2**32)], (0, 0, 0)),
        (np.random.default_rng(0).permutation(1000), (0, 505, 0)),
    ],
    ids=["none", "in order", "one late", "set to 0", "0 before all", "no order"],
)
def test_other_clocks_stay_as_they_are(times: Any, clock: tuple[int, int, int]) -> None:
    given = np.array(times, np.int64)
    found, counts = straighten(given)
    assert found.tolist() == given.tolist() and counts == clock


def test_the_tally_is_what_counting_one_by_one_gives() -> None:
    rng = np.random.default_rng(2)
    collector, dropped = Collector(5, 7), Collector(5, 7, keep=False)
    recordings = []
    for n in (0, 1, 2, 30, 200):
        events = Events(rng.integers(0, 6, n), rng.integers(1, 4, n), rng.permutation(1000)[:n], rng.integers(0, 2, n))
        recordings.append(events)
        for one in (collector, dropped):
            one.add(events, n % 3, "a recording")
    tally = collector.finish().tally
    for name, values in vars(dropped.tally()).items():
        np.testing.assert_array_equal(values, getattr(tally, name))
    assert tally.labels.tolist() == [0, 1, 2, 0, 2]
    for i, events in enumerate(recordings):
        t = sorted(events.t.tolist())
        gaps = [later - sooner for sooner, later in pairwise(t)]
        assert tally.events[i] == len(t) and tally.durations[i] == (t[-1] - t[0] if t else 0)
        assert (tally.gaps[i], tally.before[i]) == ((max(gaps), gaps.index(max(gaps)) + 1) if gaps else (0, 0))
        assert tally.falls[i] == sum(int(a > b) for a, b in zip(events.t, events.t[1:], strict=False))
    for column in range(7):
        assert tally.columns[column] == sum(int((events.x == column).sum()) for events in recordings)
    for row in range(5):
        assert tally.rows[row] == sum(int((events.y == row).sum()) for events in recordings)


# -- Recordings -------------------------------------------------------------------------------------------------------

N_TRAIN = 20


def recordings(seed: int = 1, n: int = 30, events: int = 200, duration: int = 100_000) -> Arrays:
    """Three classes of recordings of a sensor of 8x10 pixels, 0.1 s each."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    x = np.clip(rng.normal(1.5 + 3 * np.repeat(labels, events), 0.7).round(), 0, 9).astype(np.int64)
    t = np.sort(rng.integers(0, duration, (n, events)), axis=1).ravel()
    y, p = rng.integers(0, 8, n * events), rng.integers(0, 2, n * events)
    return {
        "x": x,
        "y": y,
        "t": t,
        "p": p,
        "offsets": np.arange(n + 1) * events,
        "labels": labels,
        "n_train": np.array(20),
    }


def timed(change: Any, which: Any = range(30), **options: Any) -> Arrays:
    """Recordings of which some have other times."""
    found = recordings(**options)
    for i in which:
        own = slice(*found["offsets"][i : i + 2])
        found["t"][own] = change(found["t"][own])
    return found


def first_at_0(t: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([[0], t[1:] + 1_000_000_000])


def last_huge(t: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([t[:-1], [4_000_000_000]])


def reset(t: NDArray[np.int64]) -> NDArray[np.int64]:
    half = len(t) // 2
    return np.concatenate([t[:half] + 5_000_000, t[half:] - t[half]])


def wrapped_and_sorted(t: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.sort((t + 2**32 - 50_000) % 2**32)


def emptied(which: Any, left: int = 0) -> Arrays:
    """Recordings of which some have few events, or none."""
    found = recordings()
    counts = np.full(30, 200)
    counts[list(which)] = left
    kept = np.concatenate([np.arange(200) < count for count in counts])
    found = {name: array[kept] if name in "xytp" else array for name, array in found.items()}
    return {**found, "offsets": np.cumsum([0, *counts])}


def with_events(**changes: dict[int, int]) -> Arrays:
    found = recordings()
    for name, values in changes.items():
        for at, value in values.items():
            found[name][at] = value
    return found


def thousandth(t: NDArray[np.int64]) -> NDArray[np.int64]:
    return t // 1000


ODD_RECORDINGS: dict[str, tuple[Arrays, str]] = {
    "a wrap in some": (timed(lambda t: (t + 2**32 - 50_000) % 2**32, (2, 5)), r"2 training recordings \(2, 5\) falls"),
    "a wrap in most": (timed(lambda t: (t + 2**31 - 50_000) % 2**31), r"20 training recordings \(0, 1, .*unwrapped"),
    "the first time is 0": (timed(first_at_0), r"first event of 20 training recordings .* is 1000 s from the others"),
    "the first time of one is 0": (timed(first_at_0, [3]), "first event of training recording 3 is 1000 s"),
    "the last time is huge": (timed(last_huge, [21]), "last event of test recording 1 is 4000 s"),
    "the last times are huge": (timed(last_huge), "last event of 20 training recordings"),
    "the clock was reset": (timed(reset, [4]), "training recording 4 fall back by more than a quarter"),
    "wrapped, then sorted": (timed(wrapped_and_sorted, [4]), "nothing happens for 4295 s within training recording 4"),
    "milliseconds": (timed(thousandth), "half of the recordings last 99 us or less.*or milliseconds or seconds"),
    "milliseconds, long ones": (timed(thousandth, duration=6_000_000), "half of the recordings last 5.9. ms or less"),
    "many milliseconds": (timed(thousandth, duration=20_000_000, events=2000), "a pixel has .* milliseconds"),
    "seconds": (timed(lambda t: t // 10**6), "last 0 us or less"),
    "nanoseconds": (timed(lambda t: t * 1000), "last 99.* s or more.*nanoseconds"),
    "one far longer": (timed(lambda t: t * 100, [7]), "training recording 7: 9.* s long, the median is 99"),
    "most are empty": (emptied(range(25)), "most training recordings are empty, 20 of 20"),
    "one event each": (emptied(range(30), 1), "most training recordings have one event only"),
    "a far pixel": (with_events(x={7: 5000}), "1 of 6000 events lie beyond column 9, the last in column 5000"),
    "far pixels": (with_events(y={7: 300, 90: 7000, 91: 4000}), "3 of 6000 events .* the last in row 70"),
    "labels from 1": ({**recordings(), "labels": recordings()["labels"] + 1}, "labels begin at 1.*no training sample"),
    "a gap in the labels": ({**recordings(), "labels": recordings()["labels"] * 2}, r"2 classes \(1, 3\), of 5"),
    "a single class": ({**recordings(), "labels": np.zeros(30, int)}, "all 20 training samples are of class 0"),
}  # fmt: skip


@pytest.mark.parametrize("case", ODD_RECORDINGS)
def test_odd_recordings_are_told(case: str, tmp_path: Path) -> None:
    arrays, words = ODD_RECORDINGS[case]
    text, told = check(ef.write_file(tmp_path / "odd.npz", arrays))
    assert any(re.search(words, line) for line in told), text


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
def test_good_recordings_give_no_warning(suffix: str, tmp_path: Path) -> None:
    text, told = check(ef.write_file(tmp_path / f"good{suffix}", recordings()))
    assert not told
    assert "20 training and 10 test recordings of a sensor of 8x10 pixels" in text
    assert "3 classes of 6 .. 7 training and 3 .. 4 test samples" in text
    assert "200 / 200 / 200 / 200 / 200 events per recording (least, quartiles, most), none empty" in text
    assert "times in microseconds, in order" in text


def test_a_recording_that_is_empty_and_one_that_is_not_in_order_are_named(tmp_path: Path) -> None:
    arrays = emptied([23])
    arrays["t"][:200] = arrays["t"][:200][np.random.default_rng(0).permutation(200)]
    text, told = check(ef.write_file(tmp_path / "own.npz", arrays))
    assert not told
    assert "test recording 3 empty" in text and "in order but in 1 recordings, which are sorted" in text


@pytest.mark.parametrize("counter", COUNTERS)
def test_recordings_of_a_wrapped_clock_are_those_of_a_straight_one(counter: str, tmp_path: Path) -> None:
    def late(t: NDArray[np.int64]) -> NDArray[np.int64]:
        return t + 2**31 - 50_000 if "31" in counter or "sign" in counter else t + 2**32 - 50_000

    straight = load(str(ef.write_file(tmp_path / "straight.npz", timed(late))))
    found = load(str(ef.write_file(tmp_path / "wrapped.npz", timed(lambda t: COUNTERS[counter](late(t))))))
    for part in ("train", "test"):
        one, other = getattr(straight, part), getattr(found, part)
        for name in ("neurons", "times", "offsets", "labels"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        assert (one.tally.wraps.sum(), other.tally.wraps.sum()) == (0, len(other))
    assert straight.duration == found.duration


def test_gestures_in_microseconds_are_told(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for scale, words in (
        (1, None),
        (1000, "half of the recordings last 19.. s or more.*milliseconds, as they are taken, or microsec"),
    ):
        for part, users in (("Train", (1, 2)), ("Test", (24,))):
            for user in users:
                for label in range(11):
                    columns = [*rng.integers(0, 128, (2, 400)), rng.integers(0, 2, 400)]
                    times = np.sort(rng.integers(0, 2000, 400)) * scale
                    path = tmp_path / str(scale) / f"ibmGesture{part}" / f"user{user:02d}_led" / f"{label}.npy"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    np.save(path, np.stack([*columns, times], axis=1).astype("f8"))
        source, summary = inspect("dvsgesture", tmp_path / str(scale))
        assert "22 of 1077 and 11 of 264 recordings" in source
        assert "times in milliseconds" in facts(summary)[-1]
        told = warnings(summary)
        assert [bool(words)] == [len(told) == 1] and (not words or re.search(words, told[0]))
        assert as_json(summarise(load("dvsgesture", tmp_path / str(scale)))) == as_json(summary), "read at once or not"


def test_a_duration_that_is_not_that_of_the_recordings_is_told(tmp_path: Path) -> None:
    summary = summarise(load(str(ef.write_file(tmp_path / "own.npz", recordings()))))
    assert warnings(summary) == [] == warnings(replace(summary, followed=50.0))
    for followed in (1.0, 10_000.0):
        (line,) = warnings(replace(summary, followed=followed))
        assert "data.duration" in line


def test_recordings_that_last_too_long_to_be_followed_are_refused_in_one_line(tmp_path: Path) -> None:
    dataset = load(str(ef.write_file(tmp_path / "own.npz", timed(lambda t: np.append(t[:-1], 4_200_000_000)))))
    with pytest.raises(InputError, match=r"last 4200 s or more, and at most 4000 s can be followed.*data check"):
        with_duration(make_config({}), dataset)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: np.concatenate([[0], t[1:] + 10**15]), "first event is at 0 and the next at 10000000.*drop"),
        (lambda t: np.concatenate([t[:-1], [10**15]]), "last event is at 1000000000000000 and .*drop the last"),
        (lambda t: np.where(t < 50_000, t, t + 10**15), "nothing happens from 4.* to 1.*: was its clock set anew"),
        (lambda t: t * 10**6, "are its times microseconds"),
    ],
)
def test_a_recording_of_hours_is_refused_with_what_seems_wrong(change: Any, words: str, tmp_path: Path) -> None:
    path = ef.write_file(tmp_path / "own.npz", timed(change, [3]))
    with pytest.raises(InputError, match=rf"recording 3: lasts .*{words}"):
        load(str(path))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"t": recordings()["t"] / 1e6}, r"t has 0.*of seconds, store \(t \* 1e6\)"),
        ({"x": recordings()["x"] + 10_000 * (np.arange(6000) == 9)}, "shape is .*x 100..; .*drop events outside"),
    ],
)
def test_values_that_cannot_be_taken_are_told_with_what_to_do(changes: Arrays, words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=words) as caught:
        load(str(ef.write_file(tmp_path / "own.npz", {**recordings(), **changes})))
    assert "\n" not in str(caught.value)


def test_most_empty_recordings_do_not_make_the_duration_0(tmp_path: Path) -> None:
    dataset = load(str(ef.write_file(tmp_path / "own.npz", emptied(range(15)))))
    durations = dataset.train.tally.durations  # type: ignore[union-attr]
    assert dataset.duration == (np.median(durations[durations > 0]) + 1) / 1000


# -- Images -----------------------------------------------------------------------------------------------------------


def images(shape: tuple[int, ...] = (12, 12), classes: int = 3) -> Arrays:
    rng = np.random.default_rng(0)
    found: Arrays = {}
    for part, n in (("train", 96), ("test", 40)):
        found[f"{part}_images"] = rng.integers(0, 256, (n, *shape)).astype(np.uint8)
        found[f"{part}_labels"] = np.arange(n) % classes
    return found


def labelled(change: Any) -> Arrays:
    return {name: change(array) if "labels" in name else array for name, array in images().items()}


def pixels(change: Any) -> Arrays:
    return {name: change(array) if "images" in name else array for name, array in images().items()}


def blank(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    found = array.copy()
    found[::4] = 0
    return found


ODD_IMAGES: dict[str, tuple[Arrays, str]] = {
    "labels from 1": (labelled(lambda labels: labels + 1), "begin at 1, and there is no training sample of class 0"),
    "labels with gaps": (labelled(lambda labels: labels * 3), r"4 classes \(1, 2, 4, 5\), of 7 classes"),
    "a single class": (labelled(lambda labels: labels * 0 + 2), "all 96 training samples are of class 2"),
    "a class that is not tested": (
        {**images(), "test_labels": np.arange(40) % 2},
        "no test sample of class 2 among 40",
    ),
    "channels first, colour": (images((3, 32, 32)), r"3x32 pixels and 32 channels.*transpose\(0, 2, 3, 1\)"),
    "channels first, grey": (images((1, 28, 28)), "1x28 pixels and 28 channels"),
    "pixels of 0 and 1": (pixels(lambda array: array // 128), "pixels reach from 0 to 1"),
    "all black": (pixels(lambda array: array * 0), "pixels reach from 0 to 0"),
    "a part is blank": (pixels(blank), "24 of 96 training images have one value"),
    "a large crop": ({**images(), "crop": np.array(9)}, "crop is 9 pixels of images of 12x12"),
}


@pytest.mark.parametrize("case", ODD_IMAGES)
def test_odd_images_are_told(case: str, tmp_path: Path) -> None:
    arrays, words = ODD_IMAGES[case]
    text, told = check(ef.write_file(tmp_path / "odd.npz", arrays))
    assert len(told) >= 1 and re.search(words, told[0]), text


@pytest.mark.parametrize("shape", [(12, 12), (28, 28, 1), (32, 32, 3), (4, 64), (64, 4, 3), (1, 100, 8)])
def test_good_images_give_no_warning(shape: tuple[int, ...], tmp_path: Path) -> None:
    text, told = check(ef.write_file(tmp_path / "good.npz", {**images(shape), "crop": np.array(min(2, shape[0] // 2))}))
    assert not told
    channels = shape[2] if len(shape) == 3 else 1
    kind = "channel" if channels == 1 else "channels"
    assert f"images of {shape[0]}x{shape[1]} pixels and {channels} {kind}, values 0 .. 255" in text
    assert "3 classes of 32 training and 13 .. 14 test samples each" in text


def test_the_embedded_set_gives_no_warning() -> None:
    assert warnings(inspect("fashion-mnist-mini")[1]) == []


def test_the_first_samples_of_sorted_ones_are_told() -> None:
    labels = np.repeat(np.arange(10), 100)
    assert of_limit(labels, None, "data.limit") == [] == of_limit(labels, 1000, "data.limit")
    (line,) = of_limit(labels, 200, "data.limit")
    assert "data.limit is 200" in line and "8 classes (2, 3, 4, 5, 6, 7, 8, 9)" in line
    assert of_limit(np.random.default_rng(0).permutation(labels), 200, "data.limit") == []
    assert of_limit(labels, 20, "data.limit") == [], "too few to say"


# -- Output -----------------------------------------------------------------------------------------------------------


def test_the_same_for_programs(tmp_path: Path) -> None:
    path = ef.write_file(tmp_path / "odd.npz", ODD_RECORDINGS["a wrap in some"][0])
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04")
    result = CliRunner().invoke(main, ["data", "check", str(path), str(tmp_path / "bad.npz"), "--format", "json"])
    assert result.exit_code == 2
    good, bad = json.loads(result.stdout)
    assert (good["name"], good["state"], good["classes"], good["shape"]) == (str(path), "good", 3, [8, 10, 2])
    assert good["train"]["unwrapped"] == [2, 5] and good["test"]["unwrapped"] == []
    assert good["train"]["per_class"] == [7, 7, 6] and good["train"]["events"] == [200] * 5
    assert len(good["warnings"]) == 1
    assert (bad["state"], bad["error"].count("\n")) == ("bad", 0)


def test_a_dataset_in_memory_has_a_summary() -> None:
    dataset: Dataset = ef.make_recordings(24)
    assert as_json(summarise(dataset))["train"]["samples"] == 24
