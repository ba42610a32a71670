"""Run files that were made to take memory or time, or to say what no run says: refused in one line, before they do."""

import json
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from commands import python_process
from runs import write_run

from spikesim.engine.limits import NEURONS_MAX
from spikesim.ep.runs.reader import RunReader
from spikesim.ep.runs.schema import TABLES
from spikesim.errors import InputError
from spikesim.io.hdf5_reader import write_text


def config_of(file: Any) -> dict[str, Any]:
    stored = file.attrs["config"]
    return dict(json.loads(stored))


def compressed_zeros(group: Any, name: str, shape: tuple[int, ...], kind: Any, chunk: int) -> None:
    """An array of zeros in compressed chunks, all of which are there."""
    whole = (chunk, *shape[1:])
    most = (None, *shape[1:])
    made = group.create_dataset(name, shape, kind, chunks=whole, maxshape=most, compression="gzip", compression_opts=9)
    made[:chunk] = np.zeros(whole, kind)
    raw = made.id.read_direct_chunk((0,) * len(shape))[1]
    for first in range(chunk, shape[0], chunk):
        made.id.write_direct_chunk((first,) + (0,) * (len(shape) - 1), raw)


def compress_weights(file: Any) -> None:
    (layer, *_) = file["weights"]
    del file[f"weights/{layer}/weight"]
    compressed_zeros(file[f"weights/{layer}"], "weight", (16, 2**24), "<f4", 1)


def compress_columns(file: Any) -> None:
    for column in TABLES["batches"]:
        kind, tail = file[column.path].dtype, file[column.path].shape[1:]
        del file[column.path]
        compressed_zeros(file, column.path, (2**20, *tail), kind, 2**16)
    file["rows/batches"][...] = 2**20


def more_spikes_than_neurons_can_have(file: Any) -> None:
    for column in TABLES["spikes"]:
        del file[column.path]
        compressed_zeros(file, column.path, (2**26,), column.dtype, 2**22)
    file["rows/spikes"][...] = 2**26
    config = {**config_of(file), "record": {"spikes": [0]}, "dynamics": {"steps_free": 16}}
    write_text(file.attrs, "config", json.dumps(config))


def weights_many_times(file: Any) -> None:
    (layer, *_) = file["weights"]
    large = file.create_dataset("large", data=np.ones(2**20, "<f4"))
    for number in range(200):
        file[f"weights/{layer}/copy{number}"] = large


def weights_in_a_circle(file: Any) -> None:
    (layer, *_) = file["weights"]
    file[f"weights/{layer}/again"] = file["weights"]


def shape(*values: int, neurons: int | None = None) -> Callable[[Any], None]:
    def change(file: Any) -> None:
        file["layers/shape"][0] = values
        file["layers/neurons"][0] = np.prod(values, dtype=object) % 2**64 if neurons is None else neurons

    return change


def name(text: bytes) -> Callable[[Any], None]:
    def change(file: Any) -> None:
        file["layers/name"][0] = text

    return change


def number(text: str) -> Callable[[Any], None]:
    def change(file: Any) -> None:
        write_text(file.attrs, "config", json.dumps(config_of(file))[:-1] + f', "x": {{"y": {text}}}}}')

    return change


def compress_best(file: Any) -> None:
    file["best/epoch"] = np.uint32(1)
    compressed_zeros(file, "best/weights/conv1/weight", (2**24,), "<f4", 2**20)


def compress_confusion(file: Any) -> None:
    del file["last_test/confusion"]
    compressed_zeros(file["last_test"], "confusion", (2**14, 2**14), "<i8", 2**10)


HOSTILE: dict[str, tuple[Callable[[Any], None], str]] = {
    "weights that are compressed": (compress_weights, "compressed"),
    "best weights that are compressed": (compress_best, "compressed"),
    "columns that are compressed": (compress_columns, "compressed"),
    "a confusion matrix that is compressed": (compress_confusion, "compressed"),
    "more spikes than neurons can have": (more_spikes_than_neurons_can_have, "67108864 spikes"),
    "weights under many names": (weights_many_times, "under several names"),
    "weights in a circle": (weights_in_a_circle, "again is a group"),
    "a negative shape": (shape(-5, -5, 5), "shape of"),
    "a shape of nothing": (shape(0, 5, 5), "shape of"),
    "a shape too large": (shape(2**31 - 1, 2**31 - 1, 2**31 - 1), "shape of"),
    "just too large": (shape(1, 1, NEURONS_MAX + 1), "shape of"),
    "another number of neurons": (shape(2, 2, 2, neurons=9), "shape of"),
    "a name with a control sequence": (name(b"\x1b[31m"), r"a layer with the name \\x1b\[31m"),
    "a name with a slash": (name(b"a/b"), "a layer with the name a/b"),
    "no name": (name(b""), "a layer with the name"),
    "a name twice": (lambda file: file["layers/name"].__setitem__(0, file["layers/name"][1]), "names of their own"),
    "beyond float64": (number("1e999"), "its configuration has 1e999"),
    "below float64": (number("-1e999"), "its configuration has -1e999"),
    "not a number": (number("NaN"), "its configuration has NaN"),
    "infinity": (number("-Infinity"), "its configuration has -Infinity"),
    "nested without end": (number("[" * 20000 + "]" * 20000), "damaged"),
}


def read_all(path: Path) -> None:
    with RunReader(path) as reader:
        reader.weights()
        reader.best()
        reader.last_test()
        assert reader.recorded is not None
        reader.digest()
        for table in TABLES:
            reader.blocks(table, reader.rows[table])


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_runs_are_refused_in_one_line(kind: str, tmp_path: Path) -> None:
    change, words = HOSTILE[kind]
    path = write_run(tmp_path / "run.h5", 4)
    with h5py.File(path, "r+", libver="v110") as file:
        change(file)
    with pytest.raises(InputError, match=words) as caught:
        read_all(path)
    assert "run.h5" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["weights that are compressed", "columns that are compressed"])
def test_it_takes_no_memory(kind: str, tmp_path: Path) -> None:
    path = write_run(tmp_path / "run.h5", 3)
    with h5py.File(path, "r+", libver="v110") as file:
        HOSTILE[kind][0](file)
    assert path.stat().st_size < 2**25
    code = textwrap.dedent(
        """
        import resource, sys
        from spikesim.errors import InputError
        from spikesim.ep.runs.reader import RunReader
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            with RunReader(sys.argv[1]) as reader:
                reader.weights(), reader.batches
        except InputError:
            print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
        """
    )
    process = python_process(code, path)
    output, errors = process.communicate(timeout=100)
    assert process.returncode == 0, errors
    assert int(output) < 2**16, "64 MB, in units of KB"
