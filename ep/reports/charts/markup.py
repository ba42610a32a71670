"""HTML and SVG as elements of the standard library, which escapes all text; only styles and scripts are raw.

What a browser would obey in a text without showing it, such as marks of direction, is escaped too.
"""

import json
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence
from typing import Any

from spikesim.runtime.printable import printable

__all__ = ["Child", "element", "embedded_json", "number", "serialise", "table"]

Child = ET.Element | str | None
_RAW = ("script", "style")


def element(tag: str, *children: Child | Sequence[Child], **attributes: Any) -> ET.Element:
    """An element with text and elements in it.

    Parameters
    ----------
    tag : str
        Name of the element.
    *children : str, Element, None or a sequence of them
        What is in it; None is nothing.
    **attributes
        ``class_`` is ``class``, and other underscores are hyphens. None and False leave an attribute out, True gives it
        no value.
    """
    made = ET.Element(tag)
    for name, value in attributes.items():
        if value is not None and value is not False:
            made.set(name.rstrip("_").replace("_", "-"), "" if value is True else printable(str(value)))
    last: ET.Element | None = None
    for child in _flat(children, tag in _RAW):
        if isinstance(child, ET.Element):
            made.append(child)
            last = child
        elif last is None:
            made.text = (made.text or "") + child
        else:
            last.tail = (last.tail or "") + child
    return made


def _flat(children: Iterable[Child | Sequence[Child]], raw: bool) -> Iterable[ET.Element | str]:
    for child in children:
        if isinstance(child, str):
            yield child if raw else printable(child, keep="\n\t")
        elif isinstance(child, ET.Element):
            yield child
        elif child is not None:
            yield from _flat(child, raw)


def number(value: float | None, text: str, **attributes: Any) -> Child:
    """A number as people read it, with all its digits for programs; text alone where there is none."""
    return text if value is None else element("data", text.strip(), value=repr(value), **attributes)


def table(caption: str, headings: Sequence[Child], rows: Iterable[Sequence[Child]], **attributes: Any) -> ET.Element:
    """A table of which the first column names the rows; it scrolls sideways, by keyboard too, where it is too wide."""
    head = element("tr", [element("th", heading, scope="col") for heading in headings])
    body = [
        element("tr", element("th", first, scope="row"), [element("td", cell) for cell in cells])
        for first, *cells in rows
    ]
    made = element("table", element("caption", caption), element("thead", head), element("tbody", body), **attributes)
    return element("div", made, class_="scroll", tabindex="0", role="region", aria_label=caption)


def embedded_json(value: Any, name: str) -> ET.Element:
    """A JSON object that scripts find by its id, and that cannot end the element it is in."""
    text = json.dumps(value, allow_nan=False).replace("<", "\\u003c")
    return element("script", text, type="application/json", id=name)


def serialise(root: ET.Element) -> bytes:
    """A document as UTF-8. Text that is no Unicode, of a damaged file, becomes question marks."""
    text = ET.tostring(root, encoding="unicode", method="html")
    return f"<!DOCTYPE html>\n{text}\n".encode("utf-8", "replace")
