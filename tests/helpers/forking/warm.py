"""Imported once by the process that `forking` forks from: the program, and its kernels by a training of two samples."""

import contextlib
import os
import tempfile
from pathlib import Path

from spikesim.cli import main


def _warm() -> None:
    with tempfile.TemporaryDirectory() as folder, open(os.devnull, "w") as nowhere:
        out = str(Path(folder, "run.h5"))
        sizes = ("--limit", "4", "--test-limit", "2", "--epochs", "1", "--threads", "1", "--width", "0.25")
        few = ("--set", "model.calibration_samples=2", "--set", "data.batch_size=2")
        for command in (("train", "--arch", "conv", *sizes, *few, "--out", out), ("report", out)):
            with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
                main.main(list(command), standalone_mode=False)


_warm()
