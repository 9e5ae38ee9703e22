"""From `log()` to the pixel, on one clock; and whether every page has every point once at the end."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from benchmarks.live.browser import browser_process, browsing, cores, line_while_pages_work, open_run
from benchmarks.live.source import SIX, Served, logging, value_at
from dashboard.ui.run_charts import SMALL_BUCKETS

CATCH_UP_SECONDS = 10.0
"""Within which a page that was shown again holds all of its points, on a machine that is still at work for twenty others."""
SETTLE_SECONDS = 2.0
TAIL_SECONDS = 1.0
"""At the begin and the end of a phase, not looked at: pages come and go then."""

RECORD = """() => {
  const seen = window.rwSeen = {}, painted = new MessageChannel();
  let waiting = [];
  painted.port1.onmessage = () => { const now = Date.now(); for (const [key, x] of waiting) (seen[key] ||= []).push([now, x]); waiting = []; };
  const watch = () => {
    for (const gd of document.querySelectorAll('.rw-run .js-plotly-plot')) {
      if (gd.rwWatched || !gd.on || gd.layout.meta.still) continue;
      gd.rwWatched = true;
      gd.on('plotly_afterplot', () => note(gd));
    }
  };
  const note = (gd) => {
    for (const trace of gd.data || []) {
      if (!trace.meta || trace.meta.draws !== 'raw' || !trace.x.length) continue;
      waiting.push([trace.meta.series, trace.x[trace.x.length - 1]]);
    }
    requestAnimationFrame(() => painted.port2.postMessage(0));
  };
  const lengthen = window.runwellLines && runwellLines.lengthen;
  if (lengthen) runwellLines.lengthen = (gd) => { const done = lengthen(gd); if (done) note(gd); return done; };
  watch();
  setInterval(watch, 500);
}"""
"""Notes, in the task after the frame in which a chart was drawn or its lines lengthened, the newest x of every line: from then on it is on the screen."""

DRAWN = """() => {
  const found = {};
  for (const gd of document.querySelectorAll('.rw-run .js-plotly-plot'))
    for (const trace of gd.data || [])
      if (trace.meta && trace.meta.draws === 'raw' && !gd.layout.meta.still) found[trace.meta.series] = [Array.from(trace.x), Array.from(trace.y), gd.layout.meta.whole];
  return found;
}"""


class Latency(NamedTuple):
    """One row: milliseconds from `log()` to the pixel, and the share of a core that it cost."""

    pages: str
    p50: float
    p95: float
    worst: float
    points: int
    server_core: float
    browser_core: float


def watching(
    served: Served, phases: list[tuple[int, int]], *, names: tuple[str, ...] = SIX, seconds: float = 15.0
) -> list[Latency]:
    """Log ten times a second while pages look at the run: in each phase so many of them seen, so many in hidden tabs.

    At the end each is shown once more and asked for its points, one after the other: many in sight slow each other down.
    """
    with browsing() as browser, logging(served, names, len(phases) * seconds) as (run_id, process):
        chromium = browser_process()
        pages = []
        for _ in range(max(map(sum, phases))):
            pages.append(open_run(browser, served.url, run_id))
            pages[-1].evaluate(RECORD)
            pages[-1].evaluate("rwShow(false)")  # else the tabs that are open already slow each next one down
        assert process.stdin and process.stdout
        process.stdin.write("\n")
        process.stdin.flush()
        began, spans = time.time(), []
        for number, (seen, _) in enumerate(phases, 1):
            for place, page in enumerate(pages):
                page.evaluate(f"rwShow({str(place < seen).lower()})")
            pages[0].wait_for_timeout(SETTLE_SECONDS * 1000)
            start, used = time.time(), (cores(served.process), cores(chromium))
            pages[0].wait_for_timeout(1000 * max(0.0, began + number * seconds - time.time()))
            end = time.time()
            now = cores(served.process), cores(chromium)
            spans.append(
                (start, end, [(after - before) / (end - start) for after, before in zip(now, used, strict=True)])
            )
        logged = line_while_pages_work(process, pages)
        pages[0].wait_for_timeout(1500)
        records = [page.evaluate("rwSeen") for page in pages]
        for page in pages:
            page.evaluate("rwShow(false)")
        faults = sum(_faults(page, names, len(logged)) for page in pages)
    rows = []
    for (seen, hidden), (start, end, share) in zip(phases, spans, strict=True):
        delays = [delay for record in records[:seen] for delay in delays_of(record, logged, start, end - TAIL_SECONDS)]
        rows.append(Latency(f"{seen} seen, {hidden} hidden", *percentiles(delays), len(delays), *share))
    print(f"{len(logged) * len(names) * len(pages):,} points on {len(pages)} pages: {faults} missing, wrong or doubled")
    return rows


def delays_of(seen: dict[str, list[list[float]]], logged: list[float], start: float, end: float) -> list[float]:
    """Milliseconds for every point logged between, on every line on the screen: it is there with the first frame that
    reaches it."""
    delays = []
    for frames in seen.values():
        drawn = 0
        for now, newest in frames:
            for step in range(drawn + 1, min(int(newest), len(logged)) + 1):
                if start <= logged[step - 1] < end:
                    delays.append(now - 1000 * logged[step - 1])
            drawn = max(drawn, int(newest))
    return delays


def _faults(page: Any, names: tuple[str, ...], steps: int) -> int:
    """`wrong_points` of a page, once every chart of it was in sight; hidden after."""
    page.evaluate("rwShow(true)")
    page.wait_for_timeout(500)
    for _ in range(12):
        page.mouse.wheel(0, 700)
        page.wait_for_timeout(120)
    until = time.monotonic() + CATCH_UP_SECONDS
    while (wrong := wrong_points(page.evaluate(DRAWN), names, steps)) and time.monotonic() < until:
        page.wait_for_timeout(500)
    page.evaluate("rwShow(false)")
    return wrong


def wrong_points(drawn: Mapping[str, tuple[list[int], list[float], bool]], names: Sequence[str], steps: int) -> int:
    """Points missing, doubled, made up or of another value, of series drawn as (x, y, whether every point is drawn).

    A page that was away for long takes a new figure, and a long one comes in buckets with both their ends: of such a one a
    point may be left out that lies between what is drawn within a bucket of it.
    """
    wrong = 0
    for place, name in enumerate(names):
        x, y, whole = drawn.get(name, ([], [], True))
        expected = {step: value_at(place, step) for step in range(1, steps + 1)}
        there = dict(zip(x, y, strict=True))
        missing = set(expected) - set(there)
        if not whole:
            missing -= {
                step for step in missing if _is_covered(expected[step], step, there, -(-steps // SMALL_BUCKETS))
            }
        wrong += len(x) - len(there) + len(missing) + len(set(there) - set(expected))
        wrong += sum(abs(value - expected[step]) > 1e-9 for step, value in zip(x, y, strict=True) if step in expected)
    return wrong


def _is_covered(value: float, step: int, there: Mapping[int, float], bucket: int) -> bool:
    near = [there[other] for other in range(step - bucket, step + bucket + 1) if other in there]
    return bool(near) and min(near) <= value <= max(near)


def percentiles(values: list[float]) -> tuple[float, float, float]:
    if not values:
        return math.nan, math.nan, math.nan
    ordered = sorted(values)
    return ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.95)], ordered[-1]
