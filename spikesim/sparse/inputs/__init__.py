"""What reaches a network from outside: spikes that are given, and rates and currents with a time course.

Imports `files` and `io`; only `spikesim.sparse` imports it.
"""
