"""The text of a rule's page as components, and its example as a figure. Pure. Reads only text from our own code."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np
from dash import html
from dash.development.base_component import Component

from dashboard.records import Series
from dashboard.roles import role_of
from dashboard.ui import charts, curves, figures, theme
from diagnostics.examples import Example

UNDRAWN = ("config", "data", "samples", "end", "time", "clock")
"""Lines of an example that are no series; `diagnostics.examples` says what each means."""


def blocks(text: str) -> list[Component]:
    """Paragraphs, bullet lists, indented code and `code` words; nothing else is a mark-up here."""
    return [_block(part) for part in re.split(r"\n\s*\n", text.strip("\n")) if part.strip()]


def _block(part: str) -> Component:
    lines = part.splitlines()
    if all(line.startswith("    ") for line in lines):
        return html.Pre("\n".join(line[4:] for line in lines), className="rw-patch")
    if re.match(r"\s*[-*] ", lines[0]):
        return html.Ul([html.Li(_inline(item)) for item in _items(lines, r"\s*[-*] ")], className="rw-list")
    if re.match(r"\s*\d+\. ", lines[0]):
        return html.Ol([html.Li(_inline(item)) for item in _items(lines, r"\s*\d+\. ")], className="rw-list")
    return html.P(_inline(" ".join(line.strip() for line in lines)))


def _items(lines: Sequence[str], bullet: str) -> list[str]:
    items: list[str] = []
    for line in lines:
        if re.match(bullet, line):
            items.append(re.sub(bullet, "", line, count=1))
        elif items:
            items[-1] += " " + line.strip()
    return items


def _inline(text: str) -> list[Component | str]:
    pieces = re.split(r"`([^`]+)`", text)
    return [html.Code(piece) if index % 2 else piece for index, piece in enumerate(pieces)]


def example_figure(example: Example) -> figures.Figure:
    """The example drawn as the Run page would draw it, marks of non-finite values included."""
    colors = {name: charts.ROLE_COLORS.get(role_of(name) or "", theme.OTHER) for name in example.series}
    series = {name: _series(name, example.steps[: len(row)], row) for name, row in example.series.items()}
    log = all("grad" in name for name in colors)
    chart = figures.Chart(key="example", title="", unit="", colors=colors, log=log)
    figure = figures.draw(chart, series, figures.View(axis=curves.Axis()), version="still")
    figure["layout"]["meta"]["still"] = True
    return figure


def undrawn(text: str, title: str) -> str:
    """What a block of the example's text says that a curve does not: data, samples, an end, times, settings."""
    lines: list[str] = []
    block = ""
    for line in text.splitlines():
        if line in ("Fires:", "Silent:"):
            block = line[:-1]
        elif block == title and line.strip().partition(":")[0] in UNDRAWN:
            lines.append(line.strip())
    return "\n".join(lines)


def _series(name: str, steps: Sequence[int], values: Sequence[float]) -> Series:
    """Raw points as the store would return them."""
    at = np.array(steps, dtype=np.int64)
    last = np.array(values[: len(at)], dtype=np.float64)
    bad = np.array([0 if math.isfinite(value) else 1 for value in last], dtype=np.int64)
    finite = np.where(bad == 0, last, np.nan)
    return Series(
        name=name, step=at, time=at.astype(np.float64), min=finite, max=finite, mean=finite, last=last,
        count=np.ones_like(at), nonfinite=bad, min_step=at, max_step=at,
    )  # fmt: skip
