"""Every hyper-parameter, what is allowed, and the way from files and options to checked values.

The ground of `ep`: imports the core alone; all of `ep` may import it.
"""
