"""A real store on a SQLite file and a real hub, for tests of what stands around them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dashboard.live import Hub
from dashboard.store import Store


class Clock:
    """Time that passes when a test says so. Seconds since 1970."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def pass_(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still until it is told to go on."""
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[Store]:
    """A real store on a new SQLite file."""
    store = Store.open(tmp_path / "runwell.db", clock)
    yield store
    store.close()


@pytest.fixture
def hub() -> Hub:
    """A hub that nobody watches."""
    return Hub()
