"""How a network responds to a nudge: one file a way, with its kernels.

Imports `network`; `phases` imports it and finds the ways by name.
"""
