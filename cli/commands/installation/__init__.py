"""Sub-commands about the installed program itself: its manual, its compiled kernels, and the shell.

Imports the core and `cli`; nothing imports it but the group in `spikesim.cli`, by name.
"""
