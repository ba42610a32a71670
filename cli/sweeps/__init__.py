"""Sweeps: many runs of one command with different settings, planned, named, and run here as processes.

Imports `ep.runs` and `io`; `commands` import it.
"""
