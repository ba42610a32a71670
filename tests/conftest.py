"""Settings of the test process; they must stand before Numba is imported."""

import os

import pytest

# An index out of range in a kernel is an error here, not a silent read of foreign memory. These kernels have their own
# cache folder, so this costs the time of one compilation.
os.environ.setdefault("NUMBA_BOUNDSCHECK", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The tests of Slurm first, which mostly wait: beside them others can compute."""
    items.sort(key=lambda item: item.path.name != "test_slurm.py")
