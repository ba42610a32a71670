"""The process that is forked: ``python -m forking.server DESCRIPTOR``, of a socket that listens.

It ends with its standard input, which the process that has started it holds.
"""

import importlib
import json
import multiprocessing
import os
import socket
import sys
from multiprocessing.connection import wait

from forking.client import Request, receive, send_number

CONTEXT = multiprocessing.get_context("fork")


def serve(listener: socket.socket) -> None:
    """Fork an attendant for each connection."""
    attendants: set[int] = set()
    while listener in wait([listener, sys.stdin]):
        connection, _ = listener.accept()
        attendants = {number for number in attendants if os.waitpid(number, os.WNOHANG) == (0, 0)}
        number = os.fork()
        if not number:
            listener.close()
            attend(connection)
            os._exit(0)
        attendants.add(number)
        connection.close()


def attend(connection: socket.socket) -> None:
    """Run the command of a connection, and say how it ends."""
    head, streams, _, _ = socket.recv_fds(connection, 8, 3)
    content = receive(connection, int.from_bytes(head, "big"))
    process = CONTEXT.Process(target=run, args=(json.loads(content), streams))
    process.start()
    for number in streams:
        os.close(number)
    send_number(connection, process.pid or 0)
    if process.sentinel not in wait([process.sentinel, connection]):  # nobody waits for it any longer
        process.kill()
    process.join()
    send_number(connection, process.exitcode or 0)


def run(request: Request, streams: list[int]) -> None:
    """In the process that has forked: what Python does before and after the command."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdin, sys.stdout = open(0, closefd=False), open(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = ["spikesim", *request["arguments"]]
    importlib.import_module(request["module"]).main()


if __name__ == "__main__":
    import forking.warm  # noqa: F401

    serve(socket.socket(fileno=int(sys.argv[1])))
