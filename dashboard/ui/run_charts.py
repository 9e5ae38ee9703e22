"""The curves of the Run page: reads the store, asks `figures` and `overlays`, returns the chart grid.

The hub's position is read before the store, so that the live stream, taken up from there, can only overlap with the
snapshot and never leave a hole.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Sequence
from typing import Any

import numpy as np
from dash import html
from dash.development.base_component import Component

from dashboard.records import FindingRecord, Run, Series
from dashboard.roles import role_of
from dashboard.services import Services
from dashboard.ui import charts, curves, figures, overlays, parts
from dashboard.ui import format as fmt
from dashboard.ui.query import Query, choice, flag
from runwell.metrics import BY_NAME

LARGE_BUCKETS, SMALL_BUCKETS = 1000, 300
SMOOTHING = (0, 5, 10, 25, 50, 100, 250, 500, 1000)
"""Half-lives in steps that the slider offers."""


def view(services: Services, run: Run, query: Query) -> figures.View:
    """How the address wants the curves of this run drawn."""
    kind: Any = choice(query, "x", curves.AXES, "step")
    half_life = choice(query, "smooth", tuple(str(steps) for steps in SMOOTHING), "0")
    return figures.View(
        axis=axis(services, run, kind),
        half_life=float(half_life),
        log=flag(query, "log"),
        perplexity=choice(query, "read", ("loss", "perplexity"), "loss") == "perplexity",
    )


def axis(services: Services, run: Run, kind: curves.AxisKind) -> curves.Axis:
    """The x axis; tokens fall back to steps when nothing says how many tokens a step has."""
    if kind == "time":
        origin = run.started_at or run.created_at
        length = (run.last_event_at or origin) - origin
        return curves.Axis("time", origin=origin, seconds_per_unit=3600.0 if length > 3 * 3600 else 60.0)
    if kind == "tokens":
        tokens = tokens_per_step(services, run)
        return curves.Axis("tokens", tokens_per_step=tokens) if tokens else curves.Axis()
    return curves.Axis()


def tokens_per_step(services: Services, run: Run) -> float:
    """Tokens in one optimizer step: from the logged counter, else from the config, else 0 (unknown)."""
    counted = next((name for name in services.store.series_names(run.id) if role_of(name) == "tokens"), None)
    if counted:
        series = services.store.series(run.id, counted, buckets=2)
        if len(series.step) and series.step[-1] > 0 and np.isfinite(series.last[-1]):
            return float(series.last[-1]) / float(series.step[-1])
    sizes = [run.config.get(key) for key in ("batch_size", "accumulation_steps", "context_length")]
    numbers = [float(size) for size in sizes if isinstance(size, (int, float))]
    return math.prod(numbers) if len(numbers) == len(sizes) else 0.0


def grid(services: Services, run: Run, how: figures.View) -> list[Component]:
    """Every chart of the run, drawn from what is stored now."""
    names = services.store.series_names(run.id)
    version = secrets.token_hex(6)
    loss = charts.loss_chart(names)
    large = _figure(services, run, loss, how, version, large=True)
    sides = [_small(services, run, chart, how, version) for chart in charts.side_charts(names, run.config)]
    return [_loss_card(loss, large, how), html.Div(sides, className="rw-charts")]


def _figure(
    services: Services, run: Run, chart: figures.Chart, how: figures.View, version: str, *, large: bool
) -> figures.Figure:
    series = _series(services, run, list(chart.colors), LARGE_BUCKETS if large else SMALL_BUCKETS)
    # A learning rate has no noise: smoothing it would only draw a rate that was never used.
    half_life = 0.0 if chart.key == "rate" else how.half_life
    view = how if large else figures.View(axis=how.axis, half_life=half_life, log=how.log)
    return figures.draw(chart, series, view, version=version, large=large)


def _series(services: Services, run: Run, names: Sequence[str], buckets: int) -> dict[str, Series]:
    known = set(services.store.series_names(run.id))
    return {name: services.store.series(run.id, name, buckets=buckets) for name in names if name in known}


def _loss_card(chart: figures.Chart, figure: figures.Figure, how: figures.View) -> Component:
    names = [_legend(name, color) for name, color in chart.colors.items()]
    title = "Perplexity" if how.perplexity else "Loss"
    return parts.card(
        graph("loss", figure, "rw-graph-large"),
        title=title,
        aside=html.Div(names, className="rw-legend"),
        class_name="rw-chart",
    )


def _small(services: Services, run: Run, chart: figures.Chart, how: figures.View, version: str) -> Component:
    figure = _figure(services, run, chart, how, version, large=False)
    legend = [_legend(_short(name), color) for name, color in chart.colors.items()] if len(chart.colors) > 1 else []
    return parts.card(
        graph(chart.key, figure, "rw-graph-small"),
        title=fmt.visible(chart.title),
        aside=html.Div(legend, className="rw-legend"),
        class_name="rw-chart",
    )


def _short(name: str) -> str:
    """A small chart has no room for whole names; the hover label tells them."""
    metric = BY_NAME.get(name)
    return metric.label if metric else name


def _legend(name: str, color: str) -> Component:
    return html.Span([html.I(style={"background": color}), html.Bdi(fmt.visible(name))], className="rw-legend-item")


def graph(key: str, figure: figures.Figure, class_name: str) -> Component:
    """A chart with plotly's cloud button off."""
    return parts.plot(figure, class_name, {"type": "run-graph", "key": key})


def overlay(
    services: Services, run: Run, findings: Sequence[FindingRecord], how: figures.View
) -> dict[str, overlays.Overlay]:
    """What assets/live.js lays over each chart, by chart key."""
    place = placing(services, run, how.axis)
    saved = [entry.step for entry in services.store.timeline(run.id, kinds=("checkpoint",)) if entry.step is not None]
    summary = services.store.summary(run.id)
    best = None if how.perplexity else summary.best_val_loss
    layers = {
        "loss": overlays.joined(
            overlays.windows(findings, place),
            overlays.checkpoints(saved, place),
            overlays.best(summary.best_val_step, best, place, log=how.log),
        )
    }
    for chart in charts.side_charts(services.store.series_names(run.id), run.config):
        roles = {role_of(name) for name in chart.colors} | set(chart.colors)
        about = [finding for finding in findings if _subjects(finding) & roles]
        layers[chart.key] = overlays.windows(about, place, labels=False)
    return layers


def _subjects(finding: FindingRecord) -> set[str | None]:
    names = {str(item.get("series")) for item in finding.body.get("evidence", ())}
    return names | {role_of(name) for name in names} - {None}


def placing(services: Services, run: Run, where: curves.Axis) -> overlays.Place:
    """A function from a step to its place on the x axis. For time it reads the run's own clock between logged points."""
    if where.kind != "time":
        return lambda step: where.place(step, 0.0)
    names = services.store.series_names(run.id)
    name = next((one for one in names if role_of(one) == "train_loss"), names[0] if names else None)
    if name is None:
        return lambda step: 0.0
    series = services.store.series(run.id, name, buckets=SMALL_BUCKETS)
    return lambda step: where.place(step, float(np.interp(step, series.step, series.time)))
