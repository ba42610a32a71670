"""What the commands that show runs do with the file of a simulation.

Imports `terminal`, `ep.reports` and `sparse.analysis`; `commands` imports it.
"""
