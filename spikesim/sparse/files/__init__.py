"""What networks and their inputs are read from: tables of numbers as CSV, SONATA, arrays of NumPy.

Imports `io`; only `spikesim.sparse` imports it.
"""
