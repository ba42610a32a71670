"""Products of integer matrices as float64 matrix products that are exact, hence the same for every BLAS."""

import numpy as np
from numpy.typing import NDArray

EXACT = 2**53
TERMS_MAX = 512
"""Terms of one product, at most: keeps the matrices that are built for it in the cache."""


def exact_product(pre: NDArray[np.float64], post: NDArray[np.float64]) -> NDArray[np.int64]:
    """``pre.T @ post`` of integer matrices (terms, A) and (terms, B), exactly; int64 (A, B).

    Raises
    ------
    OverflowError
        A single product exceeds 2**53.
    """
    bound = float(np.abs(pre).max(initial=0)) * float(np.abs(post).max(initial=0))
    if bound > EXACT:
        raise OverflowError(f"a product of {bound:.3g} cannot be exact")
    terms = int(min(TERMS_MAX, EXACT // max(bound, 1.0)))
    total = np.zeros((pre.shape[1], post.shape[1]), np.int64)
    for first in range(0, len(pre), terms):
        total += (pre[first : first + terms].T @ post[first : first + terms]).astype(np.int64)
    return total
