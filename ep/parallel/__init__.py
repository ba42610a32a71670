"""Threads and processes: who does what, and sums that are the same whoever does it.

Imports `phases`; `gradients`, `evaluation` and `training` import it.
"""
