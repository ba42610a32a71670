"""Where synapses come from: random rules, matrices and lists of edges, each drawn or read in pieces.

Imports `files`, `numerics`, `jit`, `io` and `runtime`; only `spikesim.sparse` imports it.
"""
