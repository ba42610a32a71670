"""The bytes of an HDF5 file as its library is to see them.

Some things in a damaged file keep the HDF5 library busy for minutes or without end, or crash it, and h5py has no switch
for any of that. So it is given a Python file object, which hands out the bytes of the file but for this:

- A file that is being written (SWMR: single writer, multiple readers), or whose writer was killed, is marked as such in
  its superblock. HDF5 opens it in SWMR mode only, where it takes metadata with a wrong checksum for a writer that is
  not ready, and tries again up to 100 times, waiting ever longer. Here the mark is taken off, and the end of the file
  put to where it is now, so that what cannot be read fails at once. `spikesim.io.hdf5_reader` tries again.
- A global heap, where texts of variable length are kept, is a chain of objects, each with its length. HDF5 follows it
  without asking whether a length is 0. Here no global heap is read.
- The indices of groups and chunks begin with numbers from which HDF5 computes sizes and divisors, although it writes
  the same ones into every file. Here others are refused. So are the indices of chunks where several dimensions can
  grow, and of attributes that are more than eight of one object, or large; `spikesim.io.hdf5_writer.create` makes files
  without.

Where the file is too short, older versions of h5py leave the memory as it was; here that is an error.

The format: "HDF5 File Format Specification Version 3.0", II.A (superblock), III.A.2 (version 2 B-trees), III.E
(global heap), III.G (fractal heap); VII.C and VII.D (fixed and extensible arrays).
"""

import io
import os
from collections.abc import Callable
from typing import Any

__all__ = ["SIGNATURE", "DescriptorBytes", "HDF5Bytes", "checksum", "marked_as_written"]

SIGNATURE = b"\x89HDF\r\n\x1a\n"

_VERSION, _FLAGS = 8, 11
_WIDTHS, _OLD_WIDTHS = slice(9, 11), slice(13, 15)
_END = slice(28, 36)
_CHECKSUM = slice(44, 48)
_SUPERBLOCK_BYTES = 48
_WRITTEN, _FOLLOWED = 1, 4
"""Marks of a file that is open for writing, and of one that may be followed by readers meanwhile."""
_MASK = 0xFFFFFFFF


class DescriptorBytes(io.RawIOBase):
    """A file object for `h5py.File` on a descriptor whose own position it neither uses nor moves.

    Parameters
    ----------
    descriptor : int
        Of the open file.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self.descriptor = descriptor
        self._at = 0
        self._end = os.fstat(descriptor).st_size

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move to a position."""
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._end}[whence]
        return self._at

    def tell(self) -> int:
        """The position."""
        return self._at

    def _fill(self, view: memoryview) -> int:
        """Read from the position on until the view is full or the file ends; returns the number of bytes.

        Raises
        ------
        OSError
        """
        done = 0
        while done < len(view):
            count = os.preadv(self.descriptor, [view[done:]], self._at + done)
            if count == 0:
                break
            done += count
        return done


class HDF5Bytes(DescriptorBytes):
    """A file object for `h5py.File` that shows an HDF5 file, marked as being written or not, as one at rest.

    Parameters
    ----------
    descriptor : int
        Of the open file; stays open. Its position is neither used nor moved.

    Attributes
    ----------
    size : int
        Bytes of the file when this object was made.
    written : bool
        Whether it is marked as being written.
    end : int
        Where it ends as far as HDF5 knows; 0 in superblocks before version 2.

    Raises
    ------
    OSError
        The file cannot be read, or its addresses and lengths are not of 8 bytes.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor)
        self.size = self._end
        head = os.pread(descriptor, _SUPERBLOCK_BYTES, 0)
        if head[_OLD_WIDTHS if head[_VERSION : _VERSION + 1] in (b"\0", b"\1") else _WIDTHS] != b"\x08\x08":
            raise OSError("addresses or lengths that are not of 8 bytes")
        self.written, self.end = _superblock(head)
        self._head = _at_rest(head, self.size) if self.written else b""

    def readinto(self, buffer: Any, /) -> int:
        """Fill a buffer.

        Raises
        ------
        OSError
            The file ends before, or what was read is a structure that HDF5 would not survive.
        """
        view = memoryview(buffer).cast("B")
        done = self._fill(view)
        if done < len(view):
            raise OSError(f"the file ends before byte {self._at + len(view)}")
        if self._at < len(self._head):
            part = self._head[self._at : self._at + done]
            view[: len(part)] = part
        check = _CHECKS.get(bytes(view[:4]))
        if check is not None and not check(view, self.size):
            where = f"the structure at byte {self._at}"
            raise OSError(f"{where} is damaged, or of a kind that is not read, as in files of older versions")
        self._at += done
        return done


def marked_as_written(head: memoryview) -> memoryview | bytes:
    """The superblock of a file that grows while others read it, with the whole mark of one.

    HDF5 sets both bits of the mark for its own drivers. For a Python file object it leaves out the first, without which
    it does not open the file for readers. Anything else is handed back as it is.
    """
    if (
        len(head) != _SUPERBLOCK_BYTES
        or bytes(head[:8]) != SIGNATURE
        or head[_VERSION] < 3
        or head[_FLAGS] != _FOLLOWED
    ):
        return head
    changed = bytearray(head[: _CHECKSUM.start])
    changed[_FLAGS] = _FOLLOWED | _WRITTEN
    return bytes(changed) + checksum(bytes(changed)).to_bytes(4, "little")


def checksum(data: bytes) -> int:
    """The checksum of HDF5's metadata: lookup3 (`hashlittle` with 0) by Bob Jenkins, 2006."""
    length = len(data)
    a = b = c = (0xDEADBEEF + length) & _MASK
    if length == 0:
        return c
    padded = data + bytes(-length % 12)
    words = [int.from_bytes(padded[at : at + 4], "little") for at in range(0, len(padded), 4)]
    for at in range(0, len(words) - 3, 3):
        a, b, c = (a + words[at]) & _MASK, (b + words[at + 1]) & _MASK, (c + words[at + 2]) & _MASK
        a, c = (a - c & _MASK) ^ _rotated(c, 4), (c + b) & _MASK
        b, a = (b - a & _MASK) ^ _rotated(a, 6), (a + c) & _MASK
        c, b = (c - b & _MASK) ^ _rotated(b, 8), (b + a) & _MASK
        a, c = (a - c & _MASK) ^ _rotated(c, 16), (c + b) & _MASK
        b, a = (b - a & _MASK) ^ _rotated(a, 19), (a + c) & _MASK
        c, b = (c - b & _MASK) ^ _rotated(b, 4), (b + a) & _MASK
    a, b, c = (a + words[-3]) & _MASK, (b + words[-2]) & _MASK, (c + words[-1]) & _MASK
    c = (c ^ b) - _rotated(b, 14) & _MASK
    a = (a ^ c) - _rotated(c, 11) & _MASK
    b = (b ^ a) - _rotated(a, 25) & _MASK
    c = (c ^ b) - _rotated(b, 16) & _MASK
    a = (a ^ c) - _rotated(c, 4) & _MASK
    b = (b ^ a) - _rotated(a, 14) & _MASK
    return (c ^ b) - _rotated(b, 24) & _MASK


def _rotated(word: int, bits: int) -> int:
    return (word << bits | word >> (32 - bits)) & _MASK


def _superblock(head: bytes) -> tuple[bool, int]:
    """Whether a file is marked as being written, and its end as far as HDF5 knows; False and 0 in older formats."""
    if len(head) < _SUPERBLOCK_BYTES or head[_VERSION] < 2:
        return False, 0
    return head[_VERSION] >= 3 and head[_FLAGS] != 0, int.from_bytes(head[_END], "little")


def _at_rest(head: bytes, size: int) -> bytes:
    """The superblock without its mark, and with another end; as it is if it is damaged."""
    if int.from_bytes(head[_CHECKSUM], "little") != checksum(head[: _CHECKSUM.start]):
        return head
    changed = bytearray(head[: _CHECKSUM.start])
    changed[_FLAGS] = 0
    changed[_END] = size.to_bytes(8, "little")
    return bytes(changed) + checksum(bytes(changed)).to_bytes(4, "little")


def _tree_is_usual(view: memoryview, size: int) -> bool:
    """Version 2 B-tree: of the names in a group; its nodes, records, and when they are split and merged."""
    record, depth, records = _number(view, 10, 2), _number(view, 12, 2), _number(view, 24, 2)
    usual = record == _RECORDS.get(view[5]) and _number(view, 6, 4) == 512 and bytes(view[14:16]) == b"\x64\x28"
    return usual and record * records <= 512 and depth < 8


def _fractal_heap_is_usual(view: memoryview, size: int) -> bool:
    """Fractal heap: of the names in a group."""
    table = (_number(view, 110, 2), _number(view, 112, 8), _number(view, 120, 8), *view[128:132:2])
    return (
        bytes(view[5:10]) == b"\7\0\0\0\2"
        and _number(view, 10, 4) == 4096
        and table == (4, 512, 65536, 32, 1)
        and _number(view, 140, 2) < 32
    )


def _extensible_array_is_usual(view: memoryview, size: int) -> bool:
    """Extensible array: its parameters, and no more elements than the file has bytes."""
    return _element_is_usual(view) and bytes(view[7:12]) == b"\x20\4\x10\4\x0a" and _number(view, 44, 8) <= size


def _fixed_array_is_usual(view: memoryview, size: int) -> bool:
    """Fixed array: likewise."""
    return _element_is_usual(view) and view[7] == 10 and _number(view, 8, 8) <= size


def _element_is_usual(view: memoryview) -> bool:
    """An address, or also the length of a filtered chunk in up to 8 bytes and a mask of its filters."""
    return (view[5] == 0 and view[6] == 8) or (view[5] == 1 and 13 <= view[6] <= 20)


def _number(view: memoryview, at: int, width: int) -> int:
    return int.from_bytes(view[at : at + width], "little")


_RECORDS = {5: 11, 6: 15}
"""Length of the records of B-trees, by type: names and order of links."""
_CHECKS: dict[bytes, Callable[[memoryview, int], bool]] = {
    b"GCOL": lambda view, size: False,
    b"BTHD": _tree_is_usual,
    b"FRHP": _fractal_heap_is_usual,
    b"EAHD": _extensible_array_is_usual,
    b"FAHD": _fixed_array_is_usual,
}
"""Whether a structure is one that HDF5 could have written, given the size of the file, by its signature."""
