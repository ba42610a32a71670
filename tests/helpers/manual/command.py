"""What the commands of the manual find: ``spikesim`` and the scripts on small stand-ins for the data, and shortened.

The text of the manual is not changed. Options are put behind those of the line, where the last one counts.

    python tests/helpers/manual/command.py spikesim ARGUMENTS
    python tests/helpers/manual/command.py python ARGUMENTS
"""

import os
import runpy
import sys
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # the other helpers
from datasets_support import Tiny, describe, make_idx

from spikesim import __main__ as spikesim
from spikesim.datasets.catalogue import registry
from spikesim.datasets.catalogue.registry import Entry

SERVER = "SPIKESIM_MANUAL_SERVER"
TRAIN, TEST = 40, 16
NETWORK = ["--width", "0.125", "--set", "model.calibration_samples=8"]
RUN = ["--limit", "32", "--test-limit", "16", "--batch-size", "16", "--epochs", "1"]
SHORTER = {
    "train": [*NETWORK, *RUN],
    "sweep": [*NETWORK, *RUN],  # of train, whose options are last
    "import": ["--width", "0.125"],
    "evaluate": ["--test-limit", "8"],
    "gradcheck": [*NETWORK, "--batch", "4"],
    "ablation": [*NETWORK, "--batch", "4"],
}
SMALL = ["--set", "model.width=0.125", "--set", "model.calibration_samples=8", "--set", "data.batch_size=8"]
EMBEDDED = ["--dataset", "fashion-mnist-mini"]  # for processes of a script's own, which find no stand-ins
PEER = ["--peer-repeats", "1", "--peer-batch", "2"]
SCRIPTS = {
    "backprop": [*RUN, "--width", "0.125"],
    "digests": ["simulation"],
    "ep_bp": [*SMALL, "--repeats", "1"],
    "equivalence": ["--samples", "4", "--leaks", "1", "--windows", "4", "8"],
    "estimate": [
        *SMALL,
        "--set",
        "data.dataset=fashion-mnist-mini",
        "--set",
        "data.limit=16",
        "--set",
        "data.test_limit=8",
        "--set",
        "optimizer.epochs=1",
    ],
    "figures": ["--list"],
    "firing": ["--repeats", "2", "--noise-repeats", "2", "--leaks", "1", "--windows", "8"],
    "footprint": ["--repeats", "2"],
    "fuzz": ["--cases", "20"],
    "greedy": [*SMALL, "--set", "data.limit=16", "--set", "data.test_limit=8", "--set", "optimizer.epochs=1"],
    "house": ["--old", "HEAD"],
    "interpreter": [*SMALL, "--threads", "1", "2", "--batches", "2"],
    "kills": ["--kills", "2", "--ranks", "1"],
    "limits": SMALL,
    "metrics": ["--samples", "1"],
    "nir_readers": ["--steps", "2", "--limit", "8"],
    "parts": [*SMALL, "--samples", "16"],
    "peers": ["--seeds", "2"],
    "ranks": [*SMALL, "--batch", "4", "--batches", "1"],
    "reading": ["--texts", "100"],
    "signals": ["--stops", "2"],
    "soak": [*SMALL, "--set", "data.dataset=fashion-mnist-mini", "--hours", "0.003", "--every", "1"],
    "sparse": ["--neurons", "200", "--synapses", "20", "--steps", "20", "--repeats", "1"],
    "sparsity": ["--steps", "6", "--tolerances", "0.1", "--test-limit", "8"],
    "stdp": ["--neurons", "200", "--synapses", "20", "--steps", "20", "--repeats", "1"],
    "step": ["--activity", "6", "--steps", "1", "--repeats", "1", "--batch", "2", "--group", "2"],
    "train": [*EMBEDDED, "--width", "0.125", "--samples", "16", "--batch-size", "8", "--threads", "1", *PEER],
    "train_teacher": ["--epochs", "1", "--width", "4"],
    "train_twin": ["--epochs", "1"],
}
"""What makes the scripts of benchmarks/ and examples/ short."""


def stand_in(entry: Entry) -> Tiny:
    """A small set in the format, with the shape and the classes of a published one."""
    seed = sum(entry.name.encode())  # MNIST and Fashion-MNIST, whose files have the same names, differ
    rng = np.random.default_rng(seed)
    counts = [TRAIN // len(entry.train)] * len(entry.train) + [TEST] * len(entry.test)
    height, width, channels = entry.shape
    content = {}
    for file, count in zip(entry.files, counts, strict=True):
        if entry.form == "cifar":
            records = rng.integers(0, 256, (count, entry.label_bytes + height * width * channels), dtype=np.uint8)
            records[:, : entry.label_bytes] = np.arange(count)[:, np.newaxis] % len(entry.class_names)
            content[file.name] = records.tobytes()
        else:
            number = TRAIN if file in entry.train else TEST
            labels = (np.arange(number) + seed) % len(entry.class_names)
            content[file.name] = make_idx(
                rng.integers(0, 256, (number, height, width)) if "images" in file.name else labels
            )
    files = {name: describe(name, data) for name, data in content.items()}
    train, test = (tuple(files[file.name] for file in part) for part in (entry.train, entry.test))
    return Tiny(replace(entry, train=train, test=test, n_train=TRAIN, n_test=TEST), content)


def stand_ins() -> dict[str, Tiny]:
    """A stand-in for each set of images that does not come with the program."""
    return {entry.name: stand_in(entry) for entry in registry.entries() if entry.folders and entry.kind == "images"}


def shortened(arguments: list[str]) -> list[str]:
    """A command line with what makes it short."""
    name = arguments[0] if arguments else ""
    if arguments[:2] == ["data", "fetch"]:
        return [*arguments, "--mirror", os.environ[SERVER]]
    if name == "gradcheck" and "--run" in arguments:  # the network is that of the run
        return [*arguments, "--batch", "4"]
    if name == "simulate" and "--steps" in arguments:
        steps = int(arguments[arguments.index("--steps") + 1])
        return [*arguments, "--steps", str(steps // 10)]
    return [*arguments, *SHORTER.get(name, [])]


def without_peers(arguments: list[str]) -> list[str]:
    """Arguments without other programs that have environments of their own, which are not here."""
    alone = ["--lif"] if Path(arguments[0]).stem == "sparse" else []
    for option, instead in (("--brian", []), ("--nest", alone), ("--python", [])):
        if option in arguments:
            at = arguments.index(option)
            arguments = [*arguments[:at], *instead, *arguments[at + 2 :]]
    return [word for word in arguments if word != "--runtime"]


def run_python(arguments: list[str]) -> None:
    """``python ARGUMENTS``: a script of the checkout here, shortened; anything else as it is."""
    script = Path(arguments[0])
    if not {"benchmarks", "examples"} & {*script.parts[:-1]} or script.stem not in SCRIPTS:
        os.execv(sys.executable, [sys.executable, *arguments])
    put_stand_ins()
    sys.argv = [*without_peers(arguments), *SCRIPTS[script.stem]]
    sys.path[0] = str(script.parent.resolve())
    runpy.run_path(str(script), run_name="__main__")


def main() -> None:
    """``spikesim ARGUMENTS``, shortened."""
    put_stand_ins()
    sys.argv[1:] = shortened(sys.argv[1:])
    spikesim.main()


def put_stand_ins() -> None:
    """Let the program find the stand-ins in place of the published sets."""
    known = {entry.name: entry for entry in registry.entries()}
    known |= {name: tiny.entry for name, tiny in stand_ins().items()}
    registry._ENTRIES = MappingProxyType(known)  # type: ignore[attr-defined]


if __name__ == "__main__":
    program = sys.argv.pop(1)
    if program == "python":
        run_python(sys.argv[1:])
    else:
        main()
