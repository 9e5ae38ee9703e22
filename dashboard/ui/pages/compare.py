"""`/compare?runs=A,B`: runs beside each other: one metric over steps, which is ahead, settings that differ, findings.

The address holds the state: `runs` (ids, at most eight), `metric` (a role or a series), `x` (step, tokens, time), `smooth`, `log`.
Callbacks: `show` (choices and live messages → everything below them, and what was asked for), `remember` (choices → the address, in the browser).
"""

# Dash's decorators have no types; the functions under them have.
# mypy: disallow-untyped-decorators=False

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import dash
import dash_mantine_components as dmc
from dash import ClientsideFunction, Input, Output, State, ctx, dcc, html
from dash.development.base_component import Component

from dashboard import comparison
from dashboard.axes import AXES
from dashboard.errors import UnknownRun
from dashboard.records import Run, RunSummary
from dashboard.services import Services
from dashboard.ui import compare, curves, parts, run_charts
from dashboard.ui import format as fmt
from dashboard.ui.query import Query, choice, flag

PATH = "/compare"
TITLE = "Compare"

RUNS, METRIC, X, LOG, SMOOTH, BODY, SHOWN, WROTE = (
    "compare-runs",
    "compare-metric",
    "compare-x",
    "compare-log",
    "compare-smooth",
    "compare-body",
    "compare-shown",
    "compare-wrote",
)
OFFERED = 500
"""So many runs, the newest, can be chosen in the box; older ones by their address."""
BUCKETS = 1000


class Asked(NamedTuple):
    """How the reader wants the curves."""

    metric: str
    x: str
    log: bool
    smooth: str
    """Half-life in steps."""


def layout(services: Services, query: Query) -> Component:
    """The runs of the address beside each other; without any, the box to choose them."""
    epoch, since = str(services.hub.epoch), services.hub.seq  # before any read: what comes in between is told, not lost
    asked = list(dict.fromkeys(one for one in query.get("runs", "").split(",") if one))
    summaries = services.store.summaries(limit=OFFERED)
    known = {summary.run.id for summary in summaries}
    summaries += [services.store.summary(one) for one in asked if one not in known and _exists(services, one)]
    known = {summary.run.id for summary in summaries}
    chosen = [one for one in asked if one in known][: compare.MOST]
    missing = [one for one in asked if one not in known]
    offered = compare.metrics([services.store.series_names(one) for one in chosen])
    asked_for = Asked(
        metric=choice(query, "metric", list(offered), next(iter(offered), "train_loss")),
        x=choice(query, "x", AXES, "step"),
        log=flag(query, "log"),
        smooth=choice(query, "smooth", [str(steps) for steps in run_charts.SMOOTHING], "0"),
    )
    shown = _shown(services, chosen, asked_for)  # before the curves: a run that ends in between is drawn again
    return html.Div(
        [
            parts.page_header("Compare", "Runs beside each other: which is ahead, since when, and what differs."),
            _choose(summaries, chosen),
            html.P(f"There is no run {fmt.visible(', '.join(missing))} any more.", className="rw-problem") if missing else None,
            html.Div(_controls(offered, asked_for), id="compare-controls", hidden=not chosen),
            html.Div(_body(services, chosen, asked_for, offered), id=BODY),
            dcc.Store(id=SHOWN, data=shown),
            dcc.Store(id=WROTE),
            parts.live("compare", ["run", "findings"], epoch=epoch, since=since),
        ],
        className="rw-compare",
    )  # fmt: skip


def _shown(services: Services, chosen: Sequence[str], asked: Asked) -> list[Any]:
    """What the page shows, as JSON: of which runs, in which state, and how."""
    return [[[one, services.store.run(one).state] for one in chosen], *asked]


def _exists(services: Services, run_id: str) -> bool:
    try:
        services.store.run(run_id)
    except UnknownRun:
        return False
    return True


def _choose(summaries: Sequence[RunSummary], chosen: Sequence[str]) -> Component:
    return dmc.MultiSelect(
        id=RUNS, value=list(chosen), searchable=True, maxValues=compare.MOST, hidePickedOptions=True, clearable=True,
        data=[{"value": one.run.id, "label": f"{parts.run_name(one.run)} · {one.run.id}"} for one in summaries],
        placeholder="" if chosen else "Choose runs", nothingFoundMessage="No run has this in its name",
        className="rw-choose-runs", clearButtonProps={"aria-label": "Choose none"}, **{"aria-label": f"Runs to compare, at most {compare.MOST}"},
    )  # fmt: skip


def _controls(offered: dict[str, str], asked: Asked) -> Component:
    words = [{"value": str(steps), "label": f"{steps} steps" if steps else "off"} for steps in run_charts.SMOOTHING]
    return html.Div(
        [
            _labelled("Metric", dmc.Select(id=METRIC, value=asked.metric, data=_options(offered), allowDeselect=False, searchable=True, size="xs", w=210, **{"aria-label": "Metric"})),
            _labelled("X axis", dmc.SegmentedControl(id=X, value=asked.x, size="xs", data=[{"value": one, "label": one.title()} for one in AXES])),
            dmc.Switch(id=LOG, checked=asked.log, label="Log scale", size="sm"),
            _labelled("Smoothing", dmc.Select(id=SMOOTH, value=asked.smooth, data=words, allowDeselect=False, size="xs", w=110, **{"aria-label": "Smoothing, half-life"})),
        ],
        className="rw-controls",
    )  # fmt: skip


def _options(offered: dict[str, str]) -> list[dict[str, str]]:
    return [{"value": key, "label": title} for key, title in offered.items()]


def _labelled(label: str, control: Component) -> Component:
    return html.Div([html.Span(label, className="rw-control-label"), control], className="rw-control")


def _body(services: Services, chosen: Sequence[str], asked: Asked, offered: Mapping[str, str]) -> list[Component]:
    """`offered` are the metrics of these runs, by key, with their titles."""
    if not chosen:
        return [
            parts.empty(
                "compare", "Choose the runs to compare",
                "Type a name above, or choose runs on the Runs page: each has a box beside its name.",
                parts.link_button("All runs", "/", "list", kind="primary"),
            )
        ]  # fmt: skip
    entries = _entries(services, chosen, asked.metric, asked.x)
    title = offered.get(asked.metric, asked.metric)
    drawn = [entry for entry in entries if len(entry.series.step)]
    without = [entry.letter for entry in entries if not len(entry.series.step)]
    legend = html.Div(
        [
            html.Span([compare.key(one), parts.text(parts.run_name(one.run))], className="rw-legend-item")
            for one in entries
        ],
        className="rw-legend",
    )
    rows, same = comparison.differing(
        [{name: value for name, value in one.run.config.items() if name != "name"} for one in entries]
    )
    found = {entry.run.id: services.store.findings(entry.run.id) for entry in entries}
    return [
        parts.card(compare.glance(entries, time.time()), class_name="rw-flush"),
        parts.card(
            [
                parts.plot(compare.figure(drawn, title, log=asked.log, half_life=float(asked.smooth)), "rw-graph-large", "compare-graph"),
                html.P(f"{' and '.join(without)} logged no {title.lower()}.", className="rw-quiet rw-small") if without else None,
            ],
            title=title, aside=legend, class_name="rw-chart",
        ),
        parts.card(_verdict(services, entries, chosen, rows), title="Which is ahead") if len(entries) > 1 else None,
        parts.card(compare.settings(entries, rows, same), title="Settings that differ") if len(entries) > 1 else None,
        parts.card(compare.findings(entries, found), title="Findings"),
    ]  # fmt: skip


def _entries(services: Services, chosen: Sequence[str], metric: str, x: str) -> list[compare.Entry]:
    summaries = [services.store.summary(one) for one in chosen]
    axes = _axes(services, [summary.run for summary in summaries], x)
    return [
        compare.Entry(place, summary, _read(services, summary.run.id, metric), axis)
        for place, (summary, axis) in enumerate(zip(summaries, axes, strict=True))
    ]


def _read(services: Services, run_id: str, metric: str) -> Any:
    name = compare.series_of(metric, services.store.series_names(run_id))
    return services.store.series(run_id, name or "", buckets=BUCKETS)


def _axes(services: Services, runs: Sequence[Run], x: Any) -> list[curves.Axis]:
    """An axis a run, all in one unit; steps when one of the runs cannot say its tokens."""
    axes = [run_charts.axis(services, run, x) for run in runs]
    if len({axis.kind for axis in axes}) > 1:
        return [curves.Axis() for _ in runs]
    unit = max(axis.seconds_per_unit for axis in axes)
    return [replace(axis, seconds_per_unit=unit) for axis in axes]


def _verdict(
    services: Services, entries: Sequence[compare.Entry], chosen: Sequence[str], rows: Mapping[str, Sequence[Any]]
) -> Component:
    """By validation loss when every run has one, else by training loss; since when they part by the denser training loss."""
    train, val = ([_read(services, one, role) for one in chosen] for role in ("train_loss", "val_loss"))
    role, curves_of_role = ("val_loss", val) if all(len(one.step) for one in val) else ("train_loss", train)
    said = compare.verdict(entries, comparison.ahead(curves_of_role), compare.ROLES[role]) + compare.caution(rows)
    if all(len(one.step) for one in train):
        since = {place: comparison.apart_since(train[0], train[place]) for place in range(1, len(train))}
        said += compare.parting(entries, since, compare.ROLES["train_loss"])
    return html.Ul([html.Li(one) for one in said], className="rw-list")


def register(app: dash.Dash, services: Services) -> None:
    """Attach this page's callbacks to `app`."""
    choices = (
        Input(RUNS, "value"),
        Input(METRIC, "value"),
        Input(X, "value"),
        Input(LOG, "checked"),
        Input(SMOOTH, "value"),
    )

    @app.callback(
        Output(BODY, "children"), Output(METRIC, "data"), Output(METRIC, "value"), Output("compare-controls", "hidden"),
        Output(SHOWN, "data"), *choices, Input("compare-live-run", "data"), Input("compare-live-findings", "data"),
        State(SHOWN, "data"), prevent_initial_call=True,
    )  # fmt: skip
    def show(
        chosen: Sequence[str] | None, metric: str, x: str, log: bool, smooth: str, _run: Any, _found: Any, shown: list[Any]
    ) -> tuple[Any, ...]:  # fmt: skip
        there = [one for one in chosen or () if _exists(services, one)]
        offered = compare.metrics([services.store.series_names(one) for one in there])
        asked = Asked(metric if metric in offered else next(iter(offered), "train_loss"), x, log, smooth)
        wanted = _shown(services, there, asked)
        # A message of another run changes nothing here. But the answer to a choice that was still on its way is thrown away
        # by the browser for the answer to this message, so what was asked for must stand on the page already.
        ended = all(services.store.run(one).state.ended for one in there)
        if ctx.triggered_id == "compare-live-run" and ended and shown == wanted:
            return (dash.no_update,) * 5
        body = _body(services, there, asked, offered)
        return body, _options(offered), asked.metric if asked.metric != metric else dash.no_update, not there, wanted

    app.clientside_callback(
        ClientsideFunction("runwell", "compared"), Output(WROTE, "data"), *choices, State("url", "pathname"),
        prevent_initial_call=True,
    )  # fmt: skip
