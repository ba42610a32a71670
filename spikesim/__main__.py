"""``python -m spikesim``: the same as the ``spikesim`` command."""

from spikesim.cli import main

if __name__ == "__main__":
    main(prog_name="spikesim")
