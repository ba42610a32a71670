"""What the HDF5 files of the program are, and JSON that is the same for equal values."""

import json
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

MAGIC = "spikesim-run"

SIMULATION_MAGIC, SIMULATION_STATE_MAGIC = "spikesim-simulation", "spikesim-simulation-state"

FORMATS: Mapping[str, str] = MappingProxyType(
    {
        MAGIC: "the run file of a training, which 'spikesim report' shows and spikesim.open_run reads",
        SIMULATION_MAGIC: (
            "a file of 'spikesim simulate', which 'spikesim report' shows and spikesim.open_simulation reads"
        ),
        SIMULATION_STATE_MAGIC: "the state of a simulation, from which 'spikesim simulate --resume' goes on",
        "spikesim-teacher": "a teacher file, which 'spikesim train --teacher' reads",
    }
)
"""What the HDF5 files of the program are, by their attribute `format`, and what reads them."""

STATUSES = ("running", "stopped", "finished")


def canonical_json(value: Any) -> str:
    """JSON text that is the same for equal values: sorted keys, no white space, no NaN.

    Raises
    ------
    ValueError
        If a number is not finite.
    TypeError
        If something is not representable in JSON.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def finite(value: Any) -> Any:
    """JSON has no NaN and no infinity: None stands for them."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
