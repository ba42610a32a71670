"""The gradient check: the network in float64, the exact gradient, and both beside the engine's estimates.

Imports all of `ep` below it; only `cli` imports it.
"""
