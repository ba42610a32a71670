"""The page of a simulation: ``spikesim report SIM.h5 --html FILE``."""

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from typing import Any

from spikesim.ep.reports.charts.markup import Child, element, number, table
from spikesim.ep.reports.pages.pictures import raster_figure
from spikesim.ep.reports.pages.shell import figure, make_page, section
from spikesim.ep.reports.simulations.charts import SimulationPictures
from spikesim.ep.reports.simulations.document import simulation_words, window_words
from spikesim.runtime.text import count, counted, percent, short, si
from spikesim.sparse.analysis.plastic import CONTRASTIVE
from spikesim.sparse.analysis.window import Window
from spikesim.sparse.recording import SimulationReader

__all__ = ["simulation_page"]

Document = Mapping[str, Any]


def simulation_page(
    reader: SimulationReader, window: Window, document: Document, pictures: SimulationPictures
) -> bytes:
    """A simulation as one page.

    Parameters
    ----------
    reader : SimulationReader
    window : Window
        What of it is reported.
    document : dict
        What `simulation_document` says of it.
    pictures : SimulationPictures
        What there is to draw.

    Returns
    -------
    bytes
        HTML in UTF-8, which needs nothing else.
    """

    def figures(name: str) -> list[ET.Element]:
        return [figure(chart) for chart in pictures.charts if chart.section == name]

    sections = [
        _populations(document),
        _spikes(pictures),
        _plain("rates", "Rates", figures("rates")),
        _plain("irregularity", "Irregularity", figures("irregularity")),
        _plain("correlations", "Correlations", figures("correlations")),
        _potentials(document, figures("potentials")),
        _projections(document),
        _weights(document, figures("weights")),
        _plain("learning", "Learning by phases", figures("learning")),
        _repeat(reader),
    ]
    return make_page(f"Simulation {reader.path.name}", [_lead(reader, window, document)], sections, document, layers=1)


def _lead(reader: SimulationReader, window: Window, document: Document) -> ET.Element:
    own = document["populations"]
    facts = [
        ("State", simulation_words(reader, window.dt)),
        ("Reported", window_words(reader, window)),
        ("Populations", str(len(reader.populations))),
        ("Neurons", count(sum(entry["neurons"] for entry in own))),
        ("Spikes", count(sum(entry["spikes"] for entry in own))),
    ]
    if document["projections"]:
        facts.append(("Synapses", count(sum(entry["synapses"] for entry in document["projections"]))))
    pairs = [element("div", element("dt", label), element("dd", value)) for label, value in facts]
    return element("dl", pairs, class_="facts")


def _plain(name: str, heading: str, figures: list[ET.Element]) -> ET.Element | None:
    return section(name, heading, element("div", figures, class_="charts")) if figures else None


_MEANS = (("cv", "CV"), ("cv2", "CV2"), ("fano", "Fano factor"), ("correlation", "correlation"))
_NOTE = (
    "CV: standard deviation of the inter-spike intervals of a neuron over their mean. CV2: the same from consecutive "
    "intervals. Fano factor: variance of the number of spikes in a bin over its mean. Correlation: of the numbers of "
    "spikes in bins, mean over pairs of neurons. Means over the neurons that have enough spikes."
)


def _populations(document: Document) -> ET.Element:
    def mean(index: int, entry: Document, key: str) -> Child:
        value = None if entry[key] is None else entry[key]["mean"]
        return number(value, _three(value), data_from=f"populations.{index}.{key}.mean")

    rows = [
        [
            entry["population"],
            number(entry["neurons"], str(entry["neurons"]), data_from=f"populations.{index}.neurons"),
            number(entry["spikes"], str(entry["spikes"]), data_from=f"populations.{index}.spikes"),
            number(entry["rate"], _four(entry["rate"]), data_from=f"populations.{index}.rate"),
            number(entry["silent"], percent(entry["silent"]), data_from=f"populations.{index}.silent"),
            *(mean(index, entry, key) for key, _ in _MEANS),
        ]
        for index, entry in enumerate(document["populations"])
    ]
    headings = ["population", "neurons", "spikes", f"rate ({document['rate_unit']})", "silent neurons",
                *(heading for _, heading in _MEANS)]  # fmt: skip
    return section(
        "populations",
        "Populations",
        table("What each population did", headings, rows, id="population-table"),
        element("p", _NOTE, class_="note"),
        element("details", element("summary", "Distributions"), _distributions(document)),
    )


def _distributions(document: Document) -> ET.Element:
    """Quantiles over neurons and pairs."""
    kinds = (("rates", f"rate ({document['rate_unit']})"), *_MEANS)
    rows: list[list[Child]] = []
    for index, entry in enumerate(document["populations"]):
        for key, heading in kinds:
            own = entry[key]
            if own is not None and own["count"]:
                where = f"populations.{index}.{key}"
                rows.append(
                    [
                        f"{entry['population']}, {heading}",
                        number(own["count"], str(own["count"]), data_from=f"{where}.count"),
                        number(own["mean"], _four(own["mean"]), data_from=f"{where}.mean"),
                        number(own["sd"], _four(own["sd"]), data_from=f"{where}.sd"),
                        *(
                            number(value, _four(value), data_from=f"{where}.quantiles.{place}")
                            for place, value in enumerate(own["quantiles"])
                        ),
                    ]
                )
    headings = ["", "neurons or pairs", "mean", "standard deviation", "5 %", "25 %", "median", "75 %", "95 %"]
    return table("Over neurons, and over pairs of them for correlations", headings, rows)


def _spikes(pictures: SimulationPictures) -> ET.Element | None:
    raster = pictures.raster
    if raster is None:
        return None
    note = "A tick is a spike. 'spikesim report --neurons' chooses other neurons, --from and --to other steps."
    return section("spikes", "Recorded spikes", raster_figure(raster, raster.title, note, "population"))


def _potentials(document: Document, figures: list[ET.Element]) -> ET.Element | None:
    if not document["potentials"]:
        return None
    keys = ("mean", "sd", "lowest", "highest")
    rows: list[list[Child]] = [
        [
            f"{entry['population']} {entry['neuron']}",
            entry["unit"] or "-",
            *(number(entry[key], _four(entry[key]), data_from=f"potentials.{index}.{key}") for key in keys),
        ]
        for index, entry in enumerate(document["potentials"])
    ]
    headings = ["neuron", "unit", "mean", "standard deviation", "lowest", "highest"]
    return section(
        "potentials",
        "Potentials",
        element("div", figures, class_="charts"),
        table("Over all steps and trials that are reported", headings, rows),
    )


def _projections(document: Document) -> ET.Element | None:
    if not document["projections"]:
        return None

    def cell(index: int, entry: Document, key: str, form: Callable[[Any], str]) -> Child:
        return number(entry[key], form(entry[key]), data_from=f"projections.{index}.{key}")

    rows = [
        [
            f"{entry['source']} \u2192 {entry['target']}",
            cell(index, entry, "synapses", str),
            cell(index, entry, "events", si),
            cell(index, entry, "rate", _four),
        ]
        for index, entry in enumerate(document["projections"])
    ]
    unit = "Hz" if document["rate_unit"] == "Hz" else "per step"
    headings = ["projection", "synapses", "synaptic events", f"events per synapse ({unit})"]
    return section("projections", "Projections", table("In all steps of the file", headings, rows))


def _weights(document: Document, figures: list[ET.Element]) -> ET.Element | None:
    if not document["plastic"]:
        return None
    rows: list[list[Child]] = []
    for index, entry in enumerate(document["plastic"]):
        name = f"{entry['projection']}: {entry['source']} \u2192 {entry['target']}"
        end = "after learning" if entry["rule"] == CONTRASTIVE else f"after {counted(entry['step'], 'step')}"
        for key, when in (("initial", "at the start"), ("weights", end)):
            own = entry[key]
            if own is not None and own["count"]:
                where = f"plastic.{index}.{key}"
                rows.append(
                    [
                        f"{name}, {when}",
                        entry["rule"] or "-",
                        entry["unit"] or "-",
                        number(entry["synapses"], str(entry["synapses"]), data_from=f"plastic.{index}.synapses"),
                        number(own["mean"], _four(own["mean"]), data_from=f"{where}.mean"),
                        number(own["sd"], _four(own["sd"]), data_from=f"{where}.sd"),
                        *(
                            number(value, _four(value), data_from=f"{where}.quantiles.{place}")
                            for place, value in enumerate(own["quantiles"])
                        ),
                    ]
                )
    headings = ["projection", "rule", "unit", "synapses", "mean", "standard deviation",
                "5 %", "25 %", "median", "75 %", "95 %"]  # fmt: skip
    return section(
        "weights",
        "Plastic weights",
        element("div", figures, class_="charts"),
        table("Over synapses and reported trials", headings, rows),
    )


def _repeat(reader: SimulationReader) -> ET.Element:
    facts = [
        ("Seed", str(reader.seed)),
        ("Created", reader.created),
        ("Host", reader.host),
        ("spikesim", reader.spikesim_version),
        *reader.versions.items(),
    ]
    pairs = [element("div", element("dt", str(label)), element("dd", str(value))) for label, value in facts]
    return section(
        "repeat",
        "Network, and how to repeat the simulation",
        element("p", "The command that wrote the file:"),
        element("pre", element("code", reader.command_line), tabindex="0", aria_label="Command line"),
        element("p", "With this version, network and seed a simulation has the same bits, whatever its threads, stops "
                "and resumes."),
        element("dl", pairs, class_="facts wide"),
        element("details", element("summary", f"Network, {counted(len(reader.populations), 'population')}"),
                element("pre", element("code", json.dumps(reader.network, indent=1, ensure_ascii=False)), tabindex="0",
                        aria_label="Description of the network")),
    )  # fmt: skip


def _three(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _four(value: float | None) -> str:
    return "-" if value is None else short(float(f"{value:.4g}"))
