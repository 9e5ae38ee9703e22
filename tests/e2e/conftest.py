"""A real browser for the pages: tabs that are watched for console errors and for requests to other hosts."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update",
             "--disable-sync"]  # fmt: skip
LIMIT_MS = 60_000
LOST = ("net::ERR_", "WebSocket", "Failed to fetch", "did not respond")
"""What the console says of a server that is away."""


class Watched:
    """A tab whose console errors and requests are kept. `allow_lost_server` forgives those of a server that is away."""

    def __init__(self, tab: Any, url: str) -> None:
        self.tab, self.url = tab, url
        self.errors: list[str] = []
        self.foreign: list[str] = []
        self.requests: list[str] = []
        self.allow_lost_server = False
        tab.on("console", lambda message: message.type == "error" and self._complain(message.text))
        tab.on("pageerror", lambda error: self._complain(str(error)))
        tab.on("request", lambda request: self._asked(request.url))

    def _complain(self, text: str) -> None:
        if not (self.allow_lost_server and any(words in text for words in LOST)):
            self.errors.append(text)

    def _asked(self, address: str) -> None:
        self.requests.append(address)
        own = (self.url, self.url.replace("http", "ws", 1), "data:", "blob:")
        if not address.startswith(own):
            self.foreign.append(address)

    def open(self, path: str) -> Any:
        """Go to a page and wait until it is there and live."""
        self.tab.goto(self.url + path)
        self.tab.wait_for_selector("#page > *")
        self.tab.wait_for_selector(":root[data-live=live], :root[data-live=ended]")
        return self.tab

    def check(self) -> None:
        """Nothing went wrong in the console, and nobody else was asked for anything."""
        assert self.errors == []
        assert self.foreign == []


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.fail("no Chromium: apt-get install -y --no-install-recommends chromium fonts-dejavu-core")
    with sync_playwright() as machinery:
        browser = machinery.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: Any, server: Any) -> Iterator[Callable[..., Watched]]:
    """Opens watched tabs of the width and colour scheme asked for; all are checked at the end."""
    opened: list[Watched] = []

    def visit(width: int = 1400, scheme: str = "light") -> Watched:
        context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        context.set_default_timeout(LIMIT_MS)
        opened.append(Watched(context.new_page(), server.url))
        return opened[-1]

    yield visit
    for watched in opened:
        watched.check()
        watched.tab.context.close()
