"""Samples in memory: images, recordings and their clocks, series, texts and their tokens; their hash, transforms.

Imports the core alone; all of `datasets` may import it.
"""
