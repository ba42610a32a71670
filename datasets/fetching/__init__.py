"""Published data sets over HTTP into a data folder: downloads that resume, archives that are not trusted.

Why not `pooch` 1.9, which fetches, compares a sum and unpacks: what is left of a cut download it throws away, and ours
are of gigabytes; it does not bound what an answer or an archive may hold, and unpacks by `extractall`, under the paths
that the archive says; a file has its name before the disk has it; two processes may fetch into one folder at once; and
its errors are those of `requests`, which it needs together with two more packages. It would take the place of
`download.py`, a quarter of the lines, and of its tests none: what they ask for would have to be written around it.

Imports all of `datasets`; only `cli` imports it.
"""
