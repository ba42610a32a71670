"""What goes to a terminal: tables, progress, messages, output that cannot be written.

Imports the core and the observers of `ep`; all of `cli` may import it.
"""
