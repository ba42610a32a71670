"""What a membrane does with its drive, and the sequence of stratified firing: sections "Integers" and "Firing"."""

from by_the_manual.integers import Integers
from by_the_manual.page import follows


def reversed_bits(t: int, bits: int) -> int:
    """The low bits of t in reverse order."""
    return sum((t >> bit & 1) << (bits - 1 - bit) for bit in range(bits))


@follows(
    r"""
    The leak is an arithmetic shift that loses nothing on average, V_{t+1} = V_t + \bigl( (u_t - V_t + D_t) \gg k
    \bigr) $t$ is the number of the step in its phase, 0 for the first; the dither $D_t$ is the integer
    $0, \ldots, 2^k - 1$ whose $k$ bits are the $k$ low bits of $t$ in reverse order ($k = 3$: 0, 4, 2, 6, 1, 5, 3, 7,
    then 0 again); where $\alpha$ is 1, $k$ and $D_t$ are 0.
    """,
)
def leaked(potential: Integers, drive: Integers, k: int, t: int) -> Integers:
    """V after step t."""
    return potential + ((drive - potential + reversed_bits(t, k)) >> k)


@follows(
    """
    $v$ is the van der Corput sequence [18]: $2^{-16}$ times the low 16 bits of $t$ in reverse order, $t$ the number
    of the step in its phase, 0 for the first.
    """,
)
def van_der_corput(t: int) -> int:
    """v(t) in units of 2**-16."""
    return reversed_bits(t, 16)
