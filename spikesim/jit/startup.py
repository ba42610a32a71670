"""What Numba need not load for a command of this program."""

import sys

__all__ = ["leave_out_blas"]


def leave_out_blas() -> None:
    """Keep Numba from importing SciPy's linear algebra when it loads its first function.

    No kernel needs it, and it takes an eighth of a second. Numba then lacks `np.cov` and `np.corrcoef`, so this is for
    processes that compile nothing but kernels.
    """
    if "numba.np.arraymath" in sys.modules:
        return
    from numba.np import linalg

    def absent() -> None:
        raise ImportError

    found = getattr(linalg, "ensure_blas", absent)
    linalg.ensure_blas = absent
    try:
        import numba.np.arraymath  # noqa: F401
    finally:
        linalg.ensure_blas = found
