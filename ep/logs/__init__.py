"""Observers that write what a training does while it runs, for programs that follow it.

Imports `ep.training`, `ep.runs` and the core; `cli` imports it.
"""
