"""Innermost loops as vector code, each with a plain twin of the same bits (README.md has their contract).

Imports `jit`; only `engine`, `sparse` and the kernels of `ep` import it.
"""
