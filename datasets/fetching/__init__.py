"""Getting published sets: downloads, checksums, archives.

Imports all of `datasets`; only `cli` imports it.
"""
