"""Three rules of integers that stand alone: the step of a membrane, the sequence of stratified firing, and, in
`stability`, the coupling."""

from by_the_manual.integers import Integers
from by_the_manual.page import follows


@follows("The leak is an arithmetic shift, V + ((u - V) >> k), which rounds down.")
def leaked(potential: Integers, drive: Integers, k: int, t: int) -> Integers:
    """V after step t."""
    return potential + ((drive - potential) >> k)


@follows("v is the van der Corput sequence of period 16 (the bits of t mod 16 reversed).")
def van_der_corput(t: int) -> int:
    """v(t) in units of 2**-16."""
    return int(f"{t % 16:04b}"[::-1], 2) << 12
