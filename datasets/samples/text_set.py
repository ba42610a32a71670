"""Texts as they are: what a network has of them depends on the vocabulary of its run."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from spikesim.datasets.samples.vocabulary import tokens_of
from spikesim.errors import InputError


@dataclass(frozen=True, eq=False)
class TextSet:
    """Texts with their labels.

    Attributes
    ----------
    texts : tuple of str
    labels : int64 (n,)
        Read-only.
    longest : int or None
        Tokens of the longest text of the data set, training and test together; None: of these texts.

    Raises
    ------
    InputError
        The labels have another dtype or shape, or there are not as many as texts.
    """

    texts: tuple[str, ...]
    labels: NDArray[np.int64]
    longest: int | None = None

    def __post_init__(self) -> None:
        if self.labels.dtype != np.int64 or self.labels.shape != (len(self.texts),):
            raise InputError(
                f"labels of {len(self.texts)} texts are {self.labels.dtype} of shape {self.labels.shape}; they must be "
                f"int64 of shape ({len(self.texts)},)"
            )
        view = self.labels.view()
        view.flags.writeable = False
        object.__setattr__(self, "labels", view)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(1, tokens of the longest text, 1)."""
        return 1, int(self._lengths.max(initial=0)) if self.longest is None else self.longest, 1

    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each text, int64 (n,)."""
        return self._lengths

    @cached_property
    def _lengths(self) -> NDArray[np.int64]:
        found = np.fromiter((len(tokens_of(text)) for text in self.texts), np.int64, len(self.texts))
        found.flags.writeable = False
        return found
