"""The answers of the last test in a run file, and what they say of the classes."""

from dataclasses import replace

import h5py
import numpy as np
import pytest
import runs
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from runs import expect_fault, make_epoch, make_header, make_last_test

from spikesim.ep.analysis.classes import confusion_of
from spikesim.ep.runs.last_test import CLASSES_MAX, LastTest, RecordedSamples
from spikesim.ep.runs.reader import RunReader
from spikesim.ep.runs.schema import LAST_TEST, RECORDED
from spikesim.ep.runs.writer import RunWriter


def test_the_answers_of_the_last_test(tmp_path):
    """They are of an epoch that is in the file, no part of the digest, and not in files of older versions."""
    path = tmp_path / "run.h5"
    with RunWriter.create(path, make_header()) as writer, RunReader(path) as reader:
        digest = reader.digest()
        assert reader.last_test().epoch == 0 and not reader.last_test().confusion.size
        writer.write_last_test(make_last_test(1))
        for name in ("confusion", "answers"):
            np.testing.assert_array_equal(getattr(reader.last_test(), name), getattr(make_last_test(1), name))
        assert reader.digest() == digest
        for name, array in zip(RecordedSamples._fields, reader.recorded, strict=True):
            np.testing.assert_array_equal(array, getattr(runs.RECORDED, name))
        with pytest.raises(ValueError, match="shapes"):
            writer.write_last_test(LastTest(2, np.zeros((3, 3), int), np.array([4])))
        writer.append_epoch(make_epoch(1))
        writer.write_last_test(LastTest())
        assert reader.last_test().epoch == 0 and reader.rows["epochs"] == 1, "its row is there before it"
    with h5py.File(path, "r+") as file:
        del file[LAST_TEST], file[RECORDED]
    with RunReader(path) as reader:
        assert reader.last_test().epoch == 0 and reader.recorded is None and reader.digest() != digest


def test_what_no_test_gives_is_damage(tmp_path):
    path = runs.write_run(tmp_path / "run.h5", 4)
    with h5py.File(path, "r+") as file:
        file[f"{LAST_TEST}/confusion"][0, 0] = -1
    with RunReader(path) as reader:
        expect_fault("damaged", reader.last_test)


def test_with_too_many_classes_there_is_no_matrix(tmp_path):
    names = tuple(map(str, range(CLASSES_MAX + 1)))
    many = replace(runs.SAMPLES, classes=len(names), class_names=names)
    with RunWriter.create(tmp_path / "run.h5", make_header(samples=many)) as writer:
        writer.write_last_test(LastTest(1, np.zeros((0, 0), np.int64), np.array([1000])))
    with RunReader(tmp_path / "run.h5") as reader:
        assert reader.last_test().answers.tolist() == [1000]
        assert confusion_of(reader.last_test().confusion, ()) is None


@given(arrays(np.int64, (4, 4), elements=st.integers(0, 9)))
def test_recall_and_precision(matrix):
    found = confusion_of(matrix, ("a", "b", "c", "d"))
    assert found.matrix == matrix.tolist() and [own.name for own in found.classes] == ["a", "b", "c", "d"]
    for label, own in enumerate(found.classes):
        assert own.samples == matrix[label].sum() and own.predicted == matrix[:, label].sum()
        for share, total in ((own.recall, own.samples), (own.precision, own.predicted)):
            assert (share is None) == (total == 0)
            assert share is None or share == matrix[label, label] / total
