"""Files from an enemy: whatever is in them, the program must answer or refuse in words, within bounds.

    python benchmarks/robustness/fuzz.py [TARGET ...] [--cases 100000] [--seed 0] [--atheris] [--keep FOLDER]

Every reader of files is given valid files that were changed: bits, bytes and numbers of extreme value, pieces left out,
doubled, put in from elsewhere, words that mean something to the format, files cut short; those of HDF5 also in their
structures, with checksums that fit again (`hdf5cases.py`), half of them marked as being written. The answer must be a
value or an `InputError`: no other exception, no warning, no crash, no more than 2 GB of memory, no file opened for
writing outside of the target's folder, and no case longer than 20 seconds. With --atheris (`pip install atheris`) the
cases are not drawn but found, by the code that they reach.

Work is done in processes of 2,000 cases. One that crashes, or hangs where no signal reaches it, is ended and counted,
and the next begins after that case; `--first N --cases 1` repeats it, and --keep writes it to a folder. Ctrl-C ends a
target and shows what was found. Readers of files that are being written try again in vain: here once, after a
millisecond. The exit code is 1 if something was found.
"""

import argparse
import multiprocessing
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path
from types import FunctionType
from typing import Any

from fuzztargets import Target, targets

sys.path.append(str(Path(__file__).resolve().parents[1]))  # measure.py
from measure import machine

from spikesim.errors import InputError
from spikesim.io import hdf5_reader as hdf5file

BYTES_MAX = 2 << 30
CASE_SECONDS = 20
CHUNK = 2000
GUIDES = (
    "tomllib._parser" if sys.version_info >= (3, 11) else "tomli._parser",
    "tarfile",
    "spikesim.io.checkpoint",
    "spikesim.cli.sweeps.ranges",
    "spikesim.cli.sweeps.sweep_file",
    "spikesim.datasets.formats.image_arrays",
    "spikesim.datasets.formats.labelled_arrays",
    "spikesim.datasets.formats.sequences.series_arrays",
    "spikesim.datasets.formats.sequences.text_table",
    "spikesim.datasets.formats.sequences.ts_file",
    "spikesim.datasets.formats.event_file",
    "spikesim.datasets.formats.event_parsing",
    "spikesim.datasets.formats.binary_images",
    "spikesim.datasets.catalogue.unpacking",
    "spikesim.ep.config.parsing",
    "spikesim.ep.exchange.tensors",
    "spikesim.ep.inputs.teacher",
    "spikesim.io.npz",
    "spikesim.sparse.description",
    "spikesim.sparse.connections.entries",
    "spikesim.sparse.connections.matrix_file",
    "spikesim.io.toml",
)
"""Modules whose code guides Atheris."""


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
    hdf5file.PAUSES = (0.001,)
    opened: list[str] = []
    taken = 0
    watch_files(folder, opened)
    try:
        for number in range(first, first + count):
            results.send(("at", number, taken))
            data = target.case(random.Random(f"{seed}/{name}/{number}"))
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


def fuzz(name: str, target: Target, seed: int, first: int, cases: int, keep: Path | None) -> int:
    """Try a target; the number of faults, crashes and hangs, of which the first of each kind are shown."""
    began, taken, peak = time.monotonic(), 0, 0
    found = {"faults": 0, "crashes": 0, "hangs": 0}
    shown: set[str] = set()

    def note(kind: str, number: int, text: str) -> None:
        found[kind] += 1
        if keep:
            data = target.wrap(target.case(random.Random(f"{seed}/{name}/{number}")))
            (keep / f"{name}-{seed}-{number}-{kind}").write_bytes(data)
        last = text.strip().splitlines()[-1]
        if last not in shown and len(shown) < 5:
            shown.add(last)
            print(f"case {number} of {name}:\n{text}", flush=True)

    context = multiprocessing.get_context("fork")
    at, end = first, first + cases
    while at < end:
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=work, args=(name, target, seed, at, min(CHUNK, end - at), sender))
        process.start()
        sender.close()
        own, ended = 0, False
        try:
            while True:
                if not receiver.poll(CASE_SECONDS + 10):  # a loop in a library, which no signal ends
                    process.kill()
                    ended = True
                    note("hangs", at - 1, "without end")
                    break
                kind, *rest = receiver.recv()
                if kind == "at":
                    at, own = rest[0] + 1, rest[1]
                elif kind == "peak":
                    peak = max(peak, rest[0])
                else:
                    note("faults", *rest)
        except EOFError:
            pass
        except KeyboardInterrupt:
            process.kill()
            end, ended = at, True
        process.join()
        taken += own
        if process.exitcode and not ended:
            note("crashes", at - 1, f"the process ended with {process.exitcode}")
    cases = at - first
    seconds, total = time.monotonic() - began, sum(found.values())
    print(
        f"{name:<12}{cases:>8} cases, {taken:>6} taken {cases - taken - total:>8} refused "
        + " ".join(f"{count:>5} {kind}" for kind, count in found.items())
        + f" {seconds:7.0f} s {peak / 1024:7.0f} MB at most",
        flush=True,
    )
    return total


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
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="write the cases that were too much to a folder")
    parser.add_argument("--atheris", action="store_true", help="guided by coverage")
    options = parser.parse_args()
    print(machine(("numpy", "h5py", "atheris")))
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
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
                faults += fuzz(target, known[target], options.seed, options.first, options.cases, options.keep)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
