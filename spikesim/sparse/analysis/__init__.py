"""What a recorded simulation says: rates, irregularity, correlations, potentials, read from its file piece by piece.

Imports `sparse` and `runtime`; `exchange`, `reports` and `cli` import it.
"""
