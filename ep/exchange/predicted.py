"""Spikes that ``spikesim predict --spikes`` recorded, for the formats that take those of a run."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesim.ep.runs.last_test import RecordedSamples
from spikesim.ep.runs.schema import LayerInfo, is_layer_name
from spikesim.errors import InputError
from spikesim.io.npz import read_array
from spikesim.runtime.printable import one_line

__all__ = ["PredictedSpikes"]

_COLUMNS = ("sample", "step", "layer", "neuron")
_IMAGES = "recorded_images"
_BYTES_MAX = 2**34


class PredictedSpikes:
    """The spikes in a file of predictions; to `spikesim.ep.exchange.spikes.read_recording` what a run is.

    Parameters
    ----------
    path : Path
        The .npz file.

    Attributes
    ----------
    path : Path
    config_hash : str
        Of the run whose network it was.
    layers : list of LayerInfo
        Their names and shapes alone.
    answers : dict of int to int
        Predicted class by sample, as far as the file has them.
    recorded : RecordedSamples or None
        The samples whose spikes were recorded, with labels of -1, for they are not known; None in older files.

    Raises
    ------
    InputError
        It cannot be read, is something else, or has no spikes.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        wanted = ["config_hash", "layers", "layer_shapes", "steps", "recorded", *(f"spike_{name}" for name in _COLUMNS)]
        found = _read(path, wanted, ["samples", "labels", _IMAGES])
        try:
            self.config_hash = str(found["config_hash"][()])
            self.layers = [
                LayerInfo(name, (int(shape[0]), int(shape[1]), int(shape[2])), 0, 0, 0, False)
                for name, shape in zip(found["layers"].tolist(), found["layer_shapes"].tolist(), strict=True)
            ]
            self._recorded = [int(sample) for sample in found["recorded"].tolist()]
            self._steps = int(found["steps"].max(initial=0))
            self._columns = {name: _column(found[f"spike_{name}"]) for name in _COLUMNS}
            numbers = [_column(found[name]).tolist() for name in ("samples", "labels") if name in found]
            self.answers = dict(zip(*numbers, strict=True)) if len(numbers) == 2 else {}
            self.recorded = _samples(self._recorded, found[_IMAGES]) if _IMAGES in found else None
            lengths = {len(column) for column in self._columns.values()}
            if len(lengths) > 1 or not all(is_layer_name(layer.name) and layer.neurons > 0 for layer in self.layers):
                raise ValueError("arrays that do not belong together")
        except (TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
            raise InputError(f"{path}: not spikes of 'spikesim predict', or damaged ({one_line(error)})") from None

    @property
    def name(self) -> str:
        """Of the file."""
        return self.path.name

    def spikes(self) -> dict[str, NDArray[np.int64]]:
        """The columns that a run file has; the epoch, which a prediction has not, is 0."""
        return {"epoch": np.zeros(len(self._columns["step"]), np.int64), **self._columns}

    def setting(self, key: str, default: Any = None) -> Any:
        """What a run's configuration says of recorded spikes: the samples, and the length of a free phase."""
        return {"record.spikes": self._recorded, "dynamics.steps_free": self._steps}.get(key, default)


def _samples(recorded: list[int], images: NDArray[Any]) -> RecordedSamples:
    if images.dtype != np.uint8 or images.ndim != 4 or len(images) != len(recorded):
        raise ValueError("images that are not those of the recorded samples")
    samples = np.array(recorded, np.int64)
    return RecordedSamples(samples, np.full(len(samples), -1, np.int64), images)


def _column(values: NDArray[Any]) -> NDArray[np.int64]:
    if values.ndim != 1 or values.dtype.kind not in "iu" or (len(values) and not 0 <= values.min()):
        raise ValueError("a column of spikes that are none")
    return values.astype(np.int64)


def _read(path: Path, names: list[str], optional: list[str]) -> dict[str, NDArray[Any]]:
    advice = "give a run file, or the .npz that 'spikesim predict --spikes' wrote"
    if not path.is_file():
        raise InputError(f"{path} {'is not a regular file' if path.exists() else 'does not exist'}; {advice}")
    try:
        with zipfile.ZipFile(path) as archive:
            members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
            if "spike_step" not in members:
                raise InputError(f"{path} has no recorded spikes; {advice}")
            names = [*names, *(name for name in optional if name in members)]
            if sum(members[name].file_size for name in names) > _BYTES_MAX:
                raise InputError(f"{path}: its spikes take more than {_BYTES_MAX} bytes; record those of fewer samples")
            return {name: read_array(archive, members[name]) for name in names}
    except (InputError, MemoryError):
        raise
    except Exception as error:  # the parsers of archives and of arrays raise many kinds for damaged bytes
        raise InputError(f"{path}: not an .npz file, or a damaged one ({one_line(error)}); {advice}") from None
