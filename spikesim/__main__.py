"""The ``spikesim`` command, also as ``python -m spikesim``."""

import sys

from spikesim.runtime.stopping import stop_early

__all__ = ["main"]


def main() -> None:
    """Run the command; what can be resumed is stopped in good order from here on."""
    stop_early(*sys.argv[1:] or [""])

    from spikesim.cli import main as command

    command(prog_name="spikesim")


if __name__ == "__main__":
    main()
