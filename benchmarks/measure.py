"""What the benchmarks share: the machine, and how figures are shown."""

import os
import platform
import statistics
from importlib.metadata import PackageNotFoundError, version

from spikesim import __version__


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


def spread(values: list[float], digits: int = 3) -> str:
    """Median and range."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"
