"""Which phases a contrast compares, and what their difference is divided by: one file a comparison.

Imports `phases` and what is below; `gradients.scheme` imports it and finds a comparison by the name that the
configuration gives.
"""
