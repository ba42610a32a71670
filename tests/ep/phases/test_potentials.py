"""Moments of the potentials against those of the arrays."""

import numpy as np
import pytest
import small

from spikesim.ep.network.model import Model
from spikesim.ep.phases.potentials import PotentialSums
from spikesim.numerics.fixed_point import ONE

LAYERS = ({**small.POOLED, "channels": 17}, {"kind": "dense", "channels": 5})


@pytest.mark.parametrize("limit", [1.0, 40.0])
def test_moments_are_those_of_each_channel(limit: float) -> None:
    """Potentials beyond 16 count as 16; groups of samples add up."""
    model = Model(small.make(*LAYERS), small.make_dataset(size=6))
    rng = np.random.default_rng(0)
    membrane = (rng.uniform(-limit, limit, (7, model.compiled.sizes["state"])) * ONE).astype(np.int32)
    sums, plan = PotentialSums.zero(model.compiled.sizes["bias"]), model.compiled.plan
    sums.add(plan.populations, membrane[:4], 4)
    sums.add(plan.populations, membrane[4:], 3)
    for layer, population in enumerate(model.graph.populations):
        maps = population.from_state(membrane[:, model.state_slice(layer)]) / ONE
        values = np.clip(maps, -16, 16).reshape(-1, population.shape[2])
        found = sums.moments(plan.populations[layer], 7 * population.shape[0] * population.shape[1])
        np.testing.assert_allclose(found.mean, values.mean(axis=0), atol=1e-9)
        np.testing.assert_allclose(found.variance, values.var(axis=0), atol=2 * limit / 2**12)
