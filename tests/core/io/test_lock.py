"""One process writes a run file, and the others are told which."""

import os
import subprocess

import pytest
from commands import python_process
from runs import expect_fault, make_header

from spikesim.ep.runs.schema import TABLES
from spikesim.ep.runs.writer import RunLock, RunWriter
from spikesim.io.lock import lock_holder


def test_a_second_writer_is_told_who_writes(tmp_path):
    path = tmp_path / "run.h5"
    script = """
        import sys
        from runs import make_header
        from spikesim.ep.runs.writer import RunWriter
        with RunWriter.create(sys.argv[1], make_header()):
            print("ready", flush=True)
            sys.stdin.read()
    """
    process = python_process(script, path, stdin=subprocess.PIPE)
    assert process.stdout.readline() == "ready\n"
    pattern = f"being written by process {process.pid} on "
    rows = dict.fromkeys(TABLES, 0)
    expect_fault(pattern, RunWriter.create, path, make_header(), overwrite=True)
    expect_fault(pattern, RunWriter.resume, path, make_header(), rows=rows)
    assert str(process.pid) in lock_holder(path)
    process.kill()
    process.communicate()
    assert lock_holder(path) is None
    with RunWriter.resume(path, make_header(), rows=rows):
        assert str(os.getpid()) in lock_holder(path)
    assert os.listdir(tmp_path) == ["run.h5"]


def test_a_lock_given_by_the_caller_is_kept(tmp_path):
    path = tmp_path / "run.h5"
    with RunLock(path) as lock:
        RunWriter.create(path, make_header(), lock=lock).close()
        assert lock_holder(path) is not None
        RunWriter.resume(path, make_header(), rows=dict.fromkeys(TABLES, 0), lock=lock).close()
        with pytest.raises(ValueError, match="lock"):
            RunWriter.create(tmp_path / "other.h5", make_header(), lock=lock)
    assert lock_holder(path) is None
    lock.release()


def test_only_one_of_many_processes_gets_the_lock(tmp_path):
    script = """
        import fcntl, os, sys
        from spikesim.errors import InputError
        from spikesim.io.lock import RunLock
        witness = os.open(sys.argv[1] + ".witness", os.O_RDWR | os.O_CREAT)
        for _ in range(200):
            try:
                with RunLock(sys.argv[1]):
                    fcntl.lockf(witness, fcntl.LOCK_EX | fcntl.LOCK_NB)   # fails if another process is in here
                    fcntl.lockf(witness, fcntl.LOCK_UN)
            except InputError:
                pass
    """
    processes = [python_process(script, tmp_path / "run.h5") for _ in range(3)]
    for process in processes:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
