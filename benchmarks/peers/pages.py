"""From the address of a tracker's own page to its first chart with the line on it: a real browser, a run of many points.

The run is filled and served under the tracker's interpreter (`driver NAME --show POINTS`), which says where its page is and
what that draws its lines with; the browser is the one that Runwell's own pages are measured in. Knows no tracker.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.ending import group
from benchmarks.live.browser import ARGUMENTS, CHROMIUM
from benchmarks.peers.tool import spikes_in

ROOT = Path(__file__).parents[2]
POINTS = (20_000, 1_000_000)
TIMES = 3
PATIENCE_SECONDS, END_SECONDS = 120.0, 60.0
OFFLINE = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
"""Whatever a page wants from elsewhere it is refused at once, so that none waits for a network."""
WINDOW = {"width": 1400, "height": 900}

DRAWN = """
(selector) => {
  const columns = 256;
  const sheet = new OffscreenCanvas(columns, 1).getContext('2d', { willReadFrequently: true });
  const path = (line) => {
    const frame = line.ownerSVGElement.getBoundingClientRect(), own = line.getBoundingClientRect();
    return own.width >= frame.width / 2 && own.height >= frame.height / 10;
  };
  const canvas = (drawing) => {
    const height = Math.min(drawing.height, 600);
    if (!drawing.width || !height) return false;
    sheet.canvas.height = height;
    sheet.imageSmoothingEnabled = false;
    sheet.drawImage(drawing, 0, 0, columns, height);
    const { data } = sheet.getImageData(0, 0, columns, height);
    const inked = new Uint8Array(columns);
    for (let at = 0; at < data.length; at += 4) {
      const red = data[at], green = data[at + 1], blue = data[at + 2];
      if (data[at + 3] > 64 && Math.max(red, green, blue) - Math.min(red, green, blue) > 30) inked[(at / 4) % columns] = 1;
    }
    return inked.reduce((sum, one) => sum + one) >= columns / 2;
  };
  return [...document.querySelectorAll(selector)].some((part) => (part.tagName === 'CANVAS' ? canvas : path)(part));
}
"""
"""Whether the series is drawn. An SVG's path counts when it is at least half as wide and a tenth as high as its chart (an axis
has no height), a canvas when at least half of its columns hold ink in a colour: axes, grids and words are grey.
"""

LOOK = """
(drawn, selector) => {
  const look = () => requestAnimationFrame(
    drawn(selector) ? () => { window.benchDrawn = performance.now(); } : look);
  requestAnimationFrame(look);
}
"""
"""Asks in every frame; the clock runs from the start of the navigation to the frame after the one with the line."""


def charts(name: str, python: str, scale: float) -> list[dict[str, Any]]:
    """For each length of a run what `chart` says."""
    return [chart(name, python, max(1000, int(points * scale))) for points in POINTS]


def chart(name: str, python: str, points: int) -> dict[str, Any]:
    """Milliseconds of a new browser (`first`) and with the files in its cache (`again`), and how many spikes the page was given.

    `{}` for a tool without a page; `{"late": seconds}` when no line was there by then; `{"unfilled": seconds}` when the tool
    had not taken the points in by then; `{"failed": why}`.
    """
    try:
        with shown(name, python, points) as told:
            if "unfilled" in told or not told["address"]:
                return {key: told[key] for key in ("unfilled",) if key in told}
            return {"fill_seconds": told["fill_seconds"], **looks(told["address"], told["line"])}
    except (RuntimeError, OSError, ImportError, subprocess.TimeoutExpired) as error:
        return {"failed": str(error).strip().splitlines()[-1]}


@contextlib.contextmanager
def shown(name: str, python: str, points: int) -> Iterator[dict[str, Any]]:
    """A tracker's page over such a run: its address and its lines' selector. Raises RuntimeError, OSError."""
    command = [python, "-m", "benchmarks.peers.driver", name, "--show", str(points)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"}
    with group(command, cwd=ROOT, env=environment, stdin=subprocess.PIPE) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        told: dict[str, Any] = json.loads(line) if line else {"failed": process.communicate()[1] or "it ended at once"}
        if "failed" in told:
            raise RuntimeError(told["failed"])
        yield told
        process.communicate(timeout=END_SECONDS)  # its standard input ends, and so does it


def looks(address: str, line: str) -> dict[str, Any]:
    """The page opened in several new browsers, one after the other, and in each of them once more. Raises RuntimeError."""
    from playwright.sync_api import Error, sync_playwright

    found = []
    try:
        with sync_playwright() as machinery:
            for _ in range(TIMES):
                browser = machinery.chromium.launch(executable_path=CHROMIUM, args=[*ARGUMENTS, OFFLINE])
                try:
                    found.append(look(browser, address, line))
                finally:
                    browser.close()
                if "late" in found[-1]:
                    return found[-1]
    except Error as error:
        raise RuntimeError(str(error)) from error
    return {key: median(one[key] for one in found) for key in ("first", "again")} | {
        "spikes": min(one["spikes"] for one in found)
    }


def look(browser: Any, address: str, line: str) -> dict[str, Any]:
    """The page opened twice in one window of the browser. A second opening that is late is said to have taken the whole patience."""
    page = browser.new_context(viewport=WINDOW).new_page()
    page.add_init_script(f"({LOOK})({DRAWN}, {json.dumps(line)})")
    answers: list[Any] = []
    page.on(
        "response", lambda answer: answers.append(answer)
    )  # playwright marks what it is given, and a method cannot be marked
    first = drawn(page, address)
    if first is None:
        return {"late": PATIENCE_SECONDS}
    spikes = spikes_in(value for answer in list(answers) for value in numbers(body(answer)))
    page.goto("about:blank")
    again = drawn(page, address)
    return {"first": first, "again": 1000 * PATIENCE_SECONDS if again is None else again, "spikes": spikes}


def drawn(page: Any, address: str) -> float | None:
    """Milliseconds from navigation to the drawn chart; None when it takes longer than the patience."""
    from playwright.sync_api import TimeoutError as Late

    deadline = time.monotonic() + PATIENCE_SECONDS
    try:
        page.goto(address, wait_until="commit", timeout=1000 * PATIENCE_SECONDS)
        left = max(1.0, 1000 * (deadline - time.monotonic()))
        return float(page.wait_for_function("() => window.benchDrawn", timeout=left).json_value())
    except Late:
        return None


def body(answer: Any) -> Any:
    """What an answer of the tracker's server says in JSON; None for files and for what the browser did not keep."""
    from playwright.sync_api import Error

    if answer.request.resource_type not in ("fetch", "xhr"):
        return None
    try:
        return answer.json()
    except (Error, ValueError):
        return None


def numbers(told: Any, name: str = "") -> Iterator[float]:
    """Every number of an answer but for steps: they count up to where the spikes are."""
    if isinstance(told, dict):
        for key, value in told.items():
            yield from numbers(value, key)
    elif isinstance(told, list):
        for value in told:
            yield from numbers(value, name)
    elif isinstance(told, int | float) and name not in ("step", "x"):
        yield float(told)
