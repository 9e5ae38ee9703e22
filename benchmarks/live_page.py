"""From `log()` to the pixel: a real server, real Chromium, a run that logs, and pages that watch it.

    python benchmarks/live_page.py                 every table that docs/benchmarks.md holds, a few minutes
    python benchmarks/live_page.py --only latency  one of: latency, metrics, opening

A point's way is measured on one clock: the time that `log()` wrote into the point, and the page's clock in the frame after
plotly has drawn it. Each page is asked at the end which points its charts hold: missing, wrong and doubled ones are
counted. Needs Chromium and playwright, as the browser tests do. `watching`, `scrolling` and `time_to_chart` can be imported.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psutil

ROOT = Path(__file__).parent.parent
SIX = (
    "train/loss",
    "val/loss",
    "train/grad_norm",
    "train/learning_rate",
    "perf/tokens_per_second",
    "perf/step_seconds",
)
SETTLE_SECONDS = 2.0
TAIL_SECONDS = 1.0
"""At the begin and the end of a phase, not looked at: pages come and go then."""
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or "chromium"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update",
             "--disable-sync", "--disable-background-timer-throttling"]  # fmt: skip

HIDDEN = """
  Object.defineProperty(document, 'hidden', { configurable: true, get: () => window.rwHidden === true });
  Object.defineProperty(document, 'visibilityState', { configurable: true, get: () => window.rwHidden ? 'hidden' : 'visible' });
  window.rwShow = (shown) => { window.rwHidden = !shown; document.dispatchEvent(new Event('visibilitychange')); };
"""
"""A headless browser calls every tab visible; this is what a tab in the background looks like to the page."""

RECORD = """() => {
  const seen = window.rwSeen = {}, painted = new MessageChannel();
  let waiting = [];
  painted.port1.onmessage = () => { const now = Date.now(); for (const [key, x] of waiting) (seen[key] ||= []).push([now, x]); waiting = []; };
  const watch = () => {
    for (const gd of document.querySelectorAll('.rw-run .js-plotly-plot')) {
      if (gd.rwWatched || !gd.on || gd.layout.meta.still) continue;
      gd.rwWatched = true;
      gd.on('plotly_afterplot', () => {
        for (const trace of gd.data || []) {
          if (!trace.meta || trace.meta.draws !== 'raw' || !trace.x.length) continue;
          waiting.push([trace.meta.series, trace.x[trace.x.length - 1]]);
        }
        requestAnimationFrame(() => painted.port2.postMessage(0));
      });
    }
  };
  watch();
  setInterval(watch, 500);
}"""
"""Notes, in the task after the frame in which plotly drew, the newest x of every line: from then on it is on the screen."""

DRAWN = """() => {
  const found = {};
  for (const gd of document.querySelectorAll('.rw-run .js-plotly-plot'))
    for (const trace of gd.data || [])
      if (trace.meta && trace.meta.draws === 'raw' && !gd.layout.meta.still) found[trace.meta.series] = [Array.from(trace.x), Array.from(trace.y)];
  return found;
}"""


class Served(NamedTuple):
    """A running server: its address, its process, and its folder."""

    url: str
    process: psutil.Process
    home: Path


class Latency(NamedTuple):
    """One row: milliseconds from `log()` to the pixel, and the share of a core that it cost."""

    pages: str
    p50: float
    p95: float
    worst: float
    points: int
    server_core: float
    browser_core: float


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


@contextlib.contextmanager
def serving() -> Iterator[Served]:
    """`runwell up` on a free port with an empty home of its own."""
    with (
        tempfile.TemporaryDirectory(prefix="runwell-live-", ignore_cleanup_errors=True) as folder,
        socket.socket() as free,
    ):
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        command = [
            sys.executable,
            "-P",
            "-m",
            "runwell.cli",
            "up",
            "--port",
            str(port),
            "--home",
            folder,
            "--no-first-run",
        ]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        url = f"http://127.0.0.1:{port}"
        try:
            _until_healthy(url)
            yield Served(url, psutil.Process(process.pid), Path(folder))
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def _until_healthy(url: str) -> None:
    for _ in range(300):
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/api/v1/health", timeout=5):
            return
        time.sleep(0.1)
    raise TimeoutError(f"{url} did not answer")


def post(url: str, run_id: str, first: int, events: list[dict[str, Any]]) -> None:
    """Events of one writer, as any client sends them."""
    body = json.dumps({"writer": "w-bench", "first_seq": first, "events": events}).encode()
    request = urllib.request.Request(f"{url}/api/v1/runs/{run_id}/events", data=body)
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=60) as answer:
        answer.read()


def fill(url: str, run_id: str, points: int, *, batch: int = 10_000) -> None:
    """A run with one loss curve of that many points."""
    post(url, run_id, 1, [{"type": "run", "project": "bench", "name": run_id}])
    for start in range(0, points, batch):
        steps = range(start + 1, min(start + batch, points) + 1)
        events = [
            {"type": "metrics", "step": step, "train/loss": 2 + math.sin(step / 999) / step**0.3} for step in steps
        ]
        post(url, run_id, start + 2, events)


LOGGER = """
import json, math, sys, time
import runwell
names, seconds, each = sys.argv[1].split(","), float(sys.argv[2]), 0.1
run = runwell.init("bench", name="live")
value = lambda place, step: place + 1 + 3 / (1 + step / 50) + 0.05 * math.sin(step)
for step in range(1, 21):
    run.log({name: value(place, step) for place, name in enumerate(names)}, step=step)
run.flush()
print(run.id, flush=True)
sys.stdin.readline()
logged, began = [0.0] * step, time.time()
while time.time() - began < seconds:
    step += 1
    values = {name: value(place, step) for place, name in enumerate(names)}
    logged.append(time.time())
    run.log(values, step=step)
    time.sleep(max(0.0, began + (step - 20) * each - time.time()))
print(json.dumps(logged), flush=True)
sys.stdin.readline()
run.finish()
"""
"""A process that logs twenty steps, then ten a second, and says when: the clock of step k is the k-th number (0: at once)."""


@contextlib.contextmanager
def logging(served: Served, names: tuple[str, ...], seconds: float) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The run's id and its process, which waits for a line before it begins and for another before it ends."""
    environment = {"RUNWELL_URL": served.url, "RUNWELL_HOME": str(served.home), "PATH": "/usr/bin:/bin"}
    process = subprocess.Popen(
        [sys.executable, "-c", LOGGER, ",".join(names), str(seconds)], cwd=ROOT, env=environment,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout
        yield process.stdout.readline().strip(), process
    finally:
        with contextlib.suppress(BrokenPipeError):
            process.communicate("\n", timeout=30)


@contextlib.contextmanager
def browsing() -> Iterator[Any]:
    """A headless Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as machinery:
        browser = machinery.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


def open_run(browser: Any, url: str, run_id: str) -> Any:
    """A window on the run, live. Of several tabs in one window a browser would draw only one."""
    page = browser.new_context(viewport={"width": 1400, "height": 900}).new_page()
    page.set_default_timeout(120_000)
    page.add_init_script(HIDDEN)
    page.goto(f"{url}/run/{run_id}")
    page.wait_for_selector(":root[data-live=live], :root[data-live=ended]")
    page.wait_for_selector(".rw-graph-large .js-plotly-plot .main-svg")
    return page


def cores(process: psutil.Process) -> float:
    """CPU seconds that a process and its children have used."""
    total = 0.0
    for one in [process, *process.children(recursive=True)]:
        with contextlib.suppress(psutil.Error):
            used = one.cpu_times()
            total += used.user + used.system
    return total


def watching(
    served: Served, phases: list[tuple[int, int]], *, names: tuple[str, ...] = SIX, seconds: float = 15.0
) -> list[Latency]:
    """Log ten times a second while pages look at the run: in each phase so many of them seen, so many in hidden tabs.

    At the end all are shown, and each is asked for its points.
    """
    with browsing() as browser, logging(served, names, len(phases) * seconds) as (run_id, process):
        chromium = next(child for child in psutil.Process().children(recursive=True) if "chrom" in child.name())
        pages = [open_run(browser, served.url, run_id) for _ in range(max(map(sum, phases)))]
        for page in pages:
            page.evaluate(RECORD)
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
        logged = _line_while_pages_work(process, pages)
        pages[0].wait_for_timeout(1500)
        records = [page.evaluate("rwSeen") for page in pages]
        for page in pages:
            page.evaluate("rwShow(true)")
        faults = sum(_faults(page, names, len(logged)) for page in pages)
    rows = []
    for (seen, hidden), (start, end, share) in zip(phases, spans, strict=True):
        delays = [delay for record in records[:seen] for delay in _delays(record, logged, start, end - TAIL_SECONDS)]
        rows.append(Latency(f"{seen} seen, {hidden} hidden", *_percentiles(delays), len(delays), *share))
    print(f"{len(logged) * len(names) * len(pages):,} points on {len(pages)} pages: {faults} missing, wrong or doubled")
    return rows


def _line_while_pages_work(process: subprocess.Popen[str], pages: list[Any]) -> list[float]:
    """The logger's answer; playwright's own messages are read meanwhile, or the browser would wait for us."""
    answer: list[str] = []
    assert process.stdout
    reader = threading.Thread(target=lambda: answer.append(process.stdout.readline()), daemon=True)  # type: ignore[union-attr]
    reader.start()
    while reader.is_alive():
        pages[0].wait_for_timeout(200)
    return [float(moment) for moment in json.loads(answer[0])]


def _delays(seen: dict[str, list[list[float]]], logged: list[float], start: float, end: float) -> list[float]:
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
    """Points missing, doubled, out of order or of another value, once every chart of the page was in sight."""
    page.wait_for_timeout(500)
    for _ in range(12):
        page.mouse.wheel(0, 700)
        page.wait_for_timeout(120)
    page.wait_for_timeout(700)
    drawn = page.evaluate(DRAWN)
    wrong = 0
    for place, name in enumerate(names):
        x, y = drawn.get(name, ([], []))
        expected = {step: place + 1 + 3 / (1 + step / 50) + 0.05 * math.sin(step) for step in range(1, steps + 1)}
        wrong += abs(len(x) - len(set(x))) + len(set(expected) - set(x)) + len(set(x) - set(expected))
        wrong += sum(step in expected and abs(value - expected[step]) > 1e-9 for step, value in zip(x, y, strict=True))
    return wrong


def _percentiles(values: list[float]) -> tuple[float, float, float]:
    if not values:
        return math.nan, math.nan, math.nan
    ordered = sorted(values)
    return ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.95)], ordered[-1]


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
        chromium = next(child for child in psutil.Process().children(recursive=True) if "chrom" in child.name())
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
        _line_while_pages_work(process, [page])
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


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("latency", "metrics", "opening"))
    parser.add_argument("--seconds", type=float, default=15.0, help="how long each phase lasts")
    parser.add_argument(
        "--phases", nargs="*", default=["1+19", "0+20", "4+16", "20+0"], help="pages seen + pages hidden"
    )
    parser.add_argument(
        "--points", type=int, nargs="*", default=[20_000, 1_000_000], help="of the runs that are opened"
    )
    options = parser.parse_args()
    with serving() as served:
        if options.only in (None, "latency"):
            phases = [(int(seen), int(hidden)) for seen, hidden in (phase.split("+") for phase in options.phases)]
            _print_latency(watching(served, phases, seconds=options.seconds))
        if options.only in (None, "metrics"):
            _print_scrolling([scrolling(served, count) for count in (50, 1000)])
        if options.only in (None, "opening"):
            for count in options.points:
                fill(served.url, f"run-{count}", count)
            with browsing() as browser:
                rows = {
                    count: [time_to_chart(browser, served.url, f"run-{count}") for _ in range(3)]
                    for count in options.points
                }
            print("| points of the run | files fetched, ms | files in the cache, ms |\n|---:|---:|---:|")
            for count, found in rows.items():
                print(f"| {count:,} | {min(one.cold for one in found):,.0f} | {min(one.warm for one in found):,.0f} |")


def _print_latency(rows: list[Latency]) -> None:
    print("| pages | p50 ms | p95 ms | worst ms | points seen | server, cores | browser, cores |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for row in rows:
        times = " | ".join("–" if math.isnan(one) else f"{one:,.0f}" for one in (row.p50, row.p95, row.worst))
        print(f"| {row.pages} | {times} | {row.points:,} | {row.server_core:.3f} | {row.browser_core:.3f} |")


def _print_scrolling(rows: list[Scrolling]) -> None:
    print(
        "| metrics | frame p50 ms | frame p95 ms | charts drawn at the end | browser, cores |\n|---:|---:|---:|---:|---:|"
    )
    for row in rows:
        print(f"| {row.metrics:,} | {row.frame_p50:.0f} | {row.frame_p95:.0f} | {row.drawn} | {row.browser_core:.2f} |")


if __name__ == "__main__":
    main()
