"""Equilibrium propagation on top of the simulator: phases, contrast, read-out, optimisers, training.

What a program needs to train and test networks is imported from here, on first use.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spikesim.ep.config import make_config, parse_setting
    from spikesim.ep.dataset import load_dataset
    from spikesim.ep.gradcheck import check_gradients, variants
    from spikesim.ep.journal import RunOptions
    from spikesim.ep.observer import EpochSummary, Observer, Progress
    from spikesim.ep.options import Config
    from spikesim.ep.teacher import Teacher, read_teacher, write_teacher
    from spikesim.ep.trainer import Trainer

_HOMES = {
    "Config": "options",
    "EpochSummary": "observer",
    "Observer": "observer",
    "Progress": "observer",
    "RunOptions": "journal",
    "Teacher": "teacher",
    "Trainer": "trainer",
    "check_gradients": "gradcheck",
    "load_dataset": "dataset",
    "make_config": "config",
    "parse_setting": "config",
    "read_teacher": "teacher",
    "variants": "gradcheck",
    "write_teacher": "teacher",
}

__all__ = [
    "Config",
    "EpochSummary",
    "Observer",
    "Progress",
    "RunOptions",
    "Teacher",
    "Trainer",
    "check_gradients",
    "load_dataset",
    "make_config",
    "parse_setting",
    "read_teacher",
    "variants",
    "write_teacher",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'spikesim.ep' has no attribute {name!r}")
    return getattr(importlib.import_module(f"spikesim.ep.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
