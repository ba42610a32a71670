"""A sub-command each; imported when it is called.

Imports everything; nothing imports it but the group in `spikesim.cli`, by name.
"""
