"""The page of a run: ``spikesim report RUN.h5 --html FILE``."""

import json
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from typing import Any

from spikesim.ep.analysis.operations import phase_title
from spikesim.ep.analysis.summary import TEST_PHASE, TOTAL
from spikesim.ep.reports.charts.chart import Chart
from spikesim.ep.reports.charts.markup import Child, element, number, table
from spikesim.ep.reports.charts.pictures import RunPictures
from spikesim.ep.reports.pages.pictures import classes_section, spikes_section, weights_section
from spikesim.ep.reports.pages.shell import assumptions_form, figure, joule_cell, make_page, section
from spikesim.ep.runs.reader import RunReader
from spikesim.io.config_diff import flat_settings
from spikesim.runtime.text import count, counted, fixed, percent, scientific, short, si

__all__ = ["run_page"]

Document = Mapping[str, Any]


def run_page(reader: RunReader, document: Document, pictures: RunPictures) -> bytes:
    """A run as one page.

    Parameters
    ----------
    reader : RunReader
        The run.
    document : dict
        What `report_document` says of it.
    pictures : RunPictures
        What there is to draw.

    Returns
    -------
    bytes
        HTML in UTF-8, which needs nothing else.

    Raises
    ------
    InputError
        If the file is damaged.
    """

    def figures(name: str) -> list[ET.Element]:
        return [figure(chart) for chart in pictures.charts if chart.section == name]

    sections = [
        _accuracy(document, figures("accuracy")),
        classes_section(document, pictures.matrix),
        _work(document, figures("work")),
        _energy(document),
        _plain("dynamics", "Energy function and residual", figures("dynamics")),
        _plain("steps", "Phases step by step", figures("steps")),
        _plain("rates", "Firing rates", figures("rates")),
        _plain("learning", "Learning by layer", figures("learning")),
        _plain("gradients", "Gradients", figures("gradients")),
        weights_section(document, pictures),
        spikes_section(pictures.rasters),
        _parameters(document),
        _repeat(reader, document),
    ]
    title = f"Run {reader.path.name}"
    # The read-out has a colour too, after the layers.
    return make_page(title, _lead(reader, document, pictures.charts), sections, document, layers=len(reader.layers) + 1)


def _lead(reader: RunReader, document: Document, charts: Sequence[Chart]) -> list[Child]:
    complete = [epoch for epoch in document["epochs"] if epoch["complete"]]
    tested = [epoch for epoch in complete if epoch["test_accuracy"] is not None]
    facts: list[tuple[str, Child]] = [("State", document["run"]["state"])]
    for key, label in (("model.arch", "Architecture"), ("data.dataset", "Data"), ("model.width", "Width")):
        if reader.setting(key) is not None:
            facts.append((label, str(reader.setting(key))))
    facts.append(("Layers", str(len(reader.layers))))
    facts.append(("Neurons", count(sum(layer.neurons for layer in reader.layers))))
    facts.append(("Parameters", count(document["parameters"][-1]["parameters"])))
    facts.append(("Complete epochs", str(len(complete))))
    if tested:
        last, what = tested[-1], document["tested_on"].capitalize()
        facts.append((f"{what} accuracy, last", number(last["test_accuracy"], percent(last["test_accuracy"]))))
        for best in (epoch for epoch in tested if epoch["epoch"] == document["best_epoch"]):
            shown = number(best["test_accuracy"], percent(best["test_accuracy"]))
            facts.append((f"Best by validation, epoch {best['epoch']}", shown))
    seconds = sum((epoch["seconds"] or 0.0) + (epoch["test_seconds"] or 0.0) for epoch in document["epochs"])
    facts.append(("Wall time", f"{seconds:.0f} s" if seconds < 3600 else f"{seconds / 3600:.1f} h"))
    pairs = [element("div", element("dt", label), element("dd", value)) for label, value in facts]
    waiting = None if charts else element("p", "There is nothing to draw: the first mini-batch has not ended yet.")
    return [element("dl", pairs, class_="facts"), waiting]


def _plain(name: str, heading: str, figures: list[ET.Element]) -> ET.Element | None:
    return section(name, heading, element("div", figures, class_="charts")) if figures else None


def _accuracy(document: Document, figures: list[ET.Element]) -> ET.Element | None:
    if not document["epochs"]:
        return None

    def cell(index: int, epoch: Mapping[str, Any], key: str, text: str) -> Child:
        return number(epoch[key], text, data_from=f"epochs.{index}.{key}")

    rows = [
        [
            f"{epoch['epoch']}" if epoch["complete"] else f"{epoch['epoch']} (so far)",
            cell(index, epoch, "train_loss", fixed(epoch["train_loss"])),
            cell(index, epoch, "train_accuracy", percent(epoch["train_accuracy"])),
            cell(index, epoch, "test_loss", fixed(epoch["test_loss"])),
            cell(index, epoch, "test_accuracy", percent(epoch["test_accuracy"])),
            cell(index, epoch, "learning_rate", short(epoch["learning_rate"])),
            cell(index, epoch, "beta", short(epoch["beta"])),
            cell(index, epoch, "seconds", short(epoch["seconds"])),
        ]
        for index, epoch in enumerate(document["epochs"])
    ]
    tested_on = document["tested_on"]
    headings = ["epoch", "train loss (nats)", "train accuracy", f"{tested_on} loss (nats)", f"{tested_on} accuracy",
                "learning rate", "beta", "seconds"]  # fmt: skip
    return section(
        "accuracy",
        "Accuracy and loss",
        element("div", figures, class_="charts"),
        element("details", element("summary", "Table by epoch"), table("Loss and accuracy by epoch", headings, rows)),
    )


_WORK = (
    ("neurons", "neurons", lambda value: f"{value}"),
    ("spikes", "spikes", si),
    ("activity", "activity", percent),
    ("dense_forward", "Dense forward", si),
    ("dense_feedback", "Dense feedback", si),
    ("effective_acs_forward", "Effective ACs forward", si),
    ("effective_acs_feedback", "Effective ACs feedback", si),
    ("effective_macs", "Effective MACs", si),
    ("neuron_updates", "neuron updates", si),
    ("saturated", "saturated", percent),
    ("activity_per_ms", "spikes per neuron and ms of input", scientific),
    ("operations_per_ms", "operations per ms of input", si),
)


def _work(document: Document, figures: list[ET.Element]) -> ET.Element | None:
    layers = document["layers"]
    if not layers:
        return None
    tables = []
    for phase in dict.fromkeys(entry["phase"] for entry in layers):
        found = [(index, entry) for index, entry in enumerate(layers) if entry["phase"] == phase]
        columns = [column for column in _WORK if any(entry[column[0]] is not None for _, entry in found)]
        rows = [
            [
                entry["layer"],
                *(number(entry[key], form(entry[key]), data_from=f"layers.{index}.{key}") for key, _, form in columns),
            ]
            for index, entry in found
        ]
        first = found[0][1]
        what = phase_title(phase)
        samples = counted(first["samples"], "sample")
        caption = f"{what}, per sample (epoch {first['epoch']}, mean of {samples}, {short(first['steps'])} steps)"
        tables.append(table(caption, ["layer", *(heading for _, heading, _ in columns)], rows, class_="total"))
    note = "Per sample. Dense: if every neuron sent at every step. Effective: what was done. Names as in NeuroBench."
    return section(
        "work",
        "Activity, spikes and operations",
        element("p", note, class_="note"),
        element("div", figures, class_="charts"),
        element("details", element("summary", "Tables by phase and layer"), tables),
    )


def _energy(document: Document) -> ET.Element | None:
    layers = document["layers"]
    if not layers:
        return None
    phases = list(dict.fromkeys(entry["phase"] for entry in layers if entry["phase"] != TOTAL))
    training = [phase for phase in phases if phase != TEST_PHASE]
    found = {(entry["phase"], entry["layer"]): entry for entry in layers}
    names = list(dict.fromkeys(entry["layer"] for entry in layers))

    def cell(entries: list[Mapping[str, Any]]) -> Child:
        sums = {key: sum(entry[key] or 0.0 for entry in entries) for key in _COUNTED}
        accumulates = sums["effective_acs_forward"] + sums["effective_acs_feedback"]
        return joule_cell(sums["joule"], accumulates, sums["effective_macs"], sums["neuron_updates"])

    rows: list[list[Child]] = []
    for name in names:
        own = {phase: found[phase, name] for phase in phases if (phase, name) in found}
        trained = [own[phase] for phase in training if phase in own]
        bar = element("svg", element("rect", width=0, height=10, y=1), viewBox="0 0 100 12", class_="bar",
                      aria_hidden="true") if name != TOTAL else None  # fmt: skip
        rows.append(
            [
                name,
                *(cell([own[phase]]) if phase in own else "-" for phase in phases),
                cell(trained) if trained else "-",
                element("span", bar, element("span", class_="percent")) if bar is not None else "",
            ]
        )
    headings = ["layer", *phases, "training, all phases", "share"]
    epoch = layers[0]["epoch"]
    return section(
        "energy",
        "Estimated energy",
        assumptions_form(document["energy_model"]),
        table(f"Energy per sample, epoch {epoch}", headings, rows, id="energy-table", class_="total"),
    )


_COUNTED = ("effective_acs_forward", "effective_acs_feedback", "effective_macs", "neuron_updates", "joule")


def _parameters(document: Document) -> ET.Element:
    rows = [
        [
            entry["layer"],
            number(entry["parameters"], str(entry["parameters"]), data_from=f"parameters.{index}.parameters"),
            number(
                entry["connection_sparsity"],
                percent(entry["connection_sparsity"]),
                data_from=f"parameters.{index}.connection_sparsity",
            ),
            number(
                entry["footprint_bytes"],
                si(entry["footprint_bytes"]) + "B",
                data_from=f"parameters.{index}.footprint_bytes",
            ),
        ]
        for index, entry in enumerate(document["parameters"])
    ]
    headings = ["layer", "parameters", "connection sparsity", "size as float32"]
    return section(
        "parameters", "Parameters", table("Parameters as of the last checkpoint", headings, rows, class_="total")
    )


def _repeat(reader: RunReader, document: Document) -> ET.Element:
    facts = [
        ("Seed", str(reader.seed)),
        ("Digest" if document["run"]["status"] == "finished" else "Digest so far", reader.digest()),
        ("Hash of the configuration", reader.config_hash),
        ("Created", reader.created),
        ("Host", reader.host),
        ("spikesim", reader.spikesim_version),
        *reader.versions.items(),
    ]
    pairs = [element("div", element("dt", str(label)), element("dd", str(value))) for label, value in facts]
    settings = dict(flat_settings(reader.config))
    rows: list[list[Child]] = [
        [key, element("code", json.dumps(value, ensure_ascii=False))] for key, value in settings.items()
    ]
    return section(
        "repeat",
        "Configuration, and how to repeat the run",
        element("p", "The command that wrote the file:"),
        element("pre", element("code", reader.command_line), tabindex="0", aria_label="Command line"),
        element("p", "With this version, configuration and seed a run has the same digest, whatever its threads, "
                "processes, stops and resumes: 'spikesim info' prints it."),
        element("dl", pairs, class_="facts wide"),
        element("details", element("summary", f"Configuration, {counted(len(rows), 'key')}"),
                table("Configuration", ["key", "value"], rows)),
    )  # fmt: skip
