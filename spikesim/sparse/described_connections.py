"""Projections of a TOML file: random rules, matrices and lists of edges."""

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from spikesim.errors import InputError
from spikesim.io.hdf5_reader import begins_as_hdf5
from spikesim.io.numbers import reals
from spikesim.io.validation import flag, nearest, number, refuse, require_keys, whole, word
from spikesim.sparse.connections import rules
from spikesim.sparse.connections.distributions import OUTSIDE, Distribution, LogNormal, Normal, Uniform
from spikesim.sparse.connections.edge_list import EdgeList
from spikesim.sparse.connections.matrix_file import load_entries
from spikesim.sparse.connections.synapses import RandomSynapses
from spikesim.sparse.files.array_file import load_array
from spikesim.sparse.network import Projection

_RULES: Mapping[str, tuple[type[rules.Rule], tuple[str, ...]]] = {
    "pairwise_bernoulli": (rules.PairwiseBernoulli, ("p", "allow_self_connections")),
    "fixed_indegree": (rules.FixedInDegree, ("indegree", "allow_self_connections", "allow_multiple")),
    "fixed_outdegree": (rules.FixedOutDegree, ("outdegree", "allow_self_connections", "allow_multiple")),
    "fixed_total_number": (rules.FixedTotalNumber, ("number", "allow_self_connections", "allow_multiple")),
    "one_to_one": (rules.OneToOne, ()),
    "all_to_all": (rules.AllToAll, ("allow_self_connections",)),
}
TRANSPOSE = "transpose"
"""The synapses of another projection, the other way round."""
_ENDS = ("source", "target")
_RANDOM_KEYS = ("number", "weight", "delay", "seed")
_RULE_KEYS = ("rule", "weight", "delay", "seed")
_MATRIX_KEYS = ("matrix", "delay")
_ALL_KEYS = ("plasticity", "record_weights")
"""Of every projection; they are taken out before (`description`)."""
_EDGE_KEYS = ("edges", "edge_population", "edge_types", "step_ms", "weight", "delay", "seed")
_DISTRIBUTIONS: Mapping[str, tuple[type[Any], tuple[str, ...], tuple[str, ...]]] = {
    "uniform": (Uniform, ("low", "high"), ()),
    "normal": (Normal, ("mean", "std"), ("low", "high", "outside")),
    "lognormal": (LogNormal, ("mean", "std"), ("low", "high", "outside")),
}
_ELSEWHERE = {
    "allow_autapses": "allow_self_connections",
    "autapses": "allow_self_connections",
    "self_connections": "allow_self_connections",
    "allow_multapses": "allow_multiple",
    "multapses": "allow_multiple",
    "probability": "p",
    "p_connect": "p",
    "in_degree": "indegree",
    "out_degree": "outdegree",
    "n": "number",
    "syn_weight": "weight",
    "weights": "weight",
    "mu": "mean",
    "sigma": "std",
    "min": "low",
    "max": "high",
}
"""What other programs call these keys."""


class Given(NamedTuple):
    """The synapses of a projection, as `Network.connect` takes them."""

    synapses: Any
    delay: Any
    files: dict[str, Path]
    """Those that were read, by their keys."""
    where: str
    """What a fault is told of."""


def read_synapses(table: Mapping[str, Any], where: str, folder: Path, back: Sequence[Projection] = ()) -> Given:
    """The synapses that a table describes.

    Parameters
    ----------
    where : str
        The projection, for messages.
    folder : Path
        Where the files that it names are looked for.
    back : sequence of Projection
        Those before it that lead from its target to its source.

    Raises
    ------
    InputError
        An unknown key, a wrong type, or a value out of range.
    """
    if table.get("rule") == TRANSPOSE:
        return _transposed(table, where, back)
    kinds = [kind for kind in ("rule", "matrix", "edges") if kind in table]
    if len(kinds) > 1 or (kinds != ["rule"] and ("number" in table) == bool(kinds)):
        raise InputError(
            f"{where} needs either a number (of random synapses a neuron), a rule, a matrix (a file) or edges (a file)"
        )
    kind = kinds[0] if kinds else "number"
    return _READERS[kind](table, where, folder)


def _transposed(table: Mapping[str, Any], where: str, back: Sequence[Projection]) -> Given:
    _require(table, ("rule",), f"{where}, by {TRANSPOSE}")
    if len(back) != 1:
        raise InputError(
            f"{where} is to be transposed from a projection between the same populations, and "
            f"{f'{len(back)} of those before it lead' if back else 'none of those before it leads'} the other way; it "
            "needs exactly one"
        )
    return Given(back[0].transposed(), None, {}, where)


def _number(table: Mapping[str, Any], where: str, folder: Path) -> Given:
    _require(table, _RANDOM_KEYS, where)
    delay = table.get("delay", 1)
    if isinstance(delay, Mapping) or isinstance(table.get("weight"), Mapping):
        raise InputError(
            f'{where} has a distribution; give it rule = "fixed_outdegree" and outdegree in place of number'
        )
    delay = _delay(delay, where)
    count = whole(table["number"], f"number of {where}")
    weight = number(table.get("weight"), f"weight of {where}")
    seed = whole(table["seed"], f"seed of {where}") if "seed" in table else None
    with naming(where):
        return Given(RandomSynapses(count, weight, delay, seed), None, {}, where)


def _rule(table: Mapping[str, Any], where: str, folder: Path) -> Given:
    name = word(table["rule"], f"rule of {where}", (*_RULES, TRANSPOSE))
    made, keys = _RULES[name]
    _require(table, (*_RULE_KEYS, *keys), f"{where}, by {name}")
    given: dict[str, Any] = {}
    for key in keys:
        if key.startswith("allow_"):
            if key in table:
                given[key] = flag(table[key], f"{key} of {where}")
        else:
            given[key] = (number if key == "p" else whole)(table.get(key), f"{key} of {where}")
    given |= {"weight": _weight(table.get("weight"), where), "delay": _delay(table.get("delay", 1), where)}
    if "seed" in table:
        given["seed"] = whole(table["seed"], f"seed of {where}")
    with naming(where):
        return Given(made(**given), None, {}, where)


def _matrix(table: Mapping[str, Any], where: str, folder: Path) -> Given:
    _require(table, _MATRIX_KEYS, where)
    delay = table.get("delay", 1)
    files = {"matrix": folder / word(table["matrix"], f"matrix of {where}")}
    if isinstance(delay, str):
        files["delay"] = folder / delay
    else:
        delay = whole(delay, f"delay of {where}")
    loaded: dict[str, Any] = {
        key: load_array(path, where) if path.suffix == ".npy" else load_entries(path, where)
        for key, path in files.items()
    }
    named = f"{' with '.join(map(str, files.values()))}, for {where}"
    return Given(loaded["matrix"], loaded.get("delay", delay), files, named)


def _edges(table: Mapping[str, Any], where: str, folder: Path) -> Given:
    _require(table, _EDGE_KEYS, where)
    path = folder / word(table["edges"], f"edges of {where}")
    files, given = {"edges": path}, {}
    if "weight" in table:
        given["weight"] = _weight(table["weight"], where)
    if "delay" in table:
        given["delay"] = _delay(table["delay"], where)
    if begins_as_hdf5(path):
        if "edge_types" in table:
            files["edge_types"] = given["edge_types"] = folder / word(table["edge_types"], f"edge_types of {where}")
        if "edge_population" in table:
            given["population"] = word(table["edge_population"], f"edge_population of {where}")
        given["step_ms"] = number(table.get("step_ms", 1.0), f"step_ms of {where}")
        made: Callable[..., EdgeList] = EdgeList.from_sonata
    else:
        for key in ("edge_population", "edge_types", "step_ms"):
            if key in table:
                raise InputError(f"{where} has {key}, which belongs to SONATA, and {path} is not an HDF5 file")
        made = EdgeList.from_csv
    with naming(where):
        edges = made(path, **given)
    if "seed" in table:
        edges.seed = whole(table["seed"], f"seed of {where}")
    return Given(edges, None, files, f"{path}, for {where}")


_READERS: Mapping[str, Callable[[Mapping[str, Any], str, Path], Given]] = {
    "number": _number,
    "rule": _rule,
    "matrix": _matrix,
    "edges": _edges,
}


def _weight(given: Any, where: str) -> Any:
    """A number, a list of them, or a distribution."""
    if isinstance(given, Mapping):
        return read_distribution(given, f"weight of {where}")
    if isinstance(given, list):
        return np.asarray(reals(given, f"weight of {where}"))
    return number(given, f"weight of {where}")


def _delay(given: Any, where: str) -> Any:
    """Steps, the first and the last of them, or a distribution."""
    what = f"delay of {where}"
    if isinstance(given, Mapping):
        return read_distribution(given, what)
    if not isinstance(given, list):
        return whole(given, what)
    if len(given) != 2:
        refuse(given, what, "a number of steps, or [first, last]")
    return tuple(whole(one, what) for one in given)


def read_distribution(table: Mapping[str, Any], what: str) -> Distribution:
    """A distribution that a table describes.

    Raises
    ------
    InputError
        An unknown key, a wrong type, or a value out of range.
    """
    name = word(table.get("distribution"), f"distribution of the {what}", _DISTRIBUTIONS)
    made, needed, optional = _DISTRIBUTIONS[name]
    _require(table, ("distribution", *needed, *optional), what, needed)
    given: dict[str, Any] = {
        key: number(table[key], f"{key} of the {what}")
        for key in (*needed, *optional)
        if key in table and key != "outside"
    }
    if "outside" in table:
        given["outside"] = word(table["outside"], f"outside of the {what}", OUTSIDE)
    with naming(what):
        found: Distribution = made(**given)
    return found


def _require(table: Mapping[str, Any], keys: tuple[str, ...], where: str, needed: tuple[str, ...] = ()) -> None:
    own = keys if "distribution" in keys else (*_ENDS, *keys, *_ALL_KEYS)
    require_keys(table, own, where, needed, meant=meant)


def meant(name: str, known: Collection[str]) -> str | None:
    """The key that somebody may have meant: what other programs call so, or one that is spelt alike."""
    alias = _ELSEWHERE.get(name.strip().lower())
    return alias if alias in known else nearest(name, known)


@contextlib.contextmanager
def naming(what: str) -> Iterator[None]:
    """Say of what a value is that Python's interface refuses."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{what}: {error}") from None
