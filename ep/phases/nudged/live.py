"""Live synapses: the full recurrent dynamics in the nudged phases (Scellier & Bengio 2017; StochEP)."""

import numpy as np
from numpy.typing import NDArray

from spikesim.engine.delivery import deliver_block
from spikesim.engine.events import silence
from spikesim.engine.phase import Window
from spikesim.engine.plan import FIRING_MEAN_FIELD
from spikesim.engine.state import State, clear_counts
from spikesim.ep.network.model import Model
from spikesim.ep.phases.nudged.group import Group
from spikesim.ep.phases.nudged.head_nudges import Nudge
from spikesim.ep.phases.nudged.mean_rates import send_probabilities
from spikesim.ep.phases.nudged.response import NudgeResponse
from spikesim.ep.phases.nudged.spiking import run_spiking
from spikesim.jit.compilation import kernel


class Live(NudgeResponse):
    """Spikes through all synapses; the mean of an input of spikes becomes a constant drive."""

    def extended(self, model: Model, state: State) -> State:
        if not model.spike_input:
            return state
        return state._replace(values=np.zeros(state.events.shape, np.int32))  # the mean of the input is graded

    def keep(self, group: Group, n: int) -> NDArray[np.int64]:
        model, window = group.model, group.dynamics.window_free
        group.keep_state(n)
        clear_counts(group.engine.counts)
        for edge in model.graph.input_edges if model.spike_input else ():
            clamp_input(group.engine, model.graph.image.index, edge.target, n, window)
        return group.multiplied(n)

    def run(self, group: Group, n: int, stream: int, window: Window, nudge: Nudge, stop: NDArray[np.uint8]) -> bool:
        phase = group.begin(n, stream, 0, group.dynamics.order)
        return run_spiking(group, group.engine, phase, n, window, nudge, stop)


@kernel
def clamp_input(engine, population, target, n_samples, window):
    """Put what a population of given spikes sends in the mean of the window into the external drives of its target.

    It sends nothing any more. Its part of the membranes and its spikes are overwritten.
    """
    plan, state = engine.plan, engine.state
    half, steps = np.float64(window // 2), np.float64(window)
    own, pop = plan.populations[population], plan.populations[target]
    first = own.state
    last = first + own.height * own.width * own.blocks * own.lanes
    size = pop.height * pop.width * pop.lanes
    for sample in range(n_samples):
        early, late, mean = state.window[0, sample], state.window[1, sample], state.membrane[sample]
        for i in range(first, last):
            mean[i] = np.int32((np.float64(early[i] + late[i]) + half) / steps)
        send_probabilities(engine, population, sample)
        for table in plan.incoming[plan.incoming_pointers[target] : plan.incoming_pointers[target + 1]]:
            if plan.tables[table].source != population:
                continue
            for block in range(pop.blocks):
                begin = pop.state + block * size
                out = engine.scratch.full[0]
                deliver_block(engine, FIRING_MEAN_FIELD, table, block, sample, out, True)
                for i in range(size):
                    state.external[sample, begin + i] = out[i]
    silence(plan, state, population, n_samples)
