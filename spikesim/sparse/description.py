"""A sparse network as a TOML file, for `spikesim simulate`.

    trials = 4

    [[population]]
    name = "noise"
    kind = "source"
    size = 500
    rate = 0.02

    [[population]]
    name = "cells"
    size = 2000
    leak = 3
    bias = -0.05
    record = true

    [[projection]]
    source = "noise"
    target = "cells"
    number = 100
    weight = 0.4
    delay = [1, 5]

The keys are the arguments of `spikesim.sparse.Network`; ``spikesim manual sparse-networks`` lists them. A projection is
a random pattern (`number`, `weight`: a fixed out-degree, as NEST and PyNN say, with the same weight for all), a rule, a
matrix or a list of edges (`described_connections`); inputs are in `described_inputs`. Files are named relative to the
TOML file.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from spikesim.errors import InputError
from spikesim.io.fields import require_64_bits
from spikesim.io.toml import read_toml
from spikesim.io.validation import Limits, flag, items, number, refuse, require_keys, table, tables, whole, word
from spikesim.sparse.described_connections import meant, naming, read_distribution, read_synapses
from spikesim.sparse.described_inputs import InputFiles, SampleSource, file_digest
from spikesim.sparse.described_units import in_steps, units_of
from spikesim.sparse.network import Network, Population
from spikesim.sparse.neurons import MODELS
from spikesim.sparse.plasticity.contrastive import Contrastive
from spikesim.sparse.plasticity.described import Watched, read_plasticity, read_watched

KINDS = (*MODELS, "source", "spikes")
_MODEL_KEYS = {
    **{kind: tuple(own.name for own in fields(model)) for kind, model in MODELS.items()},
    "source": ("rate", "rate_hz", "images"),
    "spikes": ("spikes", "images", "recordings"),
}
_POPULATION_KEYS = (
    "name",
    "size",
    "nodes",
    "node_population",
    "kind",
    "poisson",
    "current",
    "record",
    "record_potential",
)


@dataclass
class Description:
    """A network that was read from a file, and what of it is recorded.

    Attributes
    ----------
    network : Network
    trials, seed : int
    recorded : list of Population
        Populations whose spikes are recorded.
    probes : dict of str to list of int
        Neurons whose potentials are recorded, by the name of their population.
    watched : dict of int to Watched
        Weights that are recorded, by the number of their projection.
    content : dict
        What the file says, and the SHA-256 of the files that it names.
    learning : dict, optional
        The table of a network that learns, for `spikesim.sparse.learning.described`; its samples are the trials.
    folder : Path
        Where the files that it names are looked for.
    """

    network: Network
    trials: int
    seed: int
    recorded: list[Population] = field(default_factory=list)
    probes: dict[str, list[int]] = field(default_factory=dict)
    watched: dict[int, Watched] = field(default_factory=dict)
    content: dict[str, Any] = field(default_factory=dict)
    learning: Mapping[str, Any] | None = None
    folder: Path = Path()


def read_network(path: str | Path, *, samples: SampleSource | None = None, **given: int) -> Description:
    """Read a network from a TOML file.

    Parameters
    ----------
    path : path-like
    samples : SampleSource, optional
        Where images and recordings of data sets come from.
    given : int
        `trials` or `seed`, in place of the file's, or `epochs`, in place of those of its `[learning]`.

    Raises
    ------
    InputError
        The file is missing, is not TOML, or does not describe a network.
    """
    path = Path(path)
    values = read_toml(path)
    epochs = given.pop("epochs", None)
    if epochs is not None:
        if not isinstance(values.get("learning"), Mapping):
            raise InputError(f"epochs are of a network that learns, and {path} has no [learning]; leave them out")
        values = {**values, "learning": {**values["learning"], "epochs": epochs}}
    return make_network(values | given, path.parent, samples)


def make_network(values: Mapping[str, Any], folder: Path, samples: SampleSource | None = None) -> Description:
    """A network from the tables of a TOML file.

    Parameters
    ----------
    folder : Path
        Where the files that it names are looked for.
    samples : SampleSource, optional
        Where images and recordings of data sets come from.

    Raises
    ------
    InputError
        An unknown key, a wrong type, or a value out of range.
    """
    require_64_bits(values, "")
    require_keys(values, ("trials", "seed", "dt", "population", "projection", "learning"), "the file")
    seed = whole(values.get("seed", 0), "seed", Limits(low=0, high=2**64 - 1))
    dt = number(values["dt"], "dt") if "dt" in values else None
    learning = table(values["learning"], "learning", "under [learning]") if "learning" in values else None
    trials = _trials(values, learning)
    read = Description(Network(seed, dt=dt), trials, seed, content=_plain(values), learning=learning, folder=folder)
    named: dict[str, Population] = {}
    files = InputFiles(folder, samples)
    for own in tables(values.get("population", []), "population", "each under [[population]]"):
        population = _add_population(read, own, files)
        named[population.name] = population
    if not named:
        raise InputError("the network has no population; add [[population]] with a name and a size")
    digests = [
        _add_projection(read, named, own, folder)
        for own in tables(values.get("projection", []), "projection", "each under [[projection]]")
    ]
    read.content["files"] = digests
    if files.digests:
        read.content["input_files"] = files.digests
    if dt is not None:
        read.content["units"] = units_of(read.network)
    return read


def _trials(values: Mapping[str, Any], learning: Mapping[str, Any] | None) -> int:
    """Independent repetitions; of a network that learns, samples that run together."""
    if learning is None:
        return whole(values.get("trials", 1), "trials")
    if "trials" in values:
        raise InputError("the network learns, and its trials are the samples of a batch; give [learning] a batch_size")
    return whole(learning.get("batch_size", 1), "batch_size of [learning]", Limits(low=1))


def _add_population(read: Description, table: Mapping[str, Any], files: InputFiles) -> Population:
    name = word(table.get("name"), "the name of a population")
    if not name or "/" in name or name in (".", "..") or not name.isprintable():
        raise InputError(f"a population is named {name!r}; a name is printable and has no slash")
    kind = word(table.get("kind", "probabilistic"), f"kind of {name}", KINDS)
    require_keys(table, (*_POPULATION_KEYS, *_MODEL_KEYS[kind]), f"{name}, a population of kind {kind}", meant=meant)
    table = in_steps(table, name, read.network)
    size = _size(table, name, files)
    if kind == "spikes":
        population = read.network.add_spike_trains(size, files.spikes(table, name), name=name)
    elif kind == "source":
        if ("rate" in table) == ("images" in table):
            raise InputError(f"{name} is a source without a rate; give the probability of a spike in a step, or images")
        varied = "images" in table or isinstance(table["rate"], Mapping)
        rate = files.rate(table, name) if varied else _numbers(table["rate"], f"rate of {name}")
        population = read.network.add_source(size, rate, name=name)
    else:
        given = {key: _parameter(table[key], f"{key} of {name}") for key in _MODEL_KEYS[kind] if key in table}
        population = read.network.add_population(size, MODELS[kind](**given), name=name)
    if "poisson" in table:
        drive = table["poisson"]
        if not isinstance(drive, Mapping) or set(drive) != {"rate", "weight"}:
            refuse(
                drive,
                f"poisson of {name}",
                "{ rate = arrivals a step, or a table of steps and values, weight = of each }",
            )
        weight = number(drive["weight"], f"weight of the Poisson drive of {name}")
        read.network.add_poisson(population, files.poisson_rate(drive["rate"], name), weight)
    for current, neurons in files.currents(table.get("current", []), name):
        with naming(f"current of {name}"):
            read.network.add_current(population, current, neurons=neurons)
    if flag(table.get("record", False), f"record of {name}"):
        read.recorded.append(population)
    probes = table.get("record_potential", [])
    if not isinstance(probes, list) or not all(type(one) is int and 0 <= one < size for one in probes):
        refuse(probes, f"record_potential of {name}", f"a list of neurons, 0 .. {size - 1}")
    if probes:
        read.probes[name] = list(dict.fromkeys(probes))
    return population


def _size(table: Mapping[str, Any], name: str, files: InputFiles) -> int:
    if "node_population" in table and "nodes" not in table:
        raise InputError(f"{name} has a node_population without nodes, the file that holds it")
    of_nodes = files.size(table, name)
    if of_nodes is None:
        return whole(table.get("size"), f"size of {name}")
    if "size" in table:
        raise InputError(f"{name} has a size and nodes; leave out one of them")
    return of_nodes


def _add_projection(
    read: Description, named: Mapping[str, Population], table: Mapping[str, Any], folder: Path
) -> dict[str, str]:
    """Add a projection; the SHA-256 of the files that it names."""
    ends = []
    for end in ("source", "target"):
        name = word(table.get(end), f"the {end} of a projection")
        if name not in named:
            raise InputError(f"the {end} of a projection is {name!r}; the populations are {', '.join(named)}")
        ends.append(named[name])
    where = f"the projection {ends[0].name} -> {ends[1].name}"
    own = in_steps(table, where, read.network)
    moving, watched = own.pop("plasticity", None), own.pop("record_weights", None)
    plasticity = None if moving is None else read_plasticity(moving, where)
    back = [one for one in read.network.projections if [one.target, one.source] == ends]
    given = read_synapses(own, where, folder, back)
    with naming(given.where):
        projection = read.network.connect(ends[0], ends[1], given.synapses, delay=given.delay, plasticity=plasticity)
    if watched is not None:
        if plasticity is None:
            raise InputError(f"{where} has record_weights and no plasticity; its weights stay what they are")
        if isinstance(plasticity, Contrastive):
            raise InputError(
                f"{where} has record_weights, which follows STDP in time; contrastive weights are in the file at the "
                "start and at the end"
            )
        read.watched[projection.index] = read_watched(watched, where)
    return {key: file_digest(path) for key, path in given.files.items()}


def _parameter(value: Any, what: str) -> Any:
    """A number, a list of them, or a distribution; an integer stays one."""
    if isinstance(value, Mapping):
        return read_distribution(value, what)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return _numbers(value, what)


def _numbers(value: Any, what: str) -> float | list[float]:
    return items(value, what, "numbers", number) if isinstance(value, list) else number(value, what)


def _plain(value: Any) -> Any:
    """What TOML knows and JSON does not, as text."""
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return value if isinstance(value, str | bool | int | float) else str(value)
