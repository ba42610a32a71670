"""Neuron models of sparse networks, a file each: what a step does, the parameters, their units and their integers.

Imports `connections`, the core's `engine.neurons`, `numerics`, `jit`, `io`; `sparse` and `sparse.engine` import it.
"""

from spikesim.engine.neurons.choice import chosen
from spikesim.sparse.neurons import (
    iaf_cond_exp,
    iaf_psc_alpha,
    iaf_psc_delta,
    iaf_psc_exp,
    izhikevich,
    probabilistic,
    step,
)
from spikesim.sparse.neurons.iaf_cond_exp import IafCondExp
from spikesim.sparse.neurons.iaf_psc_alpha import IafPscAlpha
from spikesim.sparse.neurons.iaf_psc_delta import IafPscDelta
from spikesim.sparse.neurons.iaf_psc_exp import IafPscExp
from spikesim.sparse.neurons.izhikevich import Izhikevich
from spikesim.sparse.neurons.lif import LeakyIntegrateAndFire
from spikesim.sparse.neurons.model import General, Model
from spikesim.sparse.neurons.probabilistic import Probabilistic

__all__ = [
    "KERNELS",
    "MODELS",
    "General",
    "IafCondExp",
    "IafPscAlpha",
    "IafPscDelta",
    "IafPscExp",
    "Izhikevich",
    "LeakyIntegrateAndFire",
    "Model",
    "Probabilistic",
    "fire",
    "visit",
]

MODELS: dict[str, type[Model]] = {
    "probabilistic": Probabilistic,
    "lif": LeakyIntegrateAndFire,
    "iaf_psc_delta": IafPscDelta,
    "iaf_psc_exp": IafPscExp,
    "iaf_psc_alpha": IafPscAlpha,
    "iaf_cond_exp": IafCondExp,
    "izhikevich": Izhikevich,
}
"""Models by their `kind` in a file; a further one is registered here, and its kernels below."""

_VISIT_FIRE = {
    iaf_psc_exp.NAME: (iaf_psc_exp.visit, step.reset),
    iaf_psc_delta.NAME: (iaf_psc_delta.visit, step.reset),
    iaf_psc_alpha.NAME: (iaf_psc_alpha.visit, step.reset),
    iaf_cond_exp.NAME: (iaf_cond_exp.visit, step.reset),
    izhikevich.NAME: (izhikevich.visit, izhikevich.fire),
    probabilistic.NAME: (probabilistic.visit, probabilistic.fire),
}
KERNELS: tuple[str, ...] = tuple(_VISIT_FIRE)
"""Names of the kernels by the number that chooses them."""

visit = chosen([own for own, _ in _VISIT_FIRE.values()])
fire = chosen([own for _, own in _VISIT_FIRE.values()])
