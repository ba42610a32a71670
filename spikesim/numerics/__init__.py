"""Fixed-point units, rounding, quantization, random numbers, and exp and log that are the same everywhere.

Imports `jit` alone; everything else may import it.
"""
