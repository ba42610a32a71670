"""The HTML pages, with their style and script.

Imports `charts`; `ep.reports` imports it.
"""
