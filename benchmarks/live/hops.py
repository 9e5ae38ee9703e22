"""Where the milliseconds go between `log()` and the pixel: when each point passed each hop, on one clock."""

from __future__ import annotations

import bisect
import itertools
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.live.browser import browsing, line_while_pages_work, open_run
from benchmarks.live.latency import RECORD, SETTLE_SECONDS, TAIL_SECONDS, percentiles
from benchmarks.live.source import SIX, Served, logging

PAGE = """() => {
  const got = window.rwGot = [], drawn = window.rwRedrawn = {};
  const points = runwellCharts.points, redraw = Plotly.redraw;
  runwellCharts.points = (run, series) => {
    got.push([Date.now(), Math.max(...Object.values(series).flatMap((columns) => columns.step))]);
    points(run, series);
  };
  const note = (gd, began) => {
    for (const trace of gd.data) if (trace.meta.draws === 'raw') (drawn[trace.meta.series] ||= []).push([began, Date.now(), trace.x.at(-1)]);
  };
  Plotly.redraw = (gd) => { const began = Date.now(), done = redraw(gd); note(gd, began); return done; };
  const lengthen = window.runwellLines && runwellLines.lengthen;
  if (lengthen) runwellLines.lengthen = (gd) => { const began = Date.now(), done = lengthen(gd); if (done) note(gd, began); return done; };
}"""
"""Notes when points came into the page, and when a chart's drawing began and ended."""


class Hop(NamedTuple):
    """One row: milliseconds from the hop before."""

    name: str
    p50: float
    p95: float
    worst: float


NAMES = (
    "the sender gathers what belongs together",
    "HTTP, to the thread that stores",
    "stored: decoded, committed, flushed to the disk",
    "published",
    "in the page (WebSocket)",
    "the chart's turn to be drawn",
    "drawn",
    "on the screen (the next frame)",
)


def hops(served: Served, stamps: Path, seconds: float) -> list[Hop]:
    """One page in front, ten logs a second; all lines of it. The last row is the whole way."""
    with browsing() as browser, logging(served, SIX, seconds) as (run_id, process):
        page = open_run(browser, served.url, run_id)
        page.evaluate(RECORD)
        page.evaluate(PAGE)
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
        start = time.time() + SETTLE_SECONDS
        logged = line_while_pages_work(process, [page])
        page.wait_for_timeout(1000)
        posts = json.loads(process.stdout.readline())  # type: ignore[union-attr]
        seen, got, drawn = page.evaluate("[rwSeen, rwGot, rwRedrawn]")
    server = {step: line for line in map(json.loads, stamps.read_text().splitlines()) for step in line["steps"]}
    found = [
        row
        for step, moment in enumerate(logged, 1)
        if start <= moment < logged[-1] - TAIL_SECONDS and step in server
        for series in seen
        if (row := way(step, moment, posts, server[step], got, drawn.get(series, []), seen[series])) is not None
    ]
    rows = [Hop(name, *percentiles(list(column))) for name, column in zip(NAMES, zip(*found, strict=True), strict=True)]
    return [*rows, Hop("the whole way", *percentiles([sum(row) for row in found]))]


def way(
    step: int, logged: float, posts: Sequence[float], server: Mapping[str, Any], got: Sequence[Sequence[float]],
    drawn: Sequence[Sequence[float]], seen: Sequence[Sequence[float]],
) -> list[float] | None:  # fmt: skip
    """Milliseconds of each hop of one point on one line; None when one of them was not noted."""
    posted = posts[bisect.bisect_left(posts, logged)] if posts and posts[-1] >= logged else None
    came = next((now for now, newest in got if newest >= step), None)
    painted = next((now for now, newest in seen if newest >= step), None)
    redrawn = next((times for *times, newest in drawn if newest >= step), None)
    if None in (posted, came, painted, redrawn, server["told"]):
        return None
    server_times = [1000 * server[name] for name in ("read", "stored", "told")]
    moments = [1000 * logged, 1000 * posted, *server_times, came, *redrawn, painted]  # type: ignore[operator, misc]
    return [after - before for before, after in itertools.pairwise(moments)]
