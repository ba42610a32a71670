"""Exchange with other programs: what a run holds in their formats, and weights from elsewhere (docs/exchange.md).

Imports `training` and what lies below it; only `cli` imports it.
"""
