"""The command ``spikesim`` as the blocks of the manual find it: on small stand-ins for the data, and shortened.

The text of the manual is not changed. Options are put behind those of the line, where the last one counts.
"""

import os
import sys
from dataclasses import replace
from types import MappingProxyType

import numpy as np
from datasets_support import Tiny, describe, make_idx

from spikesim.cli import main
from spikesim.datasets import registry
from spikesim.datasets.registry import Entry

SERVER = "SPIKESIM_MANUAL_SERVER"
TRAIN, TEST = 40, 16
NETWORK = ["--width", "0.125", "--set", "model.calibration_samples=8"]
RUN = ["--limit", "32", "--test-limit", "16", "--batch-size", "16", "--epochs", "1"]
SHORTER = {
    "train": [*NETWORK, *RUN],
    "import": ["--width", "0.125"],
    "evaluate": ["--test-limit", "8"],
    "gradcheck": [*NETWORK, "--batch", "4"],
    "ablation": [*NETWORK, "--batch", "4"],
}


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
    return {entry.name: stand_in(entry) for entry in registry.entries() if not (entry.embedded or entry.recordings)}


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


if __name__ == "__main__":
    known = {entry.name: entry for entry in registry.entries()}
    known |= {name: tiny.entry for name, tiny in stand_ins().items()}
    registry._ENTRIES = MappingProxyType(known)  # type: ignore[attr-defined]
    main(shortened(sys.argv[1:]), prog_name="spikesim")
