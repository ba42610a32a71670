"""What the benchmarks share: the machine, and how figures are shown."""

import argparse
import os
import platform
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from spikesim import __version__
from spikesim.cli.configuration import resolve
from spikesim.datasets import Dataset, load
from spikesim.ep.config.parsing import Config
from spikesim.runtime.free_memory import peak_memory

Name = TypeVar("Name")

NARROW = ("avx512_vnni", "avx_vnni", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_int8", "amx_bf16")


def machine(libraries: tuple[str, ...]) -> str:
    """Processor, cores at hand, versions."""
    model = platform.processor() or platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo") as lines:
            names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        model = names[0] if names else model
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    versions = [f"spikesim {__version__}", f"Python {platform.python_version()}"]
    for name in libraries:
        try:
            versions.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            versions.append(f"{name} of unknown version")
    return f"{model}, {cores} cores at hand, {platform.system()} {platform.release()}\n{', '.join(versions)}"


def instructions() -> list[str]:
    """What the processor has for narrow numbers, as Linux names it; empty elsewhere, or if it has nothing."""
    if not os.path.exists("/proc/cpuinfo"):
        return []
    with open("/proc/cpuinfo") as lines:
        flags = next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), [])
    return [name for name in NARROW if name in flags]


def seconds(work: Callable[[], object], repeats: int) -> list[float]:
    """Times of a call, after one that does not count."""
    work()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return times


class Finished(NamedTuple):
    """What a command took."""

    seconds: float  # from start to end
    peak: int  # bytes of resident memory, at most


def process(command: list[str], out: Path | None = None) -> Finished:
    """Run a command, its output into a file. Ends with the exit code of one that fails, and with what it told."""
    began = time.perf_counter()
    with tempfile.TemporaryFile() as told, open(out or os.devnull, "wb") as output:
        started = subprocess.Popen(command, stdout=output, stderr=told)
        _, status, usage = os.wait4(started.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        if code:
            told.seek(0)
            print(f"{shlex.join(command)}\n{told.read().decode(errors='replace')}", file=sys.stderr)
            sys.exit(code)
    return Finished(time.perf_counter() - began, peak_memory(usage))


def fastest(ways: Collection[Name], run: Callable[[Name], float], trials: int) -> tuple[Name, str]:
    """The fastest way, and the times of all, milliseconds: the best of so many, in turn, after one that does not count.

    run: tries a way, and gives the seconds that it took.
    """
    turns = [{name: run(name) for name in ways} for _ in range(1 + trials)][1:]
    best = {name: min(turn[name] for turn in turns) for name in ways}
    order = sorted(ways, key=lambda name: best[name])
    return order[0], ", ".join(f"{name} {1e3 * best[name]:.2f} ms" for name in order)


def spread(values: list[float], digits: int = 3) -> str:
    """Median and range."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def network_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with the options that `read_network` reads."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--config", type=Path, help="TOML file; the defaults without it")
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--data-dir", type=Path, help="folder of data sets (default: $SPIKESIM_DATA)")
    return parser


def read_network(options: argparse.Namespace, fixed: dict[str, Any]) -> tuple[Config, Dataset]:
    """The configuration, some of whose keys are fixed, and its data set.

    Raises
    ------
    InputError
    """
    config = resolve(options.config, tuple(options.settings), fixed)
    return config, load(config.data.dataset, options.data_dir)
