"""Texts as a network has them: the numbers of their tokens in a vocabulary."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikesim.datasets.samples.text_set import TextSet
from spikesim.datasets.samples.vocabulary import UNKNOWN, Vocabulary

__all__ = ["TokenSet"]


@dataclass(frozen=True, eq=False)
class TokenSet:
    """Encoded texts with their labels; all arrays are read-only.

    Attributes
    ----------
    tokens : int32 (total,)
        Numbers in the vocabulary, one text after the other.
    offsets : int64 (n + 1,)
        The tokens of text i are those from ``offsets[i]`` to ``offsets[i + 1]``; each has one or more.
    labels : int64 (n,)
    longest : int
        Tokens of the longest text of the data set, training and test together.
    """

    tokens: NDArray[np.int32]
    offsets: NDArray[np.int64]
    labels: NDArray[np.int64]
    longest: int

    def __post_init__(self) -> None:
        for name in ("tokens", "offsets", "labels"):
            view = getattr(self, name).view()
            view.flags.writeable = False
            object.__setattr__(self, name, view)

    @classmethod
    def encode(cls, texts: TextSet, vocabulary: Vocabulary, longest: int) -> "TokenSet":
        """Texts, of which at most so many tokens count."""
        tokens, offsets = vocabulary.encode(texts.texts, longest)
        return cls(tokens, offsets, texts.labels, longest)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(1, longest, 1)."""
        return 1, self.longest, 1

    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each text, int64 (n,)."""
        return np.diff(self.offsets)

    def without_known(self) -> NDArray[np.int64]:
        """The texts of which the vocabulary has no token, int64 (m,)."""
        text_of = np.repeat(np.arange(len(self)), self.lengths())
        return np.flatnonzero(np.bincount(text_of[self.tokens != UNKNOWN], minlength=len(self)) == 0)

    def padded(self, samples: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Chosen texts with zeros behind their ends.

        Parameters
        ----------
        samples : int64 (m,)

        Returns
        -------
        int32 (m, 1, longest, 1)
        int64 (m,)
            Their lengths in tokens.
        """
        out = np.zeros((len(samples), self.longest), np.int32)
        for row, sample in enumerate(samples):
            own = self.tokens[self.offsets[sample] : self.offsets[sample + 1]]
            out[row, : len(own)] = own
        return out[:, np.newaxis, :, np.newaxis], self.lengths()[samples]

    def pictures(self, samples: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Chosen texts to look at, uint8 (m, 1, longest, 1): 255 where there is a token."""
        inside = np.arange(self.longest) < self.lengths()[samples][:, np.newaxis]
        return (inside * np.uint8(255))[:, np.newaxis, :, np.newaxis]
