"""`/`: every run with its health, newest first.

Shows state, health, loss sparkline, last and best loss, speed, progress and age; search, filter, sort; live. Empty: one
button that starts a first run. The address holds the state: `q` (words), `show`, `sort`. Callbacks: `list_runs` (filters and live messages → rows), `start_first` (button → run page),
`choose` (chosen rows → what can be done with them), `remove` (buttons → the store); filters → the address, in the browser.
"""

# Dash's decorators have no types; the functions under them have.
# mypy: disallow-untyped-decorators=False

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import dash
import dash_mantine_components as dmc
from dash import ClientsideFunction, Input, Output, State, ctx, dcc, html
from dash.development.base_component import Component

from dashboard.deletion import bytes_on_disk, deletable, delete
from dashboard.records import RunSummary
from dashboard.services import Services
from dashboard.ui import compare, parts, run_controls, run_table, shell
from dashboard.ui import format as fmt
from dashboard.ui.query import Query, choice
from trainer.presets import build

PATH = "/"
TITLE = "Runs"

BODY, SEARCH, STATE_FILTER, SORT, FIRST = "runs-body", "runs-search", "runs-state", "runs-sort", "runs-first"
MORE = "runs-more"
CHOSEN, BAR, BAR_SAID, DELETED, WROTE = "runs-chosen", "runs-bar", "runs-bar-said", "runs-deleted", "runs-wrote"
LIVE_RUN, LIVE_FINDINGS = "runs-live-run", "runs-live-findings"
PAGE_SIZE = 50

FILTERS = {"all": "All", "active": "Active", "sick": "Sick", "ended": "Ended"}
SORTS = {"age": "Newest", "loss": "Lowest loss", "val": "Best validation", "speed": "Fastest", "name": "Name"}


def layout(services: Services, query: Query) -> Component:
    """The page with its rows already in it, so that nothing pops in."""
    epoch, since = str(services.hub.epoch), services.hub.seq  # before any read: what comes in between is told, not lost
    summaries = services.store.summaries()
    wanted = choice(query, "show", tuple(FILTERS), "all")
    order = choice(query, "sort", tuple(SORTS), "age")
    return html.Div(
        [
            parts.page_header("Runs", "Every training run, and whether it is well.", _launch_link(summaries)),
            html.Div(_toolbar(query.get("q", ""), wanted, order), hidden=not summaries, id="runs-toolbar"),
            # What is chosen outlives the rows, which are written anew with every live message.
            dmc.CheckboxGroup(
                html.Div(_body(summaries, query.get("q", ""), wanted, order, PAGE_SIZE), id=BODY), id=CHOSEN, value=[]
            ),
            _bar(),
            run_controls.delete_dialog("runs", None, "Delete the chosen runs?"),
            dcc.Store(id=DELETED, data=0),
            dcc.Store(id=WROTE),
            html.Button(id=FIRST, hidden=True) if summaries else None,
            html.Button(id=MORE, hidden=True, n_clicks=0),
            parts.live("runs", ["run", "findings"], epoch=epoch, since=since),
        ]
    )


def _launch_link(summaries: Sequence[RunSummary]) -> Component | None:
    return parts.link_button("Launch a run", "/launch", "rocket", kind="primary") if summaries else None


def _bar() -> Component:
    """What can be done with the chosen runs, at the foot of the window while there are any."""
    return html.Div(
        [
            html.Div(id=BAR_SAID, className="rw-actions"),
            parts.button("Delete", "runs-delete", "trash"),
            parts.button("Clear", "runs-clear", kind="quiet"),
        ],
        id=BAR,
        className="rw-choice-bar",
        hidden=True,
        role="region",
        **{"aria-label": "The chosen runs"},
    )


def _toolbar(search: str, wanted: str, order: str) -> Component:
    return html.Div(
        [
            dmc.TextInput(
                id=SEARCH,
                value=search,
                placeholder="Search name, project, tag or setting",
                leftSection=parts.icon("search"),
                debounce=200,
                className="rw-grow",
                **{"aria-label": "Search runs"},
            ),
            dmc.SegmentedControl(
                id=STATE_FILTER, value=wanted, data=[{"value": key, "label": word} for key, word in FILTERS.items()]
            ),
            dmc.Select(
                id=SORT,
                value=order,
                data=[{"value": key, "label": word} for key, word in SORTS.items()],
                allowDeselect=False,
                w=160,
                **{"aria-label": "Sort runs"},
            ),
        ],
        className="rw-toolbar",
    )


def _body(summaries: Sequence[RunSummary], search: str, wanted: str, order: str, limit: int) -> Component:
    if not summaries:
        return _first_run()
    chosen = run_table.ordered(run_table.matching(summaries, search, wanted), order)
    if not chosen:
        return parts.empty("search", "No run matches", "Change the search or the filter to see more runs.")
    return run_table.table(chosen[:limit], total=len(chosen), now=time.time())


def _first_run() -> Component:
    return parts.empty(
        "pulse",
        "Start your first run",
        "A small GPT learns from Python's own documentation, on this machine and without any download. "
        "Its curves, samples and diagnosis appear as it trains; the first points come within seconds.",
        parts.button("Start a first run", FIRST, "rocket", kind="primary"),
    )


def register(app: dash.Dash, services: Services) -> None:
    """Attach this page's callbacks to `app`."""

    @app.callback(
        Output(BODY, "children"),
        Output("runs-toolbar", "hidden"),
        Input(SEARCH, "value"),
        Input(STATE_FILTER, "value"),
        Input(SORT, "value"),
        Input(LIVE_RUN, "data"),
        Input(LIVE_FINDINGS, "data"),
        Input(MORE, "n_clicks"),
        Input(DELETED, "data"),
        prevent_initial_call=True,
    )
    def list_runs(
        search: str | None, wanted: str, order: str, _run: Any, _found: Any, more: int | None, _deleted: Any
    ) -> Any:
        summaries = services.store.summaries()
        limit = PAGE_SIZE * (1 + (more or 0))
        return _body(summaries, search or "", wanted, order, limit), not summaries

    @app.callback(
        Output("url", "pathname", allow_duplicate=True),
        Input(FIRST, "n_clicks"),
        State("url", "pathname"),
        running=[(Output(FIRST, "disabled"), True, False)],  # a double click must not start two runs
        prevent_initial_call=True,
    )
    def start_first(clicks: int | None, _pathname: str) -> Any:
        if not clicks:
            return dash.no_update
        run = services.launcher.submit(build({"preset": "minimal", "name": "First run"}))
        return f"/run/{run.id}"

    app.clientside_callback(
        ClientsideFunction("runwell", "listed"),
        Output(WROTE, "data"),
        Input(SEARCH, "value"),
        Input(STATE_FILTER, "value"),
        Input(SORT, "value"),
        prevent_initial_call=True,
    )
    _register_choice(app, services)


def _register_choice(app: dash.Dash, services: Services) -> None:
    @app.callback(Output(BAR, "hidden"), Output(BAR_SAID, "children"), Input(CHOSEN, "value"))
    def choose(chosen: Sequence[str] | None) -> tuple[bool, list[Component]]:
        found = list(chosen or ())
        said = html.Span(f"{fmt.plural(len(found), 'run')} chosen", className="rw-num")
        if len(found) < 2:
            return not found, [said, html.Span("choose another to compare", className="rw-quiet rw-small")]
        return False, [said, parts.link_button("Compare", compare.address(found), "compare", kind="primary")]

    @app.callback(
        Output("runs-delete-dialog", "opened"),
        Output("runs-delete-said", "children"),
        Output("runs-delete-yes", "hidden"),
        Output("runs-delete-choice", "hidden"),
        Output("runs-delete-disk", "label"),
        Output("runs-delete-disk", "checked"),
        Output(CHOSEN, "value"),
        Output(DELETED, "data"),
        Output("notifications", "sendNotifications", allow_duplicate=True),
        Input("runs-delete", "n_clicks"), Input("runs-delete-no", "n_clicks"), Input("runs-delete-yes", "n_clicks"),
        Input("runs-clear", "n_clicks"), State(CHOSEN, "value"), State(DELETED, "data"),
        State("runs-delete-disk", "checked"),
        running=run_controls.while_deleting("runs"), prevent_initial_call=True,
    )  # fmt: skip
    def remove(
        ask: int | None, _no: int | None, yes: int | None, _clear: int | None, chosen: Sequence[str] | None, count: int,
        files: bool,
    ) -> tuple[Any, ...]:  # fmt: skip
        same, home = dash.no_update, services.settings.home
        dialog = (False, *[same] * 5)  # closed, as it was
        ended, going_on = deletable(services.store, chosen or ())
        ids = [run.id for run in ended]
        if ctx.triggered_id == "runs-delete" and ask:
            box = run_controls.disk_choice(bytes_on_disk(home, ids))
            return True, run_controls.deletion(ended, going_on), not ended, *box, same, same, same
        if ctx.triggered_id == "runs-clear":
            return *dialog, [], same, same
        if ctx.triggered_id != "runs-delete-yes" or not yes:
            return *dialog, same, same, same
        if not ended:  # somebody else was quicker
            return *dialog, [run.id for run in going_on], count + 1, same
        delete(services.store, ids, folders_under=home if files else None)
        said = shell.notification("Deleted", fmt.plural(len(ended), "run"))
        return *dialog, [run.id for run in going_on], count + 1, said
