"""The map of the pages. A page is a module with `PATH`, `TITLE`, `layout(services, query, **params)` and `register(app, services)`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import ModuleType

from dashboard.ui.pages import alerts, compare, launch, rule, rules, run, runs


@dataclass(frozen=True, slots=True)
class Page:
    """One page: `pattern` is matched against the whole path; its named groups become arguments of `layout`."""

    pattern: re.Pattern[str]
    title: str
    module: ModuleType


def _page(module: ModuleType) -> Page:
    pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]{1,200})", module.PATH)
    return Page(re.compile(pattern), module.TITLE, module)


PAGES: tuple[Page, ...] = tuple(_page(module) for module in (runs, run, compare, launch, alerts, rules, rule))


def find(pathname: str) -> tuple[Page | None, dict[str, str]]:
    """The page at that path with the parameters in it, or None."""
    path = pathname.rstrip("/") or "/"
    for page in PAGES:
        match = page.pattern.fullmatch(path)
        if match:
            return page, match.groupdict()
    return None, {}
