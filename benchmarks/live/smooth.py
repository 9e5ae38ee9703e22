"""How smooth a page with many live metrics is, and how long a page takes to its first chart."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from benchmarks.live.browser import browser_process, browsing, cores, line_while_pages_work, open_run
from benchmarks.live.source import Served, logging


class Opening(NamedTuple):
    """Milliseconds from going to a run's page to its drawn loss chart: in a new browser, and with the files in its cache."""

    cold: float
    warm: float


class Scrolling(NamedTuple):
    """One row: a page with many metrics that is scrolled through while each of them gets ten points a second."""

    metrics: int
    frame_p50: float
    frame_p95: float
    drawn: int
    browser_core: float


FRAMES = """() => new Promise((done) => {
  const gaps = [], end = performance.now() + 8000;
  let before = performance.now();
  const frame = (now) => {
    gaps.push(now - before);
    before = now;
    window.scrollBy(0, 12);
    if (now < end) requestAnimationFrame(frame); else done(gaps);
  };
  requestAnimationFrame(frame);
})"""
"""Scrolls a little in every frame for eight seconds and says how long each frame took."""


def scrolling(served: Served, metrics: int) -> Scrolling:
    """How smooth a page with so many live metrics is when it is scrolled through."""
    names = ("train/loss", *(f"layer/{number}/norm" for number in range(metrics)))
    with browsing() as browser, logging(served, names, 12.0) as (run_id, process):
        chromium = browser_process()
        page = open_run(browser, served.url, run_id)
        page.wait_for_selector("#run-more summary")
        page.evaluate("document.querySelectorAll('#run-more details').forEach(group => { group.open = true; })")
        assert process.stdin and process.stdout
        process.stdin.write("\n")
        process.stdin.flush()
        page.wait_for_timeout(1500)
        before, began = cores(chromium), time.monotonic()
        gaps = sorted(page.evaluate(FRAMES))
        used = (cores(chromium) - before) / (time.monotonic() - began)
        drawn = page.evaluate("document.querySelectorAll('.rw-run .js-plotly-plot').length")
        line_while_pages_work(process, [page])
        return Scrolling(metrics, gaps[len(gaps) // 2], gaps[int(len(gaps) * 0.95)], drawn, used)


LOOK = """(() => {
  const look = () => {
    const line = document.querySelector('.rw-graph-large .scatterlayer .trace path.js-line');
    if (line && line.getAttribute('d')) return requestAnimationFrame(() => { window.rwDrawn = performance.now(); });
    requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
})()"""


def time_to_chart(browser: Any, url: str, run_id: str) -> Opening:
    """How long a run's page takes until its loss chart is on the screen."""
    page = browser.new_context(viewport={"width": 1400, "height": 900}).new_page()
    page.set_default_timeout(120_000)
    page.add_init_script(LOOK)
    taken = []
    for _ in range(2):
        page.goto(f"{url}/run/{run_id}")
        page.wait_for_function("() => window.rwDrawn")
        taken.append(float(page.evaluate("rwDrawn")))
    page.context.close()
    return Opening(*taken)
