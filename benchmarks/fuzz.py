"""Files from an enemy: whatever is in them, the program must answer or refuse in words, within bounds.

    python benchmarks/fuzz.py [TARGET ...] [--cases 100000] [--seed 0] [--atheris]

Every reader of files is given valid files that were changed: bits, bytes and numbers of extreme value, pieces left out,
doubled, put in from elsewhere, words that mean something to the format, files cut short. The answer must be a value or
an `InputError`: no other exception, no warning, no crash, no more than 2 GB of memory, no file opened for writing
outside of the target's folder, and no case longer than 20 seconds. With --atheris (`pip install atheris`) the cases are
not drawn but found, by the code that they reach. Work is done in processes of 2,000 cases, so that a crash has a
number; `--first N --cases 1` repeats it. The exit code is 1 if something was found.
"""

import argparse
import gzip
import hashlib
import io
import multiprocessing
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType
from typing import Any

import h5py
import numpy as np
import safetensors.numpy
from kills import CONFIG
from measure import machine

from spikesim import RunReader, checkpoint
from spikesim.analysis import make_report
from spikesim.cli.sweep import read_sweep
from spikesim.datasets.arrays import load_file
from spikesim.datasets.eventfile import load
from spikesim.datasets.eventparsing import read_gesture, read_nmnist
from spikesim.datasets.parsing import read_cifar, read_idx
from spikesim.datasets.registry import File
from spikesim.datasets.unpacking import read_archive, read_bounded
from spikesim.ep.config import make_config
from spikesim.ep.exchange.layouts import LAYOUTS, Form
from spikesim.ep.exchange.tensors import read_weights
from spikesim.ep.teacher import read_teacher
from spikesim.errors import InputError
from spikesim.sparse.description import read_network
from spikesim.sparse.recording import SimulationReader
from spikesim.tomlfile import read_toml

ROOT = Path(__file__).parents[1]
BYTES_MAX = 2 << 30
CASE_SECONDS = 20
CHUNK = 2000
GUIDES = (
    "tomllib._parser" if sys.version_info >= (3, 11) else "tomli._parser",
    "tarfile",
    "spikesim.checkpoint",
    "spikesim.cli.sweep",
    "spikesim.datasets.arrays",
    "spikesim.datasets.eventfile",
    "spikesim.datasets.eventparsing",
    "spikesim.datasets.parsing",
    "spikesim.datasets.unpacking",
    "spikesim.ep.config",
    "spikesim.ep.exchange.tensors",
    "spikesim.ep.teacher",
    "spikesim.npzfile",
    "spikesim.sparse.description",
    "spikesim.tomlfile",
)
"""Modules whose code guides Atheris."""
EXTREMES = (0, 1, 2**7 - 1, 2**8 - 1, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1)
WORDS = {
    "toml": b'[ ] [[ ]] { } = . , " \' """ # nan inf -inf 1e999 -1 0 1.5 999999999999999999 true false "" [] {}'.split()
    + b"1979-05-27 0x7fffffff model dynamics arch layers grid runs seed populations projections \xff\xfe \x00".split(),
    "safetensors": b'__metadata__ layout torch conv1.weight conv1/weight "dtype" "F32" "F64" "BF16" "shape"'.split()
    + b'"data_offsets" [0,8] [2,2] [] { } , : 18446744073709551616 -1 1e999 null true \xff \x00'.split(),
    "": [b"TREE", b"OHDR", b"OCHK", b"SNOD", b"FRHP", b"BTHD", b"PK\x03\x04", b"PK\x01\x02", b"ustar", b"\x93NUMPY"],
}
"""Words by kind of file."""


@dataclass(frozen=True)
class Target:
    """A reader of files.

    kind: of the words. seeds: valid files. read: takes the path of a file. wrap: what is done to a changed file.
    name: of the file.
    """

    kind: str
    seeds: list[bytes]
    read: Callable[[Path], Any]
    wrap: Callable[[bytes], bytes] = lambda data: data
    name: str = "file"


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
    """Everything that a report, a digest and a test need of a run file."""
    with RunReader(path) as run:
        make_report(run, None)
        run.weights()
        run.digest()
        for _ in run.blocks("spikes", run.rows["spikes"]):
            pass


def read_checkpoint(path: Path) -> None:
    """The newest checkpoint of the folder of a file."""
    path.replace(path.with_name("000000001.npz"))
    checkpoint.load_latest(path.parent)


def read_simulation(path: Path) -> None:
    """A simulation file, whole."""
    with SimulationReader(path) as simulation:
        for name in dir(simulation):
            if not name.startswith("_") and name != "close":
                getattr(simulation, name)


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


def files(folder: Path) -> dict[str, list[bytes]]:
    """Files that the program has written."""

    def run(*arguments: object) -> None:
        command = [sys.executable, "-m", "spikesim", *map(str, arguments)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    (folder / "run.toml").write_text(CONFIG + "[record]\nspikes = [1]\n")
    run("train", "--config", folder / "run.toml", "--limit", 16, "--epochs", 1, "--out", folder / "run.h5")
    run("teacher", folder / "run.h5", "--out", folder / "teacher.h5")
    run("simulate", ROOT / "examples/networks/balanced.toml", "--steps", 5, "--out", folder / "simulation.h5")
    return {
        "run": [(folder / "run.h5").read_bytes()],
        "teacher": [(folder / "teacher.h5").read_bytes()],
        "simulation": [(folder / "simulation.h5").read_bytes()],
        "checkpoint": [path.read_bytes() for path in folder.glob("run.h5.checkpoints/*.npz")],
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
                        file.create_dataset(name, data=array, compression="gzip" if packed else None)
            made.append(path.read_bytes())
    return made


def images() -> list[bytes]:
    """Images of one's own, stored and compressed."""
    pixels, labels = (np.arange(96) % 251).astype(np.uint8).reshape(6, 4, 4), np.arange(6) % 3
    arrays = {"train_images": pixels, "train_labels": labels, "test_images": pixels[:3], "test_labels": labels[:3]}
    made = []
    for save in (np.savez, np.savez_compressed):
        stream = io.BytesIO()
        save(stream, **arrays)
        made.append(stream.getvalue())
    return made


def targets(folder: Path) -> dict[str, Target]:
    """All readers."""
    tomls = [path.read_bytes() for path in sorted(ROOT.glob("examples/*.toml"))]
    networks = [path.read_bytes() for path in sorted(ROOT.glob("examples/networks/*.toml"))]
    sweep = b'[grid]\nseed = [0, 1]\ndynamics.beta = [0.1, 0.2]\n[[runs]]\nmodel.arch = "mlp"\n'
    idx = bytes((0, 0, 8, 3)) + b"".join(size.to_bytes(4, "big") for size in (2, 5, 3)) + bytes(range(30))
    written = files(folder)
    gzipped = [gzip.compress(bytes(5000)), gzip.compress(b"data") * 2, gzip.compress(bytes(1 << 22))]

    def archive(path: Path) -> None:
        for _ in read_archive(path, [PUBLISHED]):
            pass

    return {
        "config": Target("toml", tomls, lambda path: make_config(read_toml(path))),
        "network": Target("toml", networks, read_network),
        "sweep": Target("toml", [sweep], read_sweep),
        "idx": Target("", [idx], lambda path: read_idx(path.read_bytes())),
        "cifar": Target("", [bytes(3 * 50)], lambda path: read_cifar(path.read_bytes(), (4, 4, 3), 2)),
        "images": Target("", images(), lambda path: load_file(str(path)), name="file.npz"),
        "gzip": Target("", gzipped, lambda path: read_bounded(path, 1 << 16), name="file.gz"),
        "tar": Target("", archives(), archive, gzip.compress),
        "tar.gz": Target("", [gzip.compress(data) for data in archives()], archive),
        "nmnist": Target("", [bytes(range(250))], lambda path: read_nmnist(path.read_bytes())),
        "gesture": Target("", [npy_bytes()], lambda path: read_gesture(path.read_bytes())),
        "recordings npz": Target("", recordings(folder, "npz"), lambda path: load(str(path)), name="file.npz"),
        "recordings h5": Target("", recordings(folder, "h5"), lambda path: load(str(path)), name="file.h5"),
        "run": Target("", written["run"], read_run),
        "teacher": Target("", written["teacher"], read_teacher),
        "simulation": Target("", written["simulation"], read_simulation),
        "checkpoint": Target("", written["checkpoint"], read_checkpoint),
        "weights": Target("safetensors", weight_files(), lambda path: read_weights(path, FORMS, frozenset({"head1"}))),
    }


def watch_files(folder: Path, found: list[str]) -> None:
    """Note whatever is opened for writing outside of a folder."""

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            path = os.path.realpath(os.fsdecode(arguments[0])) if isinstance(arguments[0], str | bytes) else ""
            if path and not path.startswith((str(folder), "/dev/")) and "__pycache__" not in path:
                found.append(path)

    sys.addaudithook(hook)


def try_case(target: Target, path: Path, data: bytes) -> str | None:
    """What is wrong with the answer to a file; empty if nothing, None if the file was taken."""
    path.write_bytes(target.wrap(data))
    signal.alarm(CASE_SECONDS)
    try:
        target.read(path)
    except InputError as error:
        return "" if str(error) and "\n" not in str(error) else f"a message of several lines or none: {error!r}"
    except BaseException:
        return traceback.format_exc()
    finally:
        signal.alarm(0)
    return None


def work(name: str, target: Target, seed: int, first: int, count: int, results: Any) -> None:
    """Cases of one process."""
    folder = Path(tempfile.mkdtemp(dir="/dev/shm" if os.path.isdir("/dev/shm") else None))
    resource.setrlimit(resource.RLIMIT_AS, (BYTES_MAX + (1 << 30), BYTES_MAX + (1 << 30)))
    signal.signal(signal.SIGALRM, lambda *_: (_ for _ in ()).throw(TimeoutError(f"longer than {CASE_SECONDS} s")))
    warnings.simplefilter("error")
    opened: list[str] = []
    taken = 0
    watch_files(folder, opened)
    try:
        for number in range(first, first + count):
            results.send(("at", number, taken))
            data = mutated(random.Random(f"{seed}/{name}/{number}"), target.seeds, WORDS[target.kind])
            fault = try_case(target, folder / target.name, data)
            taken += fault is None
            if opened:
                fault = f"{fault or ''}opened for writing: {opened.pop()}"
            if fault:
                results.send(("fault", number, fault))
        results.send(("at", first + count - 1, taken))
        results.send(("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def fuzz(name: str, target: Target, seed: int, first: int, cases: int) -> int:
    """Try a target; the number of faults, of which the first of each kind are shown."""
    began, faults, taken, peak = time.monotonic(), 0, 0, 0
    shown: set[str] = set()
    context = multiprocessing.get_context("fork")
    at, end = first, first + cases
    while at < end:
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=work, args=(name, target, seed, at, min(CHUNK, end - at), sender))
        process.start()
        sender.close()
        own = 0
        with suppress(EOFError):
            while True:
                if not receiver.poll(CASE_SECONDS + 10):  # a loop in a library, which no signal ends
                    process.kill()
                    break
                kind, *rest = receiver.recv()
                if kind == "at":
                    at, own = rest[0] + 1, rest[1]
                elif kind == "peak":
                    peak = max(peak, rest[0])
                else:
                    faults += 1
                    last = rest[1].strip().splitlines()[-1]
                    if last not in shown and len(shown) < 5:
                        shown.add(last)
                        print(f"case {rest[0]} of {name}:\n{rest[1]}", flush=True)
        process.join()
        taken += own
        if process.exitcode:
            faults += 1
            print(f"case {at - 1} of {name}: the process ended with {process.exitcode}", flush=True)
    seconds = time.monotonic() - began
    print(
        f"{name:<12}{cases:>8} cases, {taken:>6} taken {cases - taken - faults:>8} refused {faults:>5} faults "
        f"{seconds:7.0f} s {peak / 1024:7.0f} MB at most",
        flush=True,
    )
    return faults


def guided(name: str, target: Target, cases: int) -> int:
    """The same, guided by coverage; Atheris ends the process, so it has one of its own."""
    import atheris

    folder = Path(tempfile.mkdtemp())
    (folder / "corpus").mkdir()
    for number, data in enumerate(target.seeds):
        (folder / "corpus" / str(number)).write_bytes(data)

    def one(data: bytes) -> None:
        fault = try_case(target, folder / target.name, data)
        if fault:
            raise AssertionError(fault)

    def run() -> None:
        signal.signal(signal.SIGALRM, lambda *_: (_ for _ in ()).throw(TimeoutError()))
        for module in GUIDES:
            for function in vars(sys.modules[module]).values():
                if isinstance(function, FunctionType) and function.__module__ == module:
                    atheris.instrument_func(function)
        options = [f"-runs={cases}", "-max_len=65536", f"-artifact_prefix={folder}/", "-rss_limit_mb=2048"]
        atheris.Setup([sys.argv[0], *options, str(folder / "corpus")], one)
        atheris.Fuzz()

    process = multiprocessing.get_context("fork").Process(target=run)
    began = time.monotonic()
    process.start()
    process.join()
    found = process.exitcode != 0
    print(f"{name:<12}{cases:>8} cases, guided: {'a fault' if found else 'no fault'} {time.monotonic() - began:7.0f} s")
    return int(found)


def main() -> None:
    """Try all, or those that were named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="readers (default: all)")
    parser.add_argument("--cases", type=int, default=100_000, help="of each (default: 100000)")
    parser.add_argument("--first", type=int, default=0, help="number of the first case (default: 0)")
    parser.add_argument("--seed", type=int, default=0, help="of the changes (default: 0)")
    parser.add_argument("--atheris", action="store_true", help="guided by coverage")
    options = parser.parse_args()
    print(machine(("numpy", "h5py", "atheris")))
    with tempfile.TemporaryDirectory() as name:
        known = targets(Path(name))
        unknown = sorted(set(options.targets) - set(known))
        if unknown:
            sys.exit(f"Error: there is no target {unknown[0]}; there are {', '.join(known)}")
        faults = 0
        for target in options.targets or known:
            if options.atheris:
                faults += guided(target, known[target], options.cases)
            else:
                faults += fuzz(target, known[target], options.seed, options.first, options.cases)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
