"""What it costs to watch one run of many series: the page draws a handful of them, all get ten points a second."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from benchmarks.live.browser import browser_process, browsing, cores, line_while_pages_work, open_run
from benchmarks.live.source import Served, logging

SETTLE_SECONDS = 2.0


class Watching(NamedTuple):
    """One row: what the page was sent, in KiB a second, and shares of a core."""

    series: int
    page: str
    kib: float
    server_core: float
    browser_core: float


def watching_many(served: Served, series: int, seconds: float) -> list[Watching]:
    """First a page of that run in sight, then the same one hidden: the difference is what watching costs."""
    names = ("train/loss", *(f"layer/{number}/norm" for number in range(series - 1)))
    with browsing() as browser, logging(served, names, 2 * (seconds + SETTLE_SECONDS) + 2) as (run_id, process):
        page = browser.new_context(viewport={"width": 1400, "height": 900}).new_page()
        received: list[int] = []
        page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: received.append(len(frame))))
        page = open_run(browser, served.url, run_id, page)
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
        rows = [_watched(served, page, series, "in sight", received, seconds)]
        page.evaluate("rwShow(false)")
        rows.append(_watched(served, page, series, "hidden", received, seconds))
        line_while_pages_work(process, [page])
    return rows


def _watched(served: Served, page: Any, series: int, name: str, received: list[int], seconds: float) -> Watching:
    chromium = browser_process()
    page.wait_for_timeout(SETTLE_SECONDS * 1000)
    received.clear()
    before, began = (cores(served.process), cores(chromium)), time.monotonic()
    page.wait_for_timeout(seconds * 1000)
    passed = time.monotonic() - began
    server, browser = (
        (now - then) / passed for now, then in zip((cores(served.process), cores(chromium)), before, strict=True)
    )
    return Watching(series, name, sum(received) / 1024 / passed, server, browser)
