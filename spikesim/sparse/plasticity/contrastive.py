"""Weights that learning sets between phases, as a user gives them."""

from dataclasses import dataclass

from spikesim.errors import InputError
from spikesim.io.numbers import real
from spikesim.sparse.connections.distributions import set_fields


@dataclass(frozen=True)
class Contrastive:
    """Weights of both signs that no spike moves: `spikesim.sparse.learning` or `Simulation.set_weights` does.

    Attributes
    ----------
    limit : float
        Their magnitudes stay up to this.

    Raises
    ------
    InputError
        The limit is not above zero.
    """

    limit: float

    def __post_init__(self) -> None:
        limit = real(self.limit, "limit of Contrastive")
        if limit <= 0:
            raise InputError(f"limit of Contrastive is {limit:g}; it must be above 0")
        set_fields(self, limit=limit)

    @property
    def Wmax(self) -> float:
        """The largest weight."""
        return self.limit

    @property
    def Wmin(self) -> float:
        """The smallest one."""
        return -self.limit
