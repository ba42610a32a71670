"""Charts as data, from the JSON object of a report: one description for the page and for the pictures of papers.

Everything is lines with marks over numbers, or over names (layers), so one kind of chart is enough, and `raster` for
spikes. Nothing here draws: `svg` does for pages, `plots` does with matplotlib.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from spikesim.ep.analysis.summary import TOTAL
from spikesim.ep.runs.schema import PHASES, READOUT

__all__ = ["Chart", "Series", "comparison_charts", "run_charts"]

HUGE, TINY = 1e100, 1e-100
"""Beyond these are values of runs that diverged, or of damaged files."""
BANDS = "Means over the seeds of finished runs; bands of one standard deviation on either side."
STEPS_MIN = 3
"""Phases of fewer steps have no residual and activity over the steps."""

Entry = Mapping[str, Any]
Document = Mapping[str, Any]


@dataclass(frozen=True)
class Series:
    """One line of a chart; None in `y` is a gap.

    With a `spread`, the standard deviations of the values, a band lies about the line.
    """

    name: str
    x: list[float]
    y: list[float | None]
    spread: list[float | None] = field(default_factory=list)

    def band(self) -> list[tuple[float, float, float]]:
        """Where the band lies: x, one standard deviation below, one above."""
        return [
            (x, y - sd, y + sd)
            for x, y, sd in zip(self.x, self.y, self.spread, strict=bool(self.spread))
            if y is not None and sd is not None
        ]


@dataclass(frozen=True)
class Chart:
    """A chart.

    Attributes
    ----------
    name : str
        Name of its files, and of its place in a page.
    section : str
        Heading of a page under which it stands.
    title, x_label, y_label : str
        Words; the labels of the axes end with the unit in brackets where there is one.
    series : list of Series
        The lines, in the order of their colours.
    categories : list of str
        Names at the positions 0, 1, ... of a horizontal axis without numbers.
    log : bool
        Logarithmic vertical axis: what is not positive is left out of the picture, but not of the table.
    share : bool
        Values are shares, shown as per cent.
    ordered : bool
        The series have an order, as layers have, and so have their colours.
    dots : bool
        Marks only: the values between have no meaning.
    note : str
        A sentence on how to read it.
    """

    name: str
    section: str
    title: str
    x_label: str
    y_label: str
    series: list[Series]
    categories: list[str] = field(default_factory=list)
    log: bool = False
    share: bool = False
    ordered: bool = False
    dots: bool = False
    note: str = ""

    def drawable(self, value: float | None) -> bool:
        """Whether a value has a place in the picture."""
        return value is not None and abs(value) < HUGE and (value > TINY or not self.log)

    @property
    def positions(self) -> list[float]:
        """All places on the horizontal axis, ascending; each is a row of the chart's table."""
        return sorted({at for own in self.series for at in own.x})

    @property
    def words(self) -> str:
        """The note, and what a logarithmic axis leaves out."""
        zeros = self.log and any(value is not None and value <= 0 for own in self.series for value in own.y)
        return f"{self.note} Zeros have no place on this axis.".strip() if zeros else self.note

    @property
    def empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not any(self.drawable(value) for own in self.series for value in own.y)


def run_charts(document: Document) -> list[Chart]:
    """The charts of a run, without those that have nothing to show.

    Parameters
    ----------
    document : dict
        What `report_document` gives.
    """
    charts = [
        *_epoch_charts(document["epochs"], document["tested_on"]),
        *_work_charts(document["layers"], document["energy_model"]),
        *_phase_charts(document["phases"]),
        *_step_charts(document["traces"], _names(document["layers"])),
        *_rate_charts(document["firing_rates"]),
        *_learning_charts(document["learning"]),
    ]
    return [chart for chart in charts if not chart.empty]


def _epoch_charts(epochs: list[Entry], tested_on: str) -> list[Chart]:
    def chart(name: str, title: str, y_label: str, keys: Mapping[str, str], **options: Any) -> Chart:
        series = [_over_epochs(label, epochs, key) for label, key in keys.items()]
        return Chart(name, "accuracy", title, "epoch", y_label, series, **options)

    return [
        chart(
            "accuracy",
            "Accuracy by epoch",
            "accuracy (%)",
            {"training": "train_accuracy", tested_on: "test_accuracy"},
            share=True,
            note="Training accuracy is that of the free phases while the weights changed.",
        ),
        chart("loss", "Loss by epoch", "loss (nats)", {"training": "train_loss", tested_on: "test_loss"}),
    ]


def _work_charts(layers: list[Entry], energy: Entry) -> list[Chart]:
    charged = (
        f"With the costs of {energy['name']}" if "node" in energy else "With the assumption that the run file holds"
    )
    shown = [entry for entry in layers if TOTAL not in (entry["layer"], entry["phase"])]
    names = _names(layers)
    phases = list(dict.fromkeys(entry["phase"] for entry in shown))
    epoch = f" of epoch {shown[0]['epoch']}" if shown else ""

    def chart(name: str, what: str, y_label: str, value: Callable[[Entry], float | None], **options: Any) -> Chart:
        series = [
            Series(phase, *_over_names(names, [entry for entry in shown if entry["phase"] == phase], value))
            for phase in phases
        ]
        title = f"{what} by layer and phase{epoch}"
        return Chart(name, "work", title, "layer", y_label, series, categories=names, dots=True, **options)

    return [
        chart("activity", "Activity", "spikes per neuron and step (%)", lambda entry: entry["activity"], share=True),
        chart("spikes", "Spikes", "spikes per sample", lambda entry: entry["spikes"], log=True),
        chart(
            "operations",
            "Synaptic operations",
            "accumulates and MACs per sample",
            lambda entry: entry["effective_acs_forward"] + entry["effective_acs_feedback"] + entry["effective_macs"],
            log=True,
            note="Effective operations, forward and feedback: those that were done.",
        ),
        chart(
            "energy",
            "Estimated energy",
            "energy per sample (J)",
            lambda entry: entry["joule"],
            log=True,
            note=f"{charged}; the table of energies can be changed.",
        ),
    ]


def _phase_charts(phases: list[Entry]) -> list[Chart]:
    def chart(name: str, title: str, y_label: str, **options: Any) -> Chart:
        series = [_over_epochs(phase, [entry for entry in phases if entry["phase"] == phase], name) for phase in PHASES]
        return Chart(name, "dynamics", title, "epoch", y_label, [own for own in series if own.x], **options)

    return [
        chart(
            "hopfield",
            "Hopfield energy at the end of each phase",
            "energy function (no unit)",
            note="Not a physical energy: the function that the dynamics minimize.",
        ),
        chart(
            "residual",
            "Residual at the end of each phase",
            "mean change of probability",
            log=True,
            note="Mean absolute difference between the halves of the window: small where a phase has settled.",
        ),
    ]


def _step_charts(traces: list[Entry], layers: list[str]) -> list[Chart]:
    """How the phases settle, step by step: the energy function of all, the residual and the activity of each."""
    charts = []
    where = f" after epoch {traces[0]['epoch']}" if traces else ""
    started = max((entry["step"] for entry in traces if entry["phase"] == PHASES[0]), default=0)
    series = []
    for phase in PHASES:
        steps = [entry for entry in traces if entry["phase"] == phase]
        before = 0 if phase == PHASES[0] else started
        series.append(Series(phase, [before + own["step"] for own in steps], [own["hopfield"] for own in steps]))
        if len(steps) < STEPS_MIN:
            continue
        later = Series(phase, [own["step"] for own in steps[1:]], [own["hopfield"] for own in steps[1:]])
        charts.append(
            Chart(
                f"trace_hopfield_{_FILE_NAMES[phase]}",
                "steps",
                f"Hopfield energy in the {phase} phase, from step 2 on{where}",
                "time step",
                "energy function (no unit)",
                [later],
                note="Without the first step, which starts from the end of the previous phase, or from rest.",
            )
        )
        for key, what, y_label in (
            ("residual", "Residual", "mean change of probability"),
            ("activity", "Activity", "mean firing probability (%)"),
        ):
            lines = [
                Series(name, [own["step"] for own in steps], [own[key][layer] for own in steps])
                for layer, name in enumerate(layers)
            ]
            charts.append(
                Chart(
                    f"trace_{key}_{_FILE_NAMES[phase]}",
                    "steps",
                    f"{what} in the {phase} phase, step by step{where}",
                    "time step",
                    y_label,
                    lines,
                    log=key == "residual",
                    share=key == "activity",
                    ordered=True,
                )
            )
    title = f"Hopfield energy step by step{where}"
    note = (
        "Nudged phases begin where the free phase ends. As a step finds it, mean over the samples that were followed."
    )
    first = Chart("trace_hopfield", "steps", title, "time step", "energy function (no unit)", series, note=note)
    return [first, *charts]


_FILE_NAMES = {"free": "free", "nudged+": "nudged_plus", "nudged-": "nudged_minus"}


def _rate_charts(rates: list[Entry]) -> list[Chart]:
    if not rates:
        return []
    bins = len(rates[0]["shares"]) - 1
    series = [Series(entry["layer"], [place / bins for place in range(bins + 1)], entry["shares"]) for entry in rates]
    return [
        Chart(
            "firing_rates",
            "rates",
            f"Neurons by firing rate in the test of epoch {rates[0]['epoch']}",
            "mean firing probability in the window of the free phase",
            "neurons (%)",
            series,
            log=True,
            share=True,
            ordered=True,
            note=f"At 0 those that never fire; elsewhere those in an interval of 1/{bins} that ends there.",
        )
    ]


def _learning_charts(learning: list[Entry]) -> list[Chart]:
    layers = list(dict.fromkeys(entry["layer"] for entry in learning))

    def chart(name: str, title: str, y_label: str, *, readout: bool = False, **options: Any) -> Chart:
        series = [
            _over_epochs(layer, [entry for entry in learning if entry["layer"] == layer], name)
            for layer in layers
            if readout or layer != READOUT
        ]
        found = [own for own in series if any(value is not None for value in own.y)]
        return Chart(name, "learning", title, "epoch", y_label, found, ordered=True, **options)

    return [
        chart(
            "rate_difference",
            "|r+ - r-| by layer and epoch",
            "mean |r+ - r-|",
            log=True,
            note="Response of a layer to the nudge: mean absolute difference of its rates.",
        ),
        chart(
            "weight_change",
            "|dW| by layer and epoch",
            "mean |dW| per mini-batch",
            readout=True,
            log=True,
            note="Mean change of the weights into a layer in a mini-batch.",
        ),
        chart(
            "head_accuracy",
            "Accuracy of the local heads by layer and epoch",
            "accuracy (%)",
            share=True,
            note="Training samples that the head of a layer classifies correctly.",
        ),
    ]


def comparison_charts(document: Document, *, grouped: bool = False) -> list[Chart]:
    """The curves of several runs over each other.

    Parameters
    ----------
    document : dict
        What `comparison_document` gives, and with `grouped` `grouped_document`.
    grouped : bool
        A curve for each setting, the mean over its seeds, in place of one for each run.
    """

    def chart(key: str, title: str, y_label: str, **options: Any) -> Chart:
        if grouped:
            series = [_mean_over_epochs(group, key) for group in document["groups"]]
            options["note"] = BANDS
        else:
            series = [_over_epochs(run["run"], run["curves"], key) for run in document["runs"]]
        return Chart(key, "curves", title, "epoch", y_label, series, **options)

    charts = [
        chart("test_accuracy", "Test accuracy by epoch", "accuracy (%)", share=True),
        chart("train_accuracy", "Training accuracy by epoch", "accuracy (%)", share=True),
        chart("test_loss", "Test loss by epoch", "loss (nats)"),
        chart("train_loss", "Training loss by epoch", "loss (nats)"),
        chart("activity", "Activity in the test by epoch", "spikes per neuron and step (%)", share=True),
        chart("accumulates", "Accumulates of a test sample by epoch", "accumulates per sample"),
        chart("joule", "Estimated energy of a test sample by epoch", "energy per sample (J)"),
    ]
    return [chart for chart in charts if not chart.empty]


def _names(layers: list[Entry]) -> list[str]:
    return list(dict.fromkeys(entry["layer"] for entry in layers if entry["layer"] != TOTAL))


def _over_epochs(name: str, entries: Iterable[Entry], key: str) -> Series:
    entries = list(entries)
    return Series(name, [entry["epoch"] for entry in entries], [entry[key] for entry in entries])


def _mean_over_epochs(group: Entry, key: str) -> Series:
    x, curves = [entry["epoch"] for entry in group["curves"]], [entry[key] for entry in group["curves"]]
    return Series(group["setting"], x, [one["mean"] for one in curves], [one["sd"] for one in curves])


def _over_names(
    names: list[str], entries: list[Entry], value: Callable[[Entry], float | None]
) -> tuple[list[float], list[float | None]]:
    return [names.index(entry["layer"]) for entry in entries], [value(entry) for entry in entries]
