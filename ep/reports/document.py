"""A report as one JSON object: what ``spikesim report --format json`` prints, and what a page shows and embeds."""

import dataclasses
import json
from typing import Any

from spikesim.ep.analysis.summary import Report
from spikesim.ep.runs.reader import RunReader
from spikesim.ep.runs.state import state_text
from spikesim.io.formats import finite

__all__ = ["json_text", "report_document"]


def report_document(reader: RunReader, numbers: Report) -> dict[str, Any]:
    """A run and its numbers as plain values; docs/run-file.md describes them.

    Parameters
    ----------
    reader : RunReader
        The run.
    numbers : Report
        What `make_report` says of it.

    Returns
    -------
    dict
        Values that JSON has. None stands for what was not measured, for NaN and for infinities.
    """
    head = {
        "status": reader.status,
        "state": state_text(reader),
        "created": reader.created,
        "format_version": reader.format_version,
        "spikesim_version": reader.spikesim_version,
        "config_hash": reader.config_hash,
        "seed": reader.seed,
        "rows": reader.rows,
    }
    value = {"run": head, "energy_model": dataclasses.asdict(reader.energy_model), **dataclasses.asdict(numbers)}
    found: dict[str, Any] = finite(value)
    return found


def json_text(document: Any) -> str:
    """The object as indented JSON."""
    return json.dumps(document, indent=2, allow_nan=False)
