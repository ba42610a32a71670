"""Recorded spikes as rasters: which neurons fired at which step; for a few samples of a run, see `read_rasters`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from spikesim.ep.config.parsing import config_of_run
from spikesim.ep.runs.last_test import RecordedSamples
from spikesim.ep.runs.reader import RunReader
from spikesim.ep.runs.schema import hash_of_config
from spikesim.errors import InputError

__all__ = [
    "ALL_LAYERS",
    "SPIKES_LABEL",
    "Band",
    "Raster",
    "RasterChoice",
    "SampleRaster",
    "neurons_shown",
    "read_rasters",
]

NEURONS_DRAWN = 32
"""Neurons of a layer that are drawn unless others are asked for."""
NEURONS_MAX = 1024
SAMPLES_DRAWN = 2
STEPS_MAX = 2**16
UPRIGHT = 300
"""With more steps, ticks stand upright."""
ALL_LAYERS = ""
SPIKES_LABEL = "neuron"


class SpikeFile(Protocol):
    """Spikes that are not those of the run file: a file of predictions."""

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def config_hash(self) -> str:
        """Of the run whose network fired them."""

    @property
    def recorded(self) -> RecordedSamples | None:
        """The samples to look at, with labels of -1; None where the file does not have them."""

    @property
    def answers(self) -> Mapping[int, int]:
        """Predicted class by sample."""

    def spikes(self) -> dict[str, NDArray[Any]]:
        """Columns, as in /spikes of a run file."""

    def setting(self, key: str, default: Any = None) -> Any:
        """A value of the configuration by its dotted key."""


class RasterChoice(NamedTuple):
    """What is drawn of recorded spikes.

    Attributes
    ----------
    samples : tuple of int
        Their numbers; by default the first two that were recorded.
    neurons : mapping of str to tuple of int
        By the name of a layer, or `ALL_LAYERS`; by default some at equal distances.
    file : SpikeFile or None
        Where the spikes are, if not in the run file.
    """

    samples: tuple[int, ...] = ()
    neurons: Mapping[str, tuple[int, ...]] = {}
    file: SpikeFile | None = None


class Band(Protocol):
    """A layer or a population."""

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def neurons(self) -> int:
        """How many it has."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Raster:
    """Spikes in a stretch of time.

    Attributes
    ----------
    name : str
        Of its files, and of its place in a page.
    title : str
        What is drawn.
    x_label : str
        Of the axis of time.
    layers : sequence of Band
        What has a band, from below.
    spikes : list of ndarray of int64, (spikes, 2)
        For each band step and neuron of its spikes, steps from 0.
    shown : list of ndarray of int64
        For each band the neurons that are drawn, ascending.
    steps : int
        Length.
    first : int
        What the first step is called.
    unit : float
        What a step is on the axis of time.
    ordered : bool
        Whether the bands have an order, as layers have, and so have their colours.
    """

    name: str
    title: str
    x_label: str
    layers: Sequence[Band]
    spikes: list[NDArray[np.int64]]
    shown: list[NDArray[np.int64]]
    steps: int
    first: int = 0
    unit: float = 1.0
    ordered: bool = True

    @property
    def upright(self) -> bool:
        """Whether a tick stands upright: where steps are too short for one along the axis of time."""
        return self.steps > UPRIGHT

    def drawn(self, layer: int) -> str:
        """How many neurons of a band are drawn, and of how many."""
        return f"{len(self.shown[layer])} of {self.layers[layer].neurons} neurons"

    def ticks(self, layer: int) -> dict[int, int]:
        """Numbers of neurons by the row in which they are drawn, from the lowest: first, last, and middle if there is
        room."""
        last = len(self.shown[layer]) - 1
        rows = {0, last} | ({last // 2} if last >= 15 else set())
        return {row: int(self.shown[layer][row]) for row in sorted(rows)}


@dataclass(frozen=True, eq=False, kw_only=True)
class SampleRaster(Raster):
    """Spikes of one sample, by layer from the input up.

    Attributes
    ----------
    sample : int
        Its index in the data set.
    where : str
        When or where they were recorded, in words.
    image : uint8 (height, width, channels) or None
        The sample.
    label, answer : str or None
        True and predicted class, by number and name.
    text : str or None
        Of a text: its tokens, those that the vocabulary lacks as ``(unknown)``.
    recorded : int
        Samples whose spikes were recorded.
    """

    sample: int
    where: str
    image: NDArray[np.uint8] | None = None
    label: str | None = None
    answer: str | None = None
    text: str | None = None
    recorded: int = 1

    @property
    def facts(self) -> list[str]:
        """True and predicted class, and the text, as far as they are known."""
        pairs = (("true class", self.label), ("predicted class", self.answer), ("text", self.text))
        return [f"{what}: {known}" for what, known in pairs if known is not None]


def read_rasters(reader: RunReader, choice: RasterChoice | None = None) -> list[SampleRaster]:
    """The samples that were recorded after the last epoch with records, or those of a file; none if nothing was.

    Raises
    ------
    InputError
        The file is damaged, is of another network, or a chosen sample or neuron is not there.
    """
    choice = RasterChoice() if choice is None else choice
    file = choice.file
    if file is not None and file.config_hash not in (
        reader.config_hash,
        hash_of_config(config_of_run(reader.config).to_dict()),  # a run of an older version has fewer keys
    ):
        raise InputError(f"{file.name} has spikes of another run than {reader.path}; give predictions of this one")
    shown = neurons_shown(reader.layers, choice.neurons, "layer")
    found = _read(reader.blocks("spikes", reader.rows["spikes"]) if file is None else [file.spikes()])
    setting = reader.setting if file is None else file.setting
    asked = setting("record.spikes", [])
    # a sample that was recorded may have had no spikes, but only where a recording was made at all
    silent = asked if isinstance(asked, list) and (found.epoch or file is not None) else []
    present = list(dict.fromkeys([*(own for own in silent if isinstance(own, int)), *found.samples]))
    missing = sorted(set(choice.samples) - set(present))
    if missing:
        held = f"those of {', '.join(map(str, present))}" if present else "none"
        raise InputError(f"there are no spikes of sample {missing[0]} in {file.name if file else reader.path}: {held}")
    if not present:
        return []
    steps = setting("dynamics.steps_free")
    least = int(found.rows[:, 2].max(initial=0)) + 1
    known = _Known.of_run(reader, found.epoch) if file is None else _Known.of_file(reader, file)
    where = f"after epoch {found.epoch}" if file is None else f"in {file.name}"
    rasters = []
    for sample in choice.samples or present[:SAMPLES_DRAWN]:
        rows = found.rows[found.rows[:, 0] == sample]
        rasters.append(
            SampleRaster(
                name=f"raster-{sample}",
                title=f"Spikes of sample {sample}, {where}",
                x_label="time step of the free phase",
                sample=sample,
                where=where,
                layers=reader.layers,
                spikes=[rows[rows[:, 1] == layer][:, 2:] for layer in range(len(reader.layers))],
                shown=shown,
                steps=max(least, steps if isinstance(steps, int) and steps <= STEPS_MAX else 0),
                image=known.images.get(sample),
                label=known.called(known.labels.get(sample, -1)),
                answer=known.called(known.answers.get(sample, -1)),
                text=known.texts.get(sample),
                recorded=len(present),
            )
        )
    return rasters


class _Found(NamedTuple):
    """Spikes of the newest epoch: sample, layer, step and neuron of each, and the samples in their order."""

    epoch: int
    samples: list[int]
    rows: NDArray[np.int64]  # (spikes, 4)


def _read(blocks: Iterable[Mapping[str, NDArray[Any]]]) -> _Found:
    epoch = 0
    kept: list[NDArray[np.int64]] = []
    for block in blocks:
        newest = int(block["epoch"].max(initial=0))
        if newest > epoch:
            epoch, kept = newest, []
        chosen = block["epoch"] == epoch
        names = ("sample", "layer", "step", "neuron")
        kept.append(np.stack([block[name][chosen].astype(np.int64) for name in names], axis=1))
    rows = np.concatenate(kept) if kept else np.zeros((0, 4), np.int64)
    return _Found(epoch, np.unique(rows[:, 0]).tolist(), rows)


class _Known(NamedTuple):
    """What is known of recorded samples, by sample."""

    images: Mapping[int, NDArray[np.uint8]]
    labels: Mapping[int, int]
    answers: Mapping[int, int]
    names: Sequence[str]
    texts: Mapping[int, str]

    @classmethod
    def of_run(cls, reader: RunReader, epoch: int) -> "_Known":
        test, recorded = reader.last_test(), reader.recorded
        answers: dict[int, int] = {}
        if recorded is not None and test.epoch == epoch and len(test.answers) == len(recorded.samples):
            answers = dict(zip(recorded.samples.tolist(), test.answers.tolist(), strict=True))
        return cls._made(reader, recorded, answers)

    @classmethod
    def of_file(cls, reader: RunReader, file: SpikeFile) -> "_Known":
        return cls._made(reader, file.recorded, file.answers)

    @classmethod
    def _made(cls, reader: RunReader, recorded: RecordedSamples | None, answers: Mapping[int, int]) -> "_Known":
        names = () if reader.samples is None else reader.samples.class_names
        if recorded is None:
            return cls({}, {}, answers, names, {})
        samples = recorded.samples.tolist()
        images = dict(zip(samples, recorded.images, strict=True))
        labels = dict(zip(samples, recorded.labels.tolist(), strict=True))
        vocabulary = None if reader.samples is None else reader.samples.vocabulary
        texts: dict[int, str] = {}
        if vocabulary is not None and recorded.tokens is not None:
            images, texts = {}, dict(zip(samples, map(vocabulary.decode, recorded.tokens), strict=True))
        return cls(images, labels, answers, names, texts)

    def called(self, label: int) -> str | None:
        """A class by number and name, None for -1."""
        if label < 0:
            return None
        name = self.names[label] if label < len(self.names) else f"{label}"
        return f"{label}" if name == f"{label}" else f"{label}, {name}"


def neurons_shown(
    layers: Sequence[Band], chosen: Mapping[str, tuple[int, ...]], kind: str, most: int = NEURONS_DRAWN
) -> list[NDArray[np.int64]]:
    """The neurons of each band that are drawn.

    Parameters
    ----------
    layers : sequence of Band
    chosen : mapping of str to tuple of int
        By the name of a band, or `ALL_LAYERS`.
    kind : str
        What a band is called: ``"layer"`` or ``"population"``.
    most : int
        Drawn of a band of which none is chosen.

    Raises
    ------
    InputError
        A band or a neuron is not there, or they are too many.
    """
    names = [layer.name for layer in layers]
    unknown = [name for name in chosen if name != ALL_LAYERS and name not in names]
    if unknown:
        raise InputError(f"--neurons names {kind} {unknown[0]}; the {kind}s are {', '.join(names)}")
    shown = []
    for layer in layers:
        own, count = chosen.get(layer.name), layer.neurons
        beyond = [neuron for neuron in own or () if neuron >= count]
        if beyond:
            raise InputError(f"--neurons names neuron {beyond[0]} of {layer.name}, which has {count}, from 0")
        if own is None:  # what is said of all layers may be more than one of them has
            own = tuple(neuron for neuron in chosen.get(ALL_LAYERS, ()) if neuron < count)
        drawn = np.unique(np.array(own or np.linspace(0, count - 1, min(count, most)), np.int64))
        if len(drawn) > NEURONS_MAX:
            raise InputError(f"--neurons names {len(drawn)} neurons of {layer.name}; at most {NEURONS_MAX} are drawn")
        shown.append(drawn)
    return shown
