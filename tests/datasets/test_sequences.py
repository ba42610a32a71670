"""Series and texts in memory: their form, their vocabulary, their place in a data set and in a run file."""

import json
import unicodedata
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikesim.datasets import Augmentation, Dataset, SeriesSet, TextSet, Vocabulary
from spikesim.datasets.samples.identity import identified, split_name
from spikesim.datasets.samples.model import SampleSet
from spikesim.datasets.samples.split import hold_out, subset
from spikesim.datasets.samples.vocabulary import tokens_of
from spikesim.ep.parallel.agreement import _contents
from spikesim.ep.runs.samples import SampleSpec
from spikesim.errors import InputError

SENTENCES = ("Good, good film", "a bad film", "so good", "don't", "Bad bad BAD end", "fine")


def make_series(count: int = 6, longest: int = 9, seed: int = 0) -> SeriesSet:
    """Series of 3 channels and 1 .. longest frames."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, longest + 1, count)
    values = rng.normal(size=(lengths.sum(), 3)).astype(np.float32)
    return SeriesSet(values, np.cumsum([0, *lengths]), np.arange(count) % 2, longest)


def make_texts(*texts: str) -> TextSet:
    return TextSet(texts, np.arange(len(texts)) % 2)


def make_dataset(train: SampleSet, test: SampleSet) -> Dataset:
    channels = train.shape[2]
    return Dataset(
        name="own", train=train, test=test, classes=2, class_names=("no", "yes"), mean=np.zeros(channels),
        std=np.ones(channels), augmentation=Augmentation(0, False), source="memory",
    )  # fmt: skip


SERIES = make_dataset(make_series(), make_series(4, 12, seed=1))
TEXT = make_dataset(make_texts(*SENTENCES), make_texts("one two three four five six seven", "good"))


def test_padded_series_are_the_series_and_zeros() -> None:
    series = make_series()
    samples = np.array([4, 0, 4])
    padded, lengths = series.padded(samples)
    assert padded.shape == (3, *series.shape) == (3, 1, 9, 3) and padded.dtype == np.float32
    np.testing.assert_array_equal(lengths, series.lengths()[samples])
    for row, sample in enumerate(samples):
        own = series.values[series.offsets[sample] : series.offsets[sample + 1]]
        np.testing.assert_array_equal(padded[row, 0, : lengths[row]], own)
        assert not padded[row, 0, lengths[row] :].any()
    shown = series.pictures(np.arange(6))
    assert shown.shape == (6, 1, 9, 3) and shown.max() == 255 and shown.dtype == np.uint8
    assert series.padded(np.zeros(0, np.int64))[0].shape == (0, 1, 9, 3)
    with pytest.raises(ValueError, match="read-only"):
        series.values[0, 0] = 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"values": np.zeros((3, 2))}, "values of series are float64 of 2 dimensions"),
        ({"offsets": np.array([0, 2])}, "offsets of 2 series must be 3 numbers from 0 to 3"),
        ({"offsets": np.array([0, 3, 3])}, "series have 0 to 3 frames; each must have 1 .. 3"),
        ({"longest": 1}, "series have 1 to 2 frames; each must have 1 .. 1"),
        ({"values": np.array([[0], [1], [np.nan]], np.float32)}, "series 1 has a value that is NaN .* in frame 0"),
        ({"values": np.array([[0], [np.inf], [0]], np.float32)}, "series 0 has .* in frame 1; fill it in"),
    ],
)
def test_series_that_are_none(changes: dict[str, object], said: str) -> None:
    good = {"values": np.zeros((3, 1), np.float32), "offsets": np.array([0, 2, 3]), "labels": np.array([0, 1])}
    with pytest.raises(InputError, match=said):
        SeriesSet(**{**good, "longest": 3, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Don't PANIC, it's 42.", ["don't", "panic", ",", "it's", "42", "."]),
        ("''rock'n'roll''", ["'", "'", "rock'n'roll", "'", "'"]),
        ("don\u2019t \u2014 na\u00efve", ["don't", "\u2014", "na\u00efve"]),
        ("cafe\u0301 STRASSE stra\u00dfe", ["caf\u00e9", "strasse", "strasse"]),
        ("snake_case\t:-)\n\u4f60\u597d", ["snake", "_", "case", ":", "-", ")", "\u4f60\u597d"]),
        (" \u00a0\n", []),
    ],
)
def test_the_rule_of_tokens(text: str, tokens: list[str]) -> None:
    assert tokens_of(text) == tokens


@settings(max_examples=60)
@given(st.text())
def test_tokens_are_the_text_without_its_space(text: str) -> None:
    tokens = tokens_of(text)
    folded = unicodedata.normalize("NFC", text.casefold()).replace("\u2019", "'")
    assert "".join(tokens) == "".join(folded.split())
    assert not any(token.isspace() or not token for token in tokens)


def test_a_vocabulary_is_ordered_counted_and_cut() -> None:
    whole = Vocabulary.build(SENTENCES, min_count=1, size=None)
    assert whole.words == ("", "<unknown>", "bad", "good", "film", ",", "a", "don't", "end", "fine", "so")
    assert Vocabulary.build(SENTENCES[::-1], min_count=1, size=None) == whole, "their order has no part in it"
    assert Vocabulary.build(SENTENCES, min_count=2, size=None).words[2:] == ("bad", "good", "film")
    assert Vocabulary.build(SENTENCES, min_count=1, size=1).words[2:] == ("bad",)
    for wrong, said in (
        ({"min_count": 0}, "min_count .* is 0"),
        ({"size": 0}, "size .* is 0"),
        ({"min_count": 5}, "4"),
    ):
        with pytest.raises(InputError, match=said):
            Vocabulary.build(SENTENCES, **{"min_count": 1, "size": None, **wrong})  # type: ignore[arg-type]


def test_texts_become_numbers_and_a_cut_is_kept() -> None:
    vocabulary = Vocabulary.build(SENTENCES, min_count=2, size=None)
    tokens, offsets = vocabulary.encode(["GOOD <unknown> film", "", "bad"])
    assert tokens.tolist() == [3, 1, 1, 1, 4, 2] and offsets.tolist() == [0, 5, 5, 6]
    assert tokens.dtype == np.int32 and offsets.dtype == np.int64
    tokens, offsets = vocabulary.encode(SENTENCES, 2)
    assert np.diff(offsets).tolist() == [2, 2, 2, 1, 2, 1] and tokens[:4].tolist() == [3, 1, 1, 2]
    assert vocabulary.encode([])[1].tolist() == [0]


@settings(max_examples=40)
@given(st.lists(st.text(min_size=1), min_size=1))
def test_a_vocabulary_comes_back_from_bytes(texts: list[str]) -> None:
    if any(map(tokens_of, texts)):
        vocabulary = Vocabulary.build(texts, min_count=1, size=None)
        assert Vocabulary.from_bytes(vocabulary.to_bytes()) == vocabulary
        assert not (vocabulary.encode(texts)[0] <= 1).any(), "a text's own vocabulary knows it"


@pytest.mark.parametrize("data", [b"\xff\n", b"good\ngood\n", b"good", b"two words\n", b"\n", b"Good bad\n"])
def test_bytes_that_are_no_vocabulary(data: bytes) -> None:
    with pytest.raises(InputError):
        Vocabulary.from_bytes(data)


def test_a_data_set_knows_its_kind_and_the_longest_of_both_parts() -> None:
    assert (SERIES.kind, SERIES.series, SERIES.text, SERIES.recordings) == ("series", True, False, False)
    assert SERIES.shape == SERIES.train.shape == SERIES.test.shape == (1, 12, 3)
    assert (TEXT.kind, TEXT.text, TEXT.shape) == ("text", True, (1, 7, 1))
    with pytest.raises(InputError, match="own has text and series; training and test samples must be of one kind"):
        replace(TEXT, test=SERIES.test)


@pytest.mark.parametrize("dataset", [SERIES, TEXT], ids=["series", "text"])
def test_held_out_samples_keep_the_length_of_the_set(dataset: Dataset) -> None:
    found, rest = hold_out(dataset, 0.34, 1)
    held = np.setdiff1d(np.arange(6), rest)
    assert found.shape == dataset.shape and len(held) == 2
    for part, ids in ((found.train, rest), (found.test, held)):
        assert _listed(part) == [_listed(dataset.train)[i] for i in ids]
    assert len(subset(dataset.train, np.zeros(0, np.int64))) == 0


def _listed(part: SampleSet) -> list[tuple[object, int]]:
    if isinstance(part, TextSet):
        return list(zip(part.texts, part.labels.tolist(), strict=True))
    assert isinstance(part, SeriesSet)
    return [
        (own.tolist(), label)
        for own, label in zip(np.split(part.values, part.offsets[1:-1]), part.labels.tolist(), strict=True)
    ]


@pytest.mark.parametrize("dataset", [SERIES, TEXT], ids=["series", "text"])
def test_the_hash_follows_the_content(dataset: Dataset) -> None:
    name, found = split_name(identified(dataset).name)
    assert name == "own" and identified(dataset, found).name == f"own#{found}"
    labels = dataset.test.labels.copy()
    labels[0] ^= 1
    others = [replace(dataset, test=replace(dataset.test, labels=labels)), replace(dataset, class_names=("yes", "no"))]
    if isinstance(dataset.train, TextSet):
        texts = dataset.train.texts
        others.append(replace(dataset, train=replace(dataset.train, texts=(texts[0] + texts[1][:1], *texts[1:]))))
        others.append(replace(dataset, train=replace(dataset.train, texts=(*texts[:-1], "Fine"))))
    elif isinstance(dataset.train, SeriesSet):
        values = dataset.train.values.copy()
        values[-1, -1] = np.nextafter(values[-1, -1], np.float32(9))
        others.append(replace(dataset, train=replace(dataset.train, values=values)))
    for other in others:
        assert split_name(identified(other).name)[1] != found
        assert _contents(other) != _contents(dataset) or other.class_names != dataset.class_names
    with pytest.raises(InputError, match=f"is {found}, not {'0' * 16}; give the {dataset.kind} with that content"):
        identified(dataset, "0" * 16)


@pytest.mark.parametrize("dataset", [SERIES, TEXT], ids=["series", "text"])
def test_a_run_file_says_the_kind(dataset: Dataset) -> None:
    spec = SampleSpec.of(dataset)
    text = spec.to_json()
    back = SampleSpec.from_json(text)
    assert (back.kind, back.series, back.text, back.recordings) == (dataset.kind, dataset.series, dataset.text, False)
    assert back.shape == dataset.shape and back.to_json() == text
    described = json.loads(text)
    for wrong in ("images", "recordings", "sounds", None, ["series"]):
        with pytest.raises(ValueError, match="no kind that is known"):
            SampleSpec.from_json(json.dumps({**described, "kind": wrong}))
    with pytest.raises(ValueError, match="other keys"):
        SampleSpec.from_json(json.dumps({**described, "recordings": False}))
