"""What keeps a training stable: controllers of nudge and activity, homeostasis, the limit of the coupling.

Imports `config`, `gradients`, `network` and `phases` of `ep`, and `normalization`; the rest of `training` imports it.
"""
