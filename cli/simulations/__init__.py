"""What the commands that show runs do with the file of a simulation.

Imports `terminal`, `views`, `ep` and the packages below it; `commands` imports it.
"""
