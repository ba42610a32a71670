"""Texts from tables and folders: the published sentences and reviews, a user's own; what is no text is one line."""

import gzip
import hashlib
import re
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import cast

import pytest
import small
from click.testing import CliRunner
from datasets_support import describe, serve, tar_gz

from spikesim.cli import main
from spikesim.datasets import Dataset, TextSet, check, find, load
from spikesim.datasets.catalogue import registry
from spikesim.datasets.catalogue.registry import Archive
from spikesim.datasets.fetching.fetch import fetch
from spikesim.datasets.formats.sequences.text_lines import fold_of
from spikesim.datasets.formats.sequences.unlabelled import read_texts, text_set
from spikesim.datasets.samples.identity import base_name, split_fold, split_name
from spikesim.ep.config.parsing import make_config
from spikesim.ep.inputs.dataset import load_of_run
from spikesim.ep.runs.reader import RunReader
from spikesim.errors import InputError

LINES = [("good" if number % 3 else "bad", f"film number {number}") for number in range(60)]


def table(rows: list[tuple[str, str]], sign: str = "\t", end: str = "\n") -> str:
    return "".join(f"{label}{sign}{text}{end}" for label, text in rows)


def listed(dataset: Dataset) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Names of labels and texts of both parts."""
    found = []
    for part in (dataset.train, dataset.test):
        assert isinstance(part, TextSet)
        found.append([(dataset.class_names[label], text) for label, text in zip(part.labels, part.texts, strict=True)])
    return found[0], found[1]


def test_the_fold_of_a_text_is_that_of_the_documentation() -> None:
    text = "na\u00efve \u2014 but good"
    assert fold_of(text) == int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) % 10


def test_folds_divide_a_table(tmp_path: Path) -> None:
    (tmp_path / "films.tsv").write_text(table(LINES))
    parts = [listed(load("films.tsv", tmp_path, fold=fold)) for fold in range(10)]
    tests = [row for _, test in parts for row in test]
    assert sorted(tests) == sorted(LINES), "each text is in the test part of one fold"
    for train, test in parts:
        assert [row for row in LINES if row in train] == train and len(train) + len(test) == 60
    third = load("films.tsv#fold3", tmp_path)
    assert listed(third) == parts[3] and re.fullmatch(r"films\.tsv#fold3#[0-9a-f]{16}", third.name)
    assert load(third.name, tmp_path).name == third.name == load(third.name, tmp_path, fold=3).name
    assert find(third.name, tmp_path) == third.source == str(tmp_path / "films.tsv")
    assert load("films.tsv", tmp_path).name.startswith("films.tsv#fold0#")
    grown = [*LINES, ("bad", "one more")]
    (tmp_path / "films.tsv").write_text(table(grown))
    for fold, (_, test) in enumerate(parts):
        assert set(test) <= set(listed(load("films.tsv", tmp_path, fold=fold))[1]), "whatever else is in the set"
    with pytest.raises(InputError, match=r"the hash of its content is .* give the text with that content"):
        load(third.name, tmp_path)
    with pytest.raises(InputError, match=r"fold is 4, but films\.tsv#fold3 names fold 3"):
        load("films.tsv#fold3", tmp_path, fold=4)
    with pytest.raises(InputError, match=r"fold is 10; it must be in 0 \.\. 9"):
        load("films.tsv", tmp_path, fold=10)


def test_a_training_file_has_its_test_file_beside_it(tmp_path: Path) -> None:
    for part, rows in (("train", LINES[:40]), ("test", LINES[40:])):
        (tmp_path / f"films_{part}.csv").write_text(table(rows, ","))
    dataset = load("films_train.csv", tmp_path)
    assert listed(dataset) == (LINES[:40], LINES[40:]) and re.fullmatch(r"films_train\.csv#[0-9a-f]{16}", dataset.name)
    with pytest.raises(InputError, match=r"its test part is films_test\.csv; #fold1 is for files without one"):
        load("films_train.csv#fold1", tmp_path)
    with open(tmp_path / "films_test.csv", "a") as stream:
        stream.write("awful,film\n")
    with pytest.raises(
        InputError, match=r"films_test\.csv: line 21 has the label 'awful', which is not in the training part"
    ):
        load("films_train.csv", tmp_path)
    (tmp_path / "films_test.csv").unlink()
    with pytest.raises(InputError, match=r"there is no films_test\.csv beside it"):
        load("films_train.csv", tmp_path)
    (tmp_path / "strain.tsv").write_text(table(LINES))
    assert "strain.tsv#fold0#" in load("strain.tsv", tmp_path).name, "train is a word of its own"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.tsv", table(LINES)),
        ("a.tsv", "\ufeff" + table(LINES, end="\r\n") + "\r\n\r\n"),
        ("a.tsv", "Label\tText\n" + table(LINES)),
        ("a.tsv", "id\ttext\tSENTIMENT\n" + "".join(f"7\t{text} \t{label}\n" for label, text in LINES)),
        ("a.csv", "review,sentiment\n" + "".join(f'"{text}",{label}\n' for label, text in LINES)),
        ("a.tsv.gz", table(LINES)),
    ],
)
def test_forms_of_one_table(tmp_path: Path, name: str, text: str) -> None:
    data = text.encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    train, test = listed(load(name, tmp_path))
    assert sorted(train + test) == sorted(LINES)


def test_quotation_marks_and_the_order_of_classes(tmp_path: Path) -> None:
    rows = [("10", 'a "word", \u00fc'), ("9", "line\nbreak"), ("-1", "x")]
    quoted = "".join('{},"{}"\n'.format(label, text.replace('"', '""')) for label, text in rows)
    (tmp_path / "q_train.csv").write_text(quoted)
    (tmp_path / "q_test.csv").write_text("9,x\n")
    dataset = load("q_train.csv", tmp_path)
    assert listed(dataset)[0] == rows and dataset.class_names == ("-1", "9", "10")
    (tmp_path / "q_train.tsv").write_text('b\t"so\na\tgood"\n')
    (tmp_path / "q_test.tsv").write_text("a\tx\n")
    assert listed(load("q_train.tsv", tmp_path))[0] == [("b", '"so'), ("a", 'good"')]


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.tsv", b"good\tone\nbad\t\xff\xfe\n", r"not UTF-8 in line 2, byte 5 \(0xff\); save it as UTF-8"),
        ("a.tsv", b"\xef\xbb\xbfgood\tone\nbad\t\xff\n", r"not UTF-8 in line 2, byte 5"),
        ("a.tsv", b"good\tone\n\nbad\t \n", "line 3 has an empty text; leave the line out"),
        ("a.tsv", b"good\tone\n \ttwo\n", "line 2 has no label; give one"),
        ("a.tsv", b"good\tone\ttwo\n", r"line 1 has 3 columns, not 2; give the label, a tab and the text"),
        ("a.csv", b"good\n", r"line 1 has 1 column, not 2; give the label, a comma and the text"),
        ("a.csv", b'good,"one\n', r"line 1 is not a line of a \.csv file \(unexpected end of data\)"),
        ("a.csv", b'label,text\n"good\n",one\nbad,two,\n', r"line 4 has 3 columns, not 2"),
        ("a.tsv", b"", "is empty; give a label and a text per line"),
        ("a_train.tsv", b"label\ttext\n", "has no text; the training part and the test part need some"),
        ("a_train.tsv", b"good\tone\ngood\ttwo\n", "the training part has 1 classes; it must have 2"),
        ("a.tsv", b"good\tone\nbad\ttwo\n", "none of its 2 texts falls into fold 0"),
        ("a.tsv.gz", b"good\tone\n", "not a gzip file, or a damaged one"),
    ],
)
def test_tables_that_are_none(tmp_path: Path, name: str, data: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(data)
    if "train" in name:
        (tmp_path / name.replace("train", "test")).write_bytes(b"good\tthree\n")
    with pytest.raises(InputError, match=f"{re.escape(str(tmp_path / name))}: {said}") as caught:
        load(name, tmp_path)
    assert "\n" not in str(caught.value)


def test_a_label_of_the_test_fold_alone(tmp_path: Path) -> None:
    odd = next(text for text in (f"text {number}" for number in range(99)) if fold_of(text) == 0)
    (tmp_path / "a.tsv").write_text(table([*LINES, ("odd", odd)]))
    with pytest.raises(InputError, match="line 61 has the label 'odd', which is not in the training part"):
        load("a.tsv", tmp_path)


REVIEWS = "".join(
    f"{number}\t{rating}\tIt's film {number}.\r\n" for number, rating in enumerate([1.5, -0.25, 0.0, 4] * 12)
)


@pytest.fixture
def reviews(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with a small file of the published form, which the program takes for the published one."""
    file = describe("movieReviewSnippets_GroundTruth.txt", REVIEWS.encode())
    entry = replace(registry.find("reviews"), train=(file,))
    monkeypatch.setattr(registry, "_ENTRIES", MappingProxyType({**registry._ENTRIES, "reviews": entry}))
    monkeypatch.delenv("SPIKESIM_DATA", raising=False)
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / f"{file.name}.gz").write_bytes(gzip.compress(REVIEWS.encode()))
    return tmp_path


def test_sentences_are_rated_below_or_above_nought(reviews: Path) -> None:
    dataset = load("reviews", reviews)
    train, test = listed(dataset)
    wanted = {
        (("negative", "positive")[number % 4 != 1], f"It's film {number}.") for number in range(48) if number % 4 != 2
    }
    assert set(train) | set(test) == wanted and len(train) + len(test) == 36
    assert {text for _, text in test} == {text for _, text in wanted if fold_of(text) == 0}
    assert (dataset.name, dataset.source) == ("reviews#fold0", str(reviews / "text"))
    second = load("reviews#fold2", reviews)
    assert second.name == "reviews#fold2" == load("reviews", reviews, fold=2).name
    assert find("reviews#fold2", reviews) == check("reviews#fold2", reviews) == str(reviews / "text")
    with pytest.raises(InputError, match="unknown data set 'reviews#fold11'"):
        load("reviews#fold11", reviews)
    with pytest.raises(InputError, match=r"unknown data set 'mnist#fold1'|has no folds"):
        load("mnist#fold1", reviews)


def test_sentences_that_are_missing_or_others(reviews: Path) -> None:
    (path,) = (reviews / "text").iterdir()
    path.rename(reviews / path.name)
    assert load("reviews", reviews).source == str(reviews), "in the folder itself, too"
    (reviews / path.name).write_bytes(gzip.compress(REVIEWS.encode() + b"x"))
    with pytest.raises(InputError, match=r"more than the .* bytes of the published .*; .* vaderSentiment 3\.3\.2"):
        load("reviews", reviews)
    (reviews / path.name).unlink()
    with pytest.raises(InputError, match=rf"reviews is not found .* put it into {reviews / 'text'}, plain or \.gz"):
        load("reviews", reviews)
    with pytest.raises(
        InputError, match=r"reviews cannot be fetched: .* is in the source archive of the Python package"
    ):
        fetch("reviews", reviews)


def imdb_files(count: int = 6) -> dict[str, bytes]:
    """Some of the files of the published archive, in its folders, and others that lie there."""
    found = {
        "aclImdb/README": b"about",
        "aclImdb/train/unsup/0_0.txt": b"unlabelled",
        "aclImdb/train/urls_neg.txt": b"a",
    }
    for part in ("train", "test"):
        for label, stars in (("neg", 2), ("pos", 9)):
            for number in range(count):
                text = f"{part} {label} {number}: so {'bad' if stars < 5 else 'good'}.<br /><br />\u00fc"
                found[f"aclImdb/{part}/{label}/{number}_{stars}.txt"] = text.encode()
    return found


def write_imdb(folder: Path) -> Path:
    for name, data in imdb_files().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder / "aclImdb"


def test_reviews_in_folders(tmp_path: Path) -> None:
    folder = write_imdb(tmp_path)
    for root in (tmp_path, folder):
        dataset = load("imdb", root)
        assert dataset.source == str(folder) == find("imdb", root) and re.fullmatch(r"imdb#[0-9a-f]{16}", dataset.name)
        assert load(dataset.name, root).name == dataset.name
    train, test = listed(dataset)
    assert len(train) == len(test) == 12 and dataset.shape == (1, 8, 1)
    assert train[:3] == [
        ("negative", "train neg 0: so bad.\n\n\u00fc"), ("positive", "train pos 0: so good.\n\n\u00fc"),
        ("negative", "train neg 1: so bad.\n\n\u00fc"),
    ]  # fmt: skip
    assert check("imdb", tmp_path) == f"{folder}: 12 of 25000 and 12 of 25000 texts"
    one = folder / "test" / "pos" / "3_9.txt"
    for data, said in ((b"a\n\xe4\n", r"not UTF-8 in line 2, byte 1 \(0xe4\)"), (b" \n", "is empty; remove it")):
        one.write_bytes(data)
        with pytest.raises(InputError, match=rf"3_9\.txt: {said}"):
            load("imdb", tmp_path)
    for path in (folder / "test" / "pos").iterdir():
        path.unlink()
    with pytest.raises(InputError, match=r"test: has no text of the class positive"):
        load("imdb", tmp_path)
    with pytest.raises(InputError, match=r"imdb is not found \(looked for train and test in"):
        load("imdb", tmp_path / "aclImdb" / "train")


def test_reviews_are_fetched_out_of_one_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tar_gz(imdb_files())
    entry = registry.find("imdb")
    archive = Archive(entry.archives[0].name, "", hashlib.md5(data, usedforsecurity=False).hexdigest())
    monkeypatch.setattr(
        registry, "_ENTRIES", MappingProxyType({**registry._ENTRIES, "imdb": replace(entry, archives=(archive,))})
    )
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serve({archive.name: data}) as server:
        folder = fetch("imdb", tmp_path / "data", base_urls=[server.url])
        assert fetch("imdb", tmp_path / "data", base_urls=[server.url]) == folder and len(server.requests) == 1
    assert sorted(path.name for path in folder.iterdir()) == ["test", "train"]
    write_imdb(tmp_path)
    assert load("imdb", tmp_path / "data").name == load("imdb", tmp_path).name


def test_a_user_sees_what_a_table_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a_train.tsv").write_text("no\tone two two\nyes\tone, two\nno\tthree\n")
    (tmp_path / "a_test.tsv").write_text("no\tone four five\nyes\tThree!\nyes\tone, two\n")
    done = CliRunner().invoke(main, ["data", "check", "a_train.tsv"])
    assert done.exit_code == 0, done.output
    found = [line.strip() for line in done.output.splitlines()]
    assert found[:5] == [
        "a_train.tsv: good (a_train.tsv)",
        "3 training and 3 test texts",
        "2 classes (no, yes) of 1 .. 2 training and 1 .. 2 test samples each",
        "1 / 2 / 3 / 3 / 3 tokens a text (least, quartiles, most)",
        "4 different tokens in the training texts, 2 of them once; 37.5% of the tokens of the test texts are none of "
        "these",
    ]
    unknown, repeated = found[5:]
    assert unknown.startswith(
        "warning: 38% of the tokens of the test texts are in no training text, usual are up to 20%"
    )
    assert repeated.startswith("warning: 1 of 3 test texts are training texts too: the test says little of new ones")


def test_a_run_of_a_fold_finds_its_table_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "films.tsv"
    path.write_text(table(LINES))
    name = load("films.tsv#fold3", tmp_path).name
    assert split_fold(name) == ("films.tsv", 3) and base_name(f"/a/{name}") == "films.tsv#fold3" == split_name(name)[0]
    monkeypatch.chdir("/")
    config = make_config({"data": {"dataset": name}})
    run = cast(RunReader, SimpleNamespace(setting=lambda key: name, data_source=str(path)))
    read: list[str] = []
    monkeypatch.setattr(
        "spikesim.ep.inputs.dataset.load", lambda name, folder: read.append(name) or small.make_dataset()
    )
    load_of_run(config, run)
    assert read == [f"{path}#{name.partition('#')[2]}"] and load(read[0]).name == name


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.txt", "one\n two, two\t\r\nthree"),
        ("a.tsv", "one\ntwo, two\nthree\n"),
        ("a.tsv", "no\tone\nyes\ttwo, two\nno\tthree\n"),
        ("a.csv", 'Text,id\none,7\n"two, two",8\nthree,9\n'),
    ],
)
def test_texts_without_labels(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, newline="")
    found = read_texts(tmp_path / name)
    assert found.texts == ("one", "two, two", "three") and found.labels.tolist() == [0, 0, 0]
    assert text_set(found).texts == found.texts == text_set(list(found.texts)).texts and text_set("one").texts == (
        "one",
    )


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.txt", "one\n\nthree\n", "line 2 has an empty text"),
        ("a.txt", "", "line 1 has an empty text"),
        ("a.tsv", "id\ttext\n1\tone\n2\n", "line 3 has an empty text"),
        ("a.csv", "", "is empty"),
        ("a.doc", "one\n", "has no known ending"),
    ],
)
def test_files_without_labels_that_are_none(tmp_path: Path, name: str, text: str, said: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=said):
        read_texts(tmp_path / name)


@pytest.mark.parametrize(
    ("values", "said"), [(7, "type int"), ([1], "type list"), (["a", " "], "number 1, from 0, is empty")]
)
def test_values_that_are_no_texts(values: object, said: str) -> None:
    with pytest.raises(InputError, match=said):
        text_set(values)
