"""No normalization: a layer learns the weights and biases of its neurons themselves."""

from collections.abc import Mapping

import numpy as np

from spikesim.ep.network.graph import Edge
from spikesim.ep.network.parameters import Array, LayerParameters
from spikesim.ep.phases.potentials import Moments

__all__ = ["LayerNormalization"]


class LayerNormalization:
    """What a layer learns, here its weights and biases themselves; the base of those that normalize.

    Parameters
    ----------
    name : str
        Of the layer.
    edges : sequence of Edge
        The connections into it.
    network : LayerParameters
        Weights and biases of its neurons, which `fold` overwrites.

    Attributes
    ----------
    weights : dict of str to float32 array
        What is learned of each connection, by name (`Edge.name`).
    bias : float32 (C,)
    held : bool
        Nothing may change it: it is frozen, or it has the weights of another run and only others are calibrated.
    """

    observes = False
    """Whether it needs the potentials of every mini-batch."""

    def __init__(self, name: str, edges: tuple[Edge, ...], network: LayerParameters) -> None:
        self.name, self.edges, self.network = name, edges, network
        self.weights: dict[str, Array] = network.weights
        self.bias: Array = network.bias
        self.held = False

    @property
    def gain_name(self) -> str:
        """Name of the gains among what is learned."""
        return f"{self.name}/gain"

    def learned(self) -> dict[str, Array]:
        """What the optimizer moves, by name."""
        return {**{edge.weight: self.weights[edge.name] for edge in self.edges}, f"{self.name}/bias": self.bias}

    def statistics(self) -> dict[str, Array]:
        """What is measured, by name."""
        return {}

    def folded(self) -> dict[str, Array]:
        """The network's weights and biases by name, where they are others than what is learned."""
        return {}

    def behind(self) -> dict[str, Array]:
        """Gains and statistics between what is learned and the network's weights, by name; a run file has them too."""
        return {}

    def unfold(self, behind: Mapping[str, Array]) -> None:
        """Set what is learned such that `fold` gives the weights and biases that the network has, but for rounding.

        Parameters
        ----------
        behind : mapping of str to float32 (C,)
            `behind` of the layer that these weights are of. Where it is that of another normalization, or unknown, the
            weights that are learned are the network's.
        """

    def gain_gradient(self, gradients: Mapping[str, Array], bias: Array) -> Array | None:
        """Gradient of the gains, where there are some.

        Parameters
        ----------
        gradients : by name, float32
            Of the weights of the network.
        bias : float32 (C,)
            Of its biases.
        """
        return None

    def project(self, gradients: list[Array]) -> None:
        """Gradients of the learned weights from those of the network's, in place; by connection."""

    def observe(self, moments: Moments, rate: float) -> None:
        """Move the statistics towards those of the potentials in a free phase, with the weights of the last `fold`."""

    def standardize(self, moments: Moments, gain: float) -> None:
        """Set the statistics to those of the potentials, before training; the gains too, if there were none yet."""

    def seen(self, means: Mapping[str, Array]) -> Mapping[str, Array]:
        """Mean rates behind the weights of connections, by name, as far as they make up the mean drive."""
        return means

    def keep_mean_drive(self, drive: Array) -> None:
        """Take back what a change of the learned weights adds to the mean drive of each channel, (C,)."""
        self.bias -= drive

    def scale(self, edge: Edge, factor: np.float32) -> None:
        """Multiply the weights of a connection of the network by a factor."""
        self.weights[edge.name] *= factor

    def fold(self) -> None:
        """Set the network's weights and biases to those of what is learned."""
