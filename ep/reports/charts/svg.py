"""Charts as SVG inside a page.

Written out by hand, and not by matplotlib, for the sake of the page: colours are classes that its style sheet sets for
light, dark and paper; text stays text, for search, for screen readers and in the reader's own font; each mark tells its
value; a page needs no optional library; and a chart has 2 to 15 kB in place of 20 to 50. What it takes is this module
and `axes`. Papers get matplotlib's pictures of the same charts (`plots`).
"""

import xml.etree.ElementTree as ET
from dataclasses import dataclass

from spikesim.ep.reports.charts.axes import Axis, linear_axis, log_axis
from spikesim.ep.reports.charts.chart import Chart, Series
from spikesim.ep.reports.charts.markup import element
from spikesim.runtime.text import percent, short, si

__all__ = ["draw", "point_text", "tick_texts", "value_text"]

WIDTH, HEIGHT = 600, 310
LEFT, TOP, BOTTOM = 80, 10, 46
CHARACTER = 7.2
"""Width of a character of the labels, about."""
LABEL_MAX = 26
LINE_HEIGHT = 14.0
MARKS_MAX = 60
"""With more points a line has no marks."""

_MARKS = (
    "M-3.5 0a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0 -7 0z",
    "M-3 -3h6v6h-6z",
    "M0 -4l4 7h-8z",
    "M0 -4.2l4.2 4.2l-4.2 4.2l-4.2 -4.2z",
    "M0 4l4 -7h-8z",
    "M-3.5 -1.2h2.3v-2.3h2.4v2.3h2.3v2.4h-2.3v2.3h-2.4v-2.3h-2.3z",
)


@dataclass(frozen=True)
class _Frame:
    """The rectangle of the curves, and how values lie in it."""

    horizontal: Axis
    vertical: Axis
    width: float
    height: float
    tilted: bool

    def x(self, value: float) -> float:
        return LEFT + self.horizontal.position(value) * self.width

    def y(self, value: float) -> float:
        return TOP + (1 - self.vertical.position(value)) * self.height

    @property
    def right(self) -> float:
        return LEFT + self.width

    @property
    def bottom(self) -> float:
        return TOP + self.height


def draw(chart: Chart) -> ET.Element:
    """A chart with labels at the ends of its lines.

    Parameters
    ----------
    chart : Chart
        Something that is not empty.

    Returns
    -------
    Element
        ``svg``, named by a ``title``, for a page whose style sheet has the classes.
    """
    shown = [(index, own) for index, own in enumerate(chart.series) if _points(chart, own)]
    labels = [own.name if len(own.name) <= LABEL_MAX else own.name[: LABEL_MAX - 1] + "\u2026" for _, own in shown]
    longest = max((len(name) for name in chart.categories), default=0)
    tilted = len(chart.categories) * CHARACTER * longest > 330
    values = [y for _, own in shown for _, y in _points(chart, own)]
    values += [y for _, own in shown for _, *ends in own.band() for y in ends if chart.drawable(y)]
    frame = _Frame(
        _horizontal(chart),
        log_axis(values) if chart.log else linear_axis(values, zero=chart.dots),
        WIDTH - LEFT - 42 - CHARACTER * max(map(len, labels)),
        max(HEIGHT - TOP - BOTTOM, LINE_HEIGHT * (len(shown) - 1)),
        tilted,
    )
    height = frame.bottom + BOTTOM + (0.6 * CHARACTER * longest - 8 if tilted else 0)
    below = {"x": _n(LEFT + frame.width / 2), "y": _n(height - 6)}
    beside = {"transform": f"translate(12 {_n(TOP + frame.height / 2)}) rotate(-90)"}
    return element(
        "svg",
        _grid(chart, frame),
        element("text", chart.x_label, class_="label middle", **below),
        element("text", chart.y_label, class_="label middle", **beside),
        [_series(chart, frame, index, place - (len(shown) - 1) / 2) for place, (index, _) in enumerate(shown)],
        _labels(chart, frame, [index for index, _ in shown], labels),
        viewBox=f"0 0 {WIDTH} {_n(height)}",
        role="img",
        aria_label=f"{chart.title}: {chart.y_label} over {chart.x_label}",
        class_="chart",
        data_hover="rows",
        data_at=" ".join(_n(frame.x(at)) for at in chart.positions),
        data_from=_n(frame.bottom),
        data_to=_n(TOP),
    )


def point_text(chart: Chart, own: Series, at: float) -> str:
    """The value of a series at a place, with its standard deviation if it has one."""
    value = dict(zip(own.x, own.y, strict=True)).get(at)
    sd = None if value is None or not own.spread else own.spread[own.x.index(at)]
    return value_text(chart, value) + ("" if sd is None else f" \u00b1 {value_text(chart, sd)}")


def value_text(chart: Chart, value: float | None) -> str:
    """A value of a chart as its marks and its table tell it."""
    if chart.share:
        return percent(value)
    if value is not None and (abs(value) >= 1e4 or chart.y_label.endswith("(J)")):
        return si(value) + ("J" if chart.y_label.endswith("(J)") else "")
    return short(value)


def _colour(chart: Chart, index: int) -> str:
    """Classes that give a series its colour."""
    return f"{f'layer{index}' if chart.ordered else f'kind{index % 8}'} dash{index % 4}"


def _mark(index: int) -> str:
    return _MARKS[index % len(_MARKS)]


def _horizontal(chart: Chart) -> Axis:
    if chart.categories:
        return Axis(-0.5, len(chart.categories) - 0.5, [float(place) for place in range(len(chart.categories))])
    values = [float(value) for own in chart.series for value in own.x]
    return linear_axis(values, integers=all(value.is_integer() for value in values), count=8)


def _points(chart: Chart, own: Series) -> list[tuple[float, float]]:
    pairs = zip(own.x, own.y, strict=True)
    return [(x, y) for x, y in pairs if y is not None and chart.drawable(y)]


def _grid(chart: Chart, frame: _Frame) -> list[ET.Element]:
    drawn = []
    for tick, text in zip(frame.vertical.ticks, tick_texts(chart, frame.vertical.ticks), strict=True):
        at = frame.y(tick)
        drawn.append(element("path", d=f"M{LEFT} {_n(at)}h{_n(frame.width)}", class_="grid"))
        drawn.append(element("text", text, x=LEFT - 8, y=_n(at + 4), class_="tick end"))
    for tick in frame.horizontal.ticks:
        at = frame.x(tick)
        text = chart.categories[int(tick)] if chart.categories else f"{tick:.6g}"
        place = f"translate({_n(at)} {_n(frame.bottom + 17)})" + (" rotate(-38)" if frame.tilted else "")
        drawn.append(element("path", d=f"M{_n(at)} {_n(frame.bottom)}v4", class_="axis"))
        drawn.append(element("text", text, transform=place, class_="tick end" if frame.tilted else "tick middle"))
    drawn.append(element("path", d=f"M{LEFT} {TOP}v{_n(frame.height)}h{_n(frame.width)}", class_="axis"))
    return drawn


def _series(chart: Chart, frame: _Frame, index: int, aside: float) -> ET.Element:
    """A line and its marks; marks of several series at one name stand beside each other."""
    own = chart.series[index]
    drawn: list[ET.Element] = []
    band = [(x, low, high) for x, low, high in own.band() if chart.drawable(low) and chart.drawable(high)]
    if band:
        around = [(x, high) for x, _, high in band] + [(x, low) for x, low, _ in reversed(band)]
        corners = "L".join(f"{_n(frame.x(x))} {_n(frame.y(y))}" for x, y in around)
        drawn.append(element("path", d=f"M{corners}z", class_="spread"))
    if not chart.dots:
        steps = []
        pen = "M"
        for at, value in zip(own.x, own.y, strict=True):
            if value is None or not chart.drawable(value):
                pen = "M"
            else:
                steps.append(f"{pen}{_n(frame.x(at))} {_n(frame.y(value))}")
                pen = "L"
        drawn.append(element("path", d="".join(steps), class_="line"))
    points = _points(chart, own)
    if len(points) <= MARKS_MAX:
        for at, value in points:
            where = chart.categories[int(at)] if chart.categories else f"{chart.x_label} {at:g}"
            told = element("title", f"{own.name}, {where}: {point_text(chart, own, at)}")
            spot = f"translate({_n(frame.x(at) + (7 * aside if chart.dots else 0))} {_n(frame.y(value))})"
            drawn.append(element("path", told, d=_mark(index), transform=spot, class_="mark"))
    return element("g", drawn, class_=_colour(chart, index))


def _labels(chart: Chart, frame: _Frame, indices: list[int], labels: list[str]) -> list[ET.Element]:
    """Names of the series: in their order where they have one, else beside the ends of their lines, moved apart where
    they would overlap."""
    wanted = [frame.y(_points(chart, chart.series[index])[-1][1]) for index in indices]
    if chart.ordered or chart.dots:
        middle = TOP + frame.height / 2 - LINE_HEIGHT * (len(indices) - 1) / 2
        wanted = [middle + LINE_HEIGHT * place for place in range(len(indices))]
    order = sorted(range(len(indices)), key=lambda place: wanted[place])
    places = _spread([wanted[place] for place in order], LINE_HEIGHT, TOP, frame.bottom)
    drawn = []
    for place, at in zip(order, places, strict=True):
        index = indices[place]
        spot = f"translate({_n(frame.right + 22)} {_n(at)})"
        mark = element("path", d=_mark(index), transform=spot, class_="mark")
        line = None if chart.dots else element("path", d=f"M{_n(frame.right + 12)} {_n(at)}h20", class_="line")
        text = element("text", labels[place], x=_n(frame.right + 36), y=_n(at + 4), class_="name")
        name = element("title", chart.series[index].name)
        drawn.append(element("g", name, line, mark, text, class_=_colour(chart, index)))
    return drawn


def _spread(wanted: list[float], distance: float, low: float, high: float) -> list[float]:
    """Ascending positions as near to the wanted ones as a distance between them allows, within limits if they fit."""
    places: list[float] = []
    for value in wanted:
        places.append(max(value, places[-1] + distance) if places else max(value, low))
    if places and places[-1] > high:
        places[-1] = max(high, low + distance * (len(places) - 1))
        for index in range(len(places) - 2, -1, -1):
            places[index] = min(places[index], places[index + 1] - distance)
    return places


def tick_texts(chart: Chart, ticks: list[float]) -> list[str]:
    """What the ticks of the vertical axis say: as short as they can be and still differ."""
    texts = [_tick_text(chart, tick) for tick in ticks]
    digits = 5
    while len(set(texts)) < len(ticks) and digits < 16:
        texts = [f"{100 * tick if chart.share else tick:.{digits}g}" for tick in ticks]
        digits += 1
    return texts


def _tick_text(chart: Chart, value: float) -> str:
    if chart.share:
        return f"{100 * value:.4g}"
    if chart.y_label.endswith("(J)"):
        return _round_si(value) + "J"
    return _round_si(value).strip() if abs(value) >= 1e4 else f"{value:.4g}"


def _round_si(value: float) -> str:
    """As `si`, without zeros behind the point."""
    figures, _, prefix = si(value).partition(" ")
    return f"{float(figures):g} {prefix}"


def _n(value: float) -> str:
    """A coordinate in tenths."""
    return f"{value:.1f}".removesuffix(".0")
