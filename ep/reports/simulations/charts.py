"""Charts of a simulation, from the JSON object of its report."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from spikesim.ep.reports.charts.chart import Chart, Series
from spikesim.ep.reports.charts.raster import Raster
from spikesim.ep.reports.simulations.drawing import DrawingChoice, potential_charts, read_raster
from spikesim.sparse.analysis.window import Window
from spikesim.sparse.recording import SimulationReader

PROJECTIONS_DRAWN = 12
"""Of whose weights there are charts; tables have all."""

__all__ = ["SimulationPictures", "simulation_charts", "simulation_pictures"]


class SimulationPictures(NamedTuple):
    """What there is to draw of a simulation.

    Attributes
    ----------
    charts : list of Chart
    raster : Raster or None
    """

    charts: list[Chart]
    raster: Raster | None

    @property
    def all(self) -> list[Chart | Raster]:
        """All of them, in the order of the page."""
        return [*self.charts, *([] if self.raster is None else [self.raster])]


def simulation_pictures(
    reader: SimulationReader, window: Window, document: Mapping[str, Any], choice: DrawingChoice
) -> SimulationPictures:
    """The pictures of a simulation, without those that have nothing to show.

    Raises
    ------
    InputError
        The file is damaged, or what is chosen is not there.
    """
    raster = read_raster(reader, window, choice)
    start = choice.start if raster is None else raster.first
    charts = [*simulation_charts(document), *weight_charts(document), *potential_charts(reader, window, choice, start)]
    return SimulationPictures([chart for chart in charts if not chart.empty], raster)


def simulation_charts(document: Mapping[str, Any]) -> list[Chart]:
    """Curves and histograms of the populations."""
    time, rate = document["time_unit"], document["rate_unit"]
    time_label = "time step" if time == "steps" else f"time ({time})"
    rate_label = "spikes per neuron and step" if time == "steps" else f"rate ({rate})"

    def chart(name: str, section: str, title: str, x_label: str, y_label: str, **options: Any) -> Chart:
        series = [Series(own["population"], own["x"], own["y"]) for own in document[name]]
        return Chart(name, section, title, x_label, y_label, series, **options)

    def width(name: str) -> str:
        found = document[name][0]["width"] if document[name] else 0.0
        return f"{found:g} {time if found != 1 else time.removesuffix('s') if time == 'steps' else time}"

    beyond = max((own["beyond"] for own in document["intervals"]), default=0.0)
    longer = f" At most {100 * beyond:.2g} % are longer." if beyond else ""
    trials = " and over the trials" if len(document["window"]["trials"]) > 1 else ""
    pairs = f"Of spike counts in bins of {_bin(document)}."
    return [
        chart(
            "population_rates",
            "rates",
            "Rate of each population over time",
            time_label,
            rate_label,
            note=f"Mean over {width('population_rates')}{trials}.",
        ),
        chart("rates", "rates", "Neurons by mean rate", rate_label, "neurons (%)", share=True),
        chart(
            "intervals",
            "irregularity",
            "Inter-spike intervals",
            f"interval ({time})",
            "intervals (%)",
            share=True,
            note=f"In classes of {width('intervals')}.{longer}",
        ),
        chart(
            "variations",
            "irregularity",
            "Neurons by coefficient of variation of their intervals",
            "coefficient of variation",
            "neurons (%)",
            share=True,
            note="A Poisson process has 1, a clock 0.",
        ),
        chart(
            "correlations",
            "correlations",
            "Pairs of neurons by correlation",
            "correlation coefficient",
            "pairs (%)",
            share=True,
            note=pairs,
        ),
    ]


def weight_charts(document: Mapping[str, Any]) -> list[Chart]:
    """Weights of plastic projections at the start, at the end and over time; and the epochs of learning by phases."""
    units = {own["projection"]: own["unit"] for own in document["plastic"]}
    time = document["time_unit"]
    charts = [
        Chart(
            f"weights_{own['projection']}",
            "weights",
            f"Weights of projection {own['name']}",
            f"weight ({units[own['projection']] or 'no unit'})",
            "synapses (%)",
            [
                Series(name, own["x"], own[key])
                for name, key in (("at the start", "initial"), ("at the end", "weights"))
                if own[key] is not None
            ],
            share=True,
            note=f"In classes of {own['width']:.3g}.",
        )
        for own in document["weights"][:PROJECTIONS_DRAWN]
    ]
    for own in document["mean_weights"][:PROJECTIONS_DRAWN]:
        charts.append(
            Chart(
                f"mean_weight_{own['projection']}",
                "weights",
                f"Mean weight of projection {own['name']} over time",
                "time step" if time == "steps" else f"time ({time})",
                f"weight ({units[own['projection']] or 'no unit'})",
                [Series("mean", own["x"], own["mean"], own["sd"])],
                note=f"Of {own['synapses']} recorded synapses; the band is one standard deviation on either side.",
            )
        )
    return [*charts, *_epoch_charts(document["learning"])]


def _epoch_charts(epochs: list[Mapping[str, Any]]) -> list[Chart]:
    def chart(key: str, title: str, y_label: str, **options: Any) -> Chart:
        series = [
            Series(name, [own["epoch"] for own in epochs], [own[f"{part}_{key}"] for own in epochs])
            for name, part in (("training", "train"), ("test", "test"))
        ]
        shown = [own for own in series if any(value is not None for value in own.y)]
        return Chart(f"learning_{key}", "learning", title, "epoch", y_label, shown, **options)

    return [
        chart(
            "error",
            "Error of the outputs by epoch",
            "mean squared error",
            note="Of rates in the free phase; that of training while the weights changed.",
        ),
        chart("accuracy", "Right answers by epoch", "accuracy (%)", share=True),
    ]


def _bin(document: Mapping[str, Any]) -> str:
    window = document["window"]
    steps = window["bin_steps"]
    return f"{steps} steps" if window["dt"] is None else f"{steps * window['dt']:g} ms"
