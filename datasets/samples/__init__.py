"""Samples as arrays: images, recordings and their clocks, the hash of their content, transforms.

Imports the core alone; all of `datasets` may import it.
"""
