"""The compiled simulator: what a network consists of, its layout as arrays, and the loop that runs it.

Imports `numerics` and `jit`; the API (`spikesim.network`, `spikesim.simulator`) and `ep` import it.
"""
