"""Readers of series and texts.

Imports `formats`; `datasets.loading` imports it.
"""
