"""What an installation costs: megabytes on the disk by package, and the time of imports, in a fresh environment.

    python benchmarks/speed/footprint.py

Makes an environment in a temporary folder and installs the checkout into it with pip (the package registry is asked).
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

SIZES = """
import importlib.metadata as metadata, json
sizes = {}
for package in metadata.distributions():
    files = [path.locate() for path in package.files or ()]
    sizes[package.metadata["Name"]] = sum(path.stat().st_size for path in files if path.is_file())
print(json.dumps(sizes))
"""

STATEMENTS = (
    "",
    "import spikesim",
    "import spikesim.datasets",
    "import spikesim.sparse",
    "from spikesim import RunReader",
    "from spikesim import Simulator",
    "from spikesim.ep import Trainer",
)


def seconds(command: list[str], repeats: int) -> tuple[float, float]:
    """Median processor time and least wall time of a command, after one that is not counted."""
    processor, wall = [], []
    for _ in range(repeats + 1):
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        wall.append(time.perf_counter() - began)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        processor.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return statistics.median(processor[1:]), min(wall[1:])


def main() -> None:
    """Print sizes and times."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7, help="runs of each import and command")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = str(Path(folder, "bin", "python"))
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, str(ROOT)], check=True)
        found = subprocess.run([python, "-c", SIZES], check=True, capture_output=True, text=True, cwd=folder)
        sizes: dict[str, int] = json.loads(found.stdout)
        for name in ("pip", "setuptools"):
            sizes.pop(name, None)
        print(f"Python {sys.version.split()[0]}; installed, MB (with what pip compiles to bytecode):")
        for name, size in sorted(sizes.items(), key=lambda item: -item[1]):
            print(f"  {name:16} {size / 1e6:8.2f}")
        print(f"  {'together':16} {sum(sizes.values()) / 1e6:8.2f}")
        print(f"seconds from start to end, of {options.repeats}: processor time, median; wall time, least")
        commands = {statement or "(nothing)": [python, "-c", statement] for statement in STATEMENTS}
        commands["spikesim --help"] = [str(Path(folder, "bin", "spikesim")), "--help"]
        for name, command in commands.items():
            processor, wall = seconds(command, options.repeats)
            print(f"  {name:34} {processor:.2f} {wall:8.2f}")


if __name__ == "__main__":
    main()
