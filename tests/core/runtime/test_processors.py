"""Threads stay on a processor where a scheduler has given the job one for each, and only there."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from spikesim.runtime import processors
from spikesim.runtime.processors import places

pytestmark = pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="the system has no affinity")


@pytest.mark.parametrize(
    ("allowed", "machine", "threads", "expected"),
    [
        ({4, 5, 9}, 16, 3, (4, 5, 9)),
        ({4, 5, 9}, 16, 2, ()),  # which two?
        ({4, 5, 9}, 16, 4, ()),
        ({0, 1}, 2, 2, ()),  # the machine is not divided
        ({0, 1}, None, 2, ()),
    ],
)
def test_a_part_of_the_machine_is_shared_out(
    monkeypatch: pytest.MonkeyPatch,
    allowed: set[int],
    machine: int | None,
    threads: int,
    expected: tuple[int, ...],
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: allowed)
    monkeypatch.setattr(os, "cpu_count", lambda: machine)
    assert places(threads).processors == expected


def test_a_thread_runs_on_the_processor_that_it_took() -> None:
    own = min(os.sched_getaffinity(0))
    with ThreadPoolExecutor(1, initializer=processors.Places((own,)).take) as executor:
        assert executor.submit(lambda: os.sched_getaffinity(0)).result() == {own}
    assert os.sched_getaffinity(0) >= {own}, "the others stay where they may be"


def test_a_processor_that_is_not_there_is_let_go() -> None:
    code = "from spikesim.runtime.processors import Places; Places((100000,)).take()"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
