"""The model of spikesim, slow and obvious: NumPy only, dense integer matrices, nothing shared with the package.

Read as a definition. Integers: 1.0 of a membrane potential V, of a drive u and of a probability p is 2**16, of an
analogue input 2**12; a weight is an int16 at a power-of-two scale of its table.

A *phase* is a number of steps that share a stream of random numbers. Step t = 0, 1, ... takes the spikes z_t and the
potentials V_t and makes V_{t+1} and z_{t+1}:

    u_t     = bias + external + sum over tables of their shares of z_t + nudge
    V_{t+1} = V_t + ((u_t - V_t + d_t) >> leak)                 d_t: the `leak` low bits of t, in reverse order
    p_{t+1} = clip(V_{t+1}, 0, 65535)
    z_{t+1} = [ 16 random bits of step t < p_{t+1} ]

A refractory neuron counts down: after a spike c = R, and while c > 0 its p is 0 and c is one less after each step. In
the mean field, where nobody fires, its p is that of a long time: p / (1 + R p), to the nearest integer, halves up.

Neurons are numbered in the order (row, column, channel). Arrays of a population have the shape (samples, neurons).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Shape = tuple[int, int, int]
Integers = NDArray[np.int64]

ONE = 2**16
P_MAX = ONE - 1


# -- Random numbers ---------------------------------------------------------------------------------------------------


def philox(counters: NDArray[np.integer], seed: int) -> NDArray[np.uint32]:
    """Philox4x32-10 of counters (n, 4) under a 64-bit seed (Salmon et al., SC11)."""
    mask, half = np.uint64(2**32 - 1), np.uint64(32)
    c0, c1, c2, c3 = np.asarray(counters).astype(np.uint64).T
    k0, k1 = seed % 2**32, seed // 2**32
    for _ in range(10):
        product0, product1 = np.uint64(0xD2511F53) * c0, np.uint64(0xCD9E8D57) * c2  # 32 times 32 bits: 64 bits
        c0, c1 = (product1 >> half) ^ c1 ^ np.uint64(k0), product1 & mask
        c2, c3 = (product0 >> half) ^ c3 ^ np.uint64(k1), product0 & mask
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return np.stack([c0, c1, c2, c3], axis=1).astype(np.uint32)


def random_bits(shape: Shape, sample: int, layer: int, stream: int, step: int, seed: int) -> Integers:
    """16 random bits for every neuron of one sample.

    A block of four 32-bit words serves the eight channels 8i .. 8i + 7 of a pixel: low and high half of word 0, of
    word 1, and so on. Its counter is (number of the block, step, sample, layer * 2**24 + stream).
    """
    height, width, channels = shape
    octets = -(-channels // 8)
    blocks = height * width * octets
    counters = np.empty((blocks, 4), np.int64)
    counters[:, 0] = np.arange(blocks)
    counters[:, 1:] = step, sample, layer * 2**24 + stream
    words = philox(counters, seed).astype(np.int64)
    halves = np.stack([words & 0xFFFF, words >> 16], axis=-1)  # (block, word, half)
    return halves.reshape(height * width, octets * 8)[:, :channels].ravel()


def bit_reversed(t: int, bits: int) -> int:
    """The low bits of t in reverse order: in units of 2**-bits, the van der Corput sequence."""
    return int(f"{t % 2**bits:0{bits}b}"[::-1], 2) if bits else 0


# -- Weights ----------------------------------------------------------------------------------------------------------


def quantize(weights: NDArray[np.floating]) -> tuple[Integers, int]:
    """Integers and the exponent of the finest scale 2**-exponent, at most 2**-24, at which all of them fit int16."""
    exponent = 24
    while True:
        integers = np.rint(weights.astype(np.float64) * 2.0**exponent)
        if np.abs(integers).max(initial=0) <= 2**15 - 1:
            return integers.astype(np.int64), exponent
        exponent -= 1


def rounded_shift(values: Integers, shift: int) -> Integers:
    """values * 2**-shift, halves rounded up."""
    if shift <= 0:
        return values * 2**-shift
    return (values + 2 ** (shift - 1)) // 2**shift


@dataclass(frozen=True)
class Table:
    """Synapses as a matrix.

    Attributes
    ----------
    source, target : int
        Populations.
    weights : int64, shape (target neurons, source neurons), of the half-resolution map where there is a pool
    exists : bool, the same shape
        Where there is a synapse.
    exponent : int
        Real weight = integer * 2**-exponent.
    pool : None, "average", "sampled" or "winner"
        2x2 pooling of the source.
    tied : bool
        The target's spikes also go back, through the transpose of both the matrix and the pool.
    attenuation : int
        The way back counts 2**-attenuation.
    span : int
        Levels from the source to the target; what attenuates errors from level to level counts once for each.
    """

    source: int
    target: int
    weights: Integers
    exists: NDArray[np.bool_]
    exponent: int
    pool: str | None = None
    tied: bool = False
    attenuation: int = 0
    span: int = 1


def conv_matrix(
    kernel: Integers, padding: tuple[int, int], source: Shape, target: Shape, stride: int = 1
) -> tuple[Integers, NDArray[np.bool_]]:
    """A convolution (cross-correlation) as weights and existence of every (target, source) pair.

    kernel: (height, width, source channels, target channels). padding: zeros above and below, left and right.
    """
    height, width = kernel.shape[:2]
    weights = np.zeros((*target, *source), np.int64)
    exists = np.zeros((*target, *source), bool)
    for y in range(target[0]):
        for x in range(target[1]):
            for ky in range(height):
                for kx in range(width):
                    from_y, from_x = y * stride + ky - padding[0], x * stride + kx - padding[1]
                    if 0 <= from_y < source[0] and 0 <= from_x < source[1]:
                        weights[y, x, :, from_y, from_x, :] = kernel[ky, kx].T
                        exists[y, x, :, from_y, from_x, :] = True
    size = np.prod(target), np.prod(source)
    return weights.reshape(size), exists.reshape(size)


def image_drive(weights: Integers, exponent: int, images: Integers) -> Integers:
    """Constant drive of analogue images (samples, inputs) through a matrix."""
    return rounded_shift(images @ weights.T, exponent + 12 - 16)


# -- Pooling ----------------------------------------------------------------------------------------------------------


def pooled(shape: Shape) -> Shape:
    """Shape at half the resolution; an odd last row or column is left out."""
    return shape[0] // 2, shape[1] // 2, shape[2]


def cells(values: Integers, shape: Shape) -> Integers:
    """The four cells of each pooled position: (samples, neurons) to (samples, 4, H // 2, W // 2, C)."""
    height, width, _ = pooled(shape)
    maps = values.reshape(-1, *shape)[:, : 2 * height, : 2 * width]
    return np.stack([maps[:, 0::2, 0::2], maps[:, 0::2, 1::2], maps[:, 1::2, 0::2], maps[:, 1::2, 1::2]], axis=1)


def sampled_cell(shape: Shape, t: int) -> Integers:
    """Which of the four cells stands for each pooled position at step t: each in turn, out of phase with the others."""
    height, width, channels = pooled(shape)
    y, x, channel = np.ogrid[:height, :width, :channels]
    return (t + t // 4 + y + x + channel) % 4


def winners(potentials: Integers, shape: Shape) -> Integers:
    """1 where a neuron has the highest potential of its cell and channel, the first of several; (samples, neurons)."""
    first = cells(potentials, shape).argmax(axis=1)  # (samples, H // 2, W // 2, C)
    height, width, channels = pooled(shape)
    maps = np.zeros((len(potentials), *shape), np.int64)
    for cell in range(4):
        own = maps[:, cell // 2 : 2 * height : 2, cell % 2 : 2 * width : 2]
        own[...] = first.reshape(-1, height, width, channels) == cell
    return maps.reshape(len(potentials), -1)


def to_four_cells(values: Integers, shape: Shape) -> Integers:
    """The transpose of the sum over four cells: (samples, pooled neurons) to (samples, neurons)."""
    height, width, channels = pooled(shape)
    maps = np.zeros((len(values), *shape), np.int64)
    coarse = values.reshape(-1, height, width, channels)
    maps[:, : 2 * height, : 2 * width] = coarse.repeat(2, axis=1).repeat(2, axis=2)
    return maps.reshape(len(values), -1)


# -- Neurons ----------------------------------------------------------------------------------------------------------


def mean_rate(p: Integers, refractory: int) -> Integers:
    """Mean rate of neurons that fire with probability p when they may, both integers."""
    divisor = ONE + refractory * p
    return (p * ONE + divisor // 2) // divisor


# -- The network ------------------------------------------------------------------------------------------------------


@dataclass
class Population:
    """Neurons on a grid. Bias (channels,), external drive and nudge (samples, neurons): integers with 1.0 = 2**16."""

    shape: Shape
    leak: int
    bias: Integers
    external: Integers | int = 0
    nudge: Integers | int = 0
    stream: NDArray[np.bool_] | None = None  # (samples, steps, neurons): spikes that come from outside
    refractory: int = 0  # R; 0: none

    @property
    def neurons(self) -> int:
        return int(np.prod(self.shape))


class Model:
    """A network, its state and its counters; the attributes are lists by population, or by direction of a table.

    Parameters
    ----------
    populations, tables : list
    samples : list of int
        Identities of the samples, which key their random numbers.
    firing : "iid", "stratified" or "mean-field"
    seed : int
    """

    def __init__(
        self, populations: list[Population], tables: list[Table], samples: list[int], firing: str, seed: int
    ) -> None:
        self.populations, self.tables, self.samples = populations, tables, samples
        self.firing, self.seed = firing, seed
        n = len(samples)
        directions = sum(1 + table.tied for table in tables)
        self.potential = [np.zeros((n, population.neurons), np.int64) for population in populations]
        self.spikes = [np.zeros((n, population.neurons), bool) for population in populations]
        self.window = [np.zeros((2, n, population.neurons), np.int64) for population in populations]
        self.spike_counts = np.zeros((n, len(populations)), np.int64)
        self.event_counts = np.zeros((n, directions), np.int64)  # of spikes, or of graded events in the mean field
        self.updates = np.zeros((n, len(populations)), np.int64)
        self.steps = np.zeros(n, np.int64)
        self.energy = np.zeros((n, len(populations)), np.int64)
        self.residual = np.zeros((n, len(populations)), np.int64)
        self.countdown = [np.zeros((n, population.neurons), np.int64) for population in populations]
        self.probability = [np.zeros((n, population.neurons), np.int64) for population in populations]
        self.wins: list[Integers] = []  # steps of a window in which a neuron had the highest potential of its cell
        self.heard = [0] * len(populations)  # the step for which the present spikes were sent

    def run(
        self,
        steps: int,
        *,
        window: int = 0,
        stream: int = 0,
        first: int = 0,
        settled: Callable[[], NDArray[np.bool_]] | None = None,
        onset: int = 0,
        order: str = "synchronous",
    ) -> None:
        """Steps first .. first + steps - 1 of a phase; before step `onset` there is no low pass.

        Populations that a step updates together hear the same spikes; later ones hear the new spikes of earlier ones.

        The last `window` steps are summed in two halves. With `settled`, which says of all samples whether they may
        rest, each half of a window replaces the one before the last, and samples rest when they may.
        """
        active = np.ones(len(self.samples), bool)
        for sums in self.window:
            sums[...] = 0
        numbers = list(range(len(self.populations)))
        together = {
            "synchronous": [numbers],
            "parity": [numbers[::2], numbers[1::2]],
            "upwards": [[i] for i in numbers],
        }
        self.heard = [first for _ in numbers]
        for i in range(steps):
            last = looked = i == steps - 1
            half = None
            if settled is not None:
                position, length = i - onset - (steps - onset) % (window // 2), window // 2
                looked = position + 1 >= window and (position + 1) % length == 0
                if position >= 0:
                    half = position // length % 2
                    for sums in self.window:
                        sums[half, active] *= position % length > 0
            elif window and i >= steps - window:
                half = int(i >= steps - window // 2)
            self._step(
                first + i,
                stream,
                active,
                half,
                looked,
                low_pass=first + i >= onset,
                order=together[order],
            )
            if window and looked:
                resting = active if last or settled is None else active & settled()
                self._measure_residual(resting)
                active = active & ~resting
                if not active.any():
                    break

    def _step(
        self,
        t: int,
        stream: int,
        active: NDArray[np.bool_],
        half: int | None,
        measured: bool,
        low_pass: bool,
        order: list[list[int]],
    ) -> None:
        for index, population in enumerate(self.populations):
            if population.stream is not None:
                self.spikes[index][active] = population.stream[active, t]
                self.heard[index] = t
                self.spike_counts[active, index] += population.stream[active, t].sum(axis=1)
                if half is not None:
                    self.window[index][half, active] += population.stream[active, t] * ONE
        for together in order:
            own = [i for i in together if self.populations[i].stream is None]
            shares = self._deliver(own, active)
            for index in own:
                population = self.populations[index]
                constant = np.tile(population.bias, population.shape[0] * population.shape[1]) + population.external
                drive = constant + shares[index]
                if measured:
                    p = np.clip(self.potential[index], 0, P_MAX)
                    self.energy[active, index] = (p * (p - constant - drive)).sum(axis=1)[active]
                before = self.potential[index]
                leak = population.leak if low_pass else 0
                after = before + ((drive + population.nudge - before + bit_reversed(t, leak)) >> leak)
                waits = self.countdown[index]
                p = np.where(waits > 0, 0, np.clip(after, 0, P_MAX))
                if self.firing == "mean-field":
                    p = mean_rate(p, population.refractory)
                if half is not None:
                    self.window[index][half, active] += p[active]
                self.potential[index] = np.where(active[:, None], after, before)
                self.probability[index] = np.where(active[:, None], p, self.probability[index])
                fired = self._random(index, t, stream) < p
                if population.refractory and self.firing != "mean-field":
                    now = np.where(fired, population.refractory, np.maximum(waits - 1, 0))
                    self.countdown[index] = np.where(active[:, None], now, waits)
                self.spikes[index] = np.where(active[:, None], fired, self.spikes[index])
                self.spike_counts[active, index] += fired[active].sum(axis=1)
                self.updates[active, index] += population.neurons
                self.heard[index] = t + 1
        self.steps[active] += 1

    def _random(self, index: int, t: int, stream: int) -> Integers:
        """What p is compared with, (samples, neurons): fresh each step, or one draw a phase and cell of 2x2 pixels,
        with bits flipped by the number of the step and by that of the pixel in its cell."""
        shape = self.populations[index].shape
        if self.firing == "mean-field":  # whoever has p > 0 speaks
            return np.zeros((len(self.samples), self.populations[index].neurons), np.int64)
        step = t if self.firing == "iid" else 0
        bits = np.stack([random_bits(shape, sample, index, stream, step, self.seed) for sample in self.samples])
        if self.firing == "iid":
            return bits
        by_pixel = bits.reshape(len(self.samples), *shape)
        y, x = np.mgrid[: shape[0], : shape[1]]
        drawn = by_pixel[:, y // 2 * 2, x // 2 * 2]
        number = (y % 2 * 2 + x % 2)[:, :, None]
        return (drawn ^ number * 0b0101010101010101 ^ bit_reversed(t, 16)).reshape(bits.shape)

    def signal(self, index: int) -> Integers:
        """What a population sends: 1 for a spike; in the mean field p in units of 2**-16, 1.0 for outside spikes."""
        if self.firing != "mean-field":
            return self.spikes[index].astype(np.int64)
        if self.populations[index].stream is not None:
            return self.spikes[index].astype(np.int64) * ONE
        return mean_rate(np.clip(self.potential[index], 0, P_MAX), self.populations[index].refractory)

    def _deliver(self, together: list[int], active: NDArray[np.bool_]) -> list[Integers]:
        """Drives from all tables; counts a synaptic event for each event and each of its existing targets, of those
        populations that are updated."""
        graded = self.firing == "mean-field"
        drives = [np.zeros_like(potential) for potential in self.potential]
        direction = 0
        for table in self.tables:
            shape = self.populations[table.source].shape
            unit = table.exponent - 16 + (16 if graded else 0)
            sent, shift, events = self.signal(table.source), unit, None
            if table.pool:
                four = cells(sent, shape)
                if table.pool == "winner":
                    chosen = cells(sent * winners(self.potential[table.source], shape), shape)
                    sent = chosen.sum(axis=1).reshape(len(sent), -1)
                elif table.pool == "average" or graded:  # the sum of four cells; the quarter is in the shift
                    sent, shift = four.sum(axis=1).reshape(len(sent), -1), unit + 2
                else:
                    turn = sampled_cell(shape, self.heard[table.source])[None, None]
                    sent = np.take_along_axis(four, turn.repeat(len(sent), axis=0), axis=1).reshape(len(sent), -1)
            events = (sent != 0).astype(np.int64) if graded else sent
            drives[table.target] += rounded_shift(sent @ table.weights.T, shift)
            if table.target in together:
                self.event_counts[active, direction] += (events @ table.exists.sum(axis=0))[active]
            direction += 1
            if table.tied:
                sent = self.signal(table.target)
                quarter = 2 if table.pool in ("average", "sampled") else 0
                back = rounded_shift(sent @ table.weights, unit + quarter + table.attenuation)
                back = to_four_cells(back, shape) if table.pool else back
                if table.pool == "winner":
                    back = back * winners(self.potential[table.source], shape)
                drives[table.source] += back
                if table.source in together:
                    self.event_counts[active, direction] += ((sent != 0) @ table.exists.sum(axis=1))[active]
                direction += 1
        return drives

    def _measure_residual(self, resting: NDArray[np.bool_]) -> None:
        """Record |difference of the halves|."""
        for index, population in enumerate(self.populations):
            if population.stream is None:
                residual = np.abs(self.window[index][1] - self.window[index][0]).sum(axis=1)
                self.residual[resting, index] = residual[resting]
