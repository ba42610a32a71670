"""Tables with names and units, for Python.

A table is a dictionary of columns, so that ``pandas.DataFrame(table)`` takes it. Pandas is not needed here.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesim.errors import InputError

__all__ = ["Table"]


class Table(dict[str, NDArray[Any]]):
    """Columns of equal length by name, in order.

    Parameters
    ----------
    columns : dict of str to ndarray
        One-dimensional arrays.
    units : dict of str to str
        Unit of each column, ``"1"`` for none.

    Attributes
    ----------
    units : dict of str to str
        Unit of each column.
    """

    def __init__(self, columns: Mapping[str, NDArray[Any]], units: Mapping[str, str]) -> None:
        super().__init__(columns)
        self.units = {name: units[name] for name in columns}

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(next(iter(self.values()))) if self else 0

    def where(self, **values: Any) -> "Table":
        """The rows in which columns have these values, as a table.

        Raises
        ------
        InputError
            There is no such column.
        """
        chosen = np.ones(self.rows, dtype=bool)
        for name, value in values.items():
            if name not in self:
                raise InputError(f"there is no column {name!r}: the table has {', '.join(self)}")
            chosen &= self[name] == value
        return Table({name: column[chosen] for name, column in self.items()}, self.units)

    def __repr__(self) -> str:
        columns = ", ".join(f"{name} ({unit})" if unit != "1" else name for name, unit in self.units.items())
        return f"Table of {self.rows} rows: {columns}"
