"""Charts as data, and what draws them: SVG for pages, matplotlib for files.

Imports `analysis` and `runs`; `pages` and `ep.reports` import it.
"""
