"""What servers on one PostgreSQL tell each other: what is new, and which of them judges a run. A SQLite file has one server.

News travel by LISTEN/NOTIFY, in the transaction that stores what they are of: they come after it, in its order, or not at all.
Judging is claimed by an advisory lock of a session of its own, which PostgreSQL lets go when the server that held it is gone.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Literal, Protocol, cast

import sqlalchemy as sa

from dashboard.errors import StoreError

Kind = Literal["events", "older", "findings", "run", "decision"]
"""`events` were stored; `older` are events of a writer from before a rewind; `findings` were replaced; a `run` changed its state;
a person's `decision` about a finding."""

SURE_SECONDS = 1.0
"""How long a claim is trusted before it is looked at again: the database may have been restarted meanwhile."""

# A machine that vanishes says no goodbye: PostgreSQL asks after it, or its claims would stand for hours.
_WATCH_US = "SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3"
_TELL = sa.select(sa.func.pg_notify(sa.bindparam("channel"), sa.bindparam("payload")))
_NUMBER = sa.func.hashtextextended(sa.bindparam("name"), 0)
_TAKE = sa.select(sa.func.pg_try_advisory_lock(_NUMBER))
_LEAVE = sa.select(sa.func.pg_advisory_unlock(_NUMBER))


@dataclass(frozen=True, slots=True)
class News:
    """What another server stored: of events, their first and last arrival number."""

    kind: Kind
    run_id: str
    first: int = 0
    last: int = 0


class Peers(Protocol):
    """The other servers on one database. Thread-safe, but for `hear`, which one thread calls."""

    alone: bool
    """Whether there can be none."""

    def tell(self, connection: sa.Connection, news: News) -> None:
        """Tell them, if and when the transaction of this connection is committed."""

    def hear(self, seconds: float) -> list[News]:
        """What they told since the last call, after at most so many seconds. After a StoreError something may be missing."""

    def take(self, run_id: str) -> bool:
        """Claim the judging of a run; False while another server holds it. Raises StoreError."""

    def leave(self, run_id: str) -> None:
        """Let others judge a run."""

    def close(self) -> None:
        """Let go of everything."""


class Alone:
    """No other servers."""

    alone = True

    def tell(self, connection: sa.Connection, news: News) -> None:
        """Nobody is there."""

    def hear(self, seconds: float) -> list[News]:
        """Nothing, at once."""
        return []

    def take(self, run_id: str) -> bool:
        """Nobody else can."""
        return True

    def leave(self, run_id: str) -> None:
        """Nobody waits for it."""

    def close(self) -> None:
        """Nothing is held."""


class OnPostgres:
    """Servers on one schema of a PostgreSQL database."""

    alone = False

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        with _said_plainly(), engine.connect() as connection:
            schema = connection.scalar(sa.select(sa.func.current_schema()))
        self._channel = f"runwell_{hashlib.sha256(str(schema).encode()).hexdigest()[:16]}"
        self._own = secrets.token_hex(6)
        self._listening: sa.Connection | None = None
        # Everything below is guarded by the lock.
        self._lock = threading.Lock()
        self._claiming: sa.Connection | None = None
        self._claimed: set[str] = set()
        self._sure_until = 0.0

    def tell(self, connection: sa.Connection, news: News) -> None:
        """Tell them, if and when the transaction of this connection is committed."""
        payload = f"{self._own} {news.kind} {news.run_id} {news.first} {news.last}"
        connection.execute(_TELL, {"channel": self._channel, "payload": payload})

    def hear(self, seconds: float) -> list[News]:
        """What they told since the last call, after at most so many seconds. After a StoreError something may be missing."""
        try:
            with _said_plainly():
                if self._listening is None:
                    self._listening = self._connection()
                    self._listening.exec_driver_sql(f"LISTEN {self._channel}")
                driver: Any = self._listening.connection.dbapi_connection  # psycopg's own
                with _as_database_error(self._listening):
                    told = [notice.payload.split(" ") for notice in driver.notifies(timeout=seconds, stop_after=1)]
        except StoreError:
            _drop(self._listening)
            self._listening = None
            raise
        return [
            News(cast(Kind, kind), run_id, int(first), int(last))
            for server, kind, run_id, first, last in told
            if server != self._own
        ]

    def take(self, run_id: str) -> bool:
        """Claim the judging of a run; False while another server holds it. Raises StoreError."""
        with self._lock, self._sure():
            if run_id in self._claimed and time.monotonic() < self._sure_until:
                return True
            if self._claiming is None:
                self._claiming = self._connection()
                self._claiming.exec_driver_sql(_WATCH_US)
            if run_id in self._claimed:
                self._claiming.scalar(sa.select(1))
            elif self._claiming.scalar(_TAKE, {"name": self._claim(run_id)}):
                self._claimed.add(run_id)
            self._sure_until = time.monotonic() + SURE_SECONDS
            return run_id in self._claimed

    def leave(self, run_id: str) -> None:
        """Let others judge a run."""
        with self._lock, suppress(StoreError), self._sure():
            if self._claiming is not None and run_id in self._claimed:
                self._claimed.discard(run_id)
                self._claiming.scalar(_LEAVE, {"name": self._claim(run_id)})

    def close(self) -> None:
        """Let go of everything."""
        with self._lock:
            self._lose_claims()
        _drop(self._listening)
        self._listening = None

    def _claim(self, run_id: str) -> str:
        return f"{self._channel} judges {run_id}"

    @contextmanager
    def _sure(self) -> Iterator[None]:
        """A session that failed holds nothing any more."""
        try:
            with _said_plainly():
                yield
        except StoreError:
            self._lose_claims()
            raise

    def _lose_claims(self) -> None:
        _drop(self._claiming)
        self._claiming = None
        self._claimed.clear()
        self._sure_until = 0.0

    def _connection(self) -> sa.Connection:
        """A session that is kept, outside of any transaction."""
        connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        connection.detach()  # it is closed, not given back with its locks and its ears
        return connection


def peers_of(engine: sa.Engine) -> Peers:
    """Who else may be on this database."""
    return OnPostgres(engine) if engine.dialect.name == "postgresql" else Alone()


def _drop(connection: sa.Connection | None) -> None:
    if connection is not None:
        with suppress(sa.exc.SQLAlchemyError):
            connection.close()


@contextmanager
def _as_database_error(connection: sa.Connection) -> Iterator[None]:
    """The driver's own errors as SQLAlchemy says them: here it is asked without SQLAlchemy."""
    driver_error = connection.dialect.loaded_dbapi.Error
    try:
        yield
    except driver_error as error:
        raise sa.exc.DBAPIError(None, None, error) from error


@contextmanager
def _said_plainly() -> Iterator[None]:
    try:
        yield
    except sa.exc.DBAPIError as error:
        raise StoreError(f"the database cannot be asked about other servers just now: {error.orig}") from error
