"""exp and log from additions, multiplications and divisions alone.

The mathematical libraries of different machines round exp and log differently in the last bit. These functions give
the same bits wherever floating point follows IEEE 754, to within two units in the last place.
"""

import math

import numpy as np
from numpy.typing import NDArray

from spikesim.jit.compilation import kernel

_LN2_HIGH = 0.693147180369123816490  # 33 significant bits: products with an exponent are exact (fdlibm, e_exp.c)
_LN2_LOW = 1.90821492927058770002e-10
_INVERSE_LN2 = 1.44269504088896338700


@kernel
def exp(x):
    """e**x for x <= 709; 0.0 below -708."""
    if x < -708.0:
        return 0.0
    k = math.floor(x * _INVERSE_LN2 + 0.5)
    r = (x - k * _LN2_HIGH) - k * _LN2_LOW  # |r| <= 0.35
    total = 1.0
    for n in range(14, 0, -1):  # Horner form of the Taylor series; the first term left out is below 2**-60
        total = 1.0 + total * r / n
    return math.ldexp(total, int(k))


@kernel
def log(x):
    """Natural logarithm of a positive, finite, normal number."""
    m, exponent = math.frexp(x)
    if m < 0.70710678118654752440:
        m *= 2.0
        exponent -= 1
    s = (m - 1.0) / (m + 1.0)  # log m = 2 atanh s, |s| <= 0.172
    square = s * s
    total = 0.0
    for n in range(23, 0, -2):
        total = total * square + 1.0 / n
    return exponent * _LN2_HIGH + (2.0 * s * total + exponent * _LN2_LOW)


@kernel
def softmax(logits, out):
    """Softmax of a vector into `out`; returns log of the sum of exponentials."""
    largest = logits[0]
    for j in range(1, logits.shape[0]):
        largest = max(largest, logits[j])
    total = 0.0
    for j in range(logits.shape[0]):
        out[j] = exp(logits[j] - largest)
        total += out[j]
    for j in range(logits.shape[0]):
        out[j] /= total
    return largest + log(total)


@kernel
def softmax_rows(logits, out, log_sums):
    """`softmax` of each row."""
    for i in range(logits.shape[0]):
        log_sums[i] = softmax(logits[i], out[i])


def softmax_and_log_sum(logits: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Softmax of each row of (n, classes), and log of the sum of the exponentials of each row, (n,)."""
    out, log_sums = np.empty_like(logits), np.empty(len(logits))
    softmax_rows(logits, out, log_sums)
    return out, log_sums
