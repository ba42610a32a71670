"""What people look at: reports as JSON, tables, pages and pictures of one run or several.

Imports `analysis` and `runs`; only `cli` imports it.
"""
