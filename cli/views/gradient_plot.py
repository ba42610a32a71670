"""The picture of ``spikesim gradcheck --plot``."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spikesim.errors import InputError

if TYPE_CHECKING:
    from spikesim.ep.gradcheck.check import CheckResult, VariantResult

__all__ = ["draw", "require_drawable"]

LINES = ("-", "--", ":", "-.")


def require_drawable(path: Path, *, overwrite: bool) -> None:
    """Refuse what cannot be drawn before anything is computed.

    Raises
    ------
    InputError
        matplotlib is missing, or the file has no folder or an unknown ending, or it exists and must not be replaced.
    """
    from spikesim.ep.reports.files import require_free

    try:
        import matplotlib
    except ImportError:
        raise InputError(
            "--plot needs matplotlib, which is not installed; pip install 'spikesim[plot]' brings it"
        ) from None
    matplotlib.use("Agg")
    if path.suffix not in (".png", ".svg", ".pdf"):
        raise InputError(f"--plot {path}: the name must end in .png, .svg or .pdf")
    require_free([path], overwrite=overwrite)


def draw(result: "CheckResult", path: Path, *, overwrite: bool) -> None:
    """Cosine and ratio of norms with the exact gradient: a column per layer, over window length (a line a beta).

    Where there is only one window, over beta. Of several kinds of noise, firing, contrast and pooling, each has its
    kind of line. A third row has the course of the estimate: the share of the exact gradient that it holds, over the
    steps of the nudged phases.

    Raises
    ------
    InputError
        The file cannot be written, or exists and must not be replaced.
    """
    import io

    from matplotlib.figure import Figure

    from spikesim.ep.reports.files import write_files

    over_windows = len({found.variant.steps_nudged for found in result.variants}) > 1
    positions = sorted(
        {found.variant.steps_nudged if over_windows else found.variant.beta for found in result.variants}
    )
    curves: dict[tuple[str, str], list[VariantResult]] = {}
    for found in result.variants:
        own = found.variant
        kind = ", ".join((own.noise, own.firing, own.contrast, own.pooling))
        curves.setdefault((kind, f"beta {own.beta:g}" if over_windows else ""), []).append(found)
    kinds, labels = ([*dict.fromkeys(key[i] for key in curves)] for i in range(2))
    rows = 3 if result.course else 2
    figure = Figure(figsize=(1.5 + 2.4 * len(result.layers), 0.4 + 2.5 * rows), layout="constrained")
    panels = figure.subplots(rows, len(result.layers), sharey="row", squeeze=False)
    handles: dict[str, Any] = {}
    for layer, name in enumerate(result.layers):
        for (kind, label), members in curves.items():
            text = ", ".join(filter(None, (label, kind if len(kinds) > 1 else "")))
            members.sort(key=lambda found: (found.variant.steps_nudged, found.variant.beta))
            x = [found.variant.steps_nudged if over_windows else found.variant.beta for found in members]
            similarities = [found.weights["exact"] for found in members]
            color = labels.index(label) if over_windows else kinds.index(kind)
            line = LINES[kinds.index(kind) % len(LINES)] if over_windows else "-"
            style = {"color": f"C{color % 10}", "linestyle": line, "marker": ".", "label": text}
            cosines, ratios = (
                [float(getattr(one, what)[:, layer].mean()) for one in similarities] for what in ("cosine", "ratio")
            )
            handles[text] = panels[0, layer].plot(x, cosines, **style)[0]
            panels[1, layer].plot(x, ratios, **style)
        panels[0, layer].set_title(name)
        for panel, texts in zip(panels[:2, layer], ([], [f"{position:g}" for position in positions]), strict=True):
            panel.set_xscale("log")
            panel.set_xticks(positions, texts or [""] * len(positions))
            panel.minorticks_off()
        panels[1, layer].set_xlabel("window (steps)" if over_windows else "beta")
        if result.course:
            _draw_course(result, layer, panels[2, layer])
        for panel in panels[:, layer]:
            panel.axhline(1.0, color="0.8", zorder=0)
    every_cosine = np.concatenate([found.weights["exact"].cosine.ravel() for found in result.variants])
    panels[0, 0].set_ylim(min(0.0, float(np.min(every_cosine, initial=0.0, where=np.isfinite(every_cosine)))), 1.05)
    for panel in panels[1:, 0]:
        panel.set_ylim(bottom=min(0.0, panel.get_ylim()[0]))
    panels[0, 0].set_ylabel("cosine with the exact gradient")
    panels[1, 0].set_ylabel("norm / norm of the exact one")
    if result.course:
        panels[2, 0].set_ylabel("share of the exact gradient")
    if any(handles):
        figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4, fontsize="small")
    picture = io.BytesIO()
    figure.savefig(picture, dpi=150, format=path.suffix[1:])
    write_files({path: picture.getvalue()}, overwrite=overwrite)


def _draw_course(result: "CheckResult", layer: int, panel: Any) -> None:
    """The projection of the estimate onto the exact gradient, whose norm is 1, over the steps of the nudged phases."""
    steps = [found.variant.steps_nudged for found in result.course]
    similarities = [found.weights["exact"] for found in result.course]
    shares = [float((one.cosine[:, layer] * one.ratio[:, layer]).mean()) for one in similarities]
    panel.plot(steps, shares, color="C0", marker=".")
    panel.set_xlabel("step of the nudged phases")
