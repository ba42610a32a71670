"""One mini-batch: the learner, what its groups add up to, and the optimizers that move the parameters.

Imports all of `ep` below `training`, and of it `normalization`, `stability` and `transfer`; `gradcheck` and the rest of
`training` import it.
"""
