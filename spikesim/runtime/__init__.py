"""What a process meets while it works: signals, memory, terminals, and how it words numbers.

Imports nothing of spikesim; everything may import it.
"""
