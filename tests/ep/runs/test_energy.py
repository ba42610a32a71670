import numpy as np
import pytest
from commands import ROOT
from hypothesis import given
from hypothesis import strategies as st

from spikesim.ep.analysis.published import PUBLISHED, published
from spikesim.ep.runs.energy import EnergyModel

counts = st.integers(0, 2**50)


@given(events=counts, macs=counts)
def test_every_operation_is_charged_once(events, macs):
    model = EnergyModel()
    expected = events * 0.9e-12 + macs * 4.6e-12
    assert np.isclose(float(model.estimate(events, macs)), expected, rtol=1e-12, atol=0)


def test_counts_keep_their_shape_and_type_of_the_file():
    events = np.arange(6, dtype=np.uint64).reshape(2, 3)
    energy = EnergyModel("n", 2.0, 10.0, "s").estimate(events, np.uint64(1))
    assert energy.dtype == np.float64
    np.testing.assert_array_equal(energy, 2.0 * np.arange(6).reshape(2, 3) + 10)


def test_published_energies_are_in_the_docs():
    text = (ROOT / "docs" / "reports.md").read_text()
    for row in published():
        cells = (
            f"{row['node']}, {row['format']}",
            f"{row['accumulate']:g}",
            f"{row['multiply_accumulate']:g}",
            row["source"],
        )
        assert f"| {' | '.join(cells)} |" in text
    assert len({(own.node, own.format) for own in PUBLISHED}) == len(PUBLISHED)


def test_the_default_is_among_the_published():
    model = EnergyModel()
    (row,) = [own for own in published() if (own["node"], own["format"]) == ("45 nm", "fp32")]
    assert model.accumulate_joule * 1e12 == pytest.approx(row["accumulate"])
    assert model.multiply_accumulate_joule * 1e12 == pytest.approx(row["multiply_accumulate"])
