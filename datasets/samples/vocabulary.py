"""Texts as tokens, and tokens as numbers."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikesim.errors import InputError

__all__ = ["PADDING", "UNKNOWN", "Vocabulary", "tokens_of"]

PADDING, UNKNOWN = 0, 1
"""Indices of what stands behind the end of a text, and of the words that a vocabulary lacks."""
_SPECIAL = ("", "<unknown>")
"""Their names, which no token has: < is a token of its own."""
_TOKEN = re.compile(r"[^\W_]+(?:'[^\W_]+)*|[^\w\s]|_")


def tokens_of(text: str) -> list[str]:
    """The tokens of a text: words, and signs one by one.

    The text is case-folded and brought to the Unicode normal form NFC, and the apostrophe U+2019 becomes ``'``. A word
    is a run of letters and digits, as `str.isalnum` knows them, with single apostrophes inside: ``don't`` is one.
    Each other character that is no white space is a token.
    """
    return _TOKEN.findall(unicodedata.normalize("NFC", text.casefold()).replace("\u2019", "'"))


@dataclass(frozen=True)
class Vocabulary:
    """The tokens that a network knows, by number.

    Attributes
    ----------
    words : tuple of str
        Number 0 is padding and has no name, 1 stands for all tokens that are not here; behind them those of the
        training texts by descending count, equal ones in the order of their characters.

    Raises
    ------
    InputError
        The first two are others, a word occurs twice, or one is no token.
    """

    words: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.words[:2] != _SPECIAL or len(set(self.words)) != len(self.words):
            raise InputError(f"words of a vocabulary must begin with {_SPECIAL} and be different")
        wrong = next((word for word in self.words[2:] if not _TOKEN.fullmatch(word)), None)
        if wrong is not None:
            raise InputError(f"{wrong!r} is not a token; a word of a vocabulary must be one")

    def __len__(self) -> int:
        return len(self.words)

    @classmethod
    def build(cls, texts: Sequence[str], *, min_count: int, size: int | None) -> "Vocabulary":
        """The tokens of training texts.

        Parameters
        ----------
        texts : sequence of str
            Of the training part alone.
        min_count : int
            How often a token must occur in all of them together.
        size : int or None
            Keep the most frequent ones only: so many, beside padding and unknown. None: all.

        Raises
        ------
        InputError
            A number is not positive, or no token is left.
        """
        for name, value in (("min_count", min_count), ("size", size)):
            if value is not None and value < 1:
                raise InputError(f"{name} of a vocabulary is {value}; it must be 1 or more")
        counts = Counter(token for text in texts for token in tokens_of(text))
        kept = sorted((-count, word) for word, count in counts.items() if count >= min_count)[:size]
        if not kept:
            most = max(counts.values(), default=0)
            raise InputError(
                f"no token of the training texts occurs {min_count} times, the most frequent {most} times; choose a "
                "smaller minimum count"
            )
        return cls((*_SPECIAL, *(word for _, word in kept)))

    def encode(self, texts: Sequence[str], longest: int | None = None) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Texts as numbers.

        Parameters
        ----------
        texts : sequence of str
        longest : int, optional
            Tokens behind so many are left out.

        Returns
        -------
        tokens : int32 (total,)
            Indices in `words`, one text after the other.
        offsets : int64 (n + 1,)
            Those of text i are from ``offsets[i]`` to ``offsets[i + 1]``.
        """
        numbers = {word: number for number, word in enumerate(self.words)}
        lengths = np.zeros(len(texts) + 1, np.int64)

        def found() -> Iterator[int]:
            for row, text in enumerate(texts, 1):
                own = tokens_of(text)[:longest]
                lengths[row] = len(own)
                yield from (numbers.get(token, UNKNOWN) for token in own)

        tokens = np.fromiter(found(), np.int32)
        return tokens, np.cumsum(lengths)

    def decode(self, tokens: NDArray[np.int32]) -> str:
        """The words of a text, with spaces between them; ``(unknown)`` for those that are not here.

        Parameters
        ----------
        tokens : int32 (n,)
            Padding says nothing, and so do numbers that the vocabulary does not have.
        """
        known = [number for number in tokens.tolist() if PADDING < number < len(self.words)]
        return " ".join("(unknown)" if number == UNKNOWN else self.words[number] for number in known)

    def to_bytes(self) -> bytes:
        """The words from number 2 on as UTF-8, one a line: no token has a line break."""
        return "".join(f"{word}\n" for word in self.words[2:]).encode("utf-8", "surrogatepass")

    @classmethod
    def from_bytes(cls, data: bytes) -> "Vocabulary":
        """Back from `to_bytes`.

        Raises
        ------
        InputError
            They are no vocabulary.
        """
        try:
            text = data.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError as error:
            raise InputError(f"a vocabulary is not UTF-8 ({error.reason} at byte {error.start})") from None
        if text and not text.endswith("\n"):
            raise InputError("a vocabulary ends inside a line")
        return cls((*_SPECIAL, *text.split("\n")[:-1]))
