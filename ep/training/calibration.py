"""Initial biases: every layer starts at a wanted mean activity.

Large steps silence deep layers, so the biases follow the activity in small ones while the dynamics run on.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from spikesim.ep.config.parsing import Config, per_layer
from spikesim.ep.config.random_streams import STREAM_CALIBRATION, stream_of
from spikesim.ep.inputs.encoding import Input
from spikesim.ep.network.model import Model
from spikesim.ep.parallel.thread_pool import ThreadPool
from spikesim.ep.phases import workspace as ph
from spikesim.ep.phases.counters import PhaseCounts
from spikesim.ep.phases.potentials import PotentialSums
from spikesim.ep.training.normalization import Normalization
from spikesim.numerics.fixed_point import ONE

ROUNDS_MAX = 40
STEPS = 16
STEP_MAX = 0.04
GAIN = 1.0
TOLERANCE = 0.05
"""Relative deviation from the wanted activity at which a layer is calibrated."""


def calibrate(
    model: Model,
    config: Config,
    normalization: Normalization,
    thread_pool: ThreadPool,
    inputs: Input,
    sample_ids: NDArray[np.int64],
    progress: Callable[[int], None] = lambda done: None,
) -> NDArray[np.float64]:
    """Move the biases of all layers that are not held, in place, until their mean firing probability is
    `model.activity`.

    Where drives are normalized, their statistics are set on the way, those of one level of layers more in each round.

    Parameters
    ----------
    normalization : Normalization
        With the parameters.
    inputs : images int16 (n, H, W, C), or spikes
        The samples on which the activity is measured; the spikes of a free phase are given again in each round.
    sample_ids : int64 (n,)
    progress : callable
        Called after each round with the rounds that are done, at most `ROUNDS_MAX`.

    Returns
    -------
    float64 (L,)
        Activity by layer in the last round.

    Raises
    ------
    Stopped
    """
    wanted = np.array(per_layer(config.model.activity, model.layers, "model.activity"), np.float64)
    wanted[[own.held for own in normalization.layers]] = 0.0
    n = len(inputs)
    steps = config.dynamics.steps_free if model.spike_input else STEPS
    window = min(config.dynamics.window_free, steps // 2 * 2)
    parts = thread_pool.groups(n)
    parameters, plan, normalizes = normalization.parameters, model.compiled.plan, normalization.normalizes
    channels = model.compiled.sizes["bias"]
    model.set_parameters(parameters, spread=thread_pool.map)  # the drive of images needs the weights

    def put_to_rest(part: slice) -> ph.Workspace:
        workspace = ph.Workspace(model, config.dynamics, part.stop - part.start, config.seed)
        workspace.rest(inputs[part], sample_ids[part])
        return workspace

    groups = list(zip(thread_pool.map(put_to_rest, parts), parts, strict=True))
    activity = np.zeros(model.layers)
    for number in range(ROUNDS_MAX):
        stream = stream_of(number, STREAM_CALIBRATION)
        renews = normalizes and number > 0  # weights have changed, not biases alone

        def run(
            group: tuple[ph.Workspace, slice], stream: int = stream, renews: bool = renews
        ) -> tuple[NDArray[np.int64], PotentialSums, PhaseCounts]:
            workspace, part = group
            count = part.stop - part.start
            if renews:
                workspace.drive(inputs[part])
            counts = workspace.free(count, stream, thread_pool.stop, steps=steps)
            sums = np.empty((count, model.compiled.sizes["state"]), np.int32)
            workspace.window_sums(count, sums)
            rates = np.array([model.layer_maps(layer, sums).sum(dtype=np.int64) for layer in range(model.layers)])
            potentials = PotentialSums.zero(channels)
            if normalizes:
                potentials.add(plan.populations, workspace.state.membrane, count)
            return rates, potentials, counts

        found = thread_pool.map(run, groups)
        totals = sum(rates for rates, _, _ in found)
        potentials = PotentialSums(
            *(np.sum([own.arrays()[power] for _, own, _ in found], axis=0) for power in range(2))
        )
        counts = PhaseCounts.zero(model.layers)
        for _, _, counted in found:
            counts.add(counted)
        progress(number + 1)
        activity = totals / (ONE * window * counts.neurons)
        settled = not normalizes or number >= model.graph.depth
        if settled and (np.abs(activity - wanted)[wanted > 0] <= TOLERANCE * wanted[wanted > 0]).all():
            break
        move = np.clip(GAIN * (wanted - activity), -STEP_MAX, STEP_MAX)
        for layer, own in enumerate(normalization.layers):
            if normalizes and model.graph.levels[layer] <= number + 1:
                positions = counts.positions(layer, model.graph.populations[layer].shape[2])
                normalization.standardize(layer, potentials.moments(plan.populations[layer], positions))
            if wanted[layer] > 0:
                own.bias += np.float32(move[layer])
        normalization.fold()
        model.set_network(parameters, thread_pool.map)
    return activity
