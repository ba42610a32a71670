"""The exported NIR graph of IF neurons in other programs: the accuracy that a run has there.

    python3 -m venv PEER && PEER/bin/pip install snntorch norse sinabs nirtorch
    python benchmarks/science/nir_readers.py RUN.h5 --python PEER/bin/python --steps 16 64

Exports the network of a run as `spikesim export --to nir --nodes if` does, has `nir_side.py` read the file in each
program that this Python has, and shows it the test images, normalized, the same image at each step. The answer is the
mean of the read-out over the steps. Beside them stand the graph in NumPy, with IF neurons that are reset by
subtraction, and this program, with spikes and as mean field. docs/exchange.md has the figures of a run. The readers
want other versions of nir than the export, hence the environment of their own.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).resolve().parents[1]))  # measure.py
from measure import machine

from spikesim.datasets import Dataset
from spikesim.ep.config.parsing import config_of_run
from spikesim.ep.evaluation.from_run import retest
from spikesim.ep.exchange.exporting import ExportOptions, export
from spikesim.ep.exchange.structure import read_structure
from spikesim.ep.inputs.dataset import load_of_run
from spikesim.ep.inputs.pipeline import InputPipeline
from spikesim.ep.runs.reader import RunReader
from spikesim.errors import InputError
from spikesim.numerics.fixed_point import INPUT_BITS

SIDE = Path(__file__).with_name("nir_side.py")


def own_accuracies(
    reader: RunReader, dataset: Dataset, steps: list[int], limit: int
) -> Iterator[tuple[str, list[float]]]:
    """This program's, with spikes and as mean field; the window is half of the steps."""
    for inference in ("stochastic", "mean-field"):
        found = []
        for count in steps:
            changes = [
                ("dynamics.inference", inference),
                ("dynamics.steps_free", count),
                ("dynamics.window_free", max(2, count // 4 * 2)),
                ("data.test_limit", limit),
            ]
            config = config_of_run(reader.config, changes)
            found.append(retest(reader, config, dataset, 1, 1)[0].accuracy)
        yield f"spikesim, {'spikes' if inference == 'stochastic' else 'mean field'}", found


def main() -> int:
    """Print a row a program."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", metavar="RUN.h5")
    parser.add_argument("--python", default=sys.executable, help="the one that has the programs (this one)")
    parser.add_argument("--steps", type=int, nargs="+", default=[16, 64])
    parser.add_argument("--limit", type=int, default=1000, help="test images (%(default)s)")
    parser.add_argument("--data-dir", type=Path)
    options = parser.parse_args()
    print(f"{machine(('nir',))}\n\n{'accuracy, by steps':36}" + "".join(f"{count:>9}" for count in options.steps))
    with RunReader(options.run) as reader, tempfile.TemporaryDirectory() as folder:
        config, dataset = load_of_run(config_of_run(reader.config), reader, options.data_dir)
        limit = min(options.limit, len(dataset.test.labels))
        shape = read_structure(reader).graph.image.shape
        inputs = InputPipeline(config, dataset, shape).plain(dataset.test, slice(0, limit))
        if not isinstance(inputs, np.ndarray):
            raise InputError(f"{options.run} takes spikes; this script shows images")
        images = np.moveaxis(inputs * np.float32(2.0**-INPUT_BITS), -1, 1)
        np.savez(Path(folder) / "images.npz", images=images, labels=dataset.test.labels[:limit])
        export(reader, "nir", Path(folder) / "network.nir", ExportOptions(nodes="if"))
        for name, accuracies in own_accuracies(reader, dataset, options.steps, limit):
            _row(name, accuracies)
        command = [options.python, str(SIDE), folder, "--steps", *map(str, options.steps)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith("{"):  # some programs print as they read
                    found = json.loads(line)
                    _row(f"{found['program']} ({found['version']})", found["accuracies"])
    return process.returncode


def _row(name: str, accuracies: list[float]) -> None:
    print(f"{name:36}" + "".join(f"{accuracy:9.2%}" for accuracy in accuracies), flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except InputError as error:
        sys.exit(f"Error: {error}")
