"""Neuron models, a file each, and the kernels made of the one that the loop runs.

Imports `engine.simd`; the loop (`spikesim.engine.step`), and the mean field of `ep`, import it.
"""

from spikesim.engine.neurons.clipped_linear import CLIPPED_LINEAR
from spikesim.engine.simd.fire import energy_kernel, fire_kernel

NEURON = CLIPPED_LINEAR
"""The model of all populations. The choice is made when the loop is compiled: it costs no time in a step."""

probability = NEURON.probability
fire = fire_kernel(NEURON, summed=False, counted=False)
fire_summed = fire_kernel(NEURON, summed=True, counted=False)
fire_counted = fire_kernel(NEURON, summed=True, counted=True)
energy_of = energy_kernel(NEURON)
