"""Reports, comparisons, gradient checks and estimates as tables, lines and pictures.

Imports `terminal` and `ep.reports`; `commands` import it.
"""
