"""`/run/<id>`: one run. The head answers "is it well?"; below: curves, samples, diagnosis, config, output.

The address holds the state: `tab`, `x` (step, tokens, time), `smooth` (half-life in steps), `log`, `read` (loss, perplexity),
`find` (words of metrics). The curves themselves are drawn by assets/charts.js.
Callbacks: `know` (a series that is new → cards and metrics), `lay` (findings, checkpoints, the best validation, controls → overlays), `head`, `diagnose`, `tell_data`, `write_samples`,
`write_output` (live messages → that part), `follow` (news of a relaunch → what became of fixes), `ask`/`stop`/`remove` (buttons → a command, the launcher, the store), `decide` (finding buttons).
"""

# Dash's decorators have no types; the functions under them have.
# mypy: disallow-untyped-decorators=False

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import dash
import dash_mantine_components as dmc
from dash import ALL, ClientsideFunction, Input, Output, State, ctx, dcc, html
from dash.development.base_component import Component

from dashboard import axes
from dashboard.deletion import bytes_on_disk, delete
from dashboard.errors import UnknownRun
from dashboard.fixes import Child
from dashboard.records import FindingRecord, Run
from dashboard.relaunch import changes, children_of, parent_of
from dashboard.roles import LOSSES
from dashboard.services import Services
from dashboard.ui import format as fmt
from dashboard.ui import (
    parts,
    relaunch,
    run_charts,
    run_controls,
    run_data,
    run_delivery,
    run_diagnosis,
    run_header,
    run_text,
    shell,
    told,
)
from dashboard.ui.figures import View
from dashboard.ui.pages.alerts import apply_decision
from dashboard.ui.query import Query, choice
from dashboard.ui.run_controls import LOG, READ, SMOOTH, SMOOTH_SAID, STOP_DIALOG, X

PATH = "/run/{run_id}"
TITLE = "Run"

RUN, NAME, HEAD, CHARTS, OVERLAY = "run-id", "run-name", "run-head", "run-charts", "run-overlay"
FOUND, FAMILY = "run-tab-found", "run-family"
METRICS = "run-metrics"
TABS, SAMPLES, DIAGNOSIS, OUTPUT, DECIDED = "run-tabs", "run-samples", "run-diagnosis", "run-output", "run-decided"
DATA = "run-data"
TAB_NAMES = ("curves", "samples", "diagnosis", "config", "output")
SIGNALS = ("run", "findings", "alerts", "samples", "log", "refresh", "marks", "family")
LOG_LINES = 400


def layout(services: Services, query: Query, run_id: str) -> Component:
    """The whole page from what is stored now; live messages then change parts of it."""
    try:
        run = services.store.run(run_id)
    except UnknownRun:
        return parts.empty(
            "slash", "There is no such run", f"No run has the id {fmt.visible(run_id)}.",
            parts.link_button("All runs", "/", "list", kind="primary"),
        )  # fmt: skip
    epoch, since = str(services.hub.epoch), services.hub.seq  # before any read: see run_charts
    how = run_charts.view(services, run, query)
    found, children = services.store.findings(run.id), children_of(services.store, run)
    return html.Div(
        [
            dcc.Store(id=RUN, data=run.id),
            dcc.Store(id=OVERLAY, data=run_charts.overlay(services, run, found, how)),
            dcc.Store(id=DECIDED, data=0),
            html.Div(
                [html.Div(run_header.title(run), id=NAME), html.Div(run_header.actions(run), className="rw-actions")],
                className="rw-run-top",
            ),
            html.Div(_family(services, run, children), id=FAMILY),
            html.Div(_head(services, run, found), id=HEAD),
            _tabs(services, run, found, query, how),
            run_controls.stop_dialog(run),
            run_controls.delete_dialog("run", run_controls.deletion([run]), f"Delete {parts.run_name(run)}?"),
            parts.live("run", SIGNALS, run_id=run.id, epoch=epoch, since=since, ended=run.state.ended),
        ],
        className="rw-run",
    )


def _family(services: Services, run: Run, children: Sequence[Child]) -> Component | None:
    parent = parent_of(services.store, run)
    return relaunch.lineage(run, parent, changes(parent, run) if parent else None, children)


def _head(services: Services, run: Run, found: Sequence[FindingRecord]) -> list[Component | None]:
    lines = services.store.tail_logs(run.id, run_header.LAST_LINES) if run.state in ("crashed", "lost") else []
    summary = services.store.summary(run.id)
    read = services.store.coverage(run.id).get("read")  # nothing was said of it while no rule has looked
    has_loss = read is None or not read["roles"].keys().isdisjoint(LOSSES)
    return [
        run_header.story(run, lines),
        html.Div(
            [run_header.verdict(run, found, has_loss=has_loss), run_header.stats(summary, time.time())],
            className="rw-run-head",
        ),
        told.line(run.id, run_diagnosis.told_by(services, run.id)),
        run_delivery.receipt(services.collector.receipts(run.id), services.store.dropped(run.id)),
    ]


def _tabs(services: Services, run: Run, found: Sequence[FindingRecord], query: Query, how: View) -> Component:
    names = services.store.series_names(run.id)
    labels: dict[str, Any] = {
        "curves": "Curves",
        "samples": "Samples",
        "diagnosis": ["Diagnosis", html.Span(_open_count(found), id=FOUND, className="rw-tab-count")],
        "config": "Config",
        "output": "Output",
    }
    panels = {
        "curves": [
            run_controls.controls(how, has_tokens=axes.has_tokens(services.store, run)),
            html.Div(run_charts.cards(names, run), id=CHARTS),
            html.Div(id="run-more"),  # filled by assets/metrics.js
            dcc.Store(id=METRICS, data=run_charts.metrics(names)),
        ],
        "samples": html.Div(run_text.samples(services.store.samples(run.id)), id=SAMPLES),
        "diagnosis": html.Div(run_diagnosis.diagnosis(services, run, found), id=DIAGNOSIS),
        "config": [html.Div(_data(services, run.id), id=DATA), run_text.config(run)],
        "output": html.Div(run_text.output(services.store.tail_logs(run.id, LOG_LINES)), id=OUTPUT),
    }
    return dmc.Tabs(
        [
            dmc.TabsList([dmc.TabsTab(labels[name], value=name) for name in TAB_NAMES]),
            *(dmc.TabsPanel(panels[name], value=name) for name in TAB_NAMES),
        ],
        id=TABS,
        value=choice(query, "tab", TAB_NAMES, "curves"),
        className="rw-tabs",
    )


def _data(services: Services, run_id: str) -> list[Component]:
    return run_data.data(services.store.timeline(run_id, ["data"]))


def _open_count(found: Sequence[FindingRecord]) -> str:
    waiting = sum(finding.status == "open" for finding in found)
    return str(waiting) if waiting else ""


def register(app: dash.Dash, services: Services) -> None:
    """Attach this page's callbacks to `app`."""
    _register_curves(app, services)
    _register_parts(app, services)
    _register_actions(app, services)


def _asked(services: Services, run: Run, x: str, smooth: int, log: bool, read: str) -> View:
    query = {"x": x, "smooth": str(run_charts.SMOOTHING[smooth]), "log": "1" if log else "0", "read": read}
    return run_charts.view(services, run, query)


def _register_curves(app: dash.Dash, services: Services) -> None:
    controls = (Input(X, "value"), Input(SMOOTH, "value"), Input(LOG, "checked"), Input(READ, "value"))

    @app.callback(
        Output(CHARTS, "children"), Output(METRICS, "data"),
        Input("run-live-refresh", "data"), State(RUN, "data"), State(METRICS, "data"), prevent_initial_call=True,
    )  # fmt: skip
    def know(_refresh: Any, run_id: str, known: dict[str, Any]) -> tuple[Any, Any]:
        names = services.store.series_names(run_id)
        if names == known["names"]:
            return dash.no_update, dash.no_update
        return run_charts.cards(names, services.store.run(run_id)), run_charts.metrics(names)

    @app.callback(
        Output(OVERLAY, "data"),
        *controls, Input("run-live-findings", "data"), Input("run-live-marks", "data"),
        Input("run-live-refresh", "data"), Input(DECIDED, "data"),
        State(RUN, "data"), prevent_initial_call=True,
    )  # fmt: skip
    def lay(
        x: str, smooth: int, log: bool, read: str, _found: Any, _marks: Any, _refresh: Any, _decided: Any, run_id: str
    ) -> dict[str, Any]:
        run = services.store.run(run_id)
        return run_charts.overlay(
            services, run, services.store.findings(run_id), _asked(services, run, x, smooth, log, read)
        )

    app.clientside_callback(
        ClientsideFunction("runwell", "overlay"),
        Output(OVERLAY, "modified_timestamp"),
        Input(OVERLAY, "data"),
    )
    app.clientside_callback(
        ClientsideFunction("runwell", "metrics"),
        Output(METRICS, "modified_timestamp"),
        Input(METRICS, "data"),
    )
    app.clientside_callback(
        ClientsideFunction("runwell", "address"),
        Output(SMOOTH_SAID, "children"),
        Input(TABS, "value"), *controls,
        prevent_initial_call=True,
    )  # fmt: skip


def _register_parts(app: dash.Dash, services: Services) -> None:
    @app.callback(
        Output(NAME, "children"), Output(HEAD, "children"), Output(FOUND, "children"),
        Output("run-sample", "hidden"), Output("run-checkpoint", "hidden"), Output("run-stop", "hidden"),
        Output("run-delete", "hidden"),
        Input("run-live-run", "data"), Input("run-live-findings", "data"), Input("run-live-alerts", "data"),
        Input(DECIDED, "data"), State(RUN, "data"), prevent_initial_call=True,
    )  # fmt: skip
    def head(_run: Any, _found: Any, _told: Any, _decided: Any, run_id: str) -> tuple[Any, ...]:
        run, found = services.store.run(run_id), services.store.findings(run_id)
        offers = run_header.Offers.of(run)
        shown = run_header.title(run), _head(services, run, found), _open_count(found)
        return *shown, not offers.command, not offers.command, not offers.stop, not offers.delete

    @app.callback(
        Output(DIAGNOSIS, "children"),
        Input("run-live-findings", "data"), Input("run-live-alerts", "data"), Input(DECIDED, "data"),
        Input(TABS, "value"), State(RUN, "data"), prevent_initial_call=True,
    )  # fmt: skip
    def diagnose(_found: Any, _told: Any, _decided: Any, tab: str, run_id: str) -> Any:
        if tab != "diagnosis":  # nobody looks at it: it is written anew when its tab is opened
            return dash.no_update
        return run_diagnosis.diagnosis(services, services.store.run(run_id), services.store.findings(run_id))

    @app.callback(
        Output(DATA, "children"),
        Input("run-live-findings", "data"), Input(TABS, "value"), State(RUN, "data"), prevent_initial_call=True,
    )  # fmt: skip
    def tell_data(_found: Any, tab: str, run_id: str) -> Any:
        return _data(services, run_id) if tab == "config" else dash.no_update

    fixes = {"type": run_diagnosis.FIX, "rule": ALL, "subject": ALL}

    @app.callback(
        Output(FAMILY, "children"), Output(fixes, "children"),
        Input("run-live-family", "data"), State(fixes, "id"), State(RUN, "data"), prevent_initial_call=True,
    )  # fmt: skip
    def follow(_family_live: Any, ids: Sequence[dict[str, str]], run_id: str) -> tuple[Any, Any]:
        run = services.store.run(run_id)
        children = children_of(services.store, run)
        said = run_diagnosis.fixes_again(services, run, ids)
        return _family(services, run, children), said

    @app.callback(
        Output(SAMPLES, "children"),
        Input("run-live-samples", "data"), Input(TABS, "value"), State(RUN, "data"), prevent_initial_call=True,
    )  # fmt: skip
    def write_samples(_live: Any, tab: str, run_id: str) -> Any:
        if tab != "samples":
            return dash.no_update
        return run_text.samples(services.store.samples(run_id))

    @app.callback(
        Output(OUTPUT, "children"),
        Input("run-live-log", "data"), Input(TABS, "value"), State(RUN, "data"), prevent_initial_call=True,
    )  # fmt: skip
    def write_output(_live: Any, tab: str, run_id: str) -> Any:
        if tab != "output":
            return dash.no_update
        return run_text.output(services.store.tail_logs(run_id, LOG_LINES))

    @app.callback(
        Output(DECIDED, "data"),
        Input({"type": "run-decide", "run": ALL, "rule": ALL, "subject": ALL, "to": ALL}, "n_clicks"),
        State(DECIDED, "data"),
        prevent_initial_call=True,
    )
    def decide(_clicks: Sequence[int | None], count: int) -> Any:
        return count + 1 if apply_decision(services, ctx.triggered_id) else dash.no_update


def _register_actions(app: dash.Dash, services: Services) -> None:
    @app.callback(
        Output(STOP_DIALOG, "opened"),
        Output("notifications", "sendNotifications", allow_duplicate=True),
        Input("run-stop", "n_clicks"), Input("run-stop-no", "n_clicks"), Input("run-stop-yes", "n_clicks"),
        State(RUN, "data"), prevent_initial_call=True,
    )  # fmt: skip
    def stop(ask: int | None, _no: int | None, yes: int | None, run_id: str) -> tuple[Any, Any]:
        if ctx.triggered_id == "run-stop":
            return bool(ask), dash.no_update
        if ctx.triggered_id != "run-stop-yes" or not yes:
            return False, dash.no_update
        run = services.launcher.stop_run(run_id)
        return False, shell.notification("Stopping", fmt.visible(run.state_reason) or "The worker was asked to end.")

    @app.callback(
        Output("notifications", "sendNotifications", allow_duplicate=True),
        Input("run-sample", "n_clicks"), Input("run-checkpoint", "n_clicks"),
        State(RUN, "data"), prevent_initial_call=True,
    )  # fmt: skip
    def ask(sample: int | None, checkpoint: int | None, run_id: str) -> Any:
        kind = "sample" if ctx.triggered_id == "run-sample" else "checkpoint"
        if not (sample if kind == "sample" else checkpoint):
            return dash.no_update
        services.store.add_command(run_id, kind, {})
        return shell.notification("Asked", f"The worker does it at its next step: {kind}.")

    @app.callback(
        Output("run-delete-dialog", "opened"),
        Output("run-delete-choice", "hidden"),
        Output("run-delete-disk", "label"),
        Output("run-delete-disk", "checked"),
        Output("url", "pathname", allow_duplicate=True),
        Output("notifications", "sendNotifications", allow_duplicate=True),
        Input("run-delete", "n_clicks"), Input("run-delete-no", "n_clicks"), Input("run-delete-yes", "n_clicks"),
        State(RUN, "data"), State("run-delete-disk", "checked"), running=run_controls.while_deleting("run"),
        prevent_initial_call=True,
    )  # fmt: skip
    def remove(ask: int | None, _no: int | None, yes: int | None, run_id: str, files: bool) -> tuple[Any, ...]:
        same, home = dash.no_update, services.settings.home
        if ctx.triggered_id == "run-delete" and ask:
            return True, *run_controls.disk_choice(bytes_on_disk(home, [run_id])), same, same
        if ctx.triggered_id != "run-delete-yes" or not yes:
            return False, same, same, same, same, same
        if not services.store.has_run(run_id):  # somebody else was quicker
            return False, same, same, same, "/", same
        name = parts.run_name(services.store.run(run_id))
        delete(services.store, [run_id], folders_under=home if files else None)
        return False, same, same, same, "/", shell.notification("Deleted", name)
