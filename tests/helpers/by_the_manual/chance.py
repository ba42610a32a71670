"""Sections "Firing" and "Random numbers"."""

import numpy as np
from by_the_manual.integers import ONE, Integers
from by_the_manual.page import follows
from by_the_manual.rules import van_der_corput
from numpy.typing import NDArray

Shape = tuple[int, int, int]


@follows(
    r"- `iid`: $z = 1$ if and only if $R < p$ with 16 fresh random bits $R$ at each step.",
    r"""
    - `stratified`: $R_t = R_0 \oplus v(t)$, bit by bit. $R_0$ is drawn once per phase, channel and cell of 2x2
    pixels; the neurons of the cell, numbered $k = 2 (y \bmod 2) + (x \bmod 2)$ by their pixels $y$ and $x$, have
    $R_0 \oplus k/3$, that is the two bits of $k$ eight times over.
    """,
)
class Firing:
    """What p is compared with, at each step of one phase of some samples.

    Parameters
    ----------
    kind : "iid" or "stratified"
    seed : int
    stream : int
        That of the phase.
    """

    def __init__(self, kind: str, seed: int, stream: int, samples: Integers) -> None:
        self.kind, self.seed, self.stream, self.samples = kind, seed, stream, samples
        self._first: dict[int, Integers] = {}

    def numbers(self, layer: int, shape: Shape, t: int) -> Integers:
        """R_t of the neurons of a layer, (n, neurons)."""
        if self.kind == "iid":
            return self._drawn(layer, shape, t)
        if layer not in self._first:
            drawn = self._drawn(layer, shape, 0).reshape(-1, *shape)
            for y, x in np.ndindex(shape[:2]):
                k = 2 * (y % 2) + x % 2
                drawn[:, y, x] = drawn[:, y - y % 2, x - x % 2] ^ (k * (ONE - 1) // 3)
            self._first[layer] = drawn.reshape(len(self.samples), -1)
        return self._first[layer] ^ van_der_corput(t)

    def _drawn(self, layer: int, shape: Shape, t: int) -> Integers:
        return random_bits(shape, self.samples, layer, self.stream, t, self.seed)


@follows(
    """
    Philox4x32-10 [5], a function from a counter of four 32-bit words and a key of two to four random words. The key is
    the seed, its low half first.
    """,
)
def philox(counters: Integers, seed: int) -> Integers:
    """The blocks (n, 4) of counters (n, 4): ten rounds, as the paper has them."""
    low = np.uint64(2**32 - 1)
    c0, c1, c2, c3 = counters.astype(np.uint64).T
    k0, k1 = seed % 2**32, seed // 2**32
    for _ in range(10):
        product0, product1 = np.uint64(0xD2511F53) * c0, np.uint64(0xCD9E8D57) * c2
        c0, c1 = (product1 >> np.uint64(32)) ^ c1 ^ np.uint64(k0), product1 & low
        c2, c3 = (product0 >> np.uint64(32)) ^ c3 ^ np.uint64(k1), product0 & low
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return np.stack([c0, c1, c2, c3], axis=1).astype(np.int64)


@follows(
    """
    | what | word 0 | word 1 | word 2 | word 3 | |---|---|---|---|---| | firing | octet | step | sample |
    $layer * 2^24 + stream$ |
    """,
    """
    Layers, epochs and steps are counted from 0 here: the first step of each phase is 0. (The formulas above number
    layers from 1, and the run file epochs.)
    """,
    r"""
    A block gives 16 bits each to an octet, eight neighbouring channels of a pixel: octet =
    $\mathrm{pixel} \cdot \lceil C / 8 \rceil + \lfloor \mathrm{channel} / 8 \rfloor$. Word $i$ of it serves the
    channels $2i$ and $2i + 1$ of the octet, its lower 16 bits the even one and its upper 16 the odd one.
    """,
)
def random_bits(shape: Shape, samples: Integers, layer: int, stream: int, step: int, seed: int) -> Integers:
    """16 random bits for every neuron of a layer, (n, neurons)."""
    height, width, channels = shape
    octets = height * width * -(-channels // 8)
    octet, sample = np.meshgrid(np.arange(octets), samples)
    constant = np.ones_like(octet)
    counters = np.stack([octet, step * constant, sample, (layer * 2**24 + stream) * constant], axis=-1)
    words = philox(counters.reshape(-1, 4), seed)
    bits = np.stack([words % ONE, words // ONE], axis=-1)  # (blocks, word, half)
    by_pixel = bits.reshape(len(samples), height * width, -1)
    return by_pixel[:, :, :channels].reshape(len(samples), -1)


@follows(
    "| order of an epoch | sample | epoch | 0 | 0xFE000000 |",
    "The order of an epoch sorts the samples by word 0 of their blocks, and by word 1 where that is the same;",
)
def order_of_epoch(samples: int, epoch: int, seed: int) -> Integers:
    """The training samples in the order of an epoch, from 0."""
    counters = np.array([[sample, epoch, 0, 0xFE000000] for sample in range(samples)])
    words = philox(counters, seed)
    return np.array(sorted(range(samples), key=lambda sample: tuple(words[sample, :2])))


@follows(
    "| sign of `deviation` and `random-sign` | mini-batch | epoch | 0 | 0xFD000000 |",
    "an odd word 0 is a positive sign.",
)
def sign_of(epoch: int, batch: int, seed: int) -> int:
    """Sign of the only nudge of a mini-batch."""
    return 1 if philox(np.array([[batch, epoch, 0, 0xFD000000]]), seed)[0, 0] % 2 else -1


@follows(
    """
    `sample` is the index in the data set. `stream` = 8 * epoch + 0 (free), 1 (nudged), 2 (nudged-, independent noise
    only), 3 (test, and the free phases in which the spectral norm is measured) or 4 (calibration, with its round for
    the epoch; 40 for the free phase in which the spectral norm is measured then). Stratified firing draws at step 0
    only.
    """,
)
def stream_of(epoch: int, kind: str) -> int:
    """The stream of a phase, epochs from 0."""
    return 8 * epoch + ["free", "nudged", "nudged-", "test", "calibration"].index(kind)


@follows(
    r"""
    they are $(2 r - 1) \sqrt{3}$ times the standard deviation, $r$ from `random` of
    `numpy.random.Generator(Philox(key = seed + layer * 2^64))`. The layer counts from 0; the read-out has the number
    after the layers, then come the heads, that of layer $l$ with the read-out's number plus $l$, $l$ from 1.
    """,
)
def initial_weights(shape: tuple[int, ...], deviation: float, seed: int, number: int) -> NDArray[np.float32]:
    """Weights before the first mini-batch, of the layer, read-out or head with this number."""
    generator = np.random.Generator(np.random.Philox(key=seed + number * 2**64))
    return ((2 * generator.random(shape) - 1) * np.sqrt(3) * deviation).astype(np.float32)
