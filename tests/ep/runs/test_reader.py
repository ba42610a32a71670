"""Run files as they are read: what is none or damaged is said in one line, and what the digest is of."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from runs import expect_fault, make_foreign, write_run

from spikesim.ep.runs.schema import FORMAT_VERSION, TABLES
from spikesim.ep.runs.writer import RunReader
from spikesim.errors import InputError
from spikesim.io.hdf5_reader import write_text


def read_all(path: Path) -> str:
    with RunReader(path) as reader:
        return reader.digest()


def test_files_that_are_no_run_files(tmp_path):
    expect_fault("does not exist", RunReader, tmp_path / "none.h5")
    expect_fault("is a folder", RunReader, tmp_path)
    (tmp_path / "empty.h5").touch()
    expect_fault("not an HDF5 file", RunReader, tmp_path / "empty.h5")
    make_foreign(tmp_path / "foreign.h5")
    expect_fault("another program", RunReader, tmp_path / "foreign.h5")


@pytest.mark.parametrize("other", [FORMAT_VERSION - 1, FORMAT_VERSION + 1])
def test_another_format_is_refused(tmp_path, other):
    path = write_run(tmp_path / "run.h5", 1)
    with h5py.File(path, "r+") as file:
        file.attrs["format_version"] = other
    expect_fault(f"format version {other}, this program reads {FORMAT_VERSION}", RunReader, path)


def test_a_truncated_file_is_never_read_as_zeros(tmp_path):
    path = write_run(tmp_path / "run.h5", 40)
    whole = path.read_bytes()
    for size in np.linspace(0, len(whole) - 1, 25).astype(int):
        path.write_bytes(whole[:size])
        expect_fault("not an HDF5 file|damaged", read_all, path)


def test_damage_is_reported_as_such(tmp_path):
    path = write_run(tmp_path / "run.h5", 3)
    whole = path.read_bytes()
    random = np.random.default_rng(0)
    refused = 0
    for _ in range(30):
        start = int(random.integers(len(whole)))
        path.write_bytes(whole[:start] + random.bytes(512) + whole[start + 512 :])
        try:
            read_all(path)
        except InputError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 0


def test_data_outside_the_file_is_not_followed(tmp_path):
    path = write_run(tmp_path / "run.h5", 3)
    write_run(tmp_path / "secret.h5", 3)
    with h5py.File(path, "r+") as file:
        del file["batches/loss"]
        file["batches/loss"] = h5py.ExternalLink("secret.h5", "/batches/loss")
    expect_fault("loss is a link to something else", read_all, path)


def test_a_missing_column_is_damage(tmp_path):
    path = write_run(tmp_path / "run.h5", 3)
    with h5py.File(path, "r+") as file:
        del file["energy/hopfield"]
    expect_fault("damaged", read_all, path)


# The digest


def test_the_digest_covers_every_result_and_no_time(tmp_path):
    path = write_run(tmp_path / "run.h5", 4)
    expected = read_all(path)
    with h5py.File(path, "r+") as file:
        for name in ("host", "command_line", "created", "versions", "spikesim_version"):
            write_text(file.attrs, name, '{"x": "other"}')
        file["status"][...] = 1
    assert read_all(path) == expected
    seen = {expected}
    for table in TABLES.values():
        for column in table:
            with h5py.File(path, "r+") as file:
                first = file[column.path][0]
                file[column.path][0] = first + 1
            changed = read_all(path)
            assert (changed == expected) == (column.unit == "s"), column.path
            assert column.unit == "s" or changed not in seen
            seen.add(changed)
            with h5py.File(path, "r+") as file:
                file[column.path][0] = first
    with h5py.File(path, "r+") as file:
        file["weights/readout/bias"][3] += 1
    assert read_all(path) not in seen


def test_the_digest_depends_on_the_configuration(tmp_path):
    assert len({read_all(write_run(tmp_path / f"{seed}.h5", 2, seed=seed)) for seed in (1, 2)}) == 2
