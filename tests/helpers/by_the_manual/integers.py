"""Section "Integers", but for what a membrane does with its drive, which is in `rules`."""

import numpy as np
from by_the_manual.page import follows
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Reals = NDArray[np.float64]

ONE = 2**16
P_MAX = ONE - 1


@follows(
    """
    | quantity | type | 1.0 is | |---|---|---| | $V$, $u$, biases, nudge | int32 | $2^{16}$ | | $p$ | uint16 |
    $2^{16}$; the largest is $2^{16} - 1$ |
    """,
)
def probability(potential: Integers) -> Integers:
    """p of V."""
    return np.clip(potential, 0, P_MAX)


def mean_rate(p: Integers, refractory: int) -> Integers:
    """p / (1 + R p), which "Dynamics" has."""
    divisor = ONE + refractory * p
    return (p * ONE + divisor // 2) // divisor


@follows("The sum of each table into a neuron is rounded once to $2^{-16}$ (halves up).")
def scaled(values: Integers, exponent: int) -> Integers:
    """values * 2**-exponent, halves up."""
    if exponent <= 0:
        return values * 2**-exponent
    return (values + 2 ** (exponent - 1)) // 2**exponent


@follows(
    r"""
    The float32 parameters are quantized at the start of each mini-batch (`spikesim/numerics/quantization.py`): a
    weight $w$ is $\mathrm{rint}(w 2^e)$, ties to even, with the largest $e$ at which no $|\mathrm{rint}(w 2^e)|$
    exceeds 32767, so that $-1.0$ takes $e = 14$;
    """,
    "| weight | int16 | $2^e$, one exponent $e$ per table, the finest that fits, at most 24 |",
)
def quantized(weights: NDArray[np.float32]) -> tuple[Integers, int]:
    """Integers and their exponent."""
    exponent = 24
    while np.abs(np.rint(weights.astype(np.float64) * 2.0**exponent)).max() > 32767:
        exponent -= 1
    return np.rint(weights.astype(np.float64) * 2.0**exponent).astype(np.int64), exponent


@follows(r"a bias is $\mathrm{rint}(b\, 2^{16})$.")
def quantized_bias(bias: NDArray[np.float32]) -> Integers:
    """Biases as drives."""
    return np.rint(bias.astype(np.float64) * ONE).astype(np.int64)


@follows(
    r"""
    A pixel is
    $x = \mathrm{rint}(4096\, (\mathrm{pixel} / 255 - \mathrm{mean}) / (\mathrm{std} \cdot \mathrm{std\_factor}))$,
    ties to even, clipped to int16, with `data.std_factor` and the mean and the (population) standard deviation of the
    pixels of each channel in all training images, also those that `data.limit` leaves out;
    """,
    "| pixel of the image, normalized | int16 | $2^{12}$ |",
)
def normalized(images: NDArray[np.uint8], training: NDArray[np.uint8], std_factor: float = 1.0) -> Integers:
    """Images (n, H, W, C), normalized as the training images are."""
    mean = (training / 255).mean(axis=(0, 1, 2))
    deviation = (training / 255).std(axis=(0, 1, 2))
    fixed = np.rint(4096 * (images / 255 - mean) / (deviation * std_factor))
    return np.clip(fixed, -(2**15), 2**15 - 1).astype(np.int64)
