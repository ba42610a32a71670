"""Free and nudged phases of a group of samples, to their window sums and counters.

Imports `network`; `parallel`, `gradients`, `evaluation` and `training` import it.
"""
