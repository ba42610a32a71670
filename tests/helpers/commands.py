"""The command as a user types it, in a process of its own, and a training run of a few seconds."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

from forking.client import Request
from forking.start import run

ROOT = Path(__file__).parents[2]

CONFIG = """\
[model]
arch = "custom"
calibration_samples = 8
layers = [
  { kind = "conv", channels = 4, pool = true },
  { kind = "conv", channels = 6, pool = true },
]
[dynamics]
steps_free = 8
window_free = 4
steps_nudged = 6
[data]
limit = 48
test_limit = 400
batch_size = 4
[optimizer]
epochs = 2
[record]
spikes = [3]
"""
BATCHES = 12
"""Mini-batches an epoch of CONFIG."""

SECONDS = 300
"""Patience with a process: the first one compiles."""


def copy_checkout(folder: Path) -> None:
    """The checkout without what is made in it, such as runs/ and build/ at its top."""
    made = {str(ROOT): ["build", "dist", "runs"]}
    ignored = shutil.ignore_patterns(".*", "*.egg-info", "__pycache__")
    shutil.copytree(
        ROOT, folder, symlinks=True, ignore=lambda at, names: {*made.get(str(at), ()), *ignored(str(at), names)}
    )


def environment(changes: dict[str, str]) -> dict[str, str]:
    """That of a process which runs the command."""
    left_out = ("COLUMNS", "LINES", "SPIKESIM_DATA")
    kept = {name: value for name, value in os.environ.items() if name not in left_out}
    return {**kept, "PYTHONPATH": str(ROOT), **changes}


def _command(arguments: tuple[object, ...]) -> list[str]:
    return [sys.executable, "-m", "spikesim", *map(str, arguments)]


def spikesim(*arguments: object, env: dict[str, str] | None = None, **options) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, in a Python of its own if it has an environment or options of its own."""
    if env is None and set(options) <= {"cwd"}:
        request = Request(
            module="spikesim.__main__",
            arguments=[*map(str, arguments)],
            folder=str(options.get("cwd") or Path.cwd()),
            environment=environment({}),
        )
        return run(request, SECONDS)
    return subprocess.run(
        _command(arguments), capture_output=True, text=True, timeout=SECONDS, env=environment(env or {}), **options
    )


def python_process(
    code: str, *arguments: object, env_changes: dict[str, str] | None = None, **options: object
) -> subprocess.Popen[str]:
    """A Python of its own that runs this code, begun, with the modules of the tests at hand."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT / "tests" / "helpers"), str(ROOT)]),
            **(env_changes or {}),
        },
        **options,
    )


def script(path: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """A script of the checkout as a user types it, with what else is on the path of this process."""
    places = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return run(
        Request(
            module="forking.script",
            arguments=[str(ROOT / path), *map(str, arguments)],
            folder=str(Path.cwd()),
            environment={**os.environ, "PYTHONPATH": os.pathsep.join(places)},
        ),
        SECONDS,
    )


def succeed(*arguments: object, **options) -> subprocess.CompletedProcess[str]:
    """Run a command that must end well."""
    result = spikesim(*arguments, **options)
    assert result.returncode == 0, result.stderr
    return result


def start(*arguments: object) -> subprocess.Popen[str]:
    """Start a command, one that Ctrl-C reaches even where the suite itself runs in the background."""
    return subprocess.Popen(
        _command(arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment({}),
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def digest(run: Path) -> str:
    """The digest that ``spikesim info`` shows."""
    last = succeed("info", run).stdout.splitlines()[-1]
    assert last.startswith("digest: ")
    return last


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Wait for something that a process does."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.002)


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait for something that happens elsewhere."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def newest_checkpoint(run: Path) -> int:
    """Position of the newest checkpoint of a run; -1 if there is none."""
    names = Path(f"{run}.checkpoints").glob("*.npz")
    return max((int(path.stem) for path in names), default=-1)


def assert_one_line(result: subprocess.CompletedProcess[str], *fragments: str) -> None:
    """Refused: exit code 2 and one line; lines of progress may stand before it."""
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr and "Warning" not in result.stderr
    lines = result.stderr.splitlines()
    assert [line for line in lines if line.startswith("Error: ")] == lines[-1:]
    for fragment in fragments:
        assert fragment in lines[-1]
