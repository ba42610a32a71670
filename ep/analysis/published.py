"""Published energies of arithmetic, by process node and format of the numbers.

45 nm, 0.9 V: M. Horowitz, "Computing's energy problem (and what we can do about it)", ISSCC 2014. 7 nm: N. P. Jouppi et
al., "Ten lessons from three generations shaped Google's TPUv4i", ISCA 2021, table 2, which has both. An accumulate is
an addition; a multiply-accumulate is a multiplication and an addition, both in the format.
"""

from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["MEMORY_NOTE", "PUBLISHED", "ArithmeticEnergy", "published"]

_HOROWITZ = "Horowitz, ISSCC 2014"
_JOUPPI = "Jouppi et al., ISCA 2021, table 2"

MEMORY_NOTE = "Reading 32 bits from a cache of 8 kB takes 5 pJ in 45 nm (half of the 10 pJ for 64 bits, Horowitz 2014)."


@dataclass(frozen=True)
class ArithmeticEnergy:
    """Energies of one operation in picojoules.

    Attributes
    ----------
    node : str
        Process node.
    format : str
        Format of the numbers.
    add, multiply : float
        Picojoules of an addition and of a multiplication.
    source : str
        Where they come from.
    """

    node: str
    format: str
    add: float
    multiply: float
    source: str

    @property
    def preset(self) -> str:
        """The name by which ``spikesim report --energy`` takes them."""
        return f"{self.node.replace(' ', '')}-{self.format}"

    @property
    def multiply_accumulate(self) -> float:
        """Picojoules of a multiplication and an addition."""
        return round(self.add + self.multiply, 6)


PUBLISHED = (
    ArithmeticEnergy("45 nm", "int8", 0.03, 0.2, _HOROWITZ),
    ArithmeticEnergy("45 nm", "fp16", 0.4, 1.1, _HOROWITZ),
    ArithmeticEnergy("45 nm", "fp32", 0.9, 3.7, _HOROWITZ),
    ArithmeticEnergy("7 nm", "int8", 0.007, 0.07, _JOUPPI),
    ArithmeticEnergy("7 nm", "fp16", 0.16, 0.34, _JOUPPI),
    ArithmeticEnergy("7 nm", "fp32", 0.38, 1.31, _JOUPPI),
)


def published() -> list[dict[str, Any]]:
    """The table as plain values, with ``accumulate`` and ``multiply_accumulate`` in picojoules."""
    return [{**asdict(own), "accumulate": own.add, "multiply_accumulate": own.multiply_accumulate} for own in PUBLISHED]
