"""Sub-commands that start trainings in processes of their own, one or many: on a cluster, and here.

Imports `commands`, `sweeps` and `cluster`; nothing imports it but the group in `spikesim.cli`, by name.
"""
