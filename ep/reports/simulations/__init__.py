"""What people look at of a recorded simulation: its report as JSON, charts, a raster, a page.

Imports `sparse.analysis`, `charts` and `pages`; `ep.reports` and `cli` import it.
"""
