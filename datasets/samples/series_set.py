"""Series: several channels over time, each as long as it is."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikesim.errors import InputError


@dataclass(frozen=True, eq=False)
class SeriesSet:
    """Series with their labels; all arrays are read-only.

    Attributes
    ----------
    values : float32 (frames, channels)
        One series after the other, all finite.
    offsets : int64 (n + 1,)
        The frames of series i are those from ``offsets[i]`` to ``offsets[i + 1]``; each has one or more.
    labels : int64 (n,)
    longest : int
        Frames of the longest series of the data set, training and test together.

    Raises
    ------
    InputError
        An array has another dtype or shape, a value is NaN or infinite, a series has no frame or more than `longest`.
    """

    values: NDArray[np.float32]
    offsets: NDArray[np.int64]
    labels: NDArray[np.int64]
    longest: int

    def __post_init__(self) -> None:
        for name, dtype, dimensions in (("values", np.float32, 2), ("offsets", np.int64, 1), ("labels", np.int64, 1)):
            array = getattr(self, name)
            if array.dtype != dtype or array.ndim != dimensions:
                raise InputError(
                    f"{name} of series are {array.dtype} of {array.ndim} dimensions; they must be {np.dtype(dtype)} of "
                    f"{dimensions}"
                )
            view = array.view()
            view.flags.writeable = False
            object.__setattr__(self, name, view)
        lengths = np.diff(self.offsets)
        if len(lengths) != len(self.labels) or self.offsets[0] != 0 or self.offsets[-1] != len(self.values):
            raise InputError(
                f"offsets of {len(self.labels)} series must be {len(self.labels) + 1} numbers from 0 to "
                f"{len(self.values)}, the number of frames"
            )
        if len(lengths) and not 1 <= lengths.min() <= lengths.max() <= self.longest:
            raise InputError(
                f"series have {lengths.min()} to {lengths.max()} frames; each must have 1 .. {self.longest}"
            )
        bad = np.flatnonzero(~np.isfinite(self.values).all(axis=1))
        if len(bad):
            number = int(np.searchsorted(self.offsets, bad[0], side="right")) - 1
            raise InputError(
                f"series {number} has a value that is NaN or infinite in frame {bad[0] - self.offsets[number]}; fill "
                "it in, or leave the series out"
            )

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(1, longest, channels): a row of frames."""
        return 1, self.longest, self.values.shape[1]

    def lengths(self) -> NDArray[np.int64]:
        """Frames of each series, int64 (n,)."""
        return np.diff(self.offsets)

    def padded(self, samples: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Chosen series with zeros behind their ends.

        Parameters
        ----------
        samples : int64 (m,)

        Returns
        -------
        float32 (m, 1, longest, channels)
        int64 (m,)
            Their lengths in frames.
        """
        out = np.zeros((len(samples), self.longest, self.values.shape[1]), np.float32)
        for row, sample in enumerate(samples):
            own = self.values[self.offsets[sample] : self.offsets[sample + 1]]
            out[row, : len(own)] = own
        return out[:, np.newaxis], self.lengths()[samples]

    def pictures(self, samples: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Chosen series to look at, uint8 (m, 1, longest, channels): the range of the set is 0 .. 255, ends are 0."""
        values, lengths = self.padded(samples)
        low, high = (float(limit) for limit in (self.values.min(initial=0), self.values.max(initial=0)))
        scaled = np.rint((values.astype(np.float64) - low) * (255 / ((high - low) or 1.0)))
        inside = np.arange(self.longest) < lengths[:, np.newaxis]
        return np.where(inside[:, np.newaxis, :, np.newaxis], scaled, 0).astype(np.uint8)
