"""A kernel out of a list of them, by a number that is known when the loop runs."""

from collections.abc import Callable, Sequence
from typing import Any

from spikesim.jit.compilation import inline_kernel


def chosen(kernels: Sequence[Callable[..., Any]]) -> Callable[..., Any]:
    """The kernel (number, a, b, c, d, e) that is ``kernels[number](a, b, c, d, e)``.

    A comparison for each kernel before it: with few of them, and the most frequent one first, it costs next to nothing.
    (Numba compiles no kernel with a variable number of arguments into its callers: so they are five.)
    """
    first, others = kernels[0], kernels[1:]
    if not others:

        def last(number, a, b, c, d, e):
            return first(a, b, c, d, e)

        return inline_kernel(last)
    rest = chosen(others)

    def choose(number, a, b, c, d, e):
        if number == 0:
            return first(a, b, c, d, e)
        return rest(number - 1, a, b, c, d, e)

    return inline_kernel(choose)
