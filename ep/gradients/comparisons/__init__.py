"""Which phases a contrast compares, and what their difference is divided by: one file a comparison.

Imports `phases` and what is below; `gradients.scheme` finds them by the names of `dynamics.nudging`.
"""
