"""Event-driven simulation of networks of probabilistic spiking neurons, and their training by equilibrium propagation.

The simulator's API is imported on first use, so that ``import spikesim`` and ``spikesim --help`` cost nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from spikesim.compiled import CompiledNetwork
    from spikesim.energy import EnergyModel
    from spikesim.errors import InputError, Stopped
    from spikesim.network import Network
    from spikesim.populations import Connection, Population
    from spikesim.rundata import Run, Table, open_run
    from spikesim.runreader import RunReader
    from spikesim.simulator import Simulator
    from spikesim.spiketrains import SpikeTrains
    from spikesim.tables import Conv, Dense, Sparse

_HOMES = {
    "InputError": "errors",
    "Stopped": "errors",
    "CompiledNetwork": "compiled",
    "Connection": "populations",
    "EnergyModel": "energy",
    "Network": "network",
    "Population": "populations",
    "Run": "rundata",
    "RunReader": "runreader",
    "Simulator": "simulator",
    "SpikeTrains": "spiketrains",
    "Conv": "tables",
    "Dense": "tables",
    "Sparse": "tables",
    "Table": "rundata",
    "open_run": "rundata",
}

__all__ = [
    "CompiledNetwork",
    "Connection",
    "Conv",
    "Dense",
    "EnergyModel",
    "InputError",
    "Network",
    "Population",
    "Run",
    "RunReader",
    "Simulator",
    "Sparse",
    "SpikeTrains",
    "Stopped",
    "Table",
    "__version__",
    "open_run",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'spikesim' has no attribute {name!r}")
    return getattr(importlib.import_module(f"spikesim.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
