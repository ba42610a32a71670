"""Testing a network, and using the network of a run file again.

Imports `phases` and `parallel`; `training`, `gradcheck` and `cli` import it.
"""
