"""From window sums to gradients: the learning rules, exact sums of products, centring, the activity penalty.

Imports `phases` and `parallel`; `training` and `gradcheck` import it.
"""
