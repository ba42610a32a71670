"""The network that learns: architectures, parameters and their integers, heads, error signals.

Imports `config` and `inputs`; `phases` and all above it may import it.
"""
