"""What a set holds, and what looks odd in it.

Imports `samples`; the readers and `cli` import it.
"""
