"""Commands in processes that fork from one which has imported the program and loaded its kernels.

A process of its own for each command, as a user has it, without the second or two in which Python starts: there are
hundreds of them in the suite. What concerns that start, the environment or signals has a Python of its own
(`commands.python_process`, `commands.start`, `commands.spikesim` with `env`).
"""

import functools
import multiprocessing
import os
import subprocess
import sys
import tempfile
from multiprocessing.forkserver import ensure_running
from pathlib import Path

HELPERS = Path(__file__).resolve().parents[1]
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["forking.warm"])


@functools.cache
def _start_server() -> None:
    """Start the process that is forked, which imports from the places in its environment only."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(HELPERS), str(HELPERS.parents[1]), before]))
    try:
        ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


def run(
    arguments: list[str], folder: Path, environment: dict[str, str], patience: float
) -> subprocess.CompletedProcess[str]:
    """Run ``spikesim ARGUMENTS`` in a folder to its end."""
    _start_server()
    with tempfile.TemporaryDirectory() as place:
        out, err = (str(Path(place, name)) for name in ("out", "err"))
        process = CONTEXT.Process(target=_run_here, args=(arguments, str(folder), environment, out, err))
        process.start()
        process.join(patience)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(["spikesim", *arguments], patience)
        texts = [Path(name).read_text(encoding="utf-8") if Path(name).exists() else "" for name in (out, err)]
        return subprocess.CompletedProcess(["spikesim", *arguments], process.exitcode, *texts)


def _run_here(arguments: list[str], folder: str, environment: dict[str, str], out: str, err: str) -> None:
    """In the process that has forked: what Python does before and after the command."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, name in ((1, out), (2, err)):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), number)
    sys.stdin, sys.stdout = open(0, closefd=False), open(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["spikesim", *arguments]

    from spikesim.__main__ import main

    main()
