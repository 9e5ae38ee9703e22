"""`POST /charts/<run>`: figures for the charts that a browser has in sight. One function; no callbacks, no components.

Beside Dash's callbacks, because charts are asked for by the page's own script: few at a time, when they come into sight,
and piece by piece where the reader zooms in. The body says which charts, how they are looked at (as in the page's
address) and, zoomed in, between which places of the x axis. The answer is `{"figures": {key: figure}, "config": …}`.
"""

from __future__ import annotations

import math
from typing import Any

import dash
from flask import Response, request

from dashboard.errors import UnknownRun
from dashboard.present import encode
from dashboard.services import Services
from dashboard.ui import figures, run_charts
from dashboard.ui.query import parse

MAX_BYTES = 2**20
MAX_CHARTS = 24


def register(app: dash.Dash, services: Services) -> None:
    """Serve the figures beside the pages."""

    def draw(run_id: str) -> Response:
        asked = request.get_json(force=True, silent=True) if (request.content_length or 0) <= MAX_BYTES else None
        keys, search, window = _checked(asked)
        if keys is None:
            return _answer({"detail": "the body must be {\"keys\": [at most 24 charts], \"view\": \"?x=step\", \"window\": [low, high] or null}"}, 400)  # fmt: skip
        try:
            run = services.store.run(run_id)
        except UnknownRun as error:
            return _answer({"detail": str(error)}, 404)
        how = run_charts.view(services, run, parse(search))
        drawn = run_charts.drawings(services, run, keys, how, window)
        return _answer({"figures": drawn, "config": figures.CONFIG}, 200)

    app.server.add_url_rule("/charts/<run_id>", "charts", draw, methods=["POST"])


def _checked(asked: Any) -> tuple[list[str] | None, str, run_charts.Window | None]:
    """Keys, view and window of a request; no keys when the request makes no sense."""
    if not isinstance(asked, dict):
        return None, "", None
    keys, search, window = asked.get("keys"), asked.get("view", ""), asked.get("window")
    if not isinstance(keys, list) or not 0 < len(keys) <= MAX_CHARTS or not all(isinstance(key, str) for key in keys):
        return None, "", None
    if not isinstance(search, str):
        return None, "", None
    if window is None:
        return keys, search, None
    if not isinstance(window, list) or len(window) != 2 or not all(_finite(place) for place in window):
        return None, "", None
    return keys, search, (float(min(window)), float(max(window)))


def _finite(value: Any) -> bool:
    return (
        isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300 and math.isfinite(value)
    )


def _answer(body: dict[str, Any], status: int) -> Response:
    return Response(encode(body), status, mimetype="application/json", headers={"Cache-Control": "no-store"})
