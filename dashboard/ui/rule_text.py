"""The text of a rule's page as components, and its example as a figure. Pure. Reads only text from our own code."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from dash import html
from dash.development.base_component import Component

from dashboard.records import Series
from dashboard.ui import charts, curves, figures, theme

STEP_NAMES = ("step", "steps")


@dataclass(frozen=True, slots=True)
class Example:
    """One example of a rule: whether it must fire, and its columns by series name; `steps` are theirs."""

    title: str
    steps: tuple[int, ...]
    columns: Mapping[str, tuple[float, ...]]


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


def examples(text: str) -> list[Example]:
    """The examples under a rule's heading Example: `Fires:` and `Silent:`, each followed by lines `series: numbers`."""
    found: list[tuple[str, list[str]]] = []
    for line in text.splitlines():
        head = re.fullmatch(r"(\S[^:]*):\s*", line)
        if head:
            found.append((head.group(1), []))
        elif found and ":" in line:
            found[-1][1].append(line.strip())
    read = [_example(title, lines) for title, lines in found]
    return [example for example in read if example.columns]


def _example(title: str, lines: Sequence[str]) -> Example:
    columns = {}
    for line in lines:
        name, _, numbers = line.partition(":")
        values = _numbers(numbers)
        if values:
            columns[name.strip()] = values
    steps = next((columns.pop(name) for name in STEP_NAMES if name in columns), ())
    longest = max((len(values) for values in columns.values()), default=0)
    return Example(title, tuple(int(step) for step in steps) or tuple(range(longest)), columns)


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(word) for word in text.replace(",", " ").split())
    except ValueError:
        return ()


def example_figure(example: Example) -> figures.Figure:
    """The example drawn as the Run page would draw it, marks of non-finite values included."""
    colors = {name: charts.ROLE_COLORS.get(charts.role_of(name) or "", theme.OTHER) for name in example.columns}
    series = {name: _series(name, example.steps[: len(values)], values) for name, values in example.columns.items()}
    log = all("grad" in name for name in colors)
    chart = figures.Chart(key="example", title="", unit="", colors=colors, log=log)
    figure = figures.draw(chart, series, figures.View(axis=curves.Axis()), version="still")
    figure["layout"]["meta"]["still"] = True
    return figure


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
