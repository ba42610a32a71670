"""Sizes that nothing exceeds: what the program makes, and what it takes from a file."""

__all__ = ["NEURONS_MAX"]

NEURONS_MAX = 2**27 - 1
"""Neurons of a population."""
