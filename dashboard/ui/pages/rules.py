"""`/rules`: the debugging table, alive: every rule with its line and its severity, and how often it has fired here.

No callbacks: the table is code, and changes with the code.
"""

from __future__ import annotations

import dash
from dash import dcc, html
from dash.development.base_component import Component

from dashboard.services import Services
from dashboard.ui import format as fmt
from dashboard.ui import parts
from dashboard.ui.query import Query
from diagnostics.roles import BY_ID
from diagnostics.rule import LOOKS_AT, Rule
from diagnostics.rules import RULES

PATH = "/rules"
TITLE = "Rules"


def layout(services: Services, query: Query) -> Component:
    """Every rule, the gravest first."""
    fired = services.store.count_findings()
    ranked = sorted(RULES, key=lambda rule: (-rule.severity.rank, rule.id))
    rows = [row(rule, fired.get(rule.id, 0)) for rule in ranked]
    return html.Div(
        [
            parts.page_header(
                "Rules", "The illnesses that Runwell recognises by itself. Each page says how, and when it is wrong."
            ),
            html.Div(rows, className="rw-rules"),
            parts.live("rules", [], epoch=str(services.hub.epoch), since=services.hub.seq),
        ]
    )


def row(rule: Rule, fired: int) -> Component:
    """One rule: severity, id, what it means, what it looks at."""
    looks = ", ".join(_words(role) for group in rule.needs for role in group) or LOOKS_AT[rule.looks_at]
    return dcc.Link(
        [
            html.Div(parts.severity_badge(rule.severity.value), className="rw-alert-severity"),
            html.Div([html.Strong(rule.id, className="rw-rule-id"), html.Div(rule.summary)], className="rw-grow"),
            html.Div(
                [html.Span(f"looks at {looks}", className="rw-quiet rw-small"), _fired(fired)], className="rw-rule-side"
            ),
        ],
        href=f"/rules/{rule.id}",
        className="rw-alert rw-rule-row",
    )


def _words(role: str) -> str:
    return BY_ID[role].words if role in BY_ID else role


def _fired(times: int) -> Component | None:
    return html.Span(f"found in {fmt.plural(times, 'run')}", className="rw-tag") if times else None


def register(app: dash.Dash, services: Services) -> None:
    """This page has no callbacks."""
