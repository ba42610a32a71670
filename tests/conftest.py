"""Settings of the test process; they must stand before Numba is imported."""

import os

# An index out of range in a kernel is an error here, not a silent read of foreign memory. These kernels have their own
# cache folder, so this costs the time of one compilation.
os.environ.setdefault("NUMBA_BOUNDSCHECK", "1")
# Tables fit the terminal that this says; what the tests expect is as wide as without one.
os.environ.pop("COLUMNS", None)
