"""The curves of the Run page: reads the store, asks `figures` and `overlays`, returns cards, figures and overlays.

Cards stand in the page from the start; the browser asks for figures (`ui/drawing.py`) when a card comes into sight, when
the reader zooms, and when the stream had a gap. The stream is taken up from a number that was read before the store, so
that it can only overlap with a figure and never leave a hole.
"""

from __future__ import annotations

import json
import math
import secrets
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from dash import html
from dash.development.base_component import Component

from dashboard import axes
from dashboard.records import FindingRecord, Run, Series, joined
from dashboard.roles import leading, role_of
from dashboard.services import Services
from dashboard.ui import charts, curves, figures, overlays, parts
from dashboard.ui import format as fmt
from dashboard.ui.query import Query, choice, flag
from runwell.metrics import BY_NAME

LARGE_BUCKETS, SMALL_BUCKETS = 1000, 300
CLOSE_BUCKETS = 2000
"""For a window that was zoomed into: up to so many points are drawn as they were logged."""
MAX_STEP = 2**53

Window = tuple[float, float]
"""A piece of the x axis, in the axis's own unit."""

SMOOTHING = (0, 5, 10, 25, 50, 100, 250, 500, 1000)
"""Half-lives in steps that the slider offers."""


def view(services: Services, run: Run, query: Query) -> figures.View:
    """How the address wants the curves of this run drawn."""
    kind: Any = choice(query, "x", axes.AXES, "step")
    half_life = choice(query, "smooth", tuple(str(steps) for steps in SMOOTHING), "0")
    return figures.View(
        axis=axis(services, run, kind),
        half_life=float(half_life),
        log=flag(query, "log"),
        perplexity=choice(query, "read", ("loss", "perplexity"), "loss") == "perplexity",
    )


def axis(services: Services, run: Run, kind: axes.AxisKind) -> curves.Axis:
    """The x axis; tokens fall back to steps when nothing says how many tokens a step has."""
    if kind == "time":
        origin = run.started_at or run.created_at
        length = (run.last_event_at or origin) - origin
        return curves.Axis("time", origin=origin, seconds_per_unit=3600.0 if length > 3 * 3600 else 60.0)
    if kind == "tokens":
        counts = axes.token_counts(services.store, run)
        return curves.Axis("tokens", counts=counts) if counts else curves.Axis()
    return curves.Axis()


def cards(names: Sequence[str], run: Run) -> list[Component]:
    """A card for each chart that everybody knows. assets/charts.js draws them when they come into sight."""
    sides = [
        _card(chart, "rw-graph-small", [(_short(name), color) for name, color in chart.colors.items()])
        for chart in charts.side_charts(names, run.config)
    ]
    return [_loss_card(names), html.Div(sides, className="rw-charts")]


def _loss_card(names: Sequence[str]) -> Component:
    if not charts.has_loss(names):
        says = (
            "No series of this run is known as a loss by its name (train/loss, loss, val/loss, eval_loss, …). "
            "A log can be imported again with what is what: runwell import FILE --map NAME=train_loss."
        )
        return html.P(says, className="rw-quiet rw-no-loss")
    chart = charts.loss_chart(names)
    return _card(chart, "rw-graph-large", list(chart.colors.items()), always=True)


def _card(
    chart: figures.Chart, class_name: str, lines: Sequence[tuple[str, str]], *, always: bool = False
) -> Component:
    legend = [_legend(name, color) for name, color in lines] if always or len(lines) > 1 else []
    # The series stand in the host's data, so that assets/charts.js draws anew when one of them is new.
    data = {"data-chart": chart.key, "data-series": json.dumps(list(chart.colors))}
    return parts.card(
        html.Div(className=f"rw-graph {class_name}", **data),
        title=fmt.visible(chart.title),
        aside=html.Div(legend, className="rw-legend"),
        class_name="rw-chart",
    )


def metrics(names: Sequence[str]) -> dict[str, Any]:
    """What assets/metrics.js builds the run's own charts from: groups of [key, title], and every name there is."""
    own = charts.own_metrics(names)
    return {
        "names": list(names),
        "groups": [
            {"title": fmt.visible(group), "charts": [[charts.OTHER + name, fmt.visible(name)] for name in members]}
            for group, members in charts.groups(own).items()
        ],
    }


def drawings(
    services: Services, run: Run, keys: Sequence[str], how: figures.View, window: Window | None
) -> dict[str, figures.Figure]:
    """The figures of the charts asked for, from what is stored now; a key that the run does not have is left out."""
    names = services.store.series_names(run.id)
    version = secrets.token_hex(6)
    found = {key: charts.find(key, names, run.config) for key in keys}
    steps = None if window is None else steps_within(services, run, names, how.axis, window)
    if steps is not None and how.axis.counts is not None:
        closer = axes.token_counts(services.store, run, between=steps)
        how = replace(how, axis=replace(how.axis, counts=closer))
    return {
        key: _figure(services, run, chart, names, how, version, steps)
        for key, chart in found.items()
        if chart is not None
    }


def _figure(
    services: Services, run: Run, chart: figures.Chart, names: Sequence[str], how: figures.View, version: str,
    steps: tuple[int, int] | None,
) -> figures.Figure:  # fmt: skip
    large = chart.key == "loss"
    buckets = LARGE_BUCKETS if large else SMALL_BUCKETS
    timed = how.axis.kind == "time"
    series = {name: read(services, run.id, name, buckets, steps, timed) for name in chart.colors if name in names}
    # A learning rate has no noise: smoothing it would only draw a rate that was never used.
    half_life = 0.0 if chart.key == "rate" else how.half_life
    view = how if large else figures.View(axis=how.axis, half_life=half_life, log=how.log)
    return figures.draw(chart, series, view, version=version, large=large)


def read(
    services: Services, run_id: str, name: str, buckets: int, steps: tuple[int, int] | None, timed: bool = False
) -> Series:
    """A series in buckets; those steps in so many of their own, raw when they are few, and what lies around them besides.

    `timed` when the x axis is time: then extremes are told with the time at which they were logged.

    Nothing is hidden and nothing doubled at the seams, because each part is asked for by its steps.
    """
    ask = partial(services.store.series, run_id, name, times=timed)
    if steps is None:
        return ask(buckets=buckets)
    first, last = steps
    before = [ask(stop=first - 1, buckets=buckets)] if first > 0 else []
    return joined([*before, ask(start=first, stop=last, buckets=CLOSE_BUCKETS), ask(start=last + 1, buckets=buckets)])


def steps_within(
    services: Services, run: Run, names: Sequence[str], where: curves.Axis, window: Window
) -> tuple[int, int] | None:
    """The first and last step of a window of the x axis, or None when the axis cannot say (no tokens, no points)."""
    low, high = window
    if where.counts is not None:
        low, high = where.counts.steps_at(low), where.counts.steps_at(high)
    if where.kind == "time":
        name = leading(names, "train_loss") or (names[0] if names else None)
        series = services.store.series(run.id, name, buckets=LARGE_BUCKETS) if name is not None else None
        if series is None or not len(series.step):
            return None
        places = np.maximum.accumulate((series.time - where.origin) / where.seconds_per_unit)
        # A bucket tells the time of its last point only, so the window is taken one bucket wider at each end.
        start = max(0, int(np.searchsorted(places, low)) - 1)
        stop = min(len(places) - 1, int(np.searchsorted(places, high, side="right")) + 1)
        low, high = float(series.step[start]), float(series.step[stop])
    first = int(min(max(math.floor(low), 0), MAX_STEP))
    return first, max(first, int(min(math.ceil(high), MAX_STEP)))


def _short(name: str) -> str:
    """A small chart has no room for whole names; the hover label tells them."""
    metric = BY_NAME.get(name)
    return metric.label if metric else name


def _legend(name: str, color: str) -> Component:
    return html.Span([html.I(style={"background": color}), html.Bdi(fmt.visible(name))], className="rw-legend-item")


def overlay(
    services: Services, run: Run, findings: Sequence[FindingRecord], how: figures.View
) -> dict[str, overlays.Overlay]:
    """What assets/charts.js lays over each chart, by chart key."""
    place = placing(services, run, how.axis)
    saved = [entry.step for entry in services.store.timeline(run.id, kinds=("checkpoint",)) if entry.step is not None]
    summary = services.store.summary(run.id)
    best = None if how.perplexity else summary.best_val_loss
    layers = {
        "loss": overlays.joined(
            overlays.windows([one for one in findings if not _of_data(one)], place, shaded=_of_loss),
            overlays.checkpoints(saved, place),
            overlays.best(summary.best_val_step, best, place, log=how.log),
        )
    }
    for chart in charts.side_charts(services.store.series_names(run.id), run.config):
        roles = {role_of(name) for name in chart.colors} | set(chart.colors)
        about = [finding for finding in findings if _subjects(finding) & roles]
        layers[chart.key] = overlays.windows(about, place, labels=False)
    return layers


def _of_data(finding: FindingRecord) -> bool:
    """Whether it speaks of the training text: that is so at every step, and a curve has nothing to show of it."""
    names = {str(item.get("series")) for item in finding.body.get("evidence", ())}
    return bool(names) and all(name == "data" or name.startswith("data/") for name in names)


def _of_loss(finding: FindingRecord) -> bool:
    """Whether a loss is among its evidence; of what is seen elsewhere the loss chart marks only where it began."""
    return bool(_subjects(finding) & {"train_loss", "val_loss"})


def _subjects(finding: FindingRecord) -> set[str | None]:
    names = {str(item.get("series")) for item in finding.body.get("evidence", ())}
    return names | {role_of(name) for name in names} - {None}


def placing(services: Services, run: Run, where: curves.Axis) -> overlays.Place:
    """A function from a step to its place on the x axis. For time it reads the run's own clock between logged points."""
    if where.kind != "time":
        return lambda step: where.place(step, 0.0)
    names = services.store.series_names(run.id)
    name = leading(names, "train_loss") or (names[0] if names else None)
    if name is None:
        return lambda step: 0.0
    series = services.store.series(run.id, name, buckets=SMALL_BUCKETS)
    return lambda step: where.place(step, float(np.interp(step, series.step, series.time)))
