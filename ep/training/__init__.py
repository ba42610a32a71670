"""A training from its first mini-batch to its last: initialization, epochs, tests, the run file, checkpoints.

Imports all of `ep` below it; `exchange`, `gradcheck` and `cli` import it.
"""
