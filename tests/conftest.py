"""Settings of the test process, which must stand before Numba is imported, and the order of the tests."""

import os
from pathlib import Path

import pytest

# An index out of range in a kernel is an error here, not a silent read of foreign memory. These kernels have their own
# cache folder, so this costs the time of one compilation.
os.environ.setdefault("NUMBA_BOUNDSCHECK", "1")
# Tables fit the terminal that these tell of; what the tests expect is as large as without one.
for _name in ("COLUMNS", "LINES"):
    os.environ.pop(_name, None)
# Hundreds of processes would each compile the program's own modules again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

FIRST = (
    "project/test_by_the_manual.py",
    "project/test_site.py",
    "project/test_docs.py",
    "project/test_packaging.py",
    "project/test_house.py",
    "project/test_imports.py",
    "core/io/",
)
"""The first compiles most kernels; the others need few or none."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where no kernels are kept yet, one process compiles them and the other does not do the same beside it."""

    def place(item: pytest.Item) -> int:
        name = item.path.relative_to(Path(__file__).parent).as_posix()
        return next((number for number, first in enumerate(FIRST) if name.startswith(first)), len(FIRST))

    items.sort(key=place)
