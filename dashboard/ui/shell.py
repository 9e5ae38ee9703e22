"""The frame around every page: navigation, theme switch, the live indicator, notifications. Knows no run."""

from __future__ import annotations

from typing import Any

import dash_mantine_components as dmc
from dash import dcc, html
from dash.development.base_component import Component

from dashboard.ui import parts, theme

NAVIGATION = (
    ("/", "Runs", "list"),
    ("/compare", "Compare", "compare"),
    ("/launch", "Launch", "rocket"),
    ("/alerts", "Alerts", "bell"),
    ("/rules", "Rules", "book"),
)

INDEX = """<!DOCTYPE html>
<html lang="en">
  <head>
    {%metas%}
    <title>{%title%}</title>
    {%favicon%}
    <script src="/assets/boot.js"></script>
    {%css%}
  </head>
  <body>
    <a class="rw-skip" href="#page">Skip to content</a>
    {%app_entry%}
    <footer>{%config%}{%scripts%}{%renderer%}</footer>
  </body>
</html>"""
"""boot.js stands first and blocks: it sets the colour scheme before the first paint, so that nothing flashes."""


def frame() -> Component:
    """The whole document: the page itself is put into `#page` by the router."""
    return dmc.MantineProvider(
        [
            dcc.Location(id="url", refresh="callback-nav"),
            dcc.Store(id="page-title"),
            dcc.Store(id="nav-live-findings", data=0),
            dmc.NotificationContainer(id="notifications", position="bottom-right", limit=4),
            html.Div([_sidebar(), html.Main(id="page", className="rw-main", tabIndex="-1")], className="rw-frame"),
        ],
        theme=theme.MANTINE,
        defaultColorScheme="auto",
    )


def _sidebar() -> Component:
    links = [_link(*entry) for entry in NAVIGATION]
    return html.Aside(
        [
            dcc.Link([html.Span(className="rw-logo"), html.Span("Runwell")], href="/", className="rw-brand"),
            html.Nav(links, className="rw-nav", **{"aria-label": "Pages"}),
            html.Div([_indicator(), _scheme_switch()], className="rw-foot"),
        ],
        className="rw-side",
    )


def _link(path: str, label: str, icon: str) -> Component:
    count = html.Span(id="nav-count", className="rw-nav-count") if path == "/alerts" else None
    return dcc.Link(
        [parts.icon(icon), html.Span(label, className="rw-nav-label"), count],
        href=path,
        id=f"nav-{label.lower()}",
        className="rw-nav-link",
    )


def _indicator() -> Component:
    words = (("live", "Live"), ("connecting", "Connecting…"), ("reconnecting", "Reconnecting…"), ("ended", "Run ended"))
    return html.Div(
        [
            html.Span(className="rw-dot"),
            *(html.Span(word, className=f"rw-live-{state}") for state, word in words),
        ],
        className="rw-live",
        role="status",
        **{"aria-live": "polite"},
    )


def _scheme_switch() -> Component:
    return dmc.ColorSchemeToggle(
        id="scheme",
        lightIcon=parts.icon("sun"),
        darkIcon=parts.icon("moon"),
        variant="subtle",
        color="gray",
        size="md",
        **{"aria-label": "Switch between light and dark"},
    )


def notification(title: str, message: str, *, bad: bool = False) -> list[dict[str, Any]]:
    """What `notifications.sendNotifications` takes: one sentence, shown for a while at the corner."""
    return [
        {
            "action": "show",
            "title": title,
            "message": message,
            "color": "red" if bad else "indigo",
            "autoClose": 9000 if bad else 5000,
        }
    ]
