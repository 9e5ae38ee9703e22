"""plotly.js as the pages get it: of the version that the plotly package speaks, and able to draw all that they hold."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from plotly.basedatatypes import BaseTraceType
from plotly.offline import get_plotlyjs_version

from dashboard.ui import bundle
from dashboard.ui.app import create_ui


def test_the_bundle_is_of_the_installed_plotlys_version() -> None:
    head = bundle.SCRIPT.read_text("utf-8")[:200]
    assert f"plotly.js (basic - minified) v{get_plotlyjs_version()}\n" in head, (
        "npm pack plotly.js-basic-dist-min@VERSION"
    )
    assert "MIT" in bundle.SCRIPT.with_name("plotly-LICENSE").read_text("utf-8")


def test_it_is_served_where_dash_looks_for_the_whole_one(site: Any) -> None:
    client = create_ui(site.services).server.test_client()
    with client.get(bundle.ADDRESS) as answer:
        assert answer.data == bundle.SCRIPT.read_bytes()
        assert answer.mimetype == "text/javascript"
    with client.get(bundle.ADDRESS, headers={"If-None-Match": answer.headers["ETag"]}) as again:
        assert again.status_code == 304


def test_no_page_draws_what_it_cannot() -> None:
    kinds = [getattr(go, name) for name in go.__all__]
    traces = {kind.__name__.lower() for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseTraceType)}
    assert {"scatter", "heatmap"} <= traces
    sources = [path.read_text("utf-8") for path in Path(bundle.__file__).parent.rglob("*.py")]
    drawn = {name for text in sources for name in re.findall(r'"type": "(\w+)"', text)} & traces
    assert drawn
    assert drawn <= bundle.KINDS
