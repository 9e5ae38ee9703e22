"""What a page costs that is looked at while nothing happens: of a run that lives and logs nothing, and of one that has ended."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from benchmarks.live.browser import browser_process, browsing, cores, open_run
from benchmarks.live.source import SIX, Served, logging

SETTLE_SECONDS = 5.0
"""Between opening and measuring: scripts are compiled and charts laid out for the last time."""


class Idle(NamedTuple):
    """One row: shares of a core, and how often the page asked the server for a part of itself."""

    page: str
    server_core: float
    browser_core: float
    callbacks: int


def idling(served: Served, seconds: float) -> list[Idle]:
    """A page of each kind for so long; and first the same browser and server with nothing to look at."""
    with browsing() as browser, logging(served, SIX, 0.0) as (run_id, process):
        blank = browser.new_context(viewport={"width": 1400, "height": 900}).new_page()
        rows = [_watched(served, blank, "none, the run lives", seconds)]
        blank.context.close()
        page = open_run(browser, served.url, run_id)
        rows.append(_watched(served, page, "of a run that lives and logs nothing", seconds))
        assert process.stdin
        process.stdin.write("\n\n")  # it ends
        process.stdin.flush()
        page.wait_for_selector(":root[data-live=ended]")
        rows.append(_watched(served, page, "of a run that has ended", seconds))
    return rows


def _watched(served: Served, page: Any, name: str, seconds: float) -> Idle:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.wait_for_timeout(SETTLE_SECONDS * 1000)
    asked.clear()
    chromium = browser_process()
    before, began = (cores(served.process), cores(chromium)), time.monotonic()
    page.wait_for_timeout(seconds * 1000)
    passed = time.monotonic() - began
    server, browser = (
        (now - then) / passed for now, then in zip((cores(served.process), cores(chromium)), before, strict=True)
    )
    return Idle(name, server, browser, sum("_dash-update-component" in url for url in asked))
