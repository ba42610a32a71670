"""The readers of files that `fuzz.py` tries: valid files for each, how they are changed, and how they are read."""

import contextlib
import gzip
import hashlib
import io
import itertools
import os
import random
import subprocess
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import safetensors.numpy
from hdf5cases import changed, find_structures
from scipy import sparse

from spikesim import RunReader
from spikesim.cli.commands.info import info
from spikesim.cli.sweeps.sweep_file import read_sweep
from spikesim.datasets import Dataset
from spikesim.datasets.catalogue.registry import File
from spikesim.datasets.catalogue.unpacking import read_archive, read_bounded
from spikesim.datasets.formats.binary_images import read_cifar, read_idx
from spikesim.datasets.formats.event_file import load
from spikesim.datasets.formats.event_parsing import read_gesture, read_nmnist
from spikesim.datasets.formats.image_arrays import load_file
from spikesim.datasets.formats.sequences import series_arrays
from spikesim.datasets.formats.sequences.text_table import read_rows
from spikesim.datasets.formats.sequences.ts_file import dataset_of, parse
from spikesim.datasets.inspection.plausibility import warnings
from spikesim.datasets.inspection.summary import facts, summarise
from spikesim.ep.analysis.summary import make_report
from spikesim.ep.config.parsing import make_config
from spikesim.ep.exchange.layouts import LAYOUTS, Form
from spikesim.ep.exchange.tensors import read_weights
from spikesim.ep.inputs.teacher import read_teacher, write_teacher
from spikesim.ep.runs.schema import TABLES
from spikesim.ep.runs.writer import LayerInfo, RunHeader, RunWriter
from spikesim.io import checkpoint
from spikesim.io.hdf5_bytes import checksum
from spikesim.io.toml import read_toml
from spikesim.sparse.connections.matrix_file import load_entries
from spikesim.sparse.connections.synapses import MatrixSynapses
from spikesim.sparse.description import read_network
from spikesim.sparse.recording import SimulationReader
from spikesim.sparse.simulation import Simulation

ROOT = Path(__file__).parents[2]
EXTREMES = (0, 1, 2**7 - 1, 2**8 - 1, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1)
WORDS = {
    "toml": b'[ ] [[ ]] { } = . , " \' """ # nan inf -inf 1e999 -1 0 1.5 999999999999999999 true false "" [] {}'.split()
    + b"1979-05-27 0x7fffffff model dynamics arch layers grid runs seed populations projections \xff\xfe \x00".split(),
    "safetensors": b'__metadata__ layout torch conv1.weight conv1/weight "dtype" "F32" "F64" "BF16" "shape"'.split()
    + b'"data_offsets" [0,8] [2,2] [] { } , : 18446744073709551616 -1 1e999 null true \xff \x00'.split(),
    "ts": [
        *b"@data @dimensions @classLabel true false @timeStamps @missing @equalLength".split(),
        *(b"?", b":", b",", b"#", b"NaN", b"inf", b"1e999", b"-1", b"\xff", b"\n", b"\r\n"),
    ],
    "table": [b'"', b'""', b",", b"label", b"text", b"\xff", b"\xef\xbb\xbf", b"\x00", b"\t", b"\n", b"\r\n", b" "],
    "": [b"TREE", b"OHDR", b"OCHK", b"SNOD", b"FRHP", b"BTHD", b"PK\x03\x04", b"PK\x01\x02", b"ustar", b"\x93NUMPY"],
}
"""Words by kind of file."""


@dataclass(frozen=True)
class Target:
    """A reader of files.

    kind: of the words. seeds: valid files. read: takes the path of a file. wrap: what is done to a changed file.
    name: of the file. change: a changed file, of a random generator.
    """

    kind: str
    seeds: list[bytes]
    read: Callable[[Path], Any]
    wrap: Callable[[bytes], bytes] = lambda data: data
    name: str = "file"
    change: Callable[[random.Random], bytes] | None = None

    def case(self, chance: random.Random) -> bytes:
        """A changed file."""
        return self.change(chance) if self.change else mutated(chance, self.seeds, WORDS[self.kind])


def mutated(chance: random.Random, seeds: list[bytes], words: list[bytes]) -> bytes:
    """A changed file."""
    data = bytearray(chance.choice(seeds))
    marks = [at for word in words if len(word) == 4 for at in _places(data, word)]
    for _ in range(chance.choice((1, 1, 1, 2, 3, 5, 9))):
        near = chance.choice(marks) if marks and chance.random() < 0.5 else 0
        span = 80 if near or chance.random() < 0.3 else len(data)
        at = min(near + chance.randrange(span + 1), max(0, len(data) - 1))
        length = chance.choice((1, 2, 4, 8, 16, 64, 512))
        kind = chance.randrange(9)
        if kind == 0 and data:
            data[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            data[at : at + 1] = bytes([chance.randrange(256)])
        elif kind == 2:
            size = chance.choice((1, 2, 4, 8))
            value = chance.choice(EXTREMES) % 2 ** (8 * size)
            data[at : at + size] = value.to_bytes(size, chance.choice(("little", "big")))
        elif kind == 3:
            del data[at : at + length]
        elif kind == 4:
            data[at:at] = data[at : at + length] * chance.choice((1, 1, 2, 50))
        elif kind == 5:
            data[at:at] = chance.randbytes(length)
        elif kind == 6:
            data[at:at] = chance.choice(words)
        elif kind == 7:
            other = chance.choice(seeds)
            begin = chance.randrange(len(other) + 1)
            data[at : at + length] = other[begin : begin + length]
        elif chance.random() < 0.3:
            del data[at:]
    return bytes(data)


def _places(data: bytearray, word: bytes) -> list[int]:
    found, at = [], data.find(word)
    while at >= 0 and len(found) < 200:
        found.append(at)
        at = data.find(word, at + 1)
    return found


def read_run(path: Path) -> None:
    """Mini-batches, spikes and weights of a run file; of one in ten also the digest and a report, which take longer."""
    with RunReader(path) as run:
        run.weights()
        if zlib.crc32(path.read_bytes()) % 10 == 0:
            make_report(run, None)
            run.digest()
        else:
            for table in ("batches", "spikes"):
                for _ in run.blocks(table, run.rows[table]):
                    pass


def read_checkpoint(path: Path) -> None:
    """The newest checkpoint of the folder of a file."""
    path.replace(path.with_name("000000001.npz"))
    checkpoint.load_latest(path.parent)


def show_info(path: str) -> None:
    """What `spikesim info` does."""
    assert info.callback
    info.callback(path)


def read_simulation(path: Path) -> None:
    """A simulation file, whole."""
    with contextlib.redirect_stdout(io.StringIO()):
        show_info(str(path))
    with SimulationReader(path) as simulation:
        for population in simulation.populations:
            trial = simulation.trials - 1
            simulation.counts(population, trial)
            simulation.potentials(population, trial)
            if simulation.has(population, "spikes"):
                simulation.spikes(population, trial)


def hdf5_target(seeds: list[bytes], read: Callable[[Path], Any]) -> Target:
    """A reader of HDF5 files: valid ones, half of them marked as being written, are changed in either way."""
    seeds = [*seeds, *(marked(data) for data in seeds if data[8] == 3)]
    known = [find_structures(data) for data in seeds]

    def change(chance: random.Random) -> bytes:
        if chance.random() < 0.8:
            return changed(chance, chance.choice(known))
        return mutated(chance, seeds, WORDS[""])

    return Target("", seeds, read, change=change)


def marked(data: bytes) -> bytes:
    """A file as a killed writer leaves it: marked as being written (SWMR)."""
    head = data[:11] + b"\5" + data[12:44]
    return head + checksum(head).to_bytes(4, "little") + data[48:]


PUBLISHED = File("data.bin", 4096, hashlib.sha256(bytes(4096)).hexdigest())


def archives() -> list[bytes]:
    """Tar archives: a good one, and what archives are feared for."""
    made = []
    for names in (("data.bin",), ("../../data.bin", "/etc/data.bin"), ("a", "data.bin", "data.bin")):
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w") as archive:
            for name in names:
                info = tarfile.TarInfo(name)
                info.size = 4096
                archive.addfile(info, io.BytesIO(bytes(4096)))
            for kind, name in ((tarfile.SYMTYPE, "../../link"), (tarfile.LNKTYPE, "hard"), (tarfile.CHRTYPE, "device")):
                info = tarfile.TarInfo(name)
                info.type, info.linkname = kind, "/etc/passwd"
                archive.addfile(info)
        made.append(stream.getvalue())
    return made


FORMS = {"conv1": Form((3, 3, 1, 2), None), "head1": Form((8, 3), (2, 2, 2)), "readout": Form((8, 3), (2, 2, 2))}


def weight_files() -> list[bytes]:
    """Weights in both layouts, as a file of torch has them and as this program writes them."""
    made = []
    for layout, joint in LAYOUTS.items():
        arrays = {f"{name}{joint}bias": np.zeros(form.bias_shape, np.float32) for name, form in FORMS.items()}
        arrays |= {
            f"{name}{joint}weight": np.ones(form.layout_shape(layout), np.float64) for name, form in FORMS.items()
        }
        made += [safetensors.numpy.save(arrays), safetensors.numpy.save(arrays, {"layout": layout})]
    return made


NETWORK = """\
trials = 2
[[population]]
name = "cells"
size = 12
record = true
record_potential = [0, 3]
[[projection]]
source = "cells"
target = "cells"
number = 4
weight = 0.2
"""


def teachers(folder: Path) -> list[bytes]:
    """Teacher files: our own, and as other programs write them."""
    logits = np.random.default_rng(0).normal(size=(40, 3))
    write_teacher(folder / "own.h5", logits, "mnist", "a teacher")
    for name, libver, options in (
        ("old.h5", "earliest", {"chunks": (8, 3), "compression": "gzip", "shuffle": True}),
        ("new.h5", "v110", {"chunks": (8, 2), "compression": "lzf"}),
    ):
        with h5py.File(folder / name, "w", libver=(libver, "v110")) as file:
            file.attrs.update({"format": np.bytes_("spikesim-teacher"), "format_version": 1})
            file.attrs["dataset"] = np.bytes_("mnist")
            file.attrs["description"] = "of variable length, which is not read"
            file.create_dataset("logits", data=logits, **options)
    return [(folder / name).read_bytes() for name in ("own.h5", "old.h5", "new.h5")]


def write_run(path: Path) -> None:
    """A small run file with rows of every kind."""
    layers = (LayerInfo("conv1", (4, 4, 3), 27, 432, 0, True), LayerInfo("dense2", (1, 1, 7), 140, 140, 0, False))
    shapes = {"conv1/weight": (3, 3, 1, 3), "conv1/bias": (3,), "readout/weight": (7, 10), "readout/bias": (10,)}
    chance = np.random.default_rng(0)
    header = RunHeader({"model": {"arch": "conv"}}, 1, layers, shapes, "spikesim train")

    def row(table: str, **values: int) -> dict[str, Any]:
        shapes = {column.name: (column.row_shape(len(layers)), column.dtype) for column in TABLES[table]}
        return {name: chance.integers(1, 9, shape).astype(dtype) for name, (shape, dtype) in shapes.items()} | values

    with RunWriter.create(path, header) as writer:
        for batch in range(6):
            writer.append_batch(row("batches", epoch=1 + batch // 3, batch=batch % 3))
            writer.append_spikes(1, batch, [3, 4], 1, [5, 6])
        for epoch in (1, 2):
            writer.append_epoch(row("epochs", epoch=epoch))
        writer.write_weights({name: chance.normal(size=shape) for name, shape in shapes.items()})
        writer.set_status("finished")


def files(folder: Path) -> dict[str, list[bytes]]:
    """Files that the program has written."""
    write_run(folder / "run.h5")
    (folder / "network.toml").write_text(NETWORK)
    command = ["simulate", folder / "network.toml", "--steps", 20, "--out", folder / "simulation.h5"]
    subprocess.run(
        [sys.executable, "-m", "spikesim", *map(str, command)],
        check=True,
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},  # fewer steps than compiling would pay for
        capture_output=True,
    )
    saved = checkpoint.save(folder, 1, {"weight": np.arange(6.0), "moment": np.zeros((2, 3))}, {"config": {"seed": 1}})
    return {
        "run": [(folder / "run.h5").read_bytes()],
        "teacher": teachers(folder),
        "simulation": [(folder / "simulation.h5").read_bytes()],
        "state": [(folder / "simulation.h5.state").read_bytes()],
        "checkpoint": [saved.read_bytes()],
    }


def npy_bytes() -> bytes:
    """A recording of DVS128 Gesture."""
    stream = io.BytesIO()
    np.save(stream, np.arange(40).reshape(10, 4) % 2)
    return stream.getvalue()


def recordings(folder: Path, suffix: str) -> list[bytes]:
    """Files of recordings: an array a field, and a structured one, stored as they are and compressed."""
    columns = np.zeros(40, [("x", np.uint8), ("y", np.uint8), ("t", np.int32), ("p", bool)])
    columns["x"], columns["t"] = np.arange(40) % 7, np.arange(40) * 1000
    sets = {"offsets": np.arange(0, 50, 10), "labels": np.arange(4) % 2, "n_train": np.array([3])}
    made, path = [], folder / f"recordings.{suffix}"
    for events in ({"events": columns}, {name: columns[name] for name in columns.dtype.names or ()}):
        for packed in (False, True):
            if suffix == "npz":
                (np.savez_compressed if packed else np.savez)(path, **events, **sets)
            else:
                with h5py.File(path, "w") as file:
                    for name, array in {**events, **sets}.items():
                        file.create_dataset(name, data=array, compression="gzip" if packed else None, fletcher32=packed)
            made.append(path.read_bytes())
    return made


def looked_at(dataset: Dataset) -> list[str]:
    """What is said of a data set."""
    summary = summarise(dataset)
    return facts(summary) + warnings(summary)


TS = b"""# made
@timeStamps false
@dimensions 2
@equalLength false
@classLabel true a b
@data
1,2,3:4,5,6:a
1.5,-2e-3:4,5:b
"""


def read_ts(path: Path) -> None:
    """A data set of a file and of a valid one."""
    looked_at(dataset_of("made_TRAIN.ts", parse(path.read_bytes(), str(path)), parse(TS, "made_TEST.ts"), str(path)))


def images() -> list[bytes]:
    """Images of one's own, stored and compressed."""
    pixels, labels = (np.arange(96) % 251).astype(np.uint8).reshape(6, 4, 4), np.arange(6) % 3
    return _packed(
        {"train_images": pixels, "train_labels": labels, "test_images": pixels[:3], "test_labels": labels[:3]}
    )


def series() -> list[bytes]:
    """Series of one's own, stored and compressed."""
    values, labels, lengths = np.arange(96.0).reshape(6, 8, 2), np.arange(6) % 3, np.array([8, 3, 1, 8, 2, 5])
    arrays = {"train_series": values, "train_labels": labels, "train_lengths": lengths}
    return _packed({**arrays, "test_series": values[:3].astype(np.float32), "test_labels": labels[:3]})


def _packed(arrays: dict[str, np.ndarray]) -> list[bytes]:
    made = []
    for save in (np.savez, np.savez_compressed):
        stream = io.BytesIO()
        save(stream, **arrays)
        made.append(stream.getvalue())
    return made


def matrices() -> list[bytes]:
    """Matrices of every format, stored and compressed."""
    dense = np.where(np.arange(24).reshape(4, 6) % 3, 0.0, 0.5)
    made = []
    for form, packed in itertools.product(("csc", "csr", "bsr", "coo", "dia"), (False, True)):
        stream = io.BytesIO()
        sparse.save_npz(stream, sparse.coo_array(dense).asformat(form), compressed=packed)
        made.append(stream.getvalue())
    return made


def with_checksums(data: bytes) -> bytes:
    """An archive whose plain members have the checksums that fit; as it is where it cannot be read."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [member for member in archive.infolist() if member.compress_type == zipfile.ZIP_STORED]
    except Exception:  # damaged in its index: zipfile raises what it likes
        return data
    for member in members:
        names = data[member.header_offset + 26 : member.header_offset + 30]
        start = member.header_offset + 30 + int.from_bytes(names[:2], "little") + int.from_bytes(names[2:], "little")
        fitting = zlib.crc32(data[start : start + member.file_size])
        data = data.replace(member.CRC.to_bytes(4, "little"), fitting.to_bytes(4, "little"))
    return data


def read_matrix(path: Path) -> None:
    """The synapses of a matrix in a file, and where they lead."""
    synapses = MatrixSynapses(load_entries(path, "a projection"), 1, (4, 6))
    for rows in synapses.rows(6, 4):
        assert np.all((rows.targets >= 0) & (rows.targets < 4)) and rows.pointers[-1] == len(rows.targets)


def targets(folder: Path) -> dict[str, Target]:
    """All readers."""
    tomls = [path.read_bytes() for path in sorted(ROOT.glob("examples/*.toml"))]
    networks = [path.read_bytes() for path in sorted(ROOT.glob("examples/networks/*.toml"))]
    sweep = b'[grid]\nseed = [0, 1]\ndynamics.beta = [0.1, 0.2]\n[[runs]]\nmodel.arch = "mlp"\n'
    search = b"samples = 3\nsearch_seed = 1\n[random]\ndynamics.beta = { low = 0.1, high = 1, log = true }\n"
    idx = bytes((0, 0, 8, 3)) + b"".join(size.to_bytes(4, "big") for size in (2, 5, 3)) + bytes(range(30))
    written = files(folder)
    gzipped = [gzip.compress(bytes(5000)), gzip.compress(b"data") * 2, gzip.compress(bytes(1 << 22))]

    network = read_network(folder / "network.toml")
    simulation = Simulation(network.network, trials=network.trials, seed=network.seed)
    simulation.restore(folder / "simulation.h5.state")  # compiles what it needs

    def archive(path: Path) -> None:
        for _ in read_archive(path, [PUBLISHED]):
            pass

    return {
        "config": Target("toml", tomls, lambda path: make_config(read_toml(path))),
        "network": Target("toml", networks, read_network),
        "matrix": Target("", matrices(), read_matrix, with_checksums, name="file.npz"),
        "sweep": Target("toml", [sweep, search], read_sweep),
        "idx": Target("", [idx], lambda path: read_idx(path.read_bytes())),
        "cifar": Target("", [bytes(3 * 50)], lambda path: read_cifar(path.read_bytes(), (4, 4, 3), 2)),
        "images": Target("", images(), lambda path: looked_at(load_file(str(path))), name="file.npz"),
        "series": Target("", series(), lambda path: looked_at(series_arrays.load(path)), name="file.npz"),
        "ts": Target("ts", [TS], read_ts),
        "tsv": Target("table", [b"good\tone film\nbad\ttwo, more\n"], read_rows, name="file.tsv"),
        "csv": Target("table", [b'label,text\ngood,one\nbad,"two, ""more"""\n'], read_rows, name="file.csv"),
        "gzip": Target("", gzipped, lambda path: read_bounded(path, 1 << 16), name="file.gz"),
        "tar": Target("", archives(), archive, gzip.compress),
        "tar.gz": Target("", [gzip.compress(data) for data in archives()], archive),
        "nmnist": Target("", [bytes(range(250))], lambda path: read_nmnist(path.read_bytes())),
        "gesture": Target("", [npy_bytes()], lambda path: read_gesture(path.read_bytes())),
        "recordings npz": Target(
            "", recordings(folder, "npz"), lambda path: looked_at(load(str(path))), name="file.npz"
        ),
        "recordings h5": Target("", recordings(folder, "h5"), lambda path: looked_at(load(str(path))), name="file.h5"),
        "run": hdf5_target(written["run"], read_run),
        "teacher": hdf5_target(written["teacher"], read_teacher),
        "simulation": hdf5_target(written["simulation"], read_simulation),
        "state": hdf5_target(written["state"], simulation.restore),
        "checkpoint": Target("", written["checkpoint"], read_checkpoint),
        "weights": Target("safetensors", weight_files(), lambda path: read_weights(path, FORMS, frozenset({"head1"}))),
    }
