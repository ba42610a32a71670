"""Reading a run file: finished, in progress, or left behind by a process that was killed."""

import contextlib
import dataclasses
import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesim.engine.limits import NEURONS_MAX
from spikesim.ep.runs.energy import EnergyModel
from spikesim.ep.runs.last_test import LastTest, RecordedSamples
from spikesim.ep.runs.samples import SampleSpec
from spikesim.ep.runs.schema import (
    BEST_EPOCH,
    BEST_NORMALIZATION,
    BEST_WEIGHTS,
    FORMAT_VERSION,
    LAST_TEST,
    LAYER_COLUMNS,
    NORMALIZATION,
    PHASES,
    RECORDED,
    SAMPLES,
    TABLES,
    LayerInfo,
    is_layer_name,
)
from spikesim.errors import InputError
from spikesim.io.fields import shown
from spikesim.io.formats import MAGIC, canonical_json
from spikesim.io.hdf5_reader import Contents, HDF5File
from spikesim.io.hdf5_tables import FollowedFile, read_json, read_status, require_format
from spikesim.runtime.printable import one_line, printable

__all__ = ["RunReader", "is_run_file", "stored_format"]

_WANTED = "give the run file that 'spikesim train --out' wrote"
_REMEDY = "'spikesim train --resume' writes it anew from its checkpoints, or use a copy of it"
_PROGRAMS = {4: "spikesim 0.1.0 as of commit d30bdab, before keys and columns had their present names"}
"""What reads earlier versions of the format, where a version of the package does not say it."""
_COMPRESSION_MAX = 64
"""Rows of spikes for each byte of a file whose configuration does not say how many there can be."""


class RunReader(FollowedFile):
    """Read a run file without changing it, also while it is being written.

    Parameters
    ----------
    path : path-like
        The run file.

    Attributes
    ----------
    path : Path
        The file.
    format_version : int
        Version of the layout.
    spikesim_version, created, host, command_line : str
        Where the file comes from.
    versions : dict
        Versions of Python and of the libraries.
    config : dict
        The resolved configuration.
    config_hash : str
        SHA-256 of the canonical configuration.
    seed : int
        The seed.
    layers : list of LayerInfo
        Neuron layers from the input up.
    energy_model : EnergyModel
        Energy charged for each operation: that of the file, or what was set in its place.
    input_shape : tuple of int or None
        Rows, columns and channels of a sample as the network sees it; None where the file does not say.
    data_source : str
        Path of the data when the file was last opened for writing; "" where there was none.
    samples : SampleSpec or None
        The samples that the network takes; None where the file does not say.

    Raises
    ------
    InputError
        If the file is missing, is not a run file, has a newer format, or is damaged. Reading more of it later may
        raise the same.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(path, _WANTED, _REMEDY)

    def _read_header(self, contents: Contents) -> None:
        _require_run_file(contents, self.path)
        self.format_version = int(contents.attribute("format_version"))
        if self.format_version != FORMAT_VERSION:
            wrote = f"spikesim {one_line(contents.attribute('spikesim_version'))}, which wrote it"
            program = _PROGRAMS.get(self.format_version, wrote)
            raise InputError(
                f"{self.path} has format version {self.format_version}, this program reads {FORMAT_VERSION}: "
                f"read it with {program}"
            )
        super()._read_header(contents)
        self.config: dict[str, Any] = read_json(contents.text("config"), "configuration")
        self.config_hash = contents.text("config_hash")
        self.input_shape = _shape(_optional_text(contents, "input_shape"))
        self.data_source = _optional_text(contents, "data_source")
        self.samples = SampleSpec.from_json(contents.stored_text(SAMPLES)) if contents.has(SAMPLES) else None
        phases = tuple(name.decode() for name in contents.array("/phases", "S7").tolist())
        if phases != PHASES:
            raise ValueError(f"phases {phases}")
        count = contents.length(LAYER_COLUMNS[0].path)
        table = {
            column.name: contents.array(column.path, column.dtype, (count, *column.row_shape(count)))
            for column in LAYER_COLUMNS
        }
        self.layers = [_layer({name: values[index] for name, values in table.items()}) for index in range(count)]
        if not self.layers or len({layer.name for layer in self.layers}) != count:
            raise ValueError("layers without names of their own")
        self.energy_model = EnergyModel(
            name=contents.text("name", "/energy"),
            accumulate_joule=float(contents.attribute("accumulate_joule", "/energy")),
            multiply_accumulate_joule=float(contents.attribute("multiply_accumulate_joule", "/energy")),
            source=contents.text("source", "/energy"),
        )

    def setting(self, key: str, default: Any = None) -> Any:
        """A value of the configuration by its dotted key; the default where there is none."""
        value: Any = self.config
        for part in key.split("."):
            if not isinstance(value, Mapping) or part not in value:
                return default
            value = value[part]
        return value

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self.path.stat().st_size

    @property
    def status(self) -> str:
        """``"running"``, ``"stopped"`` or ``"finished"``; a run that was killed still says running."""
        return self._file.read(read_status)

    @property
    def rows(self) -> dict[str, int]:
        """Complete rows of each table, now."""
        return self._file.read(lambda contents: {table: self._complete_rows(contents, table) for table in TABLES})

    @property
    def batches(self) -> dict[str, NDArray[Any]]:
        """Columns of the mini-batches, each with the same number of complete rows first."""
        return self._table("batches")

    @property
    def epochs(self) -> dict[str, NDArray[Any]]:
        """Columns of the epochs, each with the same number of complete rows first."""
        return self._table("epochs")

    def spikes(self) -> dict[str, NDArray[Any]]:
        """Columns of the raw spikes; no rows if the run did not record any."""
        return self._table("spikes")

    @property
    def traces(self) -> dict[str, NDArray[Any]]:
        """Columns of the phases that were followed step by step; no rows if the run did not record any."""
        return self._table("traces")

    def weights(self, which: str = "last") -> dict[str, NDArray[np.float32]]:
        """The weights, float32, by ``"<layer>/<array>"``.

        Parameters
        ----------
        which : {"last", "best"}
            Those of the last checkpoint, or of the best epoch by the validation set.

        Raises
        ------
        InputError
            There are no best ones, or the file is damaged.
        """
        if which not in ("last", "best"):
            raise InputError(f"weights is {shown(which)}; it must be 'last' or 'best'")
        if which == "last":
            return self._file.read(lambda contents: _weights(contents, "/weights"))
        epoch, weights = self.best()
        if epoch:
            return weights
        share = self.setting("data.validation")
        if not share:
            why = "it has no validation set (--validation); take its last ones"
        elif self.rows["epochs"]:
            why = "an older version trained its best epoch, or they are being written; try again, or take its last ones"
        else:
            why = "its first epoch has not ended; wait for that"
        raise InputError(f"{self.path} has no best weights: {why}")

    def normalization(self, which: str = "last") -> dict[str, NDArray[np.float32]]:
        """Gains and statistics behind the weights, float32, by ``"<layer>/<array>"``.

        Parameters
        ----------
        which : {"last", "best"}
            Behind which weights.

        Returns
        -------
        dict
            Nothing where the network learns its weights themselves, or the file does not say them.
        """
        group = NORMALIZATION if which == "last" else BEST_NORMALIZATION

        def read(contents: Contents) -> dict[str, NDArray[np.float32]]:
            if not all(contents.has(path) for path in (["/best", group] if which == "best" else [group])):
                return {}
            return {name: array for name, array in _weights(contents, group).items() if array.any()}

        return self._file.read(read)

    def best(self) -> tuple[int, dict[str, NDArray[np.float32]]]:
        """The best epoch by the validation set, from 1, and the weights that its test had; 0 and nothing without."""

        def read(contents: Contents) -> tuple[int, dict[str, NDArray[np.float32]]]:
            epoch = _best_epoch(contents)
            return epoch, _weights(contents, BEST_WEIGHTS) if epoch else {}

        while True:
            epoch, weights = self._file.read(read)
            if epoch == self.best_epoch:  # not written anew in the meantime
                return epoch, weights

    @property
    def best_epoch(self) -> int:
        """The epoch whose weights are kept as the best by the validation set, from 1; 0 for none."""
        return self._file.read(_best_epoch)

    def last_test(self) -> LastTest:
        """What the last test answered; epoch 0 before it, while it is written, and in files of older versions."""
        while True:
            found = self._file.read(_last_test)
            if found.epoch == self._file.read(_tested_epoch):  # not written anew in the meantime
                return found

    @property
    def recorded(self) -> RecordedSamples | None:
        """The samples whose spikes are recorded; None where there are none, and in files of older versions."""
        return self._file.read(_recorded)

    def blocks(self, table: str, rows: int, block: int = 1 << 20) -> Iterator[dict[str, NDArray[Any]]]:
        """The first `rows` rows of a table in pieces of at most `block` rows.

        Raises
        ------
        InputError
            If the table has fewer complete rows, or is damaged.
        """
        complete = self._file.read(lambda contents: self._complete_rows(contents, table))
        if complete < rows:
            raise InputError(
                f"{self.path} has {complete} complete rows of /{table}, and {rows} are needed: the checkpoint belongs "
                "to another file"
            )
        for start in range(0, rows, block):
            yield self._columns(table, start, min(rows, start + block))

    def digest(self) -> str:
        """SHA-256 over configuration, layers, weights, counts and metrics, hexadecimal.

        Equal for two runs of the same computation. Left out: times, host, command line, versions, the best weights,
        which follow from the rest, gains and statistics behind the weights, and whether the run has ended. Columns go
        in by the order of the schema, with name, type and number of rows, little endian; weights by name.
        """
        digest = hashlib.sha256()

        def put(name: str, array: NDArray[Any]) -> None:
            little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
            digest.update(f"{name}|{little.dtype.str}|{little.shape}\n".encode())
            digest.update(little.data if little.size else b"")

        digest.update(f"{MAGIC} {self.format_version}\n".encode())
        layers = [dataclasses.asdict(layer) for layer in self.layers]
        digest.update(canonical_json({"config": self.config, "seed": self.seed, "layers": layers}).encode())
        for name, array in sorted(self.weights().items()):
            put(f"/weights/{name}", array)
        for table, columns in TABLES.items():
            for values in self.blocks(table, self.rows[table]):
                for column in columns:
                    if column.in_digest:
                        put(column.path, values[column.name])
        return digest.hexdigest()

    def _table(self, table: str) -> dict[str, NDArray[Any]]:
        return self._columns(table, 0, None)

    def _columns(self, table: str, start: int, stop: int | None) -> dict[str, NDArray[Any]]:
        """Rows `start` to `stop`, or to the last complete one."""

        def read(contents: Contents) -> dict[str, NDArray[Any]]:
            end = self._complete_rows(contents, table) if stop is None else stop
            layers, compressed = len(self.layers), table == "spikes"
            return {
                column.name: np.asarray(
                    contents.rows(
                        column.path, start, end, column.dtype, column.row_shape(layers), compressed=compressed
                    ),
                    dtype=column.dtype,
                )
                for column in TABLES[table]
            }

        return self._file.read(read)

    def _complete_rows(self, contents: Contents, table: str) -> int:
        # The writer raises the count after it has flushed the columns, so a row that is counted is whole. The lengths
        # matter where a machine lost its power, when the order of writes is not kept.
        count = int(contents.array(f"/rows/{table}", "<u8", ()))
        rows = min(count, *(contents.length(column.path) for column in TABLES[table]))
        if table == "spikes" and rows > self._spikes_max(contents):
            raise ValueError(f"{rows} spikes, more than its neurons can have")
        return rows

    def _spikes_max(self, contents: Contents) -> int:
        """Spikes that the recorded samples can have: these columns are compressed, so the file's size bounds little."""
        samples, steps = self.setting("record.spikes"), self.setting("dynamics.steps_free")
        if not isinstance(samples, list) or not isinstance(steps, int):
            return _COMPRESSION_MAX * contents.size
        return len(samples) * max(steps, 0) * sum(layer.neurons for layer in self.layers)


def is_run_file(path: str | os.PathLike[str]) -> bool:
    """Whether a file is a run file of any format version, as far as can be told."""
    try:
        file = HDF5File(path, _WANTED, _REMEDY)
    except InputError:
        return False
    try:
        file.read(lambda contents: _require_run_file(contents, file.path))
    except InputError:
        return False
    finally:
        file.close()
    return True


def stored_format(path: str | os.PathLike[str]) -> str:
    """What an HDF5 file says that it is (`spikesim.io.formats.FORMATS`); nothing if it says nothing or cannot be
    read."""
    try:
        with contextlib.closing(HDF5File(path, _WANTED, _REMEDY)) as file:
            return file.read(lambda contents: contents.text("format"))
    except InputError:
        return ""


def _require_run_file(contents: Contents, path: object) -> None:
    if not require_format(contents, path, MAGIC, _WANTED):
        raise InputError(f"{path} is an HDF5 file of another program (its 'format' is not {MAGIC!r}); {_WANTED}")


def _layer(row: Mapping[str, Any]) -> LayerInfo:
    """A row of the table of layers.

    Raises
    ------
    ValueError
        It describes no layer.
    """
    name, shape = row["name"].decode(), tuple(int(length) for length in row["shape"])
    if not is_layer_name(name):
        raise ValueError(f"a layer with the name {printable(name)}")
    if min(shape) < 1 or math.prod(shape) > NEURONS_MAX or math.prod(shape) != int(row["neurons"]):
        raise ValueError(f"shape of {name}: {'x'.join(map(str, shape))}, {row['neurons']} neurons")
    height, width, channels = shape
    return LayerInfo(
        name=name,
        shape=(height, width, channels),
        weights=int(row["weights"]),
        synapses_forward=int(row["synapses_forward"]),
        synapses_feedback=int(row["synapses_feedback"]),
        analogue=bool(row["analogue"]),
        cells=int(row["cells"]),
    )


def _weights(contents: Contents, group: str) -> dict[str, NDArray[np.float32]]:
    """The arrays of a group that has one for each layer and head."""
    found, total = {}, 0
    for layer in contents.names(group):
        for name in contents.names(f"{group}/{layer}"):
            array = contents.array(f"{group}/{layer}/{name}", "<f4")
            total += array.nbytes
            if total > contents.size:
                raise ValueError("weights that are in the file once and under several names")
            found[f"{layer}/{name}"] = np.asarray(array, dtype=np.float32)
    return found


def _best_epoch(contents: Contents) -> int:
    """0 also in files of versions that did not keep the best weights."""
    return int(contents.array(BEST_EPOCH, "<u4", ())) if contents.has("/best") and contents.has(BEST_EPOCH) else 0


def _tested_epoch(contents: Contents) -> int:
    return int(contents.array(f"{LAST_TEST}/epoch", "<u4", ())) if contents.has(LAST_TEST) else 0


def _last_test(contents: Contents) -> LastTest:
    epoch = _tested_epoch(contents)
    if not epoch:
        return LastTest()
    confusion = contents.array(f"{LAST_TEST}/confusion", "<i8")
    answers = contents.array(f"{LAST_TEST}/answers", "<i8")
    if confusion.ndim != 2 or len(set(confusion.shape)) > 1 or answers.ndim != 1:
        raise ValueError(f"a confusion matrix of shape {confusion.shape}")
    if (confusion.size and not 0 <= confusion.min() <= confusion.max() < 2**53) or (answers < 0).any():
        raise ValueError("a confusion matrix or answers that no test gives")
    return LastTest(epoch, confusion, answers)


def _recorded(contents: Contents) -> RecordedSamples | None:
    if not contents.has(RECORDED):
        return None
    samples, labels = (contents.array(f"{RECORDED}/{name}", "<i8") for name in ("sample", "label"))
    images = contents.array(f"{RECORDED}/image", "|u1")
    if samples.ndim != 1 or labels.shape != samples.shape or images.ndim != 4 or len(images) != len(samples):
        raise ValueError("recorded samples that do not belong together")
    tokens = contents.array(f"{RECORDED}/tokens", "<i4") if contents.has(f"{RECORDED}/tokens") else None
    if tokens is not None and (tokens.ndim != 2 or len(tokens) != len(samples)):
        raise ValueError("recorded tokens that do not belong to the samples")
    return RecordedSamples(samples, labels, images, tokens)


def _optional_text(contents: Contents, name: str) -> str:
    """An attribute that files of this format have had only since some version; "" without it."""
    try:
        return contents.text(name)
    except KeyError:
        return ""


def _shape(text: str) -> tuple[int, int, int] | None:
    """Three sides, or nothing known."""
    value = json.loads(text or "null")
    if value is None:
        return None
    if not (
        isinstance(value, list) and len(value) == 3 and all(type(side) is int and 0 < side < 2**31 for side in value)
    ):
        raise ValueError("input_shape is no shape")
    return value[0], value[1], value[2]
