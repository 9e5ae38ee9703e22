"""Makes `docs/run.png`, the README's picture: a recorded run that overfits, imported and opened in a real browser.

    .venv/bin/python docs/picture.py

Everything happens in a folder of its own; it wants Chromium and the test tools (`make test` brings both).
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parent.parent
LOG = ROOT / "benchmarks/zoo/logs/tune/long-overfits-00.jsonl.gz"
NAME, PROJECT = "small text, many epochs", "tiny"
SIZE = {"width": 1400, "height": 1000}
PATIENCE_SECONDS = 120.0


def _runwell(*arguments: str, home: Path) -> list[str]:
    return [sys.executable, "-P", "-m", "runwell.cli", *arguments, "--home", str(home)]


def _import(home: Path) -> str:
    command = _runwell("import", str(LOG), "--name", NAME, "--project", PROJECT, home=home)
    said = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    found = re.search(r"run (\S+),", said)
    if found is None:
        raise SystemExit(f"runwell import said no run: {said}")
    return found[1]


@contextmanager
def _server(home: Path) -> Iterator[str]:
    """A server on that home and a free port, for as long as the block runs."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = _runwell("up", "--port", str(port), "--no-first-run", home=home)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RUNWELL_")}
    server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    try:
        _await(f"http://127.0.0.1:{port}")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def _await(url: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            urllib.request.urlopen(f"{url}/api/v1/health", timeout=5).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def _photograph(address: str, target: Path) -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as machinery:
        browser = machinery.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport=SIZE, color_scheme="light")
        page.goto(address)
        page.wait_for_function("() => document.querySelectorAll('.rw-run .js-plotly-plot .main-svg').length >= 4")
        page.wait_for_selector(":root[data-live=ended]")
        page.screenshot(path=target)
        browser.close()


def main() -> None:
    """Import, serve, photograph."""
    target = ROOT / "docs/run.png"
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        run = _import(home)
        with _server(home) as url:
            _photograph(f"{url}/run/{run}", target)
    print(f"wrote {target.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
