"""What ``spikesim gradcheck --format json`` found, as charts of a page."""

import json
from pathlib import Path
from typing import Any

from spikesim.ep.reports.charts.chart import Chart, Series
from spikesim.errors import InputError
from spikesim.io.formats import finite
from spikesim.runtime.text import counted

__all__ = ["gradient_charts", "read_gradients"]

VARIANTS_MAX = 8
BYTES_MAX = 1 << 26


def read_gradients(path: Path, layers: list[str]) -> dict[str, Any]:
    """The JSON object of a gradient check.

    Parameters
    ----------
    path : Path
        The file.
    layers : list of str
        Layers of the run that it must be about, in order.

    Raises
    ------
    InputError
        The file cannot be read, is no gradient check, or is one of other layers.
    """
    advice = "give what 'spikesim gradcheck --run RUN.h5 --format json' printed"
    try:
        if path.stat().st_size > BYTES_MAX:
            raise InputError(f"{path} has more than {BYTES_MAX >> 20} MB; {advice}")
        found = finite(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}; {advice}") from None
    except (ValueError, RecursionError):
        raise InputError(f"{path} is not JSON; {advice}") from None
    try:
        names = found["layers"]
        lists = [own for variant in found["variants"] for own in _lists(variant["to_exact"]["weight"])]
        lists += _lists(found["mean_field"]["to_exact"]["weight"])
        windows = [(variant["variant"]["steps_nudged"], variant["variant"]["beta"]) for variant in found["variants"]]
        sizes = (found["samples"], found["repeats"])
        numbers = [*(value for own in lists for value in own if value is not None), *sum(windows, sizes)]
        whole = all(isinstance(value, int | float) for value in numbers) and all(
            len(own) == len(names) for own in lists
        )
    except (KeyError, TypeError):
        whole = False
    if not whole:
        raise InputError(f"{path} is not a gradient check; {advice}")
    if names != layers:
        shown = ", ".join(map(str, names))[:80]
        raise InputError(f"{path} has the layers {shown}, the run has {', '.join(layers)}; {advice}")
    checked: dict[str, Any] = found
    return checked


def _lists(similarity: Any) -> list[Any]:
    return [similarity["cosine"], similarity["norm_ratio"]]


def gradient_charts(check: dict[str, Any]) -> list[Chart]:
    """Cosine and ratio of norms with the exact gradient, by layer."""
    layers = check["layers"]
    places = [float(place) for place in range(len(layers))]
    found = check["variants"][:VARIANTS_MAX]

    def label(variant: dict[str, Any]) -> str:
        return "estimate" if len(found) == 1 else f"{variant['steps_nudged']} steps, beta {variant['beta']:g}"

    def chart(name: str, title: str, y_label: str, key: str, note: str) -> Chart:
        series = [Series(label(own["variant"]), places, own["to_exact"]["weight"][key]) for own in found]
        series.append(Series("mean field", places, check["mean_field"]["to_exact"]["weight"][key]))
        return Chart(name, "gradients", title, "layer", y_label, series, categories=layers, dots=True, note=note)

    repeats = check["repeats"]
    samples = f"{counted(repeats, 'mini-batch')} of {counted(check['samples'], 'sample')}."
    return [
        chart(
            "gradient_cosine",
            "Cosine with the exact gradient",
            "cosine (no unit)",
            "cosine",
            f"1 is the same direction, 0 no information. {samples}",
        ),
        chart(
            "gradient_norm",
            "Norm of the estimate over that of the exact gradient",
            "ratio (no unit)",
            "norm_ratio",
            samples,
        ),
    ]
