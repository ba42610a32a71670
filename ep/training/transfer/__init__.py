"""Going on from another network: the weights of a run as the start of a training, and layers that stay as they are.

Imports `config`, `network` and `runs` of `ep`, and `normalization`; the rest of `training`, and `cli`, import it.
"""
