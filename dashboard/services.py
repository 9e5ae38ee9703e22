"""The parts of a running server, handed as one value to pages and routes. No behaviour."""

from __future__ import annotations

from dataclasses import dataclass

from dashboard.collector import Collector
from dashboard.launcher import Launcher
from dashboard.live import Hub
from dashboard.relay import Relay
from dashboard.settings import Settings
from dashboard.store import Store
from dashboard.watcher import Watcher


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Everything that a page or a route may use."""

    settings: Settings
    store: Store
    hub: Hub
    watcher: Watcher
    launcher: Launcher
    collector: Collector
    relay: Relay
