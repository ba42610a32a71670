"""The numbers of a report, computed from the rows of a run file; `open_run`.

Imports `runs`; `reports`, `exchange` and `cli` import it.
"""
