"""A training from its first mini-batch to its last: initialization, learner, optimizers, controllers, checkpoints.

Imports all of `ep` below it; `exchange`, `gradcheck` and `cli` import it.
"""
