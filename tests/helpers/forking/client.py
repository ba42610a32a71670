"""Asks the server for a command and waits for its end.

Imports little, for the manual's shell blocks start a Python without the packages for it (`manual.program`).
"""

import json
import os
import signal
import socket
from typing import TypedDict

SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class Request(TypedDict):
    """A command: the module whose ``main`` runs it, its words after the program's name, its folder and environment."""

    module: str
    arguments: list[str]
    folder: str
    environment: dict[str, str]


def call(
    address: str, request: Request, streams: tuple[int, int, int], patience: float | None = None, forward: bool = False
) -> int:
    """Run a command to its end.

    Parameters
    ----------
    address : str
        Path of the server's socket.
    request : Request
    streams : (int, int, int)
        Descriptors of its standard input, output and error.
    patience : float, optional
        Seconds after which the command is killed.
    forward : bool, optional
        Whether signals to this process are passed on to the command.

    Returns
    -------
    int
        Its exit code; negative if a signal ended it.

    Raises
    ------
    TimeoutError
    """
    with socket.socket(socket.AF_UNIX) as connection:  # the command is killed when it is closed before
        connection.settimeout(patience)
        connection.connect(address)
        content = json.dumps(request).encode()
        socket.send_fds(connection, [len(content).to_bytes(8, "big")], streams)
        connection.sendall(content)
        command = receive_number(connection)
        for number in SIGNALS if forward else ():
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, lambda number, _: os.kill(command, number))
        return receive_number(connection)


def send_number(connection: socket.socket, number: int) -> None:
    """Send a number to the other side."""
    connection.sendall(number.to_bytes(8, "big", signed=True))


def receive_number(connection: socket.socket) -> int:
    """The number that the other side sends."""
    return int.from_bytes(receive(connection, 8), "big", signed=True)


def receive(connection: socket.socket, size: int) -> bytes:
    """So many bytes of the other side."""
    content = b""
    while len(content) < size:
        part = connection.recv(size - len(content))
        if not part:
            raise ConnectionError("the other side has ended")
        content += part
    return content
