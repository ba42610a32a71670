"""Neuron models, a file each, and the kernels that choose among them by the number of the model in `MODELS`.

Imports `engine.simd` and what is below; `engine`, the API, and the network, phases and mean field of `ep` import it.
"""

from collections import namedtuple
from typing import Any

from spikesim.engine.neurons.choice import chosen
from spikesim.engine.neurons.clipped_linear import CLIPPED_LINEAR
from spikesim.engine.neurons.loops import Followed, respond_kernel
from spikesim.engine.neurons.neuron import Neuron, StateArray
from spikesim.engine.neurons.refractory import REFRACTORY
from spikesim.engine.simd.fire import energy_kernel, fire_kernel

__all__ = [
    "ARRAYS",
    "CLIPPED_LINEAR",
    "MODELS",
    "NEURONS",
    "Followed",
    "Memory",
    "Neuron",
    "StateArray",
    "energy_of",
    "fire",
    "fire_counted",
    "fire_summed",
    "other_fire",
    "other_fire_counted",
    "other_fire_summed",
    "present",
    "respond",
]

NEURONS: dict[str, Neuron] = {neuron.name: neuron for neuron in (CLIPPED_LINEAR, REFRACTORY)}
"""The models that a population may have; a further one is registered here."""

MODELS: tuple[Neuron, ...] = (
    *NEURONS.values(),
    *(neuron.mean_field for neuron in NEURONS.values() if neuron.mean_field is not None),
)
"""All models that the loop knows, by number: those, then what stands for them where rates are sent."""

ARRAYS: dict[str, StateArray] = {array.name: array for neuron in MODELS for array in neuron.arrays}
"""What models carry beside V, by name."""

Memory: Any = namedtuple("Memory", tuple(ARRAYS))  # type: ignore[misc]
"""The arrays of all models, (n, state size), or (n, 0) where no population of a network needs them."""

fire = fire_kernel(MODELS[0], summed=False, counted=False)
fire_summed = fire_kernel(MODELS[0], summed=True, counted=False)
fire_counted = fire_kernel(MODELS[0], summed=True, counted=True)
"""Those of model 0, by far the most frequent one. Those of the others take their number first, less 1:"""
other_fire = chosen([fire_kernel(neuron, summed=False, counted=False) for neuron in MODELS[1:]])
other_fire_summed = chosen([fire_kernel(neuron, summed=True, counted=False) for neuron in MODELS[1:]])
other_fire_counted = chosen([fire_kernel(neuron, summed=True, counted=True) for neuron in MODELS[1:]])
present = chosen([neuron.present for neuron in MODELS])
respond = chosen([respond_kernel(neuron) for neuron in MODELS])
energy_of = energy_kernel(CLIPPED_LINEAR)
