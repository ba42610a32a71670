"""Trainings whose last writes reach the disk in part or in another order, and what --resume makes of them.

    python benchmarks/robustness/torn.py [--states 200] [--seed 0]

What a small training writes to its run file, to the log of its rows and to its checkpoints is recorded, with each wait
for the disk. From that the files are put together as they may be found when the process was killed or the power failed
at some moment. A kill leaves all that was written before and the first part of the write in progress. After a loss of
power everything is there that was waited for; of what was written since, any part, in any order, cut at any sector.
Each run is then resumed to its end, and must have the digest of the undisturbed one. The exit code is 1 if one has not.
"""

import argparse
import os
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

sys.path.append(str(Path(__file__).resolve().parents[1]))  # measure.py
from measure import machine

from spikesim import RunReader
from spikesim.datasets import Dataset, load
from spikesim.ep.config.parsing import Config, make_config, merge
from spikesim.ep.training.observer import Observer
from spikesim.ep.training.run_store import RunOptions
from spikesim.ep.training.trainer import Trainer
from spikesim.errors import InputError
from spikesim.io import durable
from spikesim.io.checkpoint import checkpoint_folder
from spikesim.io.hdf5_output import HDF5Output

SETTINGS = {
    "model.arch": "custom",
    "model.calibration_samples": 8,
    "model.layers": [{"kind": "conv", "channels": 4, "pool": True}, {"kind": "dense", "channels": 6}],
    "dynamics.steps_free": 8,
    "dynamics.window_free": 4,
    "data.limit": 24,
    "data.test_limit": 8,
    "data.batch_size": 4,
    "optimizer.epochs": 2,
    "record.spikes": [0, 1],
    "record.traces": 2,
}
SECTOR = 512
"""Bytes that a disk writes whole or not at all."""


@dataclass(frozen=True)
class Event:
    """Something that happened to a file, which is known by its number whatever its name.

    `kind` is "write" (`data` at `at`), "sync", "cut" (to `at` bytes), "name" (`name`) or "whole" (`name` has `data`).
    """

    kind: str
    file: int = 0
    at: int = 0
    data: bytes = b""
    name: str = ""


@dataclass
class Disk:
    """What is on a disk for sure, and what may be.

    Attributes
    ----------
    sure : bytes of each file as of the last wait for it
    since : writes of each file after that
    names : name of each file that has one, in the folder of the run
    checkpoints : content of each, the newest last
    """

    sure: dict[int, bytearray] = field(default_factory=dict)
    since: dict[int, list[Event]] = field(default_factory=dict)
    names: dict[str, int] = field(default_factory=dict)
    checkpoints: dict[str, bytes] = field(default_factory=dict)

    def apply(self, event: Event) -> None:
        """Let something happen."""
        if event.kind in ("write", "cut"):
            self.since.setdefault(event.file, []).append(event)
        elif event.kind == "sync":
            content = self.sure.setdefault(event.file, bytearray())
            for change in self.since.pop(event.file, []):
                put(content, change)
        elif event.kind == "name":
            self.names[event.name] = event.file
        else:
            self.checkpoints[event.name] = event.data
            for old in list(self.checkpoints)[:-2]:
                del self.checkpoints[old]

    def killed(self, last: Event, chance: random.Random) -> dict[str, bytes]:
        """The files if the process was killed in a write."""
        part = Event("write", last.file, last.at, last.data[: chance.randrange(len(last.data))])
        return self._files({**self.since, last.file: [*self.since.get(last.file, []), part]})

    def without_power(self, last: Event, chance: random.Random) -> dict[str, bytes]:
        """The files if the power failed in a write."""
        changes = {}
        for file, own in {**self.since, last.file: [*self.since.get(last.file, []), last]}.items():
            kept = [change for change in own if chance.random() < 0.5]
            chance.shuffle(kept)
            changes[file] = [cut(change, chance) if chance.random() < 0.3 else change for change in kept]
        return self._files(changes)

    def _files(self, changes: dict[int, list[Event]]) -> dict[str, bytes]:
        files = dict(self.checkpoints)
        for name, file in self.names.items():
            content = bytearray(self.sure.get(file, b""))
            for change in changes.get(file, []):
                put(content, change)
            files[name] = bytes(content)
        return files


def put(content: bytearray, change: Event) -> None:
    """Do to a file what was done."""
    if change.kind == "cut":
        del content[change.at :]
    if len(content) < change.at:
        content.extend(bytes(change.at - len(content)))
    if change.kind == "write":
        content[change.at : change.at + len(change.data)] = change.data


def cut(change: Event, chance: random.Random) -> Event:
    """A write of which some sectors in a row reached the disk, the first or the last ones."""
    first, last = change.at, change.at + len(change.data)
    at = chance.randint(first // SECTOR, last // SECTOR) * SECTOR
    at = min(max(at, first), last)
    if chance.random() < 0.5:
        return Event(change.kind, change.file, first, change.data[: at - first])
    return Event(change.kind, change.file, at, change.data[at - first :])


@contextmanager
def recorded(folder: Path) -> Iterator[list[Event]]:
    """Everything that happens to files below a folder, in order."""
    events: list[Event] = []
    write_at, sync, put_in_place, move, ftruncate = (
        durable.write_at, durable.sync, durable.put_in_place, HDF5Output.move, os.ftruncate,
    )  # fmt: skip

    def written(descriptor: int, data: memoryview | bytes, at: int) -> None:
        events.append(Event("write", os.fstat(descriptor).st_ino, at, bytes(data)))
        write_at(descriptor, data, at)

    def synced(descriptor: int) -> None:
        sync(descriptor)
        events.append(Event("sync", os.fstat(descriptor).st_ino))

    def shortened(descriptor: int, size: int) -> None:
        ftruncate(descriptor, size)
        events.append(Event("cut", os.fstat(descriptor).st_ino, size))

    def placed(part: Path, target: Path) -> None:
        name, number = str(target.relative_to(folder)), part.stat().st_ino
        whole = target.suffix == ".npz"  # written, waited for and named at one stroke
        events.append(Event("whole", name=name, data=part.read_bytes()) if whole else Event("name", number, name=name))
        put_in_place(part, target)

    def moved(output: HDF5Output, target: Path) -> None:
        move(output, target)
        events.append(Event("name", target.stat().st_ino, name=str(target.relative_to(folder))))

    with (
        mock.patch.object(durable, "write_at", written),
        mock.patch.object(durable, "sync", synced),
        mock.patch.object(durable, "put_in_place", placed),
        mock.patch.object(HDF5Output, "move", moved),
        mock.patch.object(os, "ftruncate", shortened),
    ):
        yield events


class Silent(Observer):
    """An observer that keeps messages."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def message(self, text: str) -> None:
        """Keep it."""
        self.messages.append(text)


def train(config: Config, dataset: Dataset, out: Path, *, resume: bool = False) -> list[str]:
    """Begin a training or go on with it, to its end; what the user is told."""
    observer = Silent()
    Trainer(config, dataset, RunOptions(out, resume=resume, checkpoint_every=1), observer).run()
    return observer.messages


def digest(run: Path) -> str:
    """That of a run file."""
    with RunReader(run) as reader:
        return reader.digest()


def outcome(config: Config, dataset: Dataset, files: dict[str, bytes], folder: Path, wanted: str) -> str:
    """Lay files down, resume the run, and say how it went; "fault: ..." if it did not come to the digest."""
    out = folder / "run.h5"
    checkpoint_folder(out).mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    try:
        messages = train(config, dataset, out, resume=True)
        if digest(out) != wanted:
            return "fault: another digest"
    except InputError as error:
        return f"fault: {error}"
    anew = [word for word in ("written anew", "begins anew") if any(word in text for text in messages)]
    return anew[0] if anew else "the run file could be read"


def main() -> None:
    """Record, put together, resume and count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--states", type=int, default=200, help="of each kind (default: 200)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments and of what is lost (default: 0)")
    options = parser.parse_args()
    print(machine(("numba", "numpy", "h5py")))
    config, dataset = make_config(merge({}, SETTINGS.items())), load("fashion-mnist-mini")
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(os.path.realpath(name))
        with recorded(folder) as events:
            train(config, dataset, folder / "run.h5")
        wanted = digest(folder / "run.h5")
        begun = next(index for index, event in enumerate(events) if event.name == "run.h5")
        moments = [index for index, event in enumerate(events) if event.kind == "write" and index > begun]
        print(f"{len(moments)} writes, {sum(event.kind == 'whole' for event in events)} checkpoints")
        failed = 0
        for what in ("killed", "without power"):
            found: Counter[str] = Counter()
            chosen = iter(sorted(chance.sample(moments, min(options.states, len(moments)))))
            disk, moment = Disk(), next(chosen, None)
            for index, event in enumerate(events):
                while index == moment:
                    files = (disk.killed if what == "killed" else disk.without_power)(event, chance)
                    with tempfile.TemporaryDirectory() as copy:
                        result = outcome(config, dataset, files, Path(copy), wanted)
                    found[result.partition(":")[0]] += 1
                    if result.startswith("fault"):
                        print(f"{what}, write {index}: {result}")
                        failed += 1
                    moment = next(chosen, None)
                disk.apply(event)
            print(f"{what}: " + ", ".join(f"{count} {result}" for result, count in sorted(found.items())))
    print("all came to the digest of the undisturbed run" if not failed else f"{failed} did not")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
