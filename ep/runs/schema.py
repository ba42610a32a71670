"""What a run file holds: one description for the writer, the reader and the manual."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from spikesim.ep.runs.energy import EnergyModel
from spikesim.ep.runs.last_test import CLASSES_MAX, RecordedSamples
from spikesim.ep.runs.samples import SampleSpec
from spikesim.io.formats import MAGIC, canonical_json

__all__ = [
    "ATTRIBUTES",
    "BEST_EPOCH",
    "BEST_NORMALIZATION",
    "BEST_WEIGHTS",
    "FORMAT_VERSION",
    "LAST_TEST",
    "LAYER_COLUMNS",
    "NORMALIZATION",
    "PHASES",
    "READOUT",
    "RECORDED",
    "SAMPLES",
    "TABLES",
    "Column",
    "LayerInfo",
    "RunHeader",
    "file_bytes",
    "is_layer_name",
]

FORMAT_VERSION = 5
SAMPLES = "/samples"
"""A text; not an attribute, for those are short and an image may have many channels."""
BEST_EPOCH, BEST_WEIGHTS = "/best/epoch", "/best/weights"
"""The best epoch by the validation set, 0 for none, and the weights that its test had; only in runs that have one."""
NORMALIZATION, BEST_NORMALIZATION = "/normalization", "/best/normalization"
"""Gains and statistics behind the weights, of those of the last checkpoint and of the best; without them, weights alone
are known. The digest leaves them out."""
LAST_TEST = "/last_test"
"""`epoch`, `confusion` and `answers` of the last test; not in files of older versions."""
RECORDED = "/recorded"
"""`sample`, `label`, `image` and of texts `tokens` of the samples whose spikes are recorded; not in files of older
versions."""
PHASES = ("free", "nudged+", "nudged-")
READOUT = "readout"
_CHUNK_BYTES = 16384


@dataclass(frozen=True)
class Column:
    """One dataset with a row per mini-batch, epoch, spike or layer.

    Attributes
    ----------
    name : str
        Key in the rows that the writer takes and in the dictionaries that the reader returns.
    path : str
        Path of the dataset in the file.
    dtype : str
        NumPy type, little endian.
    trailing : tuple of str
        Shape of one row in symbols: ``P`` phases, ``L`` neuron layers, ``L+1`` layers and the read-out, or a number.
    unit : str
        Unit of the values.
    doc : str
        Meaning of the values.
    in_digest : bool
        Whether the column belongs to the digest of the run. Times do not.
    """

    name: str
    path: str
    dtype: str
    trailing: tuple[str, ...]
    unit: str
    doc: str
    in_digest: bool = True

    def row_shape(self, layers: int) -> tuple[int, ...]:
        """Shape of one row in a network of `layers` neuron layers."""
        sizes = {"P": len(PHASES), "L": layers, "L+1": layers + 1}
        return tuple(sizes[symbol] if symbol in sizes else int(symbol) for symbol in self.trailing)

    def row_bytes(self, layers: int) -> int:
        """Size of one row in a network of `layers` neuron layers."""
        return int(self.dtype[2:]) * math.prod(self.row_shape(layers))

    def chunk_rows(self, layers: int) -> int:
        """Rows by which the dataset grows, unless it is compressed."""
        return min(1024, max(64, _CHUNK_BYTES // self.row_bytes(layers)))


def _table(group: str, *rows: tuple[str, str, tuple[str, ...], str, str]) -> tuple[Column, ...]:
    return tuple(
        Column(name, f"/{group}/{name}", dtype, trailing, unit, doc, in_digest=unit != "s")
        for name, dtype, trailing, unit, doc in rows
    )


_PER_PHASE = ("P",)
_PER_PHASE_AND_LAYER = ("P", "L")

_BATCHES = (
    *_table(
        "batches",
        ("epoch", "<u4", (), "1", "epoch that the mini-batch belongs to, from 1"),
        ("batch", "<u4", (), "1", "position of the mini-batch in its epoch, from 0"),
        ("samples", "<u4", (), "samples", "samples in the mini-batch"),
        (
            "loss",
            "<f8",
            (),
            "nats",
            "cost of the prediction of the free phase, mean over the samples (squared error: no unit)",
        ),
        ("correct", "<u4", (), "samples", "samples that the free phase predicts correctly"),
        ("learning_rate", "<f8", (), "1", "learning rate of the weights before the factors of the layers"),
        ("beta", "<f8", (), "1", "strength of the nudge"),
        ("steps", "<u8", _PER_PHASE, "steps", "time steps run, summed over the samples"),
        ("spikes", "<u8", _PER_PHASE_AND_LAYER, "spikes", "spikes fired by the layer"),
        (
            "events_forward",
            "<u8",
            _PER_PHASE_AND_LAYER,
            "events",
            "synaptic events delivered into the layer by forward tables (effective accumulates)",
        ),
        (
            "events_feedback",
            "<u8",
            _PER_PHASE_AND_LAYER,
            "events",
            "synaptic events delivered into the layer by feedback tables (effective accumulates)",
        ),
        (
            "macs",
            "<u8",
            _PER_PHASE_AND_LAYER,
            "operations",
            "multiply-accumulates into the layer: an analogue image once per sample, in the free phase; graded events, "
            "of the mean-field mode, of clamped drives and of graded errors",
        ),
        ("neuron_updates", "<u8", _PER_PHASE_AND_LAYER, "updates", "updates of a membrane potential"),
        (
            "saturated",
            "<u8",
            _PER_PHASE_AND_LAYER,
            "neurons",
            "neurons with a firing probability of 1 at the end of the phase, summed over the samples",
        ),
        (
            "residual",
            "<f8",
            _PER_PHASE_AND_LAYER,
            "1",
            "mean absolute difference of the firing probability between the two halves of the phase's window, "
            "over samples and neurons",
        ),
    ),
    *_table(
        "energy",
        (
            "hopfield",
            "<f8",
            _PER_PHASE,
            "1",
            "value of the energy function as the last step of the phase finds it, mean over the samples",
        ),
        ("joule", "<f8", _PER_PHASE, "J", "estimated energy of the counted operations, summed over the mini-batch"),
    ),
    *_table(
        "batches",
        (
            "rate_difference",
            "<f8",
            ("L",),
            "1",
            "mean absolute difference of the window averages of the two compared phases",
        ),
        (
            "signal_strength",
            "<f8",
            ("L",),
            "1",
            "strength of the nudge into each layer by the head that reads it, beside the read-out's, which is 1; 0 "
            "without a head",
        ),
        (
            "activity_penalty",
            "<f8",
            ("L",),
            "nats",
            "weight in the cost of the mean firing probability of each neuron of a layer; 0 without a target rate",
        ),
        (
            "head_loss",
            "<f8",
            ("L",),
            "nats",
            "cost against the labels of the head that reads each layer, the read-out for the top one, mean over the "
            "samples; NaN without a head",
        ),
        ("head_correct", "<u4", ("L",), "samples", "samples that this head classifies correctly"),
        (
            "weight_change",
            "<f8",
            ("L+1",),
            "1",
            "mean absolute change of the weights into each layer, the read-out last, before it is rounded into them",
        ),
        (
            "weight_norm",
            "<f8",
            ("L+1",),
            "1",
            "Euclidean norm of the weights into each layer, the read-out last, as the mini-batch had them: integers, "
            "before the update; NaN of a layer of kind tokens",
        ),
        ("seconds", "<f8", (), "s", "wall time of the mini-batch"),
    ),
)

_EPOCHS = _table(
    "epochs",
    ("epoch", "<u4", (), "1", "the epoch, from 1"),
    ("train_loss", "<f8", (), "nats", "loss over the training samples of the epoch, while the weights changed"),
    ("train_correct", "<u8", (), "samples", "training samples classified correctly"),
    ("train_samples", "<u8", (), "samples", "training samples of the epoch"),
    ("test_loss", "<f8", (), "nats", "loss over the test samples after the epoch"),
    ("test_correct", "<u8", (), "samples", "test samples classified correctly"),
    ("test_samples", "<u8", (), "samples", "test samples"),
    ("test_steps", "<u8", (), "steps", "time steps of the test, summed over the samples"),
    ("test_spikes", "<u8", ("L",), "spikes", "spikes fired by the layer in the test"),
    ("test_events_forward", "<u8", ("L",), "events", "synaptic events into the layer by forward tables"),
    ("test_events_feedback", "<u8", ("L",), "events", "synaptic events into the layer by feedback tables"),
    ("test_macs", "<u8", ("L",), "operations", "multiply-accumulates into the layer"),
    ("test_neuron_updates", "<u8", ("L",), "updates", "updates of a membrane potential"),
    (
        "test_rates",
        "<u8",
        ("L", "33"),
        "neurons",
        "neurons of all test samples by their mean firing probability r in the window of the free phase: the first "
        "number those with r = 0, number k of the others those with (k - 1)/32 < r <= k/32",
    ),
    (
        "spectral_norm",
        "<f8",
        ("L",),
        "1",
        "spectral norm of each layer with the one below before the test of the epoch, with the weights that are "
        "tested; 0 for the first",
    ),
    ("learning_rate", "<f8", (), "1", "learning rate at the end of the epoch"),
    ("seconds", "<f8", (), "s", "wall time of the training of the epoch"),
    ("test_seconds", "<f8", (), "s", "wall time of the test"),
)

_SPIKES = _table(
    "spikes",
    ("epoch", "<u4", (), "1", "epoch after which the spike was recorded, from 1"),
    ("sample", "<u4", (), "1", "index of the sample in the data set"),
    ("step", "<u2", (), "steps", "time step since the start of the free phase"),
    ("layer", "<u1", (), "1", "index of the layer, from 0"),
    ("neuron", "<u4", (), "1", "index of the neuron in its layer, row, column, channel, the channel fastest"),
)

_TRACES = _table(
    "traces",
    ("epoch", "<u4", (), "1", "epoch after which the phases were followed, from 1"),
    ("phase", "|u1", (), "1", "index of the phase in /phases"),
    ("step", "<u4", (), "steps", "time step of the phase, from 1"),
    (
        "hopfield",
        "<f8",
        (),
        "1",
        "value of the energy function as the step finds it, mean over the samples",
    ),
    (
        "residual",
        "<f8",
        ("L",),
        "1",
        "as /batches/residual, in a window that ends with this step; NaN before there is a full one",
    ),
    ("activity", "<f8", ("L",), "1", "mean firing probability after the step, over samples and neurons"),
)

TABLES: Mapping[str, tuple[Column, ...]] = MappingProxyType(
    {"batches": _BATCHES, "epochs": _EPOCHS, "spikes": _SPIKES, "traces": _TRACES}
)

LAYER_COLUMNS = _table(
    "layers",
    ("name", "|S32", (), "1", "name of the layer, ASCII, also the name of its group in /weights"),
    ("shape", "<i4", ("3",), "neurons", "rows, columns and channels"),
    ("neurons", "<u8", (), "neurons", "neurons of the layer"),
    ("weights", "<u8", (), "1", "free parameters into the layer, biases left out"),
    (
        "synapses_forward",
        "<u8",
        (),
        "operations",
        "dense forward operations into the layer, of one step of one sample, connections from an image beside others "
        "left out",
    ),
    (
        "synapses_feedback",
        "<u8",
        (),
        "operations",
        "dense feedback operations into the layer, of one step of one sample",
    ),
    (
        "analogue",
        "|u1",
        (),
        "1",
        "1: the forward input is a constant image, its operations happen once per sample and not once per step",
    ),
    (
        "cells",
        "|u1",
        (),
        "1",
        "4 behind an average pool, whose cells send their spikes apart, each through the synapses of the pooled "
        "position; else 1",
    ),
)

ATTRIBUTES: Mapping[str, str] = MappingProxyType(
    {
        "format": f'always "{MAGIC}"',
        "format_version": "version of this layout",
        "spikesim_version": "version of the program that created the file",
        "created": "time of creation, ISO 8601 with the offset from UTC",
        "host": "name of the machine that last opened the file for writing",
        "command_line": "command that last opened the file for writing",
        "versions": "JSON: versions of Python and of the libraries",
        "config": "JSON: the resolved configuration",
        "config_hash": "SHA-256 of `config`",
        "seed": "the seed of every random number",
        "input_shape": "JSON: rows, columns and channels of a sample as the network sees it",
        "data_source": "path of the data when the file was last opened for writing",
    }
)


@dataclass(frozen=True)
class LayerInfo:
    """A neuron layer as a run file describes it.

    Attributes
    ----------
    name : str
        Name: up to 32 ASCII characters without ``/``.
    shape : tuple of int
        Rows, columns, channels.
    weights : int
        Free parameters into the layer, biases left out.
    synapses_forward, synapses_feedback : int
        Dense synaptic operations into the layer, of one step of one sample. A connection from an image beside others
        is left out: it delivers once per sample.
    analogue : bool
        The forward input is a constant image: its operations happen once per sample.
    cells : int
        Neurons whose spikes pass through each forward synapse: 4 behind an average pool, else 1.
    """

    name: str
    shape: tuple[int, int, int]
    weights: int
    synapses_forward: int
    synapses_feedback: int
    analogue: bool
    cells: int = 1

    @property
    def neurons(self) -> int:
        """Number of neurons."""
        return math.prod(self.shape)


def is_layer_name(name: str) -> bool:
    """Whether a layer can be called so: 1 to 32 printable ASCII characters without ``/``."""
    return name.isascii() and name.isprintable() and 0 < len(name) <= 32 and "/" not in name and name != "."


@dataclass(frozen=True)
class RunHeader:
    """What is known of a run before its first mini-batch.

    Attributes
    ----------
    config : dict
        The resolved configuration: plain values, JSON-able. Nothing in it names threads or paths, because it is part
        of the digest and must be the same when a run is resumed.
    seed : int
        The seed.
    layers : tuple of LayerInfo
        Neuron layers from the input up.
    weight_shapes : dict
        Shape of each float32 array under /weights, by ``"<layer>/weight"``, ``"<layer>/bias"``,
        ``"readout/weight"``, ``"readout/bias"`` or a similar path of two names.
    command_line : str
        The command, for people.
    energy : EnergyModel
        Energy charged for each operation.
    input_shape : tuple of int, optional
        Rows, columns and channels of a sample as the network sees it.
    data_source : str
        Path of the data; "" where they have none. It is no part of the digest.
    samples : SampleSpec, optional
        The samples that the network takes. They are no part of the digest either.
    normalization_shapes : dict
        Shape of each float32 array under /normalization, by names as those of the weights; none where the network
        learns its weights themselves.
    validated : bool
        The run has a validation set: the weights of the best epoch by it are kept beside the last. The digest leaves
        them out, for they follow from the rest.
    recorded : RecordedSamples, optional
        The samples whose spikes are recorded. They are no part of the digest.

    Raises
    ------
    ValueError
        If names are not usable in the file, or the configuration is no JSON.
    """

    config: dict[str, Any]
    seed: int
    layers: tuple[LayerInfo, ...]
    weight_shapes: dict[str, tuple[int, ...]]
    command_line: str
    energy: EnergyModel = field(default_factory=EnergyModel)
    input_shape: tuple[int, int, int] | None = None
    data_source: str = ""
    samples: SampleSpec | None = None
    normalization_shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    validated: bool = False
    recorded: RecordedSamples | None = None

    def __post_init__(self) -> None:
        canonical_json(self.config)
        names = [layer.name for layer in self.layers]
        for name in names:
            if not is_layer_name(name):
                raise ValueError(f"layer name {name!r}: 1 to 32 printable ASCII characters without '/' are allowed")
        if not names or len(set(names)) != len(names):
            raise ValueError(f"layer names must differ and there must be at least one layer, got {names}")
        for path in self.array_shapes:
            parts = path.split("/")
            if len(parts) != 2 or any(part in ("", ".") for part in parts):
                raise ValueError(f"weights {path!r}: a name is '<layer>/<array>'")

    @property
    def config_json(self) -> str:
        """The configuration as canonical JSON."""
        return canonical_json(self.config)

    @property
    def array_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each array that is written at a checkpoint, by name."""
        return {**self.weight_shapes, **self.normalization_shapes}

    def place(self, name: str, *, best: bool = False) -> str:
        """Where an array of this name is in the file, as of the last checkpoint or of the best epoch."""
        if name in self.weight_shapes:
            return f"{BEST_WEIGHTS if best else '/weights'}/{name}"
        return f"{BEST_NORMALIZATION if best else NORMALIZATION}/{name}"

    @property
    def weights(self) -> int:
        """Free parameters, all that learns."""
        return sum(math.prod(shape) for shape in self.weight_shapes.values())

    @property
    def weight_bytes(self) -> int:
        """What they take in the file, with what is behind them."""
        size = sum(math.prod(shape) for shape in self.array_shapes.values())
        return 4 * size * (2 if self.validated else 1)

    @property
    def confusion_shape(self) -> tuple[int, int]:
        """Of the confusion matrix in the file: (classes, classes), or none for too many of them."""
        classes = 0 if self.samples is None or self.samples.classes > CLASSES_MAX else self.samples.classes
        return classes, classes

    @property
    def fixed_bytes(self) -> int:
        """What all that does not grow takes in the file, nearly."""
        recorded = [] if self.recorded is None else [self.recorded.images, self.recorded.tokens]
        looked_at = sum(own.nbytes for own in recorded if own is not None)
        return self.weight_bytes + 8 * math.prod(self.confusion_shape) + looked_at

    @property
    def config_hash(self) -> str:
        """SHA-256 of the canonical configuration, hexadecimal."""
        return hash_of_config(self.config)


def hash_of_config(config: Mapping[str, Any]) -> str:
    """SHA-256 of a configuration in its canonical form, hexadecimal."""
    return hashlib.sha256(canonical_json(config).encode()).hexdigest()


def file_bytes(header: RunHeader, rows: Mapping[str, int]) -> int:
    """Size of a run file with so many rows: weights and rows, which are nearly all of it.

    Parameters
    ----------
    header : RunHeader
    rows : mapping of str to int
        Rows by table, but for the compressed /spikes.

    Returns
    -------
    int
        Bytes.
    """
    layers, size = len(header.layers), header.fixed_bytes
    for table, count in rows.items():
        for column in TABLES[table]:
            chunk = column.chunk_rows(layers)
            size += -(-count // chunk) * chunk * column.row_bytes(layers)
    return size
