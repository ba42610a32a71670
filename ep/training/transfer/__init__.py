"""Going on from another network: the weights of a run as the start of a training, and layers that stay as they are.

Imports `config`, `network`, `runs` and `evaluation` of `ep`; the rest of `training`, and `cli`, import it.
"""
