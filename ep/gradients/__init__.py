"""From window sums to gradients: the learning rules, exact sums of products, centering, the activity penalty.

Imports `phases` and `parallel`; `training` and `gradcheck` import it.
"""
