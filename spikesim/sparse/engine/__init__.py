"""The compiled loop of sparse networks: their layout as arrays, delivery, updating, resting.

Imports `spikesim.engine`, `numerics` and `jit`; only `spikesim.sparse` imports it.
"""
