"""The samples of a workspace between two phases: their state, and where the free phase left them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikesim.engine.phase import PhaseSpec, phase_spec
from spikesim.engine.state import Engine, clear_counts
from spikesim.engine.step import begin_phase
from spikesim.ep.config.sections import DynamicsSettings
from spikesim.ep.network.model import Model

__all__ = ["Group"]


@dataclass(eq=False)
class Group:
    """A group of samples on one thread.

    Attributes
    ----------
    model : Model
    dynamics : Dynamics
    seed : int
    engine : Engine
        State, counters and working memory, with the plan of the free phase.
    membrane : int32 (capacity, state size)
        What is kept of the free phase: its last potentials, or its mean rates.
    words : uint16 (capacity, words)
        What is kept of its last spikes.
    memory : tuple of arrays (capacity, ..)
        What is kept of what the neurons' models carry besides (`State.memory`).
    """

    model: Model
    dynamics: DynamicsSettings
    seed: int
    engine: Engine
    membrane: NDArray[np.int32]
    words: NDArray[np.uint16]
    memory: tuple[NDArray[Any], ...]

    def begin(self, n: int, stream: int, onset: int, order: str) -> PhaseSpec:
        """Begin a phase of the first n samples, from the state they are in."""
        phase = phase_spec(self.dynamics.engine_firing, stream, self.seed, onset, order)
        self.clear(n)
        begin_phase(self.engine.plan, self.engine.state, phase, n, 0)
        return phase

    def clear(self, n: int) -> None:
        """Nothing is counted and nothing has settled."""
        self.engine.state.active[:n] = 1
        clear_counts(self.engine.counts)

    def keep_state(self, n: int) -> None:
        """Keep the potentials, the spikes and what else the neurons carry, of the first n samples."""
        self.membrane[:n] = self.engine.state.membrane[:n]
        self.words[:n] = self.engine.state.words[:n]
        for kept, own in zip(self.memory, self.engine.state.memory, strict=True):
            kept[:n] = own[:n]

    def restore(self, n: int) -> None:
        """Back to what was kept."""
        self.engine.state.membrane[:n] = self.membrane[:n]
        self.engine.state.words[:n] = self.words[:n]
        for kept, own in zip(self.memory, self.engine.state.memory, strict=True):
            own[:n] = kept[:n]

    def multiplied(self, n: int) -> NDArray[np.int64]:
        """Multiply-accumulates of the first n samples by layer, int64 (L,)."""
        delivered = self.engine.counts.graded[:n].sum(axis=0)
        return np.asarray(self.model.forward_events(delivered) + self.model.feedback_events(delivered))
