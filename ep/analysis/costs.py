"""What the operations of a device cost, from a TOML file or published, and what that comes to for a run.

    name = "an accelerator"
    node = "45 nm"
    format = "int8"
    source = "its data sheet"

    [picojoule]
    accumulate = 0.03
    multiply_accumulate = 0.23
    neuron_update = 0.06

    [bytes]
    weight = 1
    state = 4

    [[memory]]
    name = "SRAM"
    bytes = 32768
    weight_fetch = 2.5
    state_access = 10.0

    [[memory]]
    name = "DRAM"
    weight_fetch = 160.0
    state_access = 650.0

docs/reports.md describes the keys.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikesim.ep.analysis.published import PUBLISHED
from spikesim.ep.runs.energy import EnergyModel
from spikesim.ep.runs.reader import RunReader
from spikesim.ep.runs.schema import READOUT
from spikesim.errors import InputError
from spikesim.io.fields import shown
from spikesim.io.toml import read_toml
from spikesim.io.validation import Limits, number, require_keys, table, tables, word

__all__ = ["DeviceEnergy", "EnergyCosts", "MemoryLevel", "energy_costs"]

_KEYS = ("name", "node", "format", "source", "picojoule", "bytes", "memory")
_OPERATIONS = ("accumulate", "multiply_accumulate", "neuron_update")
_SIZES = ("weight", "state")
_LEVEL = ("name", "bytes", "weight_fetch", "state_access")
_PRICE = Limits(low=0, high=1e9)
_SIZE = Limits(above=0, high=64)
_CAPACITY = Limits(above=0, high=1e18)


@dataclass(frozen=True)
class DeviceEnergy(EnergyModel):
    """Energy charged for arithmetic, memory and updates of neurons.

    A weight is fetched for each accumulate and multiply-accumulate. A state is read and written, two accesses, for each
    accumulate and each update of a neuron; a multiply-accumulate adds up in a register.

    Attributes
    ----------
    node, format : str
        Process node, and format of the numbers.
    neuron_update_joule : float
        Energy of the arithmetic of an update of a neuron, in joules.
    weight_fetch_joule, state_access_joule : float
        Energy of reading a weight, and of reading or of writing a state, in joules.
    weights_in, states_in : str
        The levels of memory in which they lie; "" without memory.
    """

    node: str = ""
    format: str = ""
    neuron_update_joule: float = 0.0
    weight_fetch_joule: float = 0.0
    state_access_joule: float = 0.0
    weights_in: str = ""
    states_in: str = ""

    def estimate(self, events: ArrayLike, macs: ArrayLike, updates: ArrayLike = 0) -> NDArray[Any]:
        """Energy of operations, of their memory traffic, and of updates. Parameters as `EnergyModel.estimate`."""
        state = 2 * self.state_access_joule
        accumulates = np.asarray(events, np.float64) * (self.accumulate_joule + self.weight_fetch_joule + state)
        multiplies = np.asarray(macs, np.float64) * (self.multiply_accumulate_joule + self.weight_fetch_joule)
        return np.asarray(
            accumulates + multiplies + np.asarray(updates, np.float64) * (self.neuron_update_joule + state)
        )

    def words(self) -> str:
        """What is charged, in one sentence."""
        found = (
            f"Energy ({self.name}): {self.accumulate_joule * 1e12:g} pJ per AC, "
            f"{self.multiply_accumulate_joule * 1e12:g} pJ per MAC, "
            f"{self.neuron_update_joule * 1e12:g} pJ per update of a neuron"
        )
        if self.weights_in:
            found += (
                f"; {self.weight_fetch_joule * 1e12:g} pJ to fetch a weight from {self.weights_in}, "
                f"{self.state_access_joule * 1e12:g} pJ to read or write a state in {self.states_in}"
            )
        else:
            found += "; no memory traffic"
        return f"{found} ({self.source})."


class MemoryLevel(NamedTuple):
    """A level of memory.

    Attributes
    ----------
    name : str
    weight_fetch, state_access : float
        Picojoules to read a weight, and to read or to write a state.
    capacity : float or None
        Bytes that it holds; None for any number.
    """

    name: str
    weight_fetch: float
    state_access: float
    capacity: float | None


@dataclass(frozen=True)
class EnergyCosts:
    """What the operations of a device cost.

    Attributes
    ----------
    name, node, format, source : str
    accumulate, multiply_accumulate, neuron_update : float
        Picojoules.
    weight_bytes, state_bytes : float
        Bytes of a weight and of the state of a neuron.
    memory : tuple of MemoryLevel
        The nearest first; none where memory costs nothing.
    """

    name: str
    node: str
    format: str
    source: str
    accumulate: float
    multiply_accumulate: float
    neuron_update: float = 0.0
    weight_bytes: float = 0.0
    state_bytes: float = 0.0
    memory: tuple[MemoryLevel, ...] = ()

    def model(self, reader: RunReader) -> DeviceEnergy:
        """What a run is charged.

        The weights of its layers lie together in the nearest level of memory that holds them, and so do the states of
        all neurons.

        Raises
        ------
        InputError
            No level holds them.
        """
        weights = sum(array.size for name, array in reader.weights().items() if _is_of_layer(name))
        states = sum(layer.neurons for layer in reader.layers)
        near = self._level("weights", weights, self.weight_bytes)
        far = self._level("states", states, self.state_bytes)
        return DeviceEnergy(
            name=self.name,
            accumulate_joule=_joule(self.accumulate),
            multiply_accumulate_joule=_joule(self.multiply_accumulate),
            source=self.source,
            node=self.node,
            format=self.format,
            neuron_update_joule=_joule(self.neuron_update),
            weight_fetch_joule=_joule(near.weight_fetch),
            state_access_joule=_joule(far.state_access),
            weights_in=near.name,
            states_in=far.name,
        )

    def _level(self, what: str, count: int, size: float) -> MemoryLevel:
        if not self.memory:
            return MemoryLevel("", 0.0, 0.0, None)
        found = (level for level in self.memory if level.capacity is None or count * size <= level.capacity)
        level = next(found, None)
        if level is None:
            raise InputError(
                f"{self.name}: {count} {what} of {size:g} bytes do not fit into any level of memory; add a [[memory]] "
                "without bytes, which holds the rest"
            )
        return level


def energy_costs(given: str) -> EnergyCosts:
    """Costs by the name of published ones, or from a TOML file.

    Parameters
    ----------
    given : str
        Such as ``"45nm-int8"``, or the path of a file whose name ends in .toml.

    Raises
    ------
    InputError
        There are no published ones of this name, or the file cannot be read or says something else.
    """
    presets = {own.preset: own for own in PUBLISHED}
    if given in presets:
        own = presets[given]
        return EnergyCosts(
            name=f"{own.node} {own.format}",
            node=own.node,
            format=own.format,
            source=own.source,
            accumulate=own.add,
            multiply_accumulate=own.multiply_accumulate,
        )
    if Path(given).suffix != ".toml":
        raise InputError(f"energy costs {shown(given)}: give a .toml file, or one of {', '.join(presets)}")
    return _read_costs(Path(given))


def _read_costs(path: Path) -> EnergyCosts:
    values = read_toml(path)
    require_keys(values, _KEYS, str(path), needed=("name", "picojoule"))
    texts = {key: word(values.get(key, ""), f"{key} in {path}") for key in ("name", "node", "format", "source")}
    prices = table(values["picojoule"], f"picojoule in {path}", "[picojoule]")
    require_keys(prices, _OPERATIONS, f"[picojoule] of {path}", needed=_OPERATIONS[:2])
    operations = {key: number(value, f"{key} in {path}", _PRICE) for key, value in prices.items()}
    levels = tuple(
        _read_level(own, path) for own in tables(values.get("memory", []), f"memory in {path}", "[[memory]]")
    )
    sizes = table(values.get("bytes", {}), f"bytes in {path}", "[bytes]")
    limited = any(level.capacity is not None for level in levels)
    require_keys(sizes, _SIZES, f"[bytes] of {path}", needed=_SIZES if limited else ())
    lengths = {key: number(value, f"bytes.{key} in {path}", _SIZE) for key, value in sizes.items()}
    return EnergyCosts(
        name=texts["name"],
        node=texts["node"],
        format=texts["format"],
        source=texts["source"] or path.name,
        accumulate=operations["accumulate"],
        multiply_accumulate=operations["multiply_accumulate"],
        neuron_update=operations.get("neuron_update", 0.0),
        weight_bytes=lengths.get("weight", 0.0),
        state_bytes=lengths.get("state", 0.0),
        memory=levels,
    )


def _read_level(values: Mapping[str, Any], path: Path) -> MemoryLevel:
    where = f"a [[memory]] of {path}"
    require_keys(values, _LEVEL, where, needed=("name", "weight_fetch", "state_access"))
    name = word(values["name"], f"name of {where}")
    if not name:
        raise InputError(f"{where} has an empty name; give it a name for the report")
    capacity = values.get("bytes")
    return MemoryLevel(
        name,
        number(values["weight_fetch"], f"weight_fetch in {path}", _PRICE),
        number(values["state_access"], f"state_access in {path}", _PRICE),
        None if capacity is None else number(capacity, f"bytes of the memory {shown(name)} in {path}", _CAPACITY),
    )


def _is_of_layer(name: str) -> bool:
    owner, _, kind = name.partition("/")
    return kind == "weight" and owner != READOUT and not owner.startswith("head")


def _joule(picojoule: float) -> float:
    return float(f"{picojoule:.12g}e-12")  # 0.9 pJ is the float nearest to 0.9e-12, as in the run file
