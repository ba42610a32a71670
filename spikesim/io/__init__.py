"""Files: that appear whole, that nobody vouches for, that several want, that a run goes on from.

Imports `runtime`; everything above may import it.
"""
