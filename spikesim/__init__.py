"""Event-driven simulation of networks of probabilistic spiking neurons, and their training by equilibrium propagation.

The simulator's API is imported on first use, so that ``import spikesim`` and ``spikesim --help`` cost nothing.

Imports `engine` and the packages below it; `sparse`, `datasets`, `ep` and `cli` import it.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from spikesim.engine.layout import CompiledNetwork
    from spikesim.engine.populations import Connection, Population
    from spikesim.engine.spike_trains import SpikeTrains
    from spikesim.engine.synapses import Conv, Dense, Lookup, Sparse
    from spikesim.ep.analysis.tables import Run, open_run
    from spikesim.ep.evaluation.explanation import Explanation
    from spikesim.ep.evaluation.network import TrainedNetwork, load
    from spikesim.ep.evaluation.prediction import LayerSpikes, Prediction
    from spikesim.ep.runs.energy import EnergyModel
    from spikesim.ep.runs.reader import RunReader
    from spikesim.ep.training.fitting import fit
    from spikesim.errors import InputError, Stopped
    from spikesim.network import Network
    from spikesim.runtime.table import Table
    from spikesim.simulator import Simulator
    from spikesim.sparse.analysis.recorded import RecordedSimulation, open_simulation

_HOMES = {
    "InputError": "errors",
    "Stopped": "errors",
    "CompiledNetwork": "engine.layout",
    "Connection": "engine.populations",
    "EnergyModel": "ep.runs.energy",
    "LayerSpikes": "ep.evaluation.prediction",
    "Network": "network",
    "Population": "engine.populations",
    "Explanation": "ep.evaluation.explanation",
    "Prediction": "ep.evaluation.prediction",
    "RecordedSimulation": "sparse.analysis.recorded",
    "Run": "ep.analysis.tables",
    "RunReader": "ep.runs.reader",
    "Simulator": "simulator",
    "SpikeTrains": "engine.spike_trains",
    "Conv": "engine.synapses",
    "Dense": "engine.synapses",
    "Lookup": "engine.synapses",
    "Sparse": "engine.synapses",
    "Table": "runtime.table",
    "TrainedNetwork": "ep.evaluation.network",
    "fit": "ep.training.fitting",
    "load": "ep.evaluation.network",
    "open_run": "ep.analysis.tables",
    "open_simulation": "sparse.analysis.recorded",
}

__all__ = [
    "CompiledNetwork",
    "Connection",
    "Conv",
    "Dense",
    "EnergyModel",
    "Explanation",
    "InputError",
    "LayerSpikes",
    "Lookup",
    "Network",
    "Population",
    "Prediction",
    "RecordedSimulation",
    "Run",
    "RunReader",
    "Simulator",
    "Sparse",
    "SpikeTrains",
    "Stopped",
    "Table",
    "TrainedNetwork",
    "__version__",
    "fit",
    "load",
    "open_run",
    "open_simulation",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'spikesim' has no attribute {name!r}")
    return getattr(importlib.import_module(f"spikesim.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
