"""Equilibrium propagation on top of the simulator: phases, contrast, read-out, optimizers, training.

What a program needs to train and test networks is imported from here, on first use.

Imports the core and `datasets`; `cli` imports it.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spikesim.ep.config.parsing import make_config, parse_setting
    from spikesim.ep.config.sections import Config
    from spikesim.ep.gradcheck.check import check_gradients, variants
    from spikesim.ep.inputs.dataset import load_dataset
    from spikesim.ep.inputs.teacher import Teacher, read_teacher, write_teacher
    from spikesim.ep.training.observer import EpochSummary, Observer, Progress
    from spikesim.ep.training.run_store import RunOptions
    from spikesim.ep.training.trainer import Trainer

_HOMES = {
    "Config": "config.sections",
    "EpochSummary": "training.observer",
    "Observer": "training.observer",
    "Progress": "training.observer",
    "RunOptions": "training.run_store",
    "Teacher": "inputs.teacher",
    "Trainer": "training.trainer",
    "check_gradients": "gradcheck.check",
    "load_dataset": "inputs.dataset",
    "make_config": "config.parsing",
    "parse_setting": "config.parsing",
    "read_teacher": "inputs.teacher",
    "variants": "gradcheck.check",
    "write_teacher": "inputs.teacher",
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
