"""What a process meets while it works: signals, memory, terminals, numbers in words and in tables.

Imports nothing of spikesim but its errors; everything may import it.
"""
