"""Plastic synapses: the rules as users give them, the integers that they become, and the weights of a trial.

Imports `engine`, `neurons`, `connections` and `io`; only `spikesim.sparse` imports it.
"""
