"""Every key of the configuration by section, a module each: its default, what is allowed, and what it means.

Imports the core alone; `config` imports it, and whatever of `ep` takes a single section.
"""

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any

from spikesim.ep.config.sections.data import DURATION_MAX, DataSettings, tested_on
from spikesim.ep.config.sections.dynamics import CONTRAST_WINDOW_MAX, NUDGED_DEFAULTS, NUDGINGS, DynamicsSettings
from spikesim.ep.config.sections.error_signals import ErrorSignalSettings, answers_with
from spikesim.ep.config.sections.model import ModelSettings
from spikesim.ep.config.sections.optimizer import OptimizerSettings
from spikesim.ep.config.sections.options import option
from spikesim.ep.config.sections.presets import DEFAULT, PRESETS
from spikesim.ep.config.sections.record import RecordSettings
from spikesim.ep.config.sections.stability import StabilitySettings

__all__ = [
    "CONTRAST_WINDOW_MAX",
    "DURATION_MAX",
    "NUDGED_DEFAULTS",
    "NUDGINGS",
    "Config",
    "DataSettings",
    "DynamicsSettings",
    "ErrorSignalSettings",
    "ModelSettings",
    "OptimizerSettings",
    "RecordSettings",
    "StabilitySettings",
    "answers_with",
    "tested_on",
]


@dataclass(frozen=True)
class Config:
    """The whole configuration."""

    model: ModelSettings = field(default_factory=ModelSettings)
    data: DataSettings = field(default_factory=DataSettings)
    dynamics: DynamicsSettings = field(default_factory=DynamicsSettings)
    error_signals: ErrorSignalSettings = field(default_factory=ErrorSignalSettings)
    stability: StabilitySettings = field(default_factory=StabilitySettings)
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    record: RecordSettings = field(default_factory=RecordSettings)
    preset: str = option(
        DEFAULT,
        "Named set of keys, which all other settings override; `spikesim presets` lists them.",
        choices=tuple(PRESETS),
    )
    seed: int = option(0, "Seed of all random numbers.", low=0, high=2**63 - 1)

    def to_dict(self) -> dict[str, Any]:
        """Plain, canonical form: nested dictionaries of JSON types."""
        preset = PRESETS[self.preset]
        plain: dict[str, Any] = _as_json(dataclasses.asdict(self))
        for section in dataclasses.fields(self):
            for item in dataclasses.fields(section.type) if dataclasses.is_dataclass(section.type) else ():
                key = f"{section.name}.{item.name}"
                usual = plain[section.name][item.name] == _as_json(item.default)
                if item.metadata["later"] and usual and key not in preset.keys:
                    del plain[section.name][item.name]
        if self.preset == DEFAULT:  # as configurations have it that know of no presets
            del plain["preset"]
        return plain


def _as_json(value: Any) -> Any:
    """A value as it comes back from JSON: tuples are lists."""
    return json.loads(json.dumps(value))
