"""`/alerts`: every finding of every run, and what scripts told with `run.alert`, newest first.

Filter by severity, status and rule (the address holds them); acknowledge, mute, reopen; each leads to its run at its step;
older ones on demand. Callbacks: `list_alerts` (filters, live messages, decisions, more → list), `decide` (a button of a row →
the store); filters → the address, in the browser.
"""

# Dash's decorators have no types; the functions under them have.
# mypy: disallow-untyped-decorators=False

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import dash
import dash_mantine_components as dmc
from dash import ALL, ClientsideFunction, Input, Output, State, ctx, dcc, html
from dash.development.base_component import Component

from dashboard.decisions import decide
from dashboard.records import FindingRecord, Run, TimelineEntry
from dashboard.services import Services
from dashboard.ui import format as fmt
from dashboard.ui import parts, theme, told
from dashboard.ui.query import Query, choice

PATH = "/alerts"
TITLE = "Alerts"

BODY, SEVERITY, STATUS, RULE, DECIDED, MORE, WROTE = (
    "alerts-body",
    "alerts-severity",
    "alerts-status",
    "alerts-rule",
    "alerts-decided",
    "alerts-more",
    "alerts-wrote",
)
LIVE_FINDINGS, LIVE_ALERTS = "alerts-live-findings", "alerts-live-alerts"
SEVERITIES = {"all": "All", "critical": "Critical", "warning": "Warning", "info": "Info"}
STATUSES = {
    "all": "Every status",
    "waiting": "Open",
    "acknowledged": "Acknowledged",
    "muted": "Muted",
    "resolved": "Resolved",
}
PAGE_SIZE = 200


def layout(services: Services, query: Query) -> Component:
    """The list as the address asks for it."""
    epoch, since = str(services.hub.epoch), services.hub.seq  # before any read: what comes in between is told, not lost
    severity = choice(query, "severity", tuple(SEVERITIES), "all")
    status = choice(query, "status", tuple(STATUSES), "all")
    return html.Div(
        [
            parts.page_header(
                "Alerts",
                "What the rules found, and what scripts told, in every run. Nothing here means that nothing was found.",
            ),
            _toolbar(services, severity, status, query.get("rule")),
            html.Div(_body(services, severity, status, query.get("rule"), PAGE_SIZE), id=BODY),
            dcc.Store(id=DECIDED, data=0),
            dcc.Store(id=WROTE),
            html.Button(id=MORE, hidden=True, n_clicks=0),
            parts.live("alerts", ["findings", "alerts"], epoch=epoch, since=since),
        ]
    )


def _toolbar(services: Services, severity: str, status: str, rule: str | None) -> Component:
    found = set(services.store.count_findings())
    found |= {told.KIND} if services.store.alerts(limit=1) else set()
    rules = sorted(found | ({rule} if rule else set()))
    return html.Div(
        [
            dmc.SegmentedControl(id=SEVERITY, value=severity, data=_options(SEVERITIES), **{"aria-label": "Severity"}),
            dmc.Select(id=STATUS, value=status, data=_options(STATUSES), allowDeselect=False, w=160, **{"aria-label": "Status"}),
            dmc.Select(
                id=RULE, value=rule, data=rules, placeholder="Every rule", clearable=True, searchable=True, w=220,
                **{"aria-label": "Rule"},
            ),
        ],
        className="rw-toolbar",
    )  # fmt: skip


def _options(words: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"value": key, "label": word} for key, word in words.items()]


def _body(services: Services, severity: str, status: str, rule: str | None, limit: int) -> Component:
    newest = _newest(services, severity, status, rule, limit + 1)
    if not newest:
        return _nothing(status, severity != "all" or bool(rule))
    runs = {run.id: run for run in services.store.runs(ids={one.run_id for one in newest})}
    now = time.time()
    rows = [_row(one, runs.get(one.run_id), now) for one in newest[:limit]]
    more = html.Button("Show older", className="rw-button rw-quiet", **{"data-click": MORE})
    return html.Div(
        [html.Div(rows, className="rw-alerts"), html.Div(more, className="rw-more") if len(newest) > limit else None]
    )


class _Told(NamedTuple):
    """What a script told, and of which run."""

    run_id: str
    entry: TimelineEntry


def _newest(
    services: Services, severity: str, status: str, rule: str | None, limit: int
) -> list[FindingRecord | _Told]:
    """The newest alerts of both kinds, newest first.

    What a script told has no status and no rule, so it is there when neither is asked for, or when it itself is.
    """
    statuses = None if status == "all" else ("open",) if status == "waiting" else (status,)
    level = None if severity == "all" else severity
    found: list[FindingRecord | _Told] = list(
        services.store.findings(
            statuses=statuses, severities=level and [level], rules=[rule] if rule else None, limit=limit
        )
    )
    if statuses is None and rule in (None, "", told.KIND):
        found += [_Told(*one) for one in services.store.alerts(level=level, limit=limit)]
    return sorted(found, key=lambda one: one.entry.time if isinstance(one, _Told) else one.opened_at, reverse=True)[
        :limit
    ]


def _row(one: FindingRecord | _Told, run: Run | None, now: float) -> Component:
    return told.row(run, one.run_id, one.entry, now) if isinstance(one, _Told) else row(one, run, now)


def _nothing(status: str, filtered: bool) -> Component:
    if filtered or status not in ("waiting", "all"):
        return parts.empty("search", "No alert matches", "Change the filters to see more alerts.")
    return parts.empty(
        "check",
        "All quiet",
        "No run has an open alert. When a rule finds an illness, it appears here with its evidence and what to do.",
        parts.link_button("See which rules watch", "/rules", "book", kind="plain"),
    )


def row(finding: FindingRecord, run: Run | None, now: float) -> Component:
    """One alert: severity, title, its run and step, and the three decisions."""
    severity = finding.severity if finding.severity in theme.SEVERITIES else "info"
    where = f"/run/{finding.run_id}?at={finding.first_step}"
    name = parts.run_name(run) if run else finding.run_id
    facts = [
        html.Bdi(name),
        html.Span(fmt.window(finding.first_step, finding.last_step), className="rw-num"),
        dcc.Link(finding.rule, href=f"/rules/{finding.rule}", className="rw-code-link"),
        parts.age(finding.opened_at, now),
    ]
    if finding.status != "open":
        facts.insert(0, parts.badge(theme.STATUSES.get(finding.status, theme.STATUSES["open"])))
    return html.Article(
        [
            html.Div(parts.severity_badge(severity), className="rw-alert-severity"),
            html.Div(
                [
                    dcc.Link(fmt.visible(finding.title), href=where, className="rw-alert-title"),
                    html.Div(facts, className="rw-facts rw-quiet"),
                ],
                className="rw-grow",
            ),
            html.Div(decisions("alerts-decide", finding), className="rw-actions"),
        ],
        className=f"rw-alert rw-edge-{severity} rw-status-{finding.status}",
        key=f"{finding.run_id}/{finding.rule}/{finding.subject}",
    )


def decisions(kind: str, finding: FindingRecord) -> list[Component]:
    """The buttons that change what a person has decided about a finding. `kind` is the callback's pattern type."""
    offered = {
        "open": (("acknowledged", "Acknowledge", "check"), ("muted", "Mute", "mute")),
        "acknowledged": (("open", "Reopen", "undo"), ("muted", "Mute", "mute")),
        "muted": (("open", "Reopen", "undo"),),
    }
    return [
        parts.button(
            label,
            {
                "type": kind,
                "run": finding.run_id,
                "rule": finding.rule,
                "subject": finding.subject or "-",
                "to": status,
            },
            icon,
            kind="quiet",
        )
        for status, label, icon in offered.get(finding.status, ())
    ]


def apply_decision(services: Services, button: Any) -> bool:
    """Carry out the decision whose button was pressed and tell every open page; False when nothing was really pressed."""
    pressed = any(entry.get("value") for entry in ctx.triggered)
    if not pressed or not isinstance(button, Mapping) or button.get("to") not in ("open", "acknowledged", "muted"):
        return False
    subject = "" if button["subject"] == "-" else str(button["subject"])
    decide(services, str(button["run"]), str(button["rule"]), subject, str(button["to"]))
    return True


def register(app: dash.Dash, services: Services) -> None:
    """Attach this page's callbacks to `app`."""

    @app.callback(
        Output(BODY, "children"),
        Input(SEVERITY, "value"),
        Input(STATUS, "value"),
        Input(RULE, "value"),
        Input(LIVE_FINDINGS, "data"),
        Input(LIVE_ALERTS, "data"),
        Input(DECIDED, "data"),
        Input(MORE, "n_clicks"),
        prevent_initial_call=True,
    )
    def list_alerts(
        severity: str, status: str, rule: str | None, _found: Any, _told: Any, _decided: Any, more: int | None
    ) -> Component:
        return _body(services, severity, status, rule, PAGE_SIZE * (1 + (more or 0)))

    app.clientside_callback(
        ClientsideFunction("runwell", "alerted"),
        Output(WROTE, "data"),
        Input(SEVERITY, "value"),
        Input(STATUS, "value"),
        Input(RULE, "value"),
        prevent_initial_call=True,
    )

    @app.callback(
        Output(DECIDED, "data"),
        Input({"type": "alerts-decide", "run": ALL, "rule": ALL, "subject": ALL, "to": ALL}, "n_clicks"),
        State(DECIDED, "data"),
        prevent_initial_call=True,
    )
    def decide(_clicks: Sequence[int | None], count: int) -> Any:
        return count + 1 if apply_decision(services, ctx.triggered_id) else dash.no_update
