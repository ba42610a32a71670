"""Samples on their way to the network: the data set of a run, images and spikes as inputs, a teacher's logits.

Imports `config`, `runs` and `datasets`; `network` and all above it may import it.
"""
