"""Reports, comparisons and gradient checks as tables and pictures.

Imports `terminal` and `ep.reports`; `commands` import it.
"""
