"""A script of the checkout in a process that has forked: ``python ARGUMENTS``."""

import runpy
import sys
from pathlib import Path


def main() -> None:
    """Run it as Python would, with its folder before the other places of imports."""
    del sys.argv[0]
    sys.path[0] = str(Path(sys.argv[0]).resolve().parent)
    runpy.run_path(sys.argv[0], run_name="__main__")
