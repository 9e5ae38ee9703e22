"""What is drawn on top of a run's curves: findings as shaded windows, checkpoints, the best validation. Pure.

Kept apart from the figure, because these change while the curves grow: assets/live.js lays them on without a redraw.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from dashboard.records import FindingRecord
from dashboard.ui import format as fmt
from dashboard.ui import theme

Overlay = dict[str, list[dict[str, Any]]]
Place = Callable[[int], float]

MAX_LABELS = 6
GLYPHS = {"critical": "⬣", "warning": "▲", "info": "●"}
"""A shape for each severity in front of its label: colour is never alone."""


def windows(
    findings: Sequence[FindingRecord],
    place: Place,
    *,
    labels: bool = True,
    shaded: Callable[[FindingRecord], bool] = lambda finding: True,
) -> Overlay:
    """What each finding that is not muted leaves on a chart: a line where it began, and its window when it is `shaded`.

    Labels stagger so that neighbours stay readable.
    """
    shown = [finding for finding in findings if finding.status != "muted"]
    shown.sort(key=lambda finding: finding.first_step)
    shapes = [
        shape
        for finding in shown
        for shape in ([_window(finding, place)] if shaded(finding) else []) + [_onset(finding, place)]
    ]
    annotations = [_label(finding, place, row) for row, finding in enumerate(shown[:MAX_LABELS])] if labels else []
    return {"shapes": shapes, "annotations": annotations}


def _window(finding: FindingRecord, place: Place) -> dict[str, Any]:
    color = theme.SEVERITY_COLORS.get(finding.severity, theme.OTHER)
    faint = finding.status == "resolved"
    return {
        "type": "rect", "xref": "x", "yref": "paper", "layer": "below",
        "x0": place(finding.first_step), "x1": place(max(finding.last_step, finding.first_step)), "y0": 0, "y1": 1,
        "fillcolor": color, "opacity": 0.04 if faint else 0.09, "line": {"width": 0},
        "name": "finding",
    }  # fmt: skip


def _onset(finding: FindingRecord, place: Place) -> dict[str, Any]:
    """A line where it began: it is seen even when the window is a single step."""
    color = theme.SEVERITY_COLORS.get(finding.severity, theme.OTHER)
    return {
        "type": "line", "xref": "x", "yref": "paper", "layer": "below", "y0": 0, "y1": 1,
        "x0": place(finding.first_step), "x1": place(finding.first_step),
        "opacity": 0.4 if finding.status == "resolved" else 0.9, "line": {"color": color, "width": 1}, "name": "finding",
    }  # fmt: skip


def _label(finding: FindingRecord, place: Place, row: int) -> dict[str, Any]:
    color = theme.SEVERITY_COLORS.get(finding.severity, theme.OTHER)
    title = finding.rule.replace("-", " ")
    return {
        "xref": "x", "x": place(finding.first_step), "xanchor": "left", "yref": "paper", "y": 0.97 - 0.08 * (row % 5),
        "yanchor": "top", "xshift": 3, "yshift": -2, "showarrow": False, "align": "left",
        "text": f"{GLYPHS.get(finding.severity, '●')} {fmt.for_plot(title)}",
        "hovertext": fmt.for_plot(finding.title), "captureevents": True,
        "font": {"size": 11, "color": color}, "borderpad": 2, "name": "finding",
    }  # fmt: skip


def checkpoints(steps: Sequence[int], place: Place) -> Overlay:
    """A short tick at the foot of the chart for each checkpoint."""
    shapes = [
        {
            "type": "line", "xref": "x", "yref": "paper", "x0": place(step), "x1": place(step), "y0": 0, "y1": 0.035,
            "line": {"color": theme.LIMIT, "width": 2}, "name": "checkpoint",
        }
        for step in steps
    ]  # fmt: skip
    return {"shapes": shapes, "annotations": []}


def best(step: int | None, value: float | None, place: Place, *, log: bool) -> Overlay:
    """The best validation loss, named where it was reached. `log` says that the y axis is logarithmic.

    Above it: the curve is at its lowest there, and at the foot of the chart stand the ticks of checkpoints.
    """
    if step is None or value is None or not math.isfinite(value) or (log and value <= 0):
        return {"shapes": [], "annotations": []}
    mark = {
        "xref": "x", "x": place(step), "yref": "y", "y": math.log10(value) if log else value,
        "text": f"★ best {fmt.loss(value)}", "showarrow": True, "arrowhead": 0, "arrowwidth": 1.2,
        "arrowcolor": theme.VALIDATION, "ax": 0, "ay": -26, "borderpad": 1, "font": {"size": 11, "color": theme.VALIDATION},
        "hovertext": f"best validation loss {fmt.loss(value)} at step {step:,}", "captureevents": True, "name": "best",
    }  # fmt: skip
    return {"shapes": [], "annotations": [mark]}


def joined(*overlays: Overlay) -> Overlay:
    """Several overlays as one, in order."""
    return {
        "shapes": [shape for overlay in overlays for shape in overlay["shapes"]],
        "annotations": [note for overlay in overlays for note in overlay["annotations"]],
    }
