"""Spike-timing-dependent plasticity, slow and obvious: floats, one synapse at a time, sums over all pairs of spikes.

A spike of the source, fired in step t, is at the synapse in step t + d - b and arrives in step t + d; one of the target
is at the synapse in step t + b, where b is the dendritic part of the delay d. Spikes that are there in the same step
are no pair; there the one of the target comes first, unless b = 0: then it comes late for what arrives in its step.
"""

import math
from typing import NamedTuple


class Rule(NamedTuple):
    """Names as in NEST; time constants in steps."""

    wmax: float
    wmin: float = 0.0
    tau_plus: float = 20.0
    tau_minus: float = 20.0
    rate: float = 0.01
    alpha: float = 1.0
    mu_plus: float = 1.0
    mu_minus: float = 1.0
    nearest: bool = False


def trace(spikes: list[int], now: int, tau: float, nearest: bool) -> float:
    """What the spikes before now have left."""
    before = [t for t in spikes if t < now]
    return sum(math.exp(-(now - t) / tau) for t in (before[-1:] if nearest else before))


def weights(
    rule: Rule, weight: float, pre: list[int], post: list[int], delay: int, dendritic: int, steps: int
) -> tuple[list[tuple[int, float]], float]:
    """What arrives over a synapse in the first steps, as (step, weight), and its weight for what arrives next."""
    pre = [t + delay - dendritic for t in pre if t + delay < steps]
    post = [t + dendritic for t in post if t + 2 * dendritic <= steps and t < steps]
    order = 1 if dendritic == 0 else -1
    events = sorted([(t, 0, "pre") for t in pre] + [(t, order, "post") for t in post])
    x, lowest, arrived = weight / rule.wmax, rule.wmin / rule.wmax, []
    for now, _, side in events:
        if side == "post":
            x = min(1.0, x + rule.rate * (1 - x) ** rule.mu_plus * trace(pre, now, rule.tau_plus, rule.nearest))
        else:
            change = rule.alpha * rule.rate * x**rule.mu_minus * trace(post, now, rule.tau_minus, rule.nearest)
            x = max(lowest, x - change)
            arrived.append((now + dendritic, x * rule.wmax))
    return arrived, x * rule.wmax
