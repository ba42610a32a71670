"""Text files as lines, and which of several texts are for tests."""

import hashlib
import re
from pathlib import Path

from spikesim.datasets.catalogue.unpacking import read_bounded
from spikesim.errors import InputError

__all__ = ["FOLDS", "companion_of", "decoded", "fold_of", "read_text"]

FOLDS = 10
BYTES_MAX = 2**33
"""Bytes of the largest file that is read."""
_TRAIN = re.compile(r"(.*?)(train|Train|TRAIN)((?:\.[A-Za-z]+)+)", re.DOTALL)
_TEST = {"train": "test", "Train": "Test", "TRAIN": "TEST"}


def decoded(data: bytes, name: str) -> str:
    """UTF-8 as text, without the mark that may stand at its beginning, and with line feeds alone as ends of lines.

    Raises
    ------
    InputError
        It is no UTF-8; the message has the line and the byte.
    """
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        # The codec counts from behind the mark.
        start = error.start + len(data) - len(error.object)
        line = data.count(b"\n", 0, start) + 1
        column = start - data.rfind(b"\n", 0, start)
        raise InputError(
            f"{name}: not UTF-8 in line {line}, byte {column} (0x{data[start]:02x}); save it as UTF-8"
        ) from None


def read_text(path: Path) -> str:
    """The text of a file, which may be packed as .gz.

    Raises
    ------
    InputError
        It cannot be read, is too long or no UTF-8.
    """
    data = read_bounded(path, BYTES_MAX)
    if len(data) >= BYTES_MAX:
        raise InputError(f"{path}: more than {BYTES_MAX - 1} bytes; give a part of it")
    return decoded(data, str(path))


def fold_of(text: str) -> int:
    """The tenth of a set that a text belongs to, 0 .. 9, whatever else is in the set.

    The first 8 hexadecimal digits of the SHA-256 of its UTF-8, modulo 10.
    """
    return int(hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8], 16) % FOLDS


def companion_of(path: Path) -> Path | None:
    """The file of the test part: X_test.tsv beside X_train.tsv, X_TEST.ts beside X_TRAIN.ts.

    Returns
    -------
    Path or None
        None: the name is not that of a training part, which ends in train in front of the suffix.

    Raises
    ------
    InputError
        There is none.
    """
    match = _TRAIN.fullmatch(path.name)
    if match is None or match[1][-1:].isalnum():
        return None
    other = path.with_name(f"{match[1]}{_TEST[match[2]]}{match[3]}")
    if not other.is_file():
        raise InputError(f"{path}: there is no {other.name} beside it; a training part needs its test part")
    return other
