"""Random numbers of firing: fresh ones for each step, and thresholds that last for a phase."""

from typing import NamedTuple

import numpy as np

from spikesim.engine.simd.random_words import BLOCKS, Counter, Key, eight_octets
from spikesim.engine.simd.rows import ROW
from spikesim.jit.compilation import inline_kernel, kernel
from spikesim.numerics.philox import philox4x32

CELL_BITS = np.uint16(0x5555)
"""Times the number 0 .. 3 of a neuron in its cell: the bits that it flips in the threshold that the four share.

In any two neighbouring bits the four then differ, so that the thresholds of four neurons in 2**j steps are as even as
those of one neuron in 4 * 2**j.
"""


class Stretch(NamedTuple):
    """Neighbouring pixels of one block of channels."""

    block: int
    first: int
    pixels: int


@kernel
def fill_random(phase, sample_id, layer, step, first_octet, octets, random, at):
    """16 random bits each for the neurons of some octets, into ``random[at : at + 8 * octets]``.

    The counter is (octet, step, sample, layer and stream): octet o of a population holds the channels
    8 (o mod octets a pixel) .. of pixel o // octets a pixel, octets a pixel = ceil(C / 8).
    """
    tag = (np.uint64(layer) << np.uint64(24)) | np.uint64(phase.stream)
    time, sample = np.uint64(step), np.uint64(sample_id)
    key = Key(np.uint64(phase.key_low), np.uint64(phase.key_high))
    low = np.uint64(0xFFFF)
    half = np.uint64(16)
    together = octets // BLOCKS * BLOCKS
    for octet in range(0, together, BLOCKS):
        eight_octets(Counter(np.uint64(first_octet + octet), time, sample, tag), key, random, at + 8 * octet)
    for octet in range(together, octets):
        w0, w1, w2, w3 = philox4x32(np.uint64(first_octet + octet), time, sample, tag, key.low, key.high)
        lane = at + 8 * octet
        random[lane] = np.uint16(w0 & low)
        random[lane + 1] = np.uint16(w0 >> half)
        random[lane + 2] = np.uint16(w1 & low)
        random[lane + 3] = np.uint16(w1 >> half)
        random[lane + 4] = np.uint16(w2 & low)
        random[lane + 5] = np.uint16(w2 >> half)
        random[lane + 6] = np.uint16(w3 & low)
        random[lane + 7] = np.uint16(w3 >> half)


@inline_kernel
def fill_random_pixels(phase, sample_id, pop, step, stretch, random, at):
    """`fill_random` for a stretch of pixels, ``[pixel][B]`` from ``random[at]`` on."""
    octets, lanes = (pop.channels + 7) // 8, pop.lanes
    if octets * 8 == lanes:  # one block: the octets of the pixels follow each other
        first = stretch.first * octets
        fill_random(phase, sample_id, pop.layer, step, first, stretch.pixels * octets, random, at)
        return
    for pixel in range(stretch.pixels):
        octet = (stretch.first + pixel) * octets + stretch.block * lanes // 8
        fill_random(phase, sample_id, pop.layer, step, octet, lanes // 8, random, at + pixel * lanes)


@kernel
def draw_thresholds(phase, sample_id, pop, block, threshold, at):
    """What stratified firing begins with, for a block of channels, ``[pixel][B]`` from ``threshold[at]`` on.

    The first neuron of each cell of 2x2 pixels draws, and the others have its bits, some of them flipped. Of narrow
    layers a line is drawn as a whole, eight blocks of random words at a time, and what the others draw is overwritten.
    """
    lanes, line = pop.lanes, pop.width * pop.lanes
    narrow = lanes < 8 * BLOCKS
    for y in range(pop.height):
        row = at + y * line
        if narrow and y & 1 == 0:
            stretch = Stretch(block, y * pop.width, pop.width)
            fill_random_pixels(phase, sample_id, pop, np.int64(0), stretch, threshold, row)
        for x in range(pop.width):
            own = row + x * lanes
            number = (y & 1) << 1 | (x & 1)
            if number == 0:
                if not narrow:
                    stretch = Stretch(block, y * pop.width + x, 1)
                    fill_random_pixels(phase, sample_id, pop, np.int64(0), stretch, threshold, own)
                continue
            first, flipped = own - (y & 1) * line - (x & 1) * lanes, np.uint16(number * CELL_BITS)
            for lane in range(0, lanes, ROW):
                for i in range(ROW):
                    threshold[own + lane + i] = threshold[first + lane + i] ^ flipped
