import ctypes
import os
import re
import signal
import stat
import subprocess
import time

import h5py
import numpy as np
import pytest
from commands import ROOT, python_process
from runs import (
    LAYERS,
    append_rows,
    expect_fault,
    make_batch,
    make_epoch,
    make_foreign,
    make_header,
    make_traces,
    make_weights,
    write_run,
)

from spikesim.ep.runs.energy import EnergyModel
from spikesim.ep.runs.schema import (
    ATTRIBUTES,
    FORMAT_VERSION,
    LAST_TEST,
    LAYER_COLUMNS,
    PHASES,
    RECORDED,
    SAMPLES,
    TABLES,
)
from spikesim.ep.runs.writer import RunLock, RunReader, RunWriter


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "run.h5"
    with RunWriter.create(path, make_header()) as writer:
        append_rows(writer, 0, 9)
        weights = make_weights()
        writer.write_weights(weights)
        writer.set_status("finished")
        assert writer.rows == {"batches": 9, "epochs": 2, "spikes": 18, "traces": 12}
    with RunReader(path) as reader:
        assert reader.status == "finished"
        assert reader.config == make_header().config
        assert (reader.seed, reader.command_line) == (7, "spikesim train")
        assert reader.layers == list(LAYERS)
        assert set(reader.versions) >= {"python", "numpy", "numba", "h5py"}
        batches, epochs, spikes = reader.batches, reader.epochs, reader.spikes()
        for index in range(9):
            for name, value in make_batch(index).items():
                np.testing.assert_array_equal(batches[name][index], value)
        for index in range(2):
            for name, value in make_epoch(index + 1).items():
                np.testing.assert_array_equal(epochs[name][index], value)
        assert spikes["sample"].tolist() == [index + extra for index in range(9) for extra in (0, 1)]
        assert spikes["step"].tolist() == [3] * 18
        for name, values in make_traces(2).items():
            np.testing.assert_array_equal(reader.traces[name][6:], values)
        read = reader.weights()
        assert read.keys() == weights.keys()
        for name, array in weights.items():
            np.testing.assert_array_equal(read[name], array)


def test_energy_comes_from_the_counters(tmp_path):
    energy = EnergyModel("test", 2.0, 3.0, "here")
    with RunWriter.create(tmp_path / "run.h5", make_header(energy=energy)) as writer:
        row = make_batch(0)
        writer.append_batch(row)
        writer.append_batch(make_batch(1, joule=[1.0, 2.0, 3.0]))
    with RunReader(tmp_path / "run.h5") as reader:
        expected = [
            sum(
                2.0 * (row["events_forward"][p][i] + row["events_feedback"][p][i]) + 3.0 * row["macs"][p][i]
                for i in range(3)
            )
            for p in range(3)
        ]
        np.testing.assert_allclose(reader.batches["joule"][0], expected, rtol=1e-12)
        assert reader.batches["joule"][1].tolist() == [1.0, 2.0, 3.0]
        assert reader.energy_model == energy


def test_a_reader_follows_a_run_in_another_process(tmp_path):
    path = tmp_path / "run.h5"
    with RunWriter.create(path, make_header()) as writer:
        script = """
            import sys
            from spikesim.ep.runs.writer import RunReader
            with RunReader(sys.argv[1]) as reader:
                for _ in sys.stdin:
                    print(reader.status, reader.rows["batches"], len(reader.batches["loss"]), flush=True)
        """
        process = python_process(script, path, stdin=subprocess.PIPE)
        for count in (0, 3, 300):
            append_rows(writer, writer.rows["batches"], count)
            writer.flush()
            process.stdin.write("now\n")
            process.stdin.flush()
            assert process.stdout.readline().split() == ["running", str(count), str(count)]
        process.communicate(timeout=10)
        assert process.returncode == 0


def test_rows_reach_the_file_within_a_second_without_a_flush(tmp_path, monkeypatch):
    path = tmp_path / "run.h5"
    with RunWriter.create(path, make_header()) as writer, RunReader(path) as reader:
        writer.append_batch(make_batch(0))
        later = time.monotonic() + 1.1
        monkeypatch.setattr(time, "monotonic", lambda: later)
        writer.append_batch(make_batch(1))
        assert reader.rows["batches"] == 2


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="needs mallinfo2, which glibc has since 2.33")
def test_memory_does_not_grow_with_the_rows(tmp_path):
    script = """
        import ctypes, sys
        from pathlib import Path
        from runs import append_rows, make_header
        from spikesim.ep.runs.writer import RunWriter

        class Usage(ctypes.Structure):  # struct mallinfo2
            names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
            _fields_ = [(name, ctypes.c_size_t) for name in names.split()]

        usage = ctypes.CDLL(None).mallinfo2
        usage.restype = Usage
        with RunWriter.create(Path(sys.argv[1]), make_header()) as writer:
            for epoch in range(6):
                append_rows(writer, epoch, 2000)
                writer.flush()
                now = usage()
                print((now.uordblks + now.hblkhd) // 1024, flush=True)
    """
    output, errors = python_process(script, tmp_path / "run.h5").communicate(timeout=120)
    sizes = [int(size) for size in output.split()]  # kB
    assert sizes[5] - sizes[1] < 3000, errors  # 1500; with the complete chunks that HDF5 kept, 8000


def test_many_spikes_are_stored_in_order(tmp_path):
    path = tmp_path / "run.h5"
    count = 300_000
    with RunWriter.create(path, make_header()) as writer:
        for start in range(0, count, 7000):
            neurons = np.arange(start, min(count, start + 7000))
            writer.append_spikes(1, 2, neurons % 80, neurons % 3, neurons)
            if start == 70_000:
                writer.flush()
    with RunReader(path) as reader:
        spikes = reader.spikes()
        np.testing.assert_array_equal(spikes["neuron"], np.arange(count))
        np.testing.assert_array_equal(spikes["step"], np.arange(count) % 80)


def test_the_file_holds_what_the_schema_says(tmp_path):
    write_run(tmp_path / "run.h5", 3)
    found = {}
    with h5py.File(tmp_path / "run.h5", "r", swmr=True) as file:
        file.visititems(lambda name, item: found.update({f"/{name}": item.dtype}) if hasattr(item, "dtype") else None)
        assert set(file.attrs) == set(ATTRIBUTES)
    columns = [*LAYER_COLUMNS, *(column for table in TABLES.values() for column in table)]
    expected = {column.path: np.dtype(column.dtype) for column in columns}
    assert {path: dtype for path, dtype in found.items() if path in expected} == expected
    others = {path for path in found if path not in expected and not path.startswith("/weights/")}
    tested = {f"{LAST_TEST}/{name}" for name in ("epoch", "confusion", "answers")}
    looked = {f"{RECORDED}/{name}" for name in ("sample", "label", "image")}
    assert others == {SAMPLES, "/phases", "/status", *(f"/rows/{table}" for table in TABLES), *tested, *looked}


def test_the_manual_has_every_column():
    page = (ROOT / "docs" / "run-file.md").read_text()
    tables = [(LAYER_COLUMNS, "L"), *zip(TABLES.values(), "BEST", strict=True)]
    for columns, lead in tables:
        for column in columns:
            shape = f"({', '.join((lead, *column.trailing))}{',' if not column.trailing else ''})"
            dtype = column.dtype.replace("|", r"\|")
            assert f"| `{column.path}` | `{shape}` | `{dtype}` | {column.unit} | {column.doc}" in page
    for path in re.findall(r"^\| `(/[a-z_/]+)` ", page, flags=re.MULTILINE):
        known = [column.path for columns, _ in tables for column in columns]
        assert (
            path in known
            or path.startswith(("/rows/", "/weights/", "/best/", f"{LAST_TEST}/", f"{RECORDED}/"))
            or path in (SAMPLES, "/phases", "/status")
        )
    assert all(f"| `{name}` | {text} |" in page for name, text in ATTRIBUTES.items())
    assert all(f"`{phase}`" in page for phase in PHASES)
    assert f"format version {FORMAT_VERSION}" in page


@pytest.mark.parametrize(
    "change",
    [
        {"spikes": None},
        {"unknown": 1},
        {"spikes": [1, 2, 3]},
        {"samples": -1},
        {"samples": 2**32},
        {"steps": [0.5, 1.0, 2.0]},
    ],
)
def test_rows_that_do_not_fit_are_refused(tmp_path, change):
    with RunWriter.create(tmp_path / "run.h5", make_header()) as writer:
        row = {name: value for name, value in {**make_batch(0), **change}.items() if value is not None}
        with pytest.raises((ValueError, KeyError)):
            writer.append_batch(row)
        writer.append_batch(make_batch(1))
    with RunReader(tmp_path / "run.h5") as reader:
        assert reader.rows["batches"] == 1


def test_a_row_does_not_change_with_the_array_it_came_from(tmp_path):
    with RunWriter.create(tmp_path / "run.h5", make_header()) as writer:
        row = make_batch(0)
        steps = np.array([1, 2, 3], dtype=np.uint64)
        writer.append_batch({**row, "steps": steps})
        steps[:] = 0
    with RunReader(tmp_path / "run.h5") as reader:
        assert reader.batches["steps"][0].tolist() == [1, 2, 3]


def test_weights_of_another_shape_are_refused(tmp_path):
    with RunWriter.create(tmp_path / "run.h5", make_header()) as writer, pytest.raises(ValueError, match="shapes"):
        writer.write_weights({**make_weights(), "conv1/bias": np.zeros(4)})


def test_the_best_weights_beside_the_last(tmp_path):
    path, header = tmp_path / "run.h5", make_header(validated=True)
    with RunWriter.create(path, header) as writer, RunReader(path) as reader:
        created = set()
        with h5py.File(path, "r", swmr=True) as file:
            file.visit(created.add)
        assert reader.best() == (0, {}) and reader.best_epoch == 0
        append_rows(writer, 0, 8)
        writer.write_best(2, make_weights(1))
        assert reader.rows["epochs"] == 2, "its row is there before it"
        writer.write_weights(make_weights(2))
        for which, seed in (("best", 1), ("last", 2)):
            for name, array in reader.weights(which).items():
                np.testing.assert_array_equal(array, make_weights(seed)[name])
        with pytest.raises(ValueError, match="shapes"):
            writer.write_best(3, {**make_weights(), "conv1/bias": np.zeros(4)})
        assert reader.best_epoch == 2
        digest = reader.digest()
        writer.flush()
        with h5py.File(path, "r", swmr=True) as file:
            file.visit(lambda name: created.discard(name) if name in created else created.add(name))
        assert not created, "all that there is was there from the start"
        assert path.stat().st_size > 2 * 4 * header.weights == header.weight_bytes
        writer.write_best(0, {})
        assert reader.best() == (0, {}) and reader.digest() == digest
        writer.write_best(1, make_weights(1))
    rows = {"batches": 4, "epochs": 1, "spikes": 8, "traces": 6}
    with RunWriter.resume(path, header, rows=rows), RunReader(path) as reader:
        assert reader.best_epoch == 1
        np.testing.assert_array_equal(reader.weights("best")["conv1/bias"], make_weights(1)["conv1/bias"])
    with RunWriter.create(tmp_path / "other.h5", make_header()) as writer:
        with pytest.raises(ValueError, match="without a validation set"):
            writer.write_best(1, make_weights())


@pytest.mark.parametrize(
    "changes",
    [
        {"config": {"x": float("nan")}},
        {"layers": ()},
        {"layers": (LAYERS[0], LAYERS[0])},
        {"weight_shapes": {"conv1": (3,)}},
    ],
)
def test_headers_that_cannot_be_stored_are_refused(changes):
    with pytest.raises(ValueError):
        make_header(**changes)


# Files that may not be written


def test_a_run_is_not_overwritten_unasked(tmp_path):
    path = write_run(tmp_path / "run.h5")
    before = path.read_bytes()
    expect_fault("--resume.*--overwrite", RunWriter.create, path, make_header())
    assert path.read_bytes() == before
    RunWriter.create(path, make_header(), overwrite=True).close()
    with RunReader(path) as reader:
        assert reader.rows["batches"] == 0
    assert os.listdir(tmp_path) == ["run.h5"]


@pytest.mark.parametrize("make", [lambda path: path.write_text("my thesis"), make_foreign])
@pytest.mark.parametrize("action", ["create", "overwrite", "resume"])
def test_files_of_other_programs_are_never_replaced(tmp_path, make, action):
    path = tmp_path / "run.h5"
    make(path)
    before = path.read_bytes()
    if action == "resume":
        expect_fault(
            "not an HDF5 file|another program", RunWriter.resume, path, make_header(), rows=dict.fromkeys(TABLES, 0)
        )
    else:
        pattern = "exists" if action == "create" else "not a run file"
        expect_fault(pattern, RunWriter.create, path, make_header(), overwrite=action == "overwrite")
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["run.h5"]


def test_places_where_no_file_can_be(tmp_path):
    expect_fault("is a folder", RunWriter.create, tmp_path, make_header())
    expect_fault("does not exist", RunWriter.create, tmp_path / "none" / "run.h5", make_header())
    expect_fault("does not exist", RunLock, tmp_path / "none" / "run.h5")
    os.mkfifo(tmp_path / "pipe")
    expect_fault("not a regular file", RunWriter.create, tmp_path / "pipe", make_header(), overwrite=True)
    assert stat.S_ISFIFO(os.stat(tmp_path / "pipe").st_mode)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder(tmp_path):
    tmp_path.chmod(0o500)
    expect_fault("cannot write", RunWriter.create, tmp_path / "run.h5", make_header())


def test_a_symlink_stays_one(tmp_path):
    write_run(tmp_path / "run.h5", 2)
    (tmp_path / "link.h5").symlink_to("run.h5")
    RunWriter.create(tmp_path / "link.h5", make_header(), overwrite=True).close()
    assert (tmp_path / "link.h5").is_symlink()
    with RunReader(tmp_path / "run.h5") as reader:
        assert reader.rows["batches"] == 0


# Kills and full disks

WRITE_FOREVER = """
    import itertools, sys
    from runs import append_rows, make_header
    from spikesim.ep.runs.writer import RunWriter
    writer = RunWriter.create(sys.argv[1], make_header())
    print("ready", flush=True)
    for index in itertools.count():
        append_rows(writer, index, index + 1)
        writer.flush()
        print(writer.rows["batches"], flush=True)
"""


@pytest.mark.parametrize("seconds", [0.0, 0.03, 0.11, 0.2, 0.35])
def test_a_killed_run_is_readable_and_goes_on(tmp_path, seconds):
    path = tmp_path / "run.h5"
    process = python_process(WRITE_FOREVER, path)
    assert process.stdout.readline() == "ready\n"
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    flushed = [int(line) for line in process.communicate()[0].splitlines(keepends=True) if line.endswith("\n")]
    with RunReader(path) as reader:
        batches, rows = reader.batches, reader.rows
    assert rows["batches"] >= max(flushed, default=0)
    for index in range(rows["batches"]):
        for name, value in make_batch(index).items():
            np.testing.assert_array_equal(batches[name][index], value)
    kept = min(rows["batches"], rows["epochs"] * 4, rows["spikes"] // 2, rows["traces"] // 6 * 4) // 4 * 4
    kept_rows = {"batches": kept, "epochs": kept // 4, "spikes": 2 * kept, "traces": 6 * kept // 4}
    with RunWriter.resume(path, make_header(), rows=kept_rows) as writer:
        append_rows(writer, kept, kept + 6)
        writer.write_weights(make_weights())
    write_run(tmp_path / "whole.h5", kept + 6)
    with RunReader(path) as resumed, RunReader(tmp_path / "whole.h5") as whole:
        assert resumed.digest() == whole.digest()


def test_resuming_keeps_the_time_of_creation_and_the_weights(tmp_path):
    path = write_run(tmp_path / "run.h5", 8)
    with RunReader(path) as reader:
        created = reader.created
    with (
        RunWriter.resume(
            path, make_header(command_line="again"), rows={"batches": 4, "epochs": 1, "spikes": 8, "traces": 6}
        ),
        RunReader(path) as reader,
    ):
        assert (reader.created, reader.command_line, reader.status) == (created, "again", "running")
        assert reader.rows == {"batches": 4, "epochs": 1, "spikes": 8, "traces": 6}
        np.testing.assert_array_equal(reader.weights()["readout/bias"], make_weights()["readout/bias"])


def test_resuming_another_run_is_refused(tmp_path):
    path = write_run(tmp_path / "run.h5", 4)
    before = path.read_bytes()
    rows = {"batches": 4, "epochs": 1, "spikes": 8, "traces": 6}
    config = {"arch": "mlp", "ep": {"beta": 2.5, "steps": [60, 20]}, "name": "größe"}
    pattern = r"arch: conv in the file, mlp now; ep\.beta: 2\.0 in the file, 2\.5 now"
    expect_fault(pattern, RunWriter.resume, path, make_header(config=config), rows=rows)
    expect_fault("seed: 7 in the file, 8 now", RunWriter.resume, path, make_header(seed=8), rows=rows)
    expect_fault("other layers", RunWriter.resume, path, make_header(layers=LAYERS[::-1]), rows=rows)
    expect_fault(
        "has 4 complete rows of /batches, and 5", RunWriter.resume, path, make_header(), rows=rows | {"batches": 5}
    )
    expect_fault("does not exist", RunWriter.resume, tmp_path / "none.h5", make_header(), rows=rows)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["run.h5"]


@pytest.mark.parametrize("limit", [20_000, 3_000_000])
def test_a_full_disk_is_one_clear_line_and_loses_nothing(tmp_path, limit):
    path = tmp_path / "run.h5"
    script = """
        import itertools, resource, signal, sys
        from runs import append_rows, make_header
        from spikesim.errors import InputError
        from spikesim.ep.runs.writer import RunWriter
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
        try:
            with RunWriter.create(sys.argv[1], make_header()) as writer:
                for index in itertools.count():
                    append_rows(writer, index, index + 1)
                    if index % 50 == 0:
                        writer.flush()
                        print(writer.rows["batches"], flush=True)
        except InputError as error:
            sys.exit(str(error))
    """
    process = python_process(script, path, limit)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert errors == f"cannot write {path}: File too large; what was written before is kept; " + (
        "free some space and continue with --resume, or choose another --out\n"
    )
    if limit == 20_000:
        assert os.listdir(tmp_path) == []
        return
    assert os.listdir(tmp_path) == ["run.h5"]
    flushed = int(output.split()[-1])
    assert flushed > 100
    with RunReader(path) as reader:
        batches = reader.batches
        assert len(batches["loss"]) >= flushed
        for index in (0, flushed // 2, len(batches["loss"]) - 1):
            np.testing.assert_array_equal(batches["spikes"][index], make_batch(index)["spikes"])
