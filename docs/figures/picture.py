"""Boxes, arrows and words as SVG."""

import xml.etree.ElementTree as ET

INK, QUIET, BLUE, RED, GREEN = "#1f2328", "#57606a", "#0b65a8", "#c04a00", "#00704f"
STYLE = (
    "text{font:13px system-ui,'Helvetica Neue',Arial,sans-serif;fill:#1f2328}.title{font-weight:600;font-size:14px}"
    ".small{font-size:11.5px;fill:#57606a}.middle{text-anchor:middle}.end{text-anchor:end}"
)
LINE = 15


class Picture:
    """A drawing on white, written to a file of its own.

    Parameters
    ----------
    width, height : int
        Pixels.
    title : str
        What a reader hears who does not see it.
    """

    def __init__(self, width: int, height: int, title: str) -> None:
        size = {"viewBox": f"0 0 {width} {height}", "width": str(width), "height": str(height)}
        self.root = ET.Element("svg", {"xmlns": "http://www.w3.org/2000/svg", "role": "img", **size})
        self._add("title", title)
        self._add("style", STYLE)
        markers = self._add("defs")
        for colour in (INK, QUIET, BLUE, RED, GREEN):
            shape = {"viewBox": "0 0 8 8", "refX": "7", "refY": "4", "markerWidth": "7", "markerHeight": "7"}
            head = ET.SubElement(markers, "marker", {"id": f"head{colour[1:]}", "orient": "auto", **shape})
            ET.SubElement(head, "path", {"d": "M0 0L8 4L0 8z", "fill": colour})
        self._add("rect", width=width, height=height, fill="#fff")

    def _add(self, tag: str, text: str = "", **attributes: object) -> ET.Element:
        named = {name.rstrip("_").replace("_", "-"): str(value) for name, value in attributes.items()}
        made = ET.SubElement(self.root, tag, named)
        made.text = text or None
        return made

    def text(self, x: float, y: float, words: str, kind: str = "", colour: str = "") -> None:
        """Lines of words, the first one at y; kind: classes of the style."""
        for number, line in enumerate(words.split("\n")):
            style = {"style": f"fill:{colour}"} if colour else {}
            self._add("text", line, x=x, y=y + LINE * number, class_=kind, **style)

    def box(self, x: float, y: float, width: float, height: float, words: str, colour: str = INK) -> None:
        """A box with words in its middle."""
        fill = {INK: "#f6f8fa", BLUE: "#e7f1fa", RED: "#fdeee5", GREEN: "#e4f4ee"}.get(colour, "#fff")
        self._add("rect", x=x, y=y, width=width, height=height, rx=5, fill=fill, stroke=colour, stroke_width=1.3)
        top = y + height / 2 + 4.5 - LINE / 2 * words.count("\n")
        self.text(x + width / 2, top, words, "middle")

    def arrow(self, *points: tuple[float, float], colour: str = INK, dashed: bool = False) -> None:
        """A line from point to point, with a head at the last one."""
        path = "M" + "L".join(f"{x:g} {y:g}" for x, y in points)
        dash = {"stroke_dasharray": "5 4"} if dashed else {}
        head = {"marker_end": f"url(#head{colour[1:]})"}
        self._add("path", d=path, stroke=colour, stroke_width=1.6, fill="none", **head, **dash)

    def line(self, path: str, colour: str = INK, width: float = 1.3, fill: str = "none") -> None:
        self._add("path", d=path, stroke=colour, stroke_width=width, fill=fill)

    def bytes(self) -> bytes:
        ET.indent(self.root, " ")
        return ET.tostring(self.root, encoding="utf-8") + b"\n"
