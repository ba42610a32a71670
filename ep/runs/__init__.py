"""The run file: its columns, writing, reading, the log beside it, and how a run stands.

The other ground of `ep`: imports the core alone; all of `ep` and `cli` may import it.
"""
