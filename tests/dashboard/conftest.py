"""A real store on a SQLite file and a real hub, for tests of what stands around them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from dashboard.live import Hub
from dashboard.store import Store
from tests.postgres import postgres


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


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL server for all tests."""
    with postgres() as url:
        yield url


@pytest.fixture
def empty_postgres(postgres_url: str) -> str:
    """A URL of a schema of its own on it: a database of its own would take ten times as long."""
    server = sa.make_url(postgres_url)
    name = f"test_{len(_made)}"
    _made.append(name)
    engine = sa.create_engine(server)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE SCHEMA {name}")
    engine.dispose()
    return server.update_query_dict({"options": f"-csearch_path={name}"}).render_as_string(hide_password=False)


_made: list[str] = []


@pytest.fixture
def hub() -> Hub:
    """A hub that nobody watches."""
    return Hub()
