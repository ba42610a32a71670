"""Numba: the decorators of all kernels, their cache on the disk, and memory that begins at a cache line.

Imports nothing of spikesim; everything may import it.
"""
