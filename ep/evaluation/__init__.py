"""Testing a network, and using the network of a run file again, also where its data set is not.

Imports `phases` and `parallel`; `training`, `gradcheck` and `cli` import it.
"""
