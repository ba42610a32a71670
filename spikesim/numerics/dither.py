"""The number of a step as a sequence that is spread evenly: what rounds shifts fairly, and what stratifies firing."""

from spikesim.jit.compilation import inline_kernel

__all__ = ["leak_dither", "reversed_bits", "sum_dither"]

GOLDEN = 2654435769
"""2**32 over the golden ratio, odd."""


@inline_kernel
def reversed_bits(step: int) -> int:
    """The low 16 bits of a step's number in reverse order, 0 .. 65535: the van der Corput sequence.

    The numbers of any 2**j consecutive steps are spread evenly over 0 .. 65535.
    """
    bits = step & 0xFFFF
    bits = ((bits & 0x5555) << 1) | ((bits >> 1) & 0x5555)
    bits = ((bits & 0x3333) << 2) | ((bits >> 2) & 0x3333)
    bits = ((bits & 0x0F0F) << 4) | ((bits >> 4) & 0x0F0F)
    return ((bits & 0x00FF) << 8) | (bits >> 8)


@inline_kernel
def leak_dither(step: int, leak: int) -> int:
    """What a low pass ``V += (u - V + dither) >> leak`` adds in a step of a phase, 0 .. 2**leak - 1.

    The shift alone rounds down: V would stop up to 2**leak - 1 below its drive. With the `leak` low bits of the step's
    number in reverse order, every remainder is rounded up in its share of any 2**leak consecutive steps: nothing is
    lost on average, V comes to its drive from both sides, and there it stays.
    """
    return reversed_bits(step) >> (16 - leak)


@inline_kernel
def sum_dither(step: int, bits: int) -> int:
    """What is added to sums in a step before they lose so many bits: the fraction of step / golden ratio.

    Its multiples are spread evenly, also those of every n-th step only: what a shift alone would lose is carried.
    """
    return ((step * GOLDEN) & 0xFFFFFFFF) >> (32 - bits)
