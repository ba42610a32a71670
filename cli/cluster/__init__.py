"""Batch scripts, and the start of a training as a rehearsal.

Imports `ep` and the options of `cli`; `commands` import it.
"""
