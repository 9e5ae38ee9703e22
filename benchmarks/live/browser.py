"""A headless Chromium that looks at runs, and what it costs."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from typing import Any

import psutil

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or "chromium"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update",
             "--disable-sync", "--disable-background-timer-throttling"]  # fmt: skip

HIDDEN = """
  Object.defineProperty(document, 'hidden', { configurable: true, get: () => window.rwHidden === true });
  Object.defineProperty(document, 'visibilityState', { configurable: true, get: () => window.rwHidden ? 'hidden' : 'visible' });
  window.rwShow = (shown) => { window.rwHidden = !shown; document.dispatchEvent(new Event('visibilitychange')); };
"""
"""A headless browser calls every tab visible; this is what a tab in the background looks like to the page."""


@contextlib.contextmanager
def browsing() -> Iterator[Any]:
    """A headless Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as machinery:
        browser = machinery.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


def open_run(browser: Any, url: str, run_id: str, page: Any = None) -> Any:
    """A window on the run, live. Of several tabs in one window a browser would draw only one."""
    page = page or browser.new_context(viewport={"width": 1400, "height": 900}).new_page()
    page.set_default_timeout(120_000)
    page.add_init_script(HIDDEN)
    page.goto(f"{url}/run/{run_id}")
    page.wait_for_selector(":root[data-live=live], :root[data-live=ended]")
    page.wait_for_selector(".rw-graph-large .js-plotly-plot .main-svg")
    return page


def browser_process() -> psutil.Process:
    """The browser that this process has started."""
    return next(child for child in psutil.Process().children(recursive=True) if "chrom" in child.name())


def cores(process: psutil.Process) -> float:
    """CPU seconds that a process and its children have used."""
    total = 0.0
    for one in [process, *process.children(recursive=True)]:
        with contextlib.suppress(psutil.Error):
            used = one.cpu_times()
            total += used.user + used.system
    return total


def line_while_pages_work(process: subprocess.Popen[str], pages: list[Any]) -> list[float]:
    """The logger's answer; playwright's own messages are read meanwhile, or the browser would wait for us."""
    answer: list[str] = []
    assert process.stdout
    reader = threading.Thread(target=lambda: answer.append(process.stdout.readline()), daemon=True)  # type: ignore[union-attr]
    reader.start()
    while reader.is_alive():
        pages[0].wait_for_timeout(200)
    return [float(moment) for moment in json.loads(answer[0])]
