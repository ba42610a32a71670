"""Jobs as processes: so many at a time, one that fails alone, all of them stopped."""

import sys
import time
from pathlib import Path

from spikesim.cli.sweeps.workers import Ended, Job, Workers

STOPPABLE = (
    "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(75)); print('up', flush=True); time.sleep(60)"
)


def job(folder: Path, name: str, code: str) -> Job:
    return Job(name, [sys.executable, "-S", "-c", code], folder / f"{name}.log")


def test_jobs_run_so_many_at_a_time_and_fail_alone(tmp_path: Path) -> None:
    marks = "import pathlib, sys, time; p = pathlib.Path({!r}); p.touch(); print(len(list(p.parent.glob('*.on')))); "
    rest = "time.sleep(0.15); p.unlink(); sys.exit({})"
    codes = {"a": "0", "b": "'Error: it is wrong'", "c": "0", "d": "0"}
    jobs = [
        job(tmp_path, name, (marks + rest).format(str(tmp_path / f"{name}.on"), code)) for name, code in codes.items()
    ]
    jobs.append(job(tmp_path, "killed", "import os; os.kill(os.getpid(), 9)"))
    (tmp_path / "a.log").write_text("Error: of an earlier time\n")
    began: list[str] = []
    ended: list[Ended] = []
    Workers(jobs, 2, lambda one: began.append(one.name), ended.append).run()
    assert began == [*codes, "killed"]
    found = {end.job.name: (end.code, end.reason) for end in ended}
    assert found["b"] == (1, "Error: it is wrong") and found["a"] == found["d"] == (0, "")
    assert found["killed"] == (-9, "")
    logs = [(tmp_path / f"{name}.log").read_text().split("\n")[-2] for name in "acd"]
    assert set(logs) <= {"1", "2"}, "no more than two at a time"
    assert (tmp_path / "a.log").read_text().startswith("Error: of an earlier time\n"), "logs are appended to"


def test_a_stop_reaches_those_that_run_and_begins_no_more(tmp_path: Path) -> None:
    jobs = [job(tmp_path, name, STOPPABLE) for name in "abc"]
    ended: list[Ended] = []
    workers = Workers(jobs, 2, lambda one: None, ended.append)
    look = workers._collect

    def stop_when_up() -> None:
        if all((tmp_path / f"{name}.log").read_text() for name in "ab"):
            workers.request_stop()
        look()

    workers._collect = stop_when_up  # type: ignore[method-assign]
    before = time.monotonic()
    workers.run()
    assert time.monotonic() - before < 30
    assert {end.job.name: end.stopped for end in ended} == {"a": True, "b": True} and workers.stopping
