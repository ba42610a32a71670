"""A reader a file format.

Imports `samples`, `catalogue` and `inspection`; `datasets.loading` imports it.
"""
