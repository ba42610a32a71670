"""Which sets there are, where their files lie, and bounded reading of .gz and .tar.gz.

Imports `samples`; the readers and `fetching` import it.
"""
