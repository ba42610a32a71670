"""Plasticity in the TOML file of a network."""

from typing import Any, NamedTuple

from spikesim.errors import InputError
from spikesim.io.validation import Limits, items, nearest, number, require_keys, table, whole, word
from spikesim.sparse.plasticity.contrastive import Contrastive
from spikesim.sparse.plasticity.stdp import NUMBERS, PAIRINGS, STDP

RULES = ("stdp", "contrastive")
_ELSEWHERE = {
    "wmax": "Wmax",
    "w_max": "Wmax",
    "gmax": "Wmax",
    "wmin": "Wmin",
    "w_min": "Wmin",
    "taupre": "tau_plus",
    "tau_pre": "tau_plus",
    "taupost": "tau_minus",
    "tau_post": "tau_minus",
    "eta": "lambda",
    "learning_rate": "lambda",
}
"""What other programs call these keys."""


class Watched(NamedTuple):
    """Which weights of a projection are recorded: all `every` steps, of some synapses or, None, of all."""

    every: int
    synapses: list[int] | None


def read_plasticity(given: Any, where: str) -> STDP | Contrastive:
    """The rule that a table describes.

    Raises
    ------
    InputError
        An unknown key, a wrong type, or a value out of range.
    """
    own = table(given, f"plasticity of {where}", '{ rule = "stdp", Wmax = .. }')
    if own.get("rule") == "contrastive":
        require_keys(own, ("rule", "limit"), f"the plasticity of {where}", ("limit",))
        limit = number(own["limit"], f"limit of the plasticity of {where}", Limits(above=0.0))
        return Contrastive(limit)
    numbers = [name.rstrip("_") for name in NUMBERS]
    keys = ("rule", *numbers, "pairing", "dendritic_delay")
    require_keys(own, keys, f"the plasticity of {where}", ("rule", "Wmax"), meant=_meant)
    word(own["rule"], f"rule of the plasticity of {where}", RULES)
    found: dict[str, Any] = {
        name: number(own[key], f"{key} of {where}") for name, key in zip(NUMBERS, numbers, strict=True) if key in own
    }
    if "pairing" in own:
        found["pairing"] = word(own["pairing"], f"pairing of {where}", PAIRINGS)
    if "dendritic_delay" in own:
        found["dendritic_delay"] = whole(own["dendritic_delay"], f"dendritic_delay of {where}")
    try:
        return STDP(**found)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def read_watched(given: Any, where: str) -> Watched:
    """Which weights a table asks to record.

    Raises
    ------
    InputError
        An unknown key or a wrong type.
    """
    own = table(given, f"record_weights of {where}", "{ every = 100, synapses = [0, 1] }")
    require_keys(own, ("every", "synapses"), f"record_weights of {where}", ("every",))
    chosen = own.get("synapses")
    return Watched(
        whole(own["every"], f"every of record_weights of {where}", Limits(low=1)),
        None if chosen is None else items(chosen, f"synapses of record_weights of {where}", "integers", whole),
    )


def _meant(name: str, known: Any) -> str | None:
    return _ELSEWHERE.get(name.strip().lower()) or nearest(name, known)
