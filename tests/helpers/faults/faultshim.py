"""A file system with faults: a library between a process and the C library, compiled where there is a compiler."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("faultshim.c")


def build(folder: Path) -> Path:
    """The library; the test is skipped where it cannot be made, or is not taken."""
    assert SOURCE.is_file()
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("needs a C compiler")
    library = folder / "faultshim.so"
    made = subprocess.run([compiler, "-shared", "-fPIC", "-o", library, SOURCE, "-ldl"], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"the library cannot be made: {made.stderr.splitlines()[0]}")
    probe = subprocess.run(
        ["python3", "-c", "import fcntl; fcntl.flock(open('/dev/null'), fcntl.LOCK_EX)"],
        env={**os.environ, "LD_PRELOAD": str(library), "FAULT_FLOCK": "37"},
        capture_output=True,
        text=True,
    )
    if "Errno 37" not in probe.stderr:
        pytest.skip("LD_PRELOAD is not taken")
    return library
