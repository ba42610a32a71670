"""Write the figures of the manual: ``python docs/figures/draw.py [FOLDER]``. A test compares them with those here."""

import sys
from collections.abc import Iterator
from pathlib import Path

from charts import CHARTS, drawn
from diagrams import DIAGRAMS


def figures() -> Iterator[tuple[str, bytes]]:
    """Names of files and what they hold."""
    for name, picture in DIAGRAMS.items():
        yield f"{name}.svg", picture().bytes()
    for name, chart in CHARTS.items():
        yield f"{name}.svg", drawn(chart())


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    for name, content in figures():
        (folder / name).write_bytes(content)
