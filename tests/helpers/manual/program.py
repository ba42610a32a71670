"""``spikesim`` in a shell block of the manual: forks where its environment is that of the page.

    python -S -E tests/helpers/manual/program.py ADDRESS ENVIRONMENT ARGUMENTS

With another environment, such as a process of MPI has, it starts from nothing.
"""

import json
import os
import signal
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # the other helpers
from forking.client import call

OF_SHELLS = ("OLDPWD", "PS1", "PWD", "SHLVL", "_")
"""Variables that a shell sets or removes by itself."""


def is_of_page(environment: dict[str, str], page: Path) -> bool:
    """Whether an environment is that of a page, which a file has."""
    own = {name: value for name, value in environment.items() if name not in OF_SHELLS}
    return bool(own == json.loads(page.read_text()))


def main(address: str, page: str, arguments: list[str]) -> None:
    """Run the command, and end as it does."""
    environment = dict(os.environ)
    if not is_of_page(environment, Path(page)):
        command = str(Path(__file__).with_name("command.py"))
        os.execv(sys.executable, [sys.executable, command, "spikesim", *arguments])
    request = {
        "module": "manual.command",
        "arguments": arguments,
        "folder": os.getcwd(),
        "environment": environment,
    }
    code = call(address, request, (0, 1, 2), forward=True)
    if code < 0:  # by a signal
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)


if __name__ == "__main__":
    main(*sys.argv[1:3], sys.argv[3:])
