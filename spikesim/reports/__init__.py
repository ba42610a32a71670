"""Reports that people look at: pages, pictures, comparisons, a run that is followed.

The numbers are those of `spikesim.analysis`.
"""
