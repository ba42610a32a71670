"""Starts the server of this process, when the first command is asked for, and ends it with this process."""

import atexit
import contextlib
import functools
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO

from forking.client import Request, call

HELPERS = Path(__file__).resolve().parents[1]


@functools.cache
def address() -> str:
    """The path of the server's socket. The server imports from the places in this process's environment only."""
    places = [str(HELPERS), str(HELPERS.parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    held = contextlib.ExitStack()
    path = str(Path(held.enter_context(tempfile.TemporaryDirectory(prefix="forking-")), "socket"))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(64)
        server = subprocess.Popen(
            [sys.executable, "-m", "forking.server", str(listener.fileno())],
            stdin=subprocess.PIPE,
            pass_fds=[listener.fileno()],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(places)},
            start_new_session=True,  # Ctrl-C ends this process, and with it the server
        )
    held.enter_context(server)
    atexit.register(held.close)
    return path


def run(request: Request, patience: float) -> subprocess.CompletedProcess[str]:
    """Run a command without input to its end.

    Raises
    ------
    subprocess.TimeoutExpired
    """
    with _written() as out, _written() as err, open(os.devnull) as nothing:
        try:
            code = call(address(), request, (nothing.fileno(), out.fileno(), err.fileno()), patience)
        except TimeoutError:
            raise subprocess.TimeoutExpired(request["arguments"], patience) from None
        for file in (out, err):
            file.seek(0)
        return subprocess.CompletedProcess(request["arguments"], code, out.read(), err.read())


def _written() -> IO[str]:
    """A file for what a command writes."""
    return tempfile.TemporaryFile("w+", encoding="utf-8")
