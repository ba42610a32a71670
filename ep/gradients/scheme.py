"""How gradients are estimated from phases, decided once: which phases are compared, and with which presynaptic rates.

The contrast of a connection is, summed over positions and samples,

    sum over its terms of  sign * post (x) pre / (unit of post * unit of pre)

`post` being window sums of its target in a phase, or their difference in two, and `pre` those of its source
(`spikesim.ep.gradients.contrast` has the rules).
"""

from dataclasses import dataclass
from typing import NamedTuple

from spikesim.ep.config.parsing import Config
from spikesim.ep.config.sections import DynamicsSettings
from spikesim.ep.gradients.comparisons.centered import Centered
from spikesim.ep.gradients.comparisons.comparison import Comparison
from spikesim.ep.gradients.comparisons.deviation import Deviation
from spikesim.ep.gradients.comparisons.one_sided import OneSided
from spikesim.ep.gradients.comparisons.random_sign import RandomSign
from spikesim.ep.network.graph import INPUT, Edge
from spikesim.ep.network.model import Model

__all__ = ["NudgingScheme", "Term", "comparison_of"]

COMPARISONS: dict[str, type[Comparison]] = {
    "centered": Centered,
    "one-sided": OneSided,
    "random-sign": RandomSign,
    "deviation": Deviation,
}
"""By `dynamics.nudging`."""


def comparison_of(dynamics: DynamicsSettings) -> Comparison:
    """The comparison that a configuration names."""
    return COMPARISONS[dynamics.nudging]()


class Term(NamedTuple):
    """A correlation that the contrast of a connection consists of.

    Attributes
    ----------
    post : tuple of str
        Names of window sums in `Rates`: of one phase, or of two whose difference is taken.
    window : int
        Steps of the window of `post`.
    before : int
        Steps over which the presynaptic rates are summed; two windows that are added up count both.
    """

    post: tuple[str, ...]
    window: int
    before: int


@dataclass(frozen=True)
class NudgingScheme:
    """The estimate of gradients of a run.

    Attributes
    ----------
    comparison : Comparison
    clamped : bool
        The feedforward drive of the nudged phases is clamped at its mean in the free phase: presynaptic rates are those
        of the free phase, and no layer weighs more than another.
    symmetric : bool
        Each phase has presynaptic rates of its own (the symmetric rule).
    spike_input : bool
        The input spikes.
    dynamics : Dynamics
    """

    comparison: Comparison
    clamped: bool
    symmetric: bool
    spike_input: bool
    dynamics: DynamicsSettings

    @classmethod
    def of(cls, model: Model, config: Config) -> "NudgingScheme":
        """That of a configuration."""
        dynamics = config.dynamics
        comparison, symmetric = comparison_of(dynamics), dynamics.rule == "symmetric"
        return cls(comparison, model.clamped is not None, symmetric, model.spike_input, dynamics)

    @property
    def windows(self) -> tuple[int, int]:
        """Steps of the windows of the compared phases."""
        return self.comparison.windows(self.dynamics)

    @property
    def compared(self) -> tuple[str, ...]:
        """Names of the window sums that are compared."""
        second = self.comparison.second
        return ("plus",) if second is None else ("plus", second)

    @property
    def needs_free(self) -> bool:
        """Whether window sums of the free phase are needed."""
        return "free" in self.compared or self.clamped or self.spike_input

    def presynaptic(self, edge: Edge) -> tuple[str, ...]:
        """Names of the window sums whose sum is the presynaptic side of all terms; none: each phase has its own.

        An input is the same in all phases; where it spikes, nudged phases hold its mean in the free one.
        """
        if edge.source == INPUT or self.clamped:
            return ("free",)
        if self.symmetric:
            return ()
        return self.compared if "free" not in self.compared else ("free",)

    def terms(self, edge: Edge) -> tuple[Term, ...]:
        """What the contrast of a connection consists of: one term, or two, of which the second is subtracted."""
        presynaptic, windows = self.presynaptic(edge), self.windows
        free = self.dynamics.window_free
        together = "free" not in self.compared  # the windows are of one length: one term of the difference
        own = windows if not presynaptic else (free, free)
        if presynaptic and presynaptic != ("free",):
            own = (len(presynaptic) * windows[0],) * 2
        if together:
            return (Term(self.compared, windows[0], own[0]),)
        return tuple(Term((name,), windows[i], own[i]) for i, name in enumerate(self.compared))

    def weight(self, model: Model, edge: Edge) -> float:
        """What the energy of a connection's target weighs: with a feedback gain below 1 the more, the lower it is."""
        return 1.0 if self.clamped else self.dynamics.feedback_gain ** model.graph.below_top(edge.target)
