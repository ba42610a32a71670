"""Random numbers keyed by identity: Philox4x32-10.

A counter-based generator is a function, not a state: the number for (seed, sample, stream, layer, step, neuron) is the
same whichever thread or rank asks for it, and in whatever order.

Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC11, section 4.3.
"""

import numpy as np
from numpy.typing import NDArray

from spikesim.errors import InputError
from spikesim.jit.compilation import inline_kernel, kernel

ROUNDS = 10
MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
WEYL = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_LOW = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)


@inline_kernel
def philox4x32(c0, c1, c2, c3, k0, k1):
    """One block: four 32-bit words from a counter of four words and a key of two, all held in uint64.

    Numba widens the arithmetic of uint32 to 64 bits, so words are kept in uint64 and masked where they could grow.
    """
    for _ in range(ROUNDS):
        product_0 = MULTIPLIERS[0] * c0
        product_1 = MULTIPLIERS[1] * c2
        c0, c1, c2, c3 = (product_1 >> _32) ^ c1 ^ k0, product_1 & _LOW, (product_0 >> _32) ^ c3 ^ k1, product_0 & _LOW
        k0 = (k0 + WEYL[0]) & _LOW
        k1 = (k1 + WEYL[1]) & _LOW
    return c0, c1, c2, c3


@kernel
def _blocks(counters, key, out):
    k0, k1 = np.uint64(key[0]), np.uint64(key[1])
    for i in range(counters.shape[0]):
        words = philox4x32(
            np.uint64(counters[i, 0]),
            np.uint64(counters[i, 1]),
            np.uint64(counters[i, 2]),
            np.uint64(counters[i, 3]),
            k0,
            k1,
        )
        for j in range(4):
            out[i, j] = np.uint32(words[j])


def philox_words(counters: NDArray[np.uint32], seed: int) -> NDArray[np.uint32]:
    """Philox4x32-10 of an array of counters.

    Parameters
    ----------
    counters : uint32, shape (n, 4)
    seed : int
        The 64-bit key; its low half is the first key word.

    Returns
    -------
    uint32, shape (n, 4)

    Raises
    ------
    InputError
        Counters of another shape, or a seed out of range.
    """
    counters = np.ascontiguousarray(counters, dtype=np.uint32)
    if counters.ndim != 2 or counters.shape[1] != 4:
        raise InputError(f"counters have shape {counters.shape}; they need (n, 4)")
    out = np.empty_like(counters)
    _blocks(counters, seed_key(seed), out)
    return out


def random_bits(
    lines: int, width: int, *, second: NDArray[np.int64] | int, third: NDArray[np.int64] | int, fourth: int, seed: int
) -> NDArray[np.uint32]:
    """16 random bits for each place of each line, (lines, width).

    Those of place i are half i mod 8 of the Philox block with the counter (i div 8, `second`, `third`, `fourth`);
    `second` and `third` may be of shape (lines, 1).
    """
    octets = -(-width // 8)
    counters = np.empty((lines, octets, 4), np.uint32)
    counters[:, :, 0] = np.arange(octets)
    counters[:, :, 1] = second
    counters[:, :, 2] = third
    counters[:, :, 3] = fourth
    words = philox_words(counters.reshape(-1, 4), seed)
    return np.stack([words & 0xFFFF, words >> 16], axis=-1).reshape(lines, octets * 8)[:, :width]


def seed_key(seed: int) -> NDArray[np.uint32]:
    """The two key words of a seed; uint32, shape (2,)."""
    if not 0 <= seed < 2**64:
        raise InputError(f"seed is {seed}; it must be in 0 .. 2**64 - 1")
    return np.array([seed & 0xFFFFFFFF, seed >> 32], dtype=np.uint32)
