"""Builds the Dash app that serves the pages. `create_ui(services)` makes a new one each time: nothing is global.

The server mounts its Flask side (`create_ui(services).server`) at "/" through a2wsgi, so callbacks run on threads and
never on the event loop. Everything is served from this machine: no CDN, no fonts, no telemetry.
"""

# Dash's decorators have no types; the functions under them have.
# mypy: disallow-untyped-decorators=False

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import dash
from dash import ClientsideFunction, Input, Output, State
from dash.development.base_component import Component

from dashboard.errors import DashboardError
from dashboard.services import Services
from dashboard.ui import bundle, drawing, parts, shell
from dashboard.ui import format as fmt
from dashboard.ui.pages import PAGES, find
from dashboard.ui.query import parse

log = logging.getLogger(__name__)

SCRIPTS_NOT_LOADED_TWICE = r"boot\.js"


def create_ui(services: Services) -> dash.Dash:
    """The pages over `services`, ready to be mounted at "/"."""
    app = dash.Dash(
        "runwell",
        server=True,
        assets_folder=str(Path(__file__).parent / "assets"),
        assets_ignore=SCRIPTS_NOT_LOADED_TWICE,
        requests_pathname_prefix="/",
        routes_pathname_prefix="/",
        serve_locally=True,
        suppress_callback_exceptions=True,  # pages come and go; tests check every id instead
        title="Runwell",
        update_title="",
        index_string=shell.INDEX,
        meta_tags=[{"name": "viewport", "content": "width=device-width, initial-scale=1"}],
        on_error=_on_error,
        add_log_handler=False,
    )
    app.layout = shell.frame
    bundle.register(app)
    _register_shell(app, services)
    drawing.register(app, services)
    for page in PAGES:
        page.module.register(app, services)
    return app


def _on_error(error: Exception) -> None:
    """A callback failed: the reader gets one sentence, the log the traceback of what nobody foresaw, the page stays."""
    if isinstance(error, DashboardError):
        said = shell.notification("That is not possible", fmt.visible(str(error)), bad=True)
    else:
        log.error("a page callback failed", exc_info=error)
        said = shell.notification("Something went wrong", f"{type(error).__name__}: {error}"[:300], bad=True)
    dash.set_props("notifications", {"sendNotifications": said})


def _register_shell(app: dash.Dash, services: Services) -> None:
    @app.callback(
        Output("page", "children"),
        Output("page-title", "data"),
        Input("url", "pathname"),
        State("url", "search"),
    )
    def show(pathname: str | None, search: str | None) -> tuple[Component, str]:
        page, params = find(pathname or "/")
        if page is None:
            return not_found(), "Not found"
        return page.module.layout(services, parse(search or ""), **params), page.title

    @app.callback(Output("nav-count", "children"), Input("nav-live-findings", "data"), Input("url", "pathname"))
    def count_alerts(_live: Any, _pathname: str | None) -> str:
        waiting = sum(services.store.count_findings(statuses=("open",), severities=("critical", "warning")).values())
        return str(waiting) if waiting else ""

    app.clientside_callback(
        ClientsideFunction("runwell", "arrived"),
        Output("page-title", "modified_timestamp"),
        Input("page-title", "data"),
        State("url", "pathname"),
        prevent_initial_call=True,
    )


def not_found() -> Component:
    """The page for an address that names nothing."""
    return parts.empty(
        "slash",
        "There is no such page",
        "The address does not name a page of Runwell.",
        parts.link_button("All runs", "/", "list", kind="primary"),
    )


def config_of(app: dash.Dash) -> dict[str, Any]:
    """The settings that keep everything on this machine, for tests."""
    return {"serve_locally": app.scripts.config.serve_locally, "css_locally": app.css.config.serve_locally}
