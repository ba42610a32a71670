"""HDF5 files changed where it hurts: in their structures, with checksums that fit again.

Most changes of a byte end at a checksum, and prove little. So the structures of a valid file are found, by signature
and checksum, and with them the places where one points to another. A changed structure mostly gets the checksum of
what it now holds, as from an enemy who knows the format.
"""

import random
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from spikesim.io.hdf5_bytes import SIGNATURE

CHECKED = (b"OHDR", b"OCHK", b"FRHP", b"FHIB", b"BTHD", b"BTIN", b"BTLF", b"EAHD", b"EAIB", b"EASB", b"EADB")
CHECKED += (b"FAHD", b"FADB", b"FSHD", b"FSSE", b"SMTB", b"SMLI", SIGNATURE)
"""Signatures of structures that end with a checksum."""
UNCHECKED = (b"TREE", b"SNOD", b"HEAP", b"GCOL")
LONGEST = 1 << 14
EXTREMES = (0, 1, 2, 7, 8, 2**7, 2**8 - 1, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1)


HEAP_BLOCK = b"FHDB"
"""Signature of a block that has its checksum in its head, as of zeros there."""


@dataclass(frozen=True)
class Structure:
    """Where a structure lies, and where its checksum, if it has one."""

    start: int
    stop: int
    checksum: int | None = None

    def sign(self, data: bytearray) -> None:
        """Put in the checksum of what is there now."""
        if self.checksum is not None:
            own = slice(self.checksum, self.checksum + 4)
            if self.checksum < self.stop:
                data[own] = bytes(4)
            data[own] = int(lookup3(np.frombuffer(bytes(data[self.start : self.stop]), np.uint8))).to_bytes(4, "little")


@dataclass(frozen=True)
class Seed:
    """A valid file, its structures, and where it has the address of one."""

    data: bytes
    structures: tuple[Structure, ...]
    pointers: tuple[int, ...]


@numba.njit
def lookup3(data: NDArray[np.uint8]) -> int:
    """The checksum of HDF5; as `spikesim.io.hdf5_bytes.checksum`, faster."""
    mask = np.uint64(0xFFFFFFFF)
    stop = length = len(data)
    state = np.empty(3, np.uint64)
    state[:] = np.uint64(0xDEADBEEF) + np.uint64(length) & mask
    at = 0
    while True:
        for word in range(3):
            value = np.uint64(0)
            for byte in range(4):
                if at + 4 * word + byte < stop:
                    value |= np.uint64(data[at + 4 * word + byte]) << np.uint64(8 * byte)
            state[word] = state[word] + value & mask
        a, b, c = state[0], state[1], state[2]
        if stop - at <= 12:
            break
        a = (a - c & mask) ^ _rotated(c, 4)
        c = c + b & mask
        b = (b - a & mask) ^ _rotated(a, 6)
        a = a + c & mask
        c = (c - b & mask) ^ _rotated(b, 8)
        b = b + a & mask
        a = (a - c & mask) ^ _rotated(c, 16)
        c = c + b & mask
        b = (b - a & mask) ^ _rotated(a, 19)
        a = a + c & mask
        c = (c - b & mask) ^ _rotated(b, 4)
        b = b + a & mask
        state[0], state[1], state[2] = a, b, c
        at += 12
    c = (c ^ b) - _rotated(b, 14) & mask
    a = (a ^ c) - _rotated(c, 11) & mask
    b = (b ^ a) - _rotated(a, 25) & mask
    c = (c ^ b) - _rotated(b, 16) & mask
    a = (a ^ c) - _rotated(c, 4) & mask
    b = (b ^ a) - _rotated(a, 14) & mask
    return (c ^ b) - _rotated(b, 24) & mask


@numba.njit
def _rotated(word: int, bits: int) -> int:
    mask = np.uint64(0xFFFFFFFF)
    return (word << np.uint64(bits) | word >> np.uint64(32 - bits)) & mask


@numba.njit
def _checked_length(data: NDArray[np.uint8], start: int, most: int) -> int:
    """Length of the structure at `start` before its checksum; 0 if none fits."""
    for length in range(12, most):
        stop = start + length
        stored = np.uint64(0)
        for byte in range(4):
            stored |= np.uint64(data[stop + byte]) << np.uint64(8 * byte)
        if lookup3(data[start:stop]) == stored:
            return length
    return 0


def find_structures(data: bytes) -> Seed:
    """Look into a valid file."""
    array = np.frombuffer(data, np.uint8)
    found = []
    for signature in CHECKED:
        for start in _places(data, signature):
            length = _checked_length(array, start, min(LONGEST, len(data) - start - 4))
            if length:
                found.append(Structure(start, start + length, start + length))
    for start in _places(data, HEAP_BLOCK):
        sizes = (size for size in (512, 1024, 2048, 4096, 8192) if start + size <= len(data))
        found += [
            block
            for block in (Structure(start, start + size, start + at) for size in sizes for at in (17, 18))
            if _signed(data, block)
        ]
    for signature in UNCHECKED:
        found += [Structure(start, min(start + 512, len(data))) for start in _places(data, signature)]
    addresses = [structure.start.to_bytes(8, "little") for structure in found if structure.start]
    pointers = sorted(place for address in addresses for place in _places(data, address))
    return Seed(data, tuple(found), tuple(pointers))


def _signed(data: bytes, structure: Structure) -> bool:
    again = bytearray(data)
    structure.sign(again)
    return again == data


def _places(data: bytes, word: bytes) -> list[int]:
    found, at = [], data.find(word)
    while at >= 0 and len(found) < 500:
        found.append(at)
        at = data.find(word, at + 1)
    return found


def changed(chance: random.Random, seed: Seed) -> bytes:
    """A file with one to four changes in its structures."""
    data = bytearray(seed.data)
    touched = []
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        structure = chance.choice(seed.structures)
        length = structure.stop - structure.start
        kind = chance.randrange(8)
        if kind == 0 and seed.pointers:
            at = chance.choice(seed.pointers)
            target = chance.choice(seed.structures).start
            value = chance.choice((target, target, target, 0, 2**64 - 1, len(data) - 1, at))
            data[at : at + 8] = value.to_bytes(8, "little")
            touched += [own for own in seed.structures if own.start <= at < own.stop]
            continue
        at = structure.start + (
            chance.randrange(min(length, 64)) if chance.random() < 0.5 else chance.randrange(length)
        )
        size = min(chance.choice((1, 2, 4, 8)), structure.stop - at)
        if kind <= 2:
            data[at] ^= 1 << chance.randrange(8)
        elif kind == 3:
            data[at] = chance.randrange(256)
        elif kind == 4:
            number = int.from_bytes(data[at : at + size], "little") + chance.choice((-1, 1, 8, -8, 256))
            data[at : at + size] = (number % 256**size).to_bytes(size, "little")
        elif kind == 5:
            other = chance.choice(seed.structures)
            part = seed.data[other.start : min(other.stop, other.start + structure.stop - at)]
            data[at : at + len(part)] = part
        elif kind == 6:  # a piece moves up, as if something were left out
            gap = min(chance.choice((1, 4, 8, 16)), structure.stop - at)
            data[at : structure.stop] = data[at + gap : structure.stop] + bytes(gap)
        else:
            data[at : at + size] = (chance.choice(EXTREMES) % 256**size).to_bytes(size, "little")
        touched.append(structure)
    if chance.random() < 0.85:
        for structure in touched:
            structure.sign(data)
    if chance.random() < 0.03:
        del data[chance.randrange(len(data)) :]
    return bytes(data)
