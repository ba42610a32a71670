"""Charts of the figures that docs/results.md has in tables and blocks."""

import re
import statistics
import xml.etree.ElementTree as ET
from pathlib import Path

from spikesim.ep.reports.charts.chart import Chart, Series
from spikesim.ep.reports.charts.colours import SERIES
from spikesim.ep.reports.charts.svg import draw

RESULTS = Path(__file__).resolve().parents[1] / "results.md"
COLOURS = "".join(f".kind{index}{{--c:{colour}}}" for index, colour in enumerate(SERIES))
MARGIN = 6
STYLE = (
    "text{font:12px system-ui,'Helvetica Neue',Arial,sans-serif;fill:#1f2328}.tick,.label{fill:#57606a}"
    ".middle{text-anchor:middle}.end{text-anchor:end}.grid{stroke:#d8dee4;fill:none}.axis{stroke:#57606a;fill:none}"
    ".line{stroke:var(--c);stroke-width:2;fill:none}.mark{fill:var(--c)}.spread{fill:var(--c);fill-opacity:.16}"
    ".dash1 .line{stroke-dasharray:7 4}.dash2 .line{stroke-dasharray:2 3}.dash3 .line{stroke-dasharray:9 3 2 3}"
    + COLOURS
)


def section(heading: str) -> str:
    """The text below a heading of the page."""
    found = re.search(
        rf"^## {heading}\n(.*?)(?=^## |\Z)", RESULTS.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    assert found, heading
    return found[1]


def numbers(text: str) -> list[float]:
    return [float(word) for word in re.findall(r"(?<![\w.])\d+(?:\.\d+)?(?![\w.]|-)", text)]


def chart(name: str, title: str, axes: tuple[str, str], series: list[Series], note: str = "") -> Chart:
    return Chart(name, "", title, *axes, series, note=note)


def learning(names: tuple[str, ...]) -> Chart:
    """Test accuracy over the epochs; a band of one standard deviation where there are several seeds."""
    _, _, text = section("Accuracy").partition("Test accuracy after each epoch:\n")
    curves: dict[str, list[list[float]]] = {}
    network = ""
    for label, values in re.findall(r"^ {4} *([a-z][\w., ]*?) {2,}([\d. ]+)$", text, re.MULTILINE):
        twin = label == "twin"
        network = network if twin else label.partition(",")[0]
        curves.setdefault(f"{network}, backprop" if twin else network, []).append(numbers(values))
    series = []
    for name in names:
        epochs = list(zip(*curves[name], strict=True))
        spread = [statistics.stdev(values) for values in epochs] if len(curves[name]) > 1 else []
        means = [statistics.mean(values) for values in epochs]
        series.append(Series(name, [float(epoch) for epoch in range(1, len(epochs) + 1)], means, spread))
    return chart("learning", "Test accuracy by epoch", ("epoch", "test accuracy (%)"), series)


def depth() -> Chart:
    """VGG9: its heads by layer, and networks of its first layers."""
    text = section("Depth")
    heads = re.search(r"heads of VGG9 classify ([\d, and]+) %.*?read-out (\d+) %", text, re.DOTALL)
    assert heads
    found = [*numbers(heads[1]), float(heads[2])]
    rows = dict(re.findall(r"^\| (vgg9|its first \w+)[^|]*\|.*?\| \**([\d.]+)\** \|$", text, re.MULTILINE))
    tested = [(4.0, float(rows["its first four"])), (6.0, float(rows["its first six"])), (8.0, float(rows["vgg9"]))]
    series = [
        Series("head, training", [float(layer) for layer in range(1, len(found) + 1)], found),
        Series("network, test", [layer for layer, _ in tested], [accuracy for _, accuracy in tested]),
    ]
    return chart("depth", "Accuracy over depth", ("layers of spiking neurons", "accuracy (%)"), series)


def operations() -> Chart:
    """Accuracy over operations, with and without a target rate, and with phases that end early."""
    rows = re.findall(r"^\| \**([\d.]+)[^|]*\|(.*)\|$", section("Accuracy against synaptic operations"), re.MULTILINE)
    points: dict[str, list[tuple[float, float]]] = {}
    for steps, rest in rows:
        own = numbers(rest)
        early = "." in steps
        for name, (accuracy, work) in (("no target", own[:2]), ("target 5 %", own[-2:])):
            points.setdefault(f"{name}, {'tolerance' if early else 'fixed steps'}", []).append((work, accuracy))
    series = []
    for name, own in sorted(points.items()):
        own.sort()
        series.append(Series(name, [work for work, _ in own], [accuracy for _, accuracy in own]))
    return chart(
        "operations", "Accuracy over operations", ("million accumulates per sample", "test accuracy (%)"), series
    )


def drawn(made: Chart) -> bytes:
    """A chart as a file of its own."""
    root = draw(made)
    _, _, width, height = (float(value) for value in root.attrib["viewBox"].split())
    for name in [name for name in root.attrib if name.startswith("data-")]:
        del root.attrib[name]
    root.attrib["viewBox"] = f"{-MARGIN} 0 {width + MARGIN:g} {height:g}"
    root.attrib.update({"xmlns": "http://www.w3.org/2000/svg", "width": f"{width + MARGIN:g}", "height": f"{height:g}"})
    paper = ET.Element(
        "rect", {"x": f"{-MARGIN}", "width": f"{width + MARGIN:g}", "height": f"{height:g}", "fill": "#fff"}
    )
    style = ET.Element("style")
    style.text = STYLE
    root[:0] = [style, paper]
    ET.indent(root, " ")
    return ET.tostring(root, encoding="utf-8") + b"\n"


CHARTS = {
    "learning-mnist": lambda: learning(("mnist", "fashion")),
    "learning-cifar10": lambda: learning(("vgg5", "vgg5, backprop", "vgg9", "vgg9, backprop", "vgg11 x0.5")),
    "depth": depth,
    "operations": operations,
}
