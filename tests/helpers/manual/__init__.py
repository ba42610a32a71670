"""The manual in use: its pages and their blocks, and its commands on small stand-ins for the data."""
