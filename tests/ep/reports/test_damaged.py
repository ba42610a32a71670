"""Reports of runs that diverged, and of files that hold what no run writes: numbers, or one clear line."""

import shutil
import warnings

import h5py
import numpy as np
import pytest
from runs import write_run

from spikesim.ep.analysis.summary import make_report
from spikesim.ep.analysis.tables import open_run
from spikesim.ep.reports.charts.pictures import run_pictures
from spikesim.ep.reports.comparison import compare, comparison_document
from spikesim.ep.reports.document import report_document
from spikesim.ep.reports.following import follow
from spikesim.ep.reports.pages.comparison_page import comparison_page
from spikesim.ep.reports.pages.run_page import run_page
from spikesim.ep.runs.schema import TABLES
from spikesim.errors import InputError
from spikesim.io.hdf5_reader import write_text

KEPT = ("/batches/epoch", "/epochs/epoch", "/traces/epoch", "/traces/phase", "/spikes/layer")
"""Columns without which there is nothing to report; they are changed one by one."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("run") / "run.h5", 10)


def all_reports(path, whole):
    """Everything that reads a run for people."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with open_run(path) as run:
            document = report_document(run, make_report(run))
            page = run_page(run, document, run_pictures(run, document))
            for section in ("layers", "epochs", "phases", "learning", "parameters"):
                assert run.table(section).rows >= 0
        both = comparison_page(comparison_document(compare([path, whole], strict=True)))
        assert list(follow(path, 0.001))[-1].state == "finished"
    assert page.count(b"</html>") == both.count(b"</html>") == 1


@pytest.mark.parametrize("kind", ["zero", "nan", "infinite", "huge", "tiny", "most", "mixed"])
def test_numbers_of_runs_that_diverged(whole, tmp_path, kind):
    path = tmp_path / "run.h5"
    shutil.copy(whole, path)
    random = np.random.default_rng(0)
    values = {"zero": 0.0, "nan": np.nan, "infinite": np.inf, "huge": -1e308, "tiny": 5e-324}
    with h5py.File(path, "r+") as file:
        for column in (column for columns in TABLES.values() for column in columns if column.path not in KEPT):
            data = file[column.path]
            if data.dtype.kind == "f":
                choices = [values[kind]] if kind in values else list(values.values())
                data[...] = random.choice(choices, data.shape)
            elif kind in ("zero", "most"):
                data[...] = 0 if kind == "zero" else np.iinfo(data.dtype).max
    all_reports(path, whole)


@pytest.mark.parametrize("path", KEPT)
def test_keys_that_no_run_has(whole, tmp_path, path):
    shutil.copy(whole, tmp_path / "run.h5")
    with h5py.File(tmp_path / "run.h5", "r+") as file:
        file[path][...] = np.iinfo(file[path].dtype).max
    all_reports(tmp_path / "run.h5", whole)


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0])
def test_prices_that_nobody_pays(whole, tmp_path, value):
    shutil.copy(whole, tmp_path / "run.h5")
    with h5py.File(tmp_path / "run.h5", "r+") as file:
        file["energy"].attrs["accumulate_joule"] = value
    all_reports(tmp_path / "run.h5", whole)


@pytest.mark.parametrize(
    "config",
    ['{"optimizer": {"epochs": true}, "data": 3}', '{"optimizer": {"epochs": -3}, "data": {"limit": 0}}', "{}"],
)
def test_configurations_that_nobody_wrote(whole, tmp_path, config):
    shutil.copy(whole, tmp_path / "run.h5")
    with h5py.File(tmp_path / "run.h5", "r+") as file:
        write_text(file.attrs, "config", config)
    all_reports(tmp_path / "run.h5", whole)


def test_a_configuration_with_what_json_does_not_have_is_damaged(whole, tmp_path):
    shutil.copy(whole, tmp_path / "run.h5")
    with h5py.File(tmp_path / "run.h5", "r+") as file:
        write_text(file.attrs, "config", '{"a": NaN}')
    with pytest.raises(InputError, match=r"damaged.*configuration has NaN"):
        open_run(tmp_path / "run.h5")


def test_a_layer_that_is_not_there_is_damage(whole, tmp_path):
    shutil.copy(whole, tmp_path / "run.h5")
    with h5py.File(tmp_path / "run.h5", "r+") as file:
        file["spikes/layer"][...] = 9
    with open_run(tmp_path / "run.h5") as run, pytest.raises(InputError, match="damaged"):
        run.tidy("spikes/neuron")
