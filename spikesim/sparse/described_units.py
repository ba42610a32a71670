"""Units in the TOML file of a network that has a `dt`: times in ms and rates in Hz, and what a file of results says."""

from collections.abc import Mapping
from typing import Any

from spikesim.errors import InputError
from spikesim.io.validation import items, number, refuse
from spikesim.sparse.described_connections import naming
from spikesim.sparse.network import Network


def in_steps(table: Mapping[str, Any], where: str, network: Network) -> dict[str, Any]:
    """A table with what it says in ms and Hz, `delay_ms` and `rate_hz`, in steps: `delay` and `rate`.

    Raises
    ------
    InputError
        The network has no `dt`, a delay is no multiple of it, or both keys are given.
    """
    found = dict(table)
    if isinstance(found.get("poisson"), Mapping):
        found["poisson"] = in_steps(found["poisson"], f"the Poisson drive of {where}", network)
    for key, plain in (("delay_ms", "delay"), ("rate_hz", "rate")):
        if key not in found:
            continue
        if plain in found:
            raise InputError(f"{where} has {plain} and {key}; give one of them")
        if network.dt is None:
            raise InputError(
                f"{where} has {key}, and the file has no dt; give the milliseconds of a step, as in dt = 0.1"
            )
        given, what = found.pop(key), f"{key} of {where}"
        if isinstance(given, Mapping):
            if plain == "delay":
                refuse(given, what, "a number, or a list of them")
            if "values" not in given:
                refuse(given, what, "a number, a list of them, or { steps = [..], values = [..] }")
            with naming(f"values of the {what}"):
                found[plain] = {**given, "values": network.per_step(given["values"]).tolist()}
            continue
        several = isinstance(given, list)
        values = items(given, what, "numbers", number) if several else [number(given, what)]
        try:
            own = [network.steps(one) for one in values] if plain == "delay" else network.per_step(values).tolist()
        except InputError as error:
            raise InputError(f"{what}: {error}") from None
        found[plain] = own if several else own[0]
    return found


def units_of(network: Network) -> dict[str, Any]:
    """Units of the numbers in the file of a simulation, for those who print them.

    Returns
    -------
    dict
        `dt` in ms; by population `potential`, `weight` (of synapses onto it) and `parameters`, a unit each.
    """
    populations = {}
    for population in network.populations:
        model = population.model
        if model.weight_unit and not population.source:
            units = {name: own.unit for name, own in model.parameters().items()}
            populations[population.name] = {"potential": "mV", "weight": model.weight_unit, "parameters": units}
    return {"dt": "ms", "populations": populations}
