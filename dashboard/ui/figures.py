"""Plotly figures of a run: records in, plain dictionaries and lists out. Pure: no store, no clock, no components.

Lists, never numpy arrays: plotly encodes arrays as typed ones, and live points could not be appended to those. Each
trace says in its `meta` which series it draws and how, which is all that assets/grow.js needs to continue it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dashboard.axes import TokenCounts
from dashboard.records import Series
from dashboard.ui import curves, theme
from dashboard.ui import format as fmt

Figure = dict[str, Any]

CONFIG: dict[str, Any] = {
    "displaylogo": False,
    "showSendToCloud": False,
    "plotlyServerURL": "",
    "responsive": True,
    "doubleClick": "autosize",
    "displayModeBar": "hover",
    "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d", "zoomIn2d", "zoomOut2d"],
}
"""For every dcc.Graph. plotly's own cloud button is off: nothing leaves this machine."""

COUNTS_KEPT = 500
"""Of a token counter that goes in no straight line, so many counts go with a figure: a live point is hardly later than that."""

FEW_POINTS = 80
"""Up to this many points are drawn as dots on the line, so that one evaluation alone is seen."""


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """How the reader wants the curves: the state that stands in the page's address."""

    axis: curves.Axis = field(default_factory=curves.Axis)
    half_life: float = 0.0
    log: bool = False
    perplexity: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Chart:
    """One chart: which series share it, in which colour, and how its y axis reads."""

    key: str
    title: str
    unit: str
    colors: Mapping[str, str]
    log: bool = False
    limit: float | None = None
    limit_label: str = ""
    note: str = ""


def draw(chart: Chart, series: Mapping[str, Series], view: View, *, version: str, large: bool = False) -> Figure:
    """The figure of `chart`. `series` may lack names (nothing logged yet): their empty trace waits for live points.

    `version` names this snapshot. `meta.whole` says that every point is drawn as it was logged: a closer look has no more.
    """
    traces: list[dict[str, Any]] = []
    last: dict[str, int] = {}
    for name, color in chart.colors.items():
        line = curves.trace(series[name]) if name in series else curves.Line([], [], [], [])
        traces += traces_of(name, color, line, view)
        last[name] = max([*line.steps, *(mark.step for mark in line.marks)], default=-1)
    layout = layout_of(chart, view, large)
    empty = all(step < 0 for step in last.values())
    if empty:
        _wait(layout)
    elif len({y for trace in traces if trace["meta"]["draws"] == "raw" for y in trace["y"] if y is not None}) == 1:
        # Around a single value plotly lays a whole unit each way: a constant rate of 1e-3 would be drawn as 0.
        layout["yaxis"]["rangemode"] = "tozero"
    layout["meta"] = {
        "version": version, "axis": _axis_meta(view.axis), "last": last, "key": chart.key, "empty": empty,
        "whole": all(bool((one.count == 1).all()) for one in series.values()),
    }  # fmt: skip
    return {"data": traces, "layout": layout}


def _wait(layout: dict[str, Any]) -> None:
    """A chart without a point says so: numbers on its axes would be made up."""
    layout["xaxis"]["visible"] = layout["yaxis"]["visible"] = False
    layout["shapes"] = []
    layout["annotations"] = [
        {
            "xref": "paper", "yref": "paper", "x": 0.5, "y": 0.5, "showarrow": False, "name": "waiting",
            "text": "no points yet", "font": {"size": 12, "color": theme.LIMIT},
        }
    ]  # fmt: skip


def _axis_meta(axis: curves.Axis) -> dict[str, Any]:
    return {
        "kind": axis.kind,
        "origin": axis.origin,
        "secondsPerUnit": axis.seconds_per_unit,
        "counts": None if axis.counts is None else _counts_meta(axis.counts),
    }


def _counts_meta(counts: TokenCounts) -> dict[str, Any]:
    """What assets/grow.js needs to place live points, and late ones: the last counts, without those on a straight line."""
    paces = np.diff(counts.tokens) / np.diff(counts.steps)
    bends = 1 + np.flatnonzero(np.abs(np.diff(paces)) > 1e-9 * np.abs(paces[1:]))
    kept = sorted({0, *bends[-COUNTS_KEPT:].tolist(), len(counts.steps) - 1})
    return {
        "series": counts.name,
        "steps": counts.steps[kept].tolist(),
        "tokens": counts.tokens[kept].tolist(),
        "rate": counts.rate,
    }


def traces_of(name: str, color: str, line: curves.Line, view: View) -> list[dict[str, Any]]:
    """The traces of one line: raw, the marks of what is not finite, and smoothed where the view asks for it."""
    label = fmt.for_plot(name)
    x = view.axis.places(line.steps, line.times)
    raw = [curves.perplexity(value) for value in line.values] if view.perplexity else line.values
    few = len(x) <= FEW_POINTS or line.lonely
    smoothing = view.half_life > 0 and len(x) > 2
    traces = [
        {
            "type": "scatter",
            "name": label,
            "mode": "lines+markers" if few else "lines",
            "x": x,
            "y": raw,
            "line": {"color": color, "width": 1.6},
            "marker": {"size": 4.5, "color": color},
            "opacity": 0.45 if smoothing else 1.0,
            "hovertemplate": "%{y:.5~g}<extra>" + label + "</extra>",
            "hoverinfo": "skip" if smoothing else "all",
            # `few` points are drawn as dots until there are so many of them
            "meta": {
                "series": name,
                "draws": "raw",
                "exp": view.perplexity,
                "few": FEW_POINTS if few and not line.lonely else 0,
            },
        },
        _marks(name, label, line, view),
    ]
    if smoothing:
        traces.append(_smoothed(name, label, color, x, line, view))
    return traces


def _smoothed(name: str, label: str, color: str, x: list[float], line: curves.Line, view: View) -> dict[str, Any]:
    smoothed = curves.smooth(line, view.half_life)
    y = smoothed.values
    return {
        "type": "scatter",
        "name": f"{label} (smoothed)",
        "mode": "lines",
        "x": x,
        "y": [curves.perplexity(value) for value in y] if view.perplexity else y,
        "line": {"color": color, "width": 2.2},
        "hovertemplate": "%{y:.5~g}<extra>" + label + " (smoothed)</extra>",
        "meta": {
            "series": name,
            "draws": "smooth",
            "exp": view.perplexity,
            "halfLife": view.half_life,
            "total": smoothed.total,
            "weight": smoothed.weight,
            "finite": smoothed.last_finite,
        },
    }


def _marks(name: str, label: str, line: curves.Line, view: View) -> dict[str, Any]:
    """Non-finite values as a red cross at the edge of the chart, on an axis of its own so that no zoom hides them."""
    return {
        "type": "scatter",
        "name": f"{label}: not finite",
        "mode": "markers",
        "visible": bool(line.marks),  # an axis more to draw costs a fifth: assets/grow.js shows it with the first mark
        "yaxis": "y2",
        "x": view.axis.places([mark.step for mark in line.marks], [mark.time for mark in line.marks]),
        "y": [1.0 if mark.edge == "top" else 0.0 for mark in line.marks],
        "text": [mark.words for mark in line.marks],
        "hovertemplate": "%{text}<extra>" + label + "</extra>",
        "marker": {"symbol": "x", "size": 8, "color": theme.ALARM},
        "cliponaxis": False,
        "meta": {"series": name, "draws": "marks"},
    }


def layout_of(chart: Chart, view: View, large: bool) -> dict[str, Any]:
    """The layout of a chart: axes, colours, and the limit line where the chart has one."""
    layout: dict[str, Any] = {
        "autosize": True,
        "uirevision": f"{chart.key}/{view.axis.kind}/{view.log}/{view.perplexity}",
        "margin": {"l": 46, "r": 22, "t": 14, "b": 40 if large else 26},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "Inter, system-ui, sans-serif", "size": 12, "color": theme.LIMIT},
        "showlegend": False,
        "hovermode": "x unified",
        "hoverlabel": {"align": "left"},
        "dragmode": "zoom",
        "xaxis": _x_axis(view.axis, large),
        "yaxis": _y_axis(chart, view),
        "yaxis2": {"overlaying": "y", "range": [0, 1], "visible": False, "fixedrange": True},
    }
    if chart.limit is not None:
        layout["shapes"], layout["annotations"] = _limit(chart, view)
    return layout


def _x_axis(axis: curves.Axis, large: bool) -> dict[str, Any]:
    return {
        "title": {"text": axis.title if large else "", "standoff": 6, "font": {"size": 11}},
        "showgrid": False,
        "zeroline": False,
        "rangemode": "tozero",
        "hoverformat": ",.6~g",
        "tickformat": "~s" if axis.kind == "tokens" else "",
        "showspikes": True,
        "spikemode": "across",
        "spikethickness": 1,
        "spikedash": "dot",
        "spikecolor": theme.LIMIT,
        "nticks": 8 if large else 5,
        "ticklabeloverflow": "allow",  # measuring whether labels fit takes a quarter of a drawing
    }


def _y_axis(chart: Chart, view: View) -> dict[str, Any]:
    log = view.log if chart.key == "loss" else chart.log
    return {
        "type": "log" if log else "linear",
        "showgrid": True,
        "zeroline": False,
        "gridcolor": "rgba(128,138,158,0.16)",
        "griddash": "solid",
        "automargin": True,
        "ticklabeloverflow": "allow",
        "tickformat": ".6~g",
        # On a log axis plotly labels every digit of a decade when it may; in a small chart they would overlap.
        "nticks": 3 if log and chart.key != "loss" else 6,
    }


def _limit(chart: Chart, view: View) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    assert chart.limit is not None
    log = view.log if chart.key == "loss" else chart.log
    shape = {
        "type": "line", "xref": "paper", "x0": 0, "x1": 1, "yref": "y", "y0": chart.limit, "y1": chart.limit,
        "line": {"color": theme.LIMIT, "width": 1.2, "dash": "dash"}, "name": "limit",
    }  # fmt: skip
    label = {
        "xref": "paper", "x": 1, "xanchor": "right", "yref": "y", "y": math.log10(chart.limit) if log else chart.limit,
        "yanchor": "bottom", "text": fmt.for_plot(chart.limit_label), "showarrow": False, "font": {"size": 10.5},
        "name": "limit",
    }  # fmt: skip
    return [shape], [label]


def excerpt(chart: Chart, series: Mapping[str, Series], first: int, last: int, severity: str) -> Figure:
    """A still drawing of a piece of a curve with the window of steps that a finding speaks of."""
    figure = draw(chart, series, View(), version="still")
    color = theme.SEVERITY_COLORS.get(severity, theme.OTHER)
    figure["layout"]["meta"]["still"] = True
    figure["layout"]["xaxis"]["rangemode"] = "normal"
    figure["layout"]["shapes"] = [
        {
            "type": "rect", "xref": "x", "yref": "paper", "x0": first, "x1": last, "y0": 0, "y1": 1, "layer": "below",
            "fillcolor": color, "opacity": 0.15, "line": {"color": color, "width": 1},
        }
    ]  # fmt: skip
    return figure


def small_line(x: Sequence[float], lines: Mapping[str, tuple[str, Sequence[float | None]]], x_title: str) -> Figure:
    """A plain figure outside any run: the learning rate schedule, the example on a rule's page."""
    chart = Chart(key="plain", title="", unit="", colors={})
    layout = layout_of(chart, View(), False)
    layout["xaxis"]["title"] = {"text": fmt.for_plot(x_title), "standoff": 6, "font": {"size": 11}}
    layout["margin"]["b"] = 38
    traces = [
        {
            "type": "scatter",
            "name": fmt.for_plot(name),
            "x": list(x),
            "y": list(values),
            "mode": "lines+markers" if len(x) <= FEW_POINTS else "lines",
            "line": {"color": color, "width": 2},
            "marker": {"size": 5},
            "hovertemplate": "%{y:.4~g}<extra>" + fmt.for_plot(name) + "</extra>",
        }
        for name, (color, values) in lines.items()
    ]
    return {"data": traces, "layout": layout}
