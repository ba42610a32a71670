"""Threads, their workspaces, and the processors that they are tied to."""

import itertools
import threading
from typing import Any

import pytest
import small

from spikesim.ep.network.model import Model
from spikesim.ep.parallel.thread_pool import ThreadPool
from spikesim.ep.phases import workspace as ph
from spikesim.errors import InputError


def test_every_thread_keeps_a_workspace_of_its_own() -> None:
    config, dataset = small.make(small.DENSE), small.make_dataset()
    with ThreadPool(Model(config, dataset), config, 3) as thread_pool:
        together = threading.Barrier(3, timeout=60)  # so that each thread has one

        def look(_: int) -> tuple[int, int]:
            together.wait()
            return threading.get_ident(), id(thread_pool.workspace)

        first, second = (dict(thread_pool.map(look, range(3))) for _ in range(2))
    assert first == second and len(set(first.values())) == 3


def test_a_workspace_that_cannot_be_made_ends_the_other_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    config, dataset = small.make(small.DENSE), small.make_dataset()
    calls = itertools.count()

    def make(*args: Any, **options: Any) -> ph.Workspace:
        if next(calls) == 1:
            raise MemoryError
        return workspace_class(*args, **options)

    workspace_class = ph.Workspace
    monkeypatch.setattr(ph, "Workspace", make)
    with pytest.raises(InputError, match="samples of a group"):
        ThreadPool(Model(config, dataset), config, 3)
