"""Phases step by step and firing rates, as a report has them."""

import numpy as np
import pytest
from runs import LAYERS, make_epoch, make_traces, write_run

from spikesim.ep.analysis.summary import make_report
from spikesim.ep.analysis.traces import firing_rates
from spikesim.ep.runs.reader import RunReader
from spikesim.ep.runs.schema import PHASES


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    with RunReader(write_run(tmp_path_factory.mktemp("run") / "run.h5", 10)) as opened:
        yield opened


def test_steps_are_those_of_the_epoch(reader):
    for epoch in (1, 2):
        expected = make_traces(epoch)
        found = make_report(reader, epoch).traces
        assert [PHASES.index(own.phase) for own in found] == expected["phase"].tolist()
        assert [own.step for own in found] == expected["step"].tolist()
        assert [own.hopfield for own in found] == expected["hopfield"].tolist()
        np.testing.assert_array_equal([own.residual for own in found], expected["residual"])
        np.testing.assert_array_equal([own.activity for own in found], expected["activity"])
    assert make_report(reader, 3).traces == []


def test_shares_of_neurons_by_rate(reader):
    counts = make_epoch(2)["test_rates"]
    found = make_report(reader).firing_rates
    assert [own.layer for own in found] == [layer.name for layer in LAYERS]
    for layer, own in enumerate(found):
        assert own.shares == pytest.approx([count / sum(counts[layer]) for count in counts[layer]])
    assert make_report(reader, 3).firing_rates == []


def test_without_a_test_there_are_no_rates():
    epochs = {"epoch": np.array([1]), "test_rates": np.zeros((1, 3, 33), np.uint64)}
    assert firing_rates(epochs, list(LAYERS), 1) == []
