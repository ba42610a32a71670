"""Inputs of a TOML file: given spikes, rates and currents with a time course, images and recordings."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from spikesim.errors import InputError
from spikesim.io.validation import Limits, items, number, require_keys, table, whole, word
from spikesim.sparse.described_connections import naming
from spikesim.sparse.files.array_file import load_array
from spikesim.sparse.files.number_table import read_columns
from spikesim.sparse.files.sonata import node_populations
from spikesim.sparse.inputs.spike_files import read_spikes
from spikesim.sparse.inputs.spikes import Spikes
from spikesim.sparse.inputs.time_course import TimeCourse

_NOT_NEGATIVE = Limits(low=0)
_SPIKE_KEYS = ("file", "population", "trial", "step_ms", "neurons", "steps")
_COURSE_KEYS = ("steps", "values", "file", "length")
_IMAGE_KEYS = ("file", "dataset", "samples", "steps", "pause", "scale")
_RECORDING_KEYS = ("dataset", "samples", "step_ms", "pause")


class SampleSource(Protocol):
    """Where images and recordings of data sets come from: `spikesim simulate` reads them."""

    def images(self, dataset: str, samples: list[int]) -> NDArray[np.uint8]:
        """Test images, uint8 (n, H, W, C)."""
        ...

    def recording(self, dataset: str, sample: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The events of a recording of the test set: neurons, and milliseconds from the first."""
        ...


@dataclass
class InputFiles:
    """Reads what tables name, and remembers the content of each file by a hash.

    Attributes
    ----------
    folder : Path
        Where files are looked for.
    samples : SampleSource, optional
    digests : dict
        SHA-256 of what was read, by population and key.
    """

    folder: Path
    samples: SampleSource | None = None
    digests: dict[str, dict[str, str]] = field(default_factory=dict)

    def size(self, given: Mapping[str, Any], name: str) -> int | None:
        """The number of neurons of a population, as a file of nodes of SONATA has it; None: no file is named."""
        if "nodes" not in given:
            return None
        path = self._path(given["nodes"], name, "nodes")
        found = node_populations(path)
        own = word(
            given.get("node_population", name if name in found or len(found) != 1 else next(iter(found))),
            "node_population",
        )
        if own not in found:
            raise InputError(f"{path} has no population {own!r}; choose one of {', '.join(found) or 'none'}")
        return found[own]

    def spikes(self, given: Mapping[str, Any], name: str) -> Spikes:
        """The spikes of a population of kind "spikes"."""
        ways = [key for key in ("spikes", "images", "recordings") if key in given]
        if len(ways) != 1:
            raise InputError(
                f"{name} is of kind spikes and has {len(ways) or 'none'} of spikes, images and recordings; give one"
            )
        if ways == ["images"]:
            images, shown = self._images(given["images"], name)
            if "scale" in shown:
                raise InputError(f"images of {name} have a scale, which latencies of spikes do not have; leave it out")
            steps = whole(shown.get("steps"), f"steps of the images of {name}")
            with naming(name):
                return Spikes.of_latencies(images, steps, pause=_pause(shown, name))
        if ways == ["recordings"]:
            return self._recordings(given["recordings"], name)
        what = f"spikes of {name}"
        own = {"file": given["spikes"]} if isinstance(given["spikes"], str) else given["spikes"]
        own = table(own, what, '"FILE", { file = "FILE" } or { neurons = [..], steps = [..] }')
        require_keys(own, _SPIKE_KEYS, what)
        if ("file" in own) == ("neurons" in own):
            raise InputError(f"{what} need either a file, or neurons and steps")
        if "file" not in own:
            require_keys(own, ("neurons", "steps"), what, ("neurons", "steps"))
            lists = [items(own[key], f"{key} of {what}", "integers", whole) for key in ("neurons", "steps")]
            with naming(what):
                return Spikes.at_steps(*lists)
        require_keys(own, ("file", "population", "trial", "step_ms"), what)
        path = self._path(own["file"], name, "spikes")
        population = word(own["population"], f"population of the {what}") if "population" in own else None
        trial = whole(own.get("trial", 0), f"trial of the {what}", _NOT_NEGATIVE)
        step_ms = number(own.get("step_ms", 1.0), f"step_ms of the {what}")
        with naming(name):
            return read_spikes(path, population=population, trial=trial, step_ms=step_ms)

    def rate(self, given: Mapping[str, Any], name: str) -> Any:
        """The rate of a source that has a table of them, or images."""
        if "images" in given:
            return self._image_course(given["images"], name, f"images of {name}")
        return self._course(given["rate"], name, f"rate of {name}", "rate")

    def poisson_rate(self, given: Any, name: str) -> float | TimeCourse:
        """The rate of a Poisson drive, a number or a table."""
        what = f"rate of the Poisson drive of {name}"
        return self._course(given, name, what, "Poisson rate") if isinstance(given, Mapping) else number(given, what)

    def currents(self, given: Any, name: str) -> list[tuple[Any, list[int] | None]]:
        """Currents of a population, and the neurons of each; None: all."""
        found: list[tuple[Any, list[int] | None]] = []
        for place, one in enumerate(given if isinstance(given, list) else [given]):
            what = f"current of {name}"
            if not isinstance(one, Mapping):
                found.append((number(one, what), None))
                continue
            rest = {key: value for key, value in one.items() if key not in ("neurons", "value")}
            neurons = None
            if "neurons" in one:
                neurons = items(one["neurons"], f"neurons of the {what}", "integers", whole, filled=True)
            if "value" in one:
                require_keys(one, ("value", "neurons"), f"the {what}")
                found.append((number(one["value"], f"value of the {what}"), neurons))
            elif "images" in one:
                require_keys(one, ("images", "neurons"), f"the {what}")
                found.append((self._image_course(one["images"], name, f"images of the {what}"), neurons))
            else:
                found.append((self._course(rest, name, what, f"current {place}"), neurons))
        return found

    def _course(self, given: Any, name: str, what: str, key: str) -> TimeCourse:
        own = table(given, what, '{ steps = [..], values = [..] } or { file = "FILE" }')
        require_keys(own, _COURSE_KEYS, what)
        if "file" not in own:
            require_keys(own, ("steps", "values"), what, ("steps", "values"))
            steps = items(own["steps"], f"steps of the {what}", "integers", whole)
            with naming(what):
                return TimeCourse(steps, own["values"])
        require_keys(own, ("file", "length"), what)
        path = self._path(own["file"], name, key)
        if path.suffix == ".npy":
            values = load_array(path, what)
            length = whole(own.get("length", 1), f"length of the {what}")
            with naming(f"{path}, for {what}"):
                return TimeCourse.of_array(values, length=length)
        require_keys(own, ("file",), what)
        found = read_columns(path, ("step", "value"), whole=("step",))
        with naming(f"{path}, for {what}"):
            return TimeCourse(found["step"], found["value"])

    def _image_course(self, given: Any, name: str, what: str) -> TimeCourse:
        images, own = self._images(given, name)
        steps = whole(own.get("steps"), f"steps of the {what}")
        scale = number(own.get("scale", 1.0), f"scale of the {what}")
        with naming(what):
            return TimeCourse.of_images(images, steps, pause=_pause(own, name), scale=scale)

    def _images(self, given: Any, name: str) -> tuple[NDArray[Any], Mapping[str, Any]]:
        what = f"images of {name}"
        own = table(given, what, '{ file = "FILE.npy", steps = 50 } or { dataset = "NAME", samples = [0], steps = 50 }')
        require_keys(own, _IMAGE_KEYS, what, ("steps",))
        if ("file" in own) == ("dataset" in own):
            raise InputError(f"{what} need either a file (.npy) or a dataset")
        if "file" in own:
            path = self._path(own["file"], name, "images")
            images: NDArray[Any] = load_array(path, what)
            if "samples" in own:
                chosen = self._chosen(own, what)
                if max(chosen) >= len(images):
                    raise InputError(f"{path} has {len(images)} images, numbered from 0; there is no {max(chosen)}")
                images = images[chosen]
            return images, own
        images = self._source(what).images(word(own["dataset"], f"dataset of the {what}"), self._chosen(own, what))
        self._note(name, "images", images.tobytes())
        return images, own

    def _recordings(self, given: Any, name: str) -> Spikes:
        what = f"recordings of {name}"
        own = table(given, what, '{ dataset = "NAME", samples = [0], step_ms = 1 }')
        require_keys(own, _RECORDING_KEYS, what, ("dataset", "samples"))
        dataset, step_ms = (
            word(own["dataset"], f"dataset of the {what}"),
            number(own.get("step_ms", 1.0), f"step_ms of the {what}"),
        )
        start, steps, neurons = 0, [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        for sample in self._chosen(own, what):
            found, times = self._source(what).recording(dataset, sample)
            self._note(name, f"recording {sample}", found.tobytes() + times.tobytes())
            with naming(what):
                spikes = Spikes.at_times(found, times, step_ms=step_ms)
            steps.append(spikes.steps + start)
            neurons.append(spikes.neurons)
            start += int(spikes.steps.max(initial=-1)) + 1 + _pause(own, name)
        return Spikes.at_steps(np.concatenate(neurons), np.concatenate(steps))

    def _source(self, what: str) -> SampleSource:
        if self.samples is None:
            raise InputError(f"{what} are of a data set, which 'spikesim simulate' reads; give arrays here")
        return self.samples

    def _chosen(self, own: Mapping[str, Any], what: str) -> list[int]:
        return items(
            own.get("samples"),
            f"samples of the {what}",
            "integers",
            lambda one, of: whole(one, of, _NOT_NEGATIVE),
            filled=True,
        )

    def _path(self, given: Any, name: str, key: str) -> Path:
        """A file that is named for a key of a population; its hash is remembered."""
        path = self.folder / word(given, f"file of the {key} of {name}")
        if not path.is_file():
            raise InputError(
                f"{path}, for {key} of {name}, {'is not a regular file' if path.exists() else 'does not exist'}"
            )
        try:
            self.digests.setdefault(name, {})[key] = file_digest(path)
        except OSError as error:
            raise InputError(f"{path}, for {key} of {name}, cannot be read: {error.strerror or error}") from None
        return path

    def _note(self, name: str, key: str, content: bytes) -> None:
        self.digests.setdefault(name, {})[key] = hashlib.sha256(content).hexdigest()


def _pause(own: Mapping[str, Any], name: str) -> int:
    return whole(own.get("pause", 0), f"pause of the input of {name}", _NOT_NEGATIVE)


def file_digest(path: Path) -> str:
    """SHA-256 of the content of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
