"""Settings of the test process; they must stand before Numba is imported."""

import os

# An index out of range in a kernel is an error here, not a silent read of foreign memory. These kernels have their own
# cache folder, so this costs the time of one compilation.
os.environ.setdefault("NUMBA_BOUNDSCHECK", "1")
# Tables fit the terminal that these tell of; what the tests expect is as large as without one.
for _name in ("COLUMNS", "LINES"):
    os.environ.pop(_name, None)
