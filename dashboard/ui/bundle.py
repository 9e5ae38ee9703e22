"""plotly.js for every page: its basic bundle, served where Dash looks for the whole one. Knows no page.

The bundle that the plotly package brings holds fifty kinds of charts, maps and 3D among them: 4.8 MB that a browser
compiles and runs before the first line is drawn. Runwell draws lines alone. The basic one, 1.2 MB of the same version,
lies in `vendor/` as its makers publish it (`npm pack plotly.js-basic-dist-min@VERSION`, MIT).
"""

from __future__ import annotations

from pathlib import Path

import dash
from flask import Response, send_file

ADDRESS = "/_dash-component-suites/plotly/package_data/plotly.min.js"
SCRIPT = Path(__file__).parent / "vendor" / "plotly-basic.min.js"
KINDS = frozenset({"scatter", "bar", "pie"})
"""The types of traces that it can draw."""


def register(app: dash.Dash) -> None:
    """Serve it in place of the whole one: Flask prefers an address in full to Dash's pattern."""

    def script() -> Response:
        return send_file(SCRIPT, mimetype="text/javascript")

    app.server.add_url_rule(ADDRESS, "plotly", script)
