"""Opens a database and begins its transactions. Nothing here knows what is stored.

SQLite runs in WAL mode: readers never wait for the writer. `synchronous=FULL`, because an answer to a batch is a
promise: the sender deletes its copy on it. NORMAL survives a killed server as well, but a power cut could take back
the last seconds that were already acknowledged. FULL costs one flush a batch, and batches are few.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from dashboard.errors import CorruptStore, StoreError
from dashboard.store import care

BUSY_MILLISECONDS = 10_000


def open_engine(url_or_path: str | Path) -> sa.Engine:
    """An engine for `sqlite:///file`, `postgresql://…` or a plain path to a SQLite file (its folder is made)."""
    url = _url(str(url_or_path))
    backend = url.get_backend_name()
    if backend == "sqlite":
        if not url.database or url.database == ":memory:":
            raise StoreError("a store in memory is not supported; give a file, such as sqlite:////path/runwell.db")
        try:
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"the folder of {url.database} cannot be made: {error.strerror}") from error
        engine = sa.create_engine(url, pool_size=8, max_overflow=32)
        sa.event.listen(engine, "connect", _prepare_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
        return engine
    if backend == "postgresql":
        try:
            return sa.create_engine(url, pool_pre_ping=True, pool_size=8, max_overflow=32)
        except ImportError as error:
            raise StoreError(
                f"a store on postgresql needs a driver that is not installed ({error}): pip install psycopg[binary]"
            ) from None
    raise StoreError(f"a store on {backend!r} is not supported; use sqlite:///file or postgresql://user@host/name")


def _url(text: str) -> sa.URL:
    if "://" not in text:
        return sa.URL.create("sqlite", database=text)
    try:
        return sa.make_url(text)
    except (sa.exc.ArgumentError, ValueError):
        # Not shown: it may hold a password.
        raise StoreError(
            "the database URL cannot be read; it takes sqlite:////path/file.db or postgresql://user@host/name (RUNWELL_DATABASE_URL)"
        ) from None


def sqlite_file(engine: sa.Engine) -> Path | None:
    """The database's file, or None when it is not SQLite."""
    return Path(engine.url.database) if engine.dialect.name == "sqlite" and engine.url.database else None


def _prepare_sqlite(connection: sqlite3.Connection, _: Any) -> None:
    connection.isolation_level = None  # transactions are begun by _begin_sqlite, not guessed by the driver
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout={BUSY_MILLISECONDS}",
        "auto_vacuum=INCREMENTAL",  # of a new file: what is deleted can be given back to the disk
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "temp_store=MEMORY",
        "cache_size=-16000",
        "journal_size_limit=67108864",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    # A writer takes its lock at once: a read that becomes a write can fail in the middle, and busy_timeout cannot help it.
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


class Database:
    """Transactions on one engine. Thread-safe; writes of this process take turns instead of waiting on the file's lock."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        self._writing = RLock()

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """One read transaction: everything in it sees the same moment. Raises StoreError when the database fails."""
        with self._said_plainly(), self._for_reading() as connection, connection.begin():
            yield connection

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """One write transaction: committed when the block ends, undone when it raises. Raises StoreError."""
        with self._said_plainly(), self._writing, self._for_writing() as connection, connection.begin():
            yield connection

    def _for_reading(self) -> sa.Connection:
        connection = self.engine.connect()
        # Blocks are merged by writers meanwhile; SQLite's readers see one moment by themselves.
        return (
            connection.execution_options(isolation_level="REPEATABLE READ")
            if self.engine.dialect.name == "postgresql"
            else connection
        )

    def _for_writing(self) -> sa.Connection:
        return self.engine.connect().execution_options(writes=True)

    @contextmanager
    def _said_plainly(self) -> Iterator[None]:
        """A database that is locked, full, read-only or damaged becomes one sentence; our own mistakes stay what they are."""
        try:
            yield
        except sa.exc.TimeoutError as error:
            raise StoreError("more is asked of the database than it has connections for; ask again") from error
        except sa.exc.DatabaseError as error:
            if type(error) not in (sa.exc.DatabaseError, sa.exc.OperationalError, sa.exc.InternalError):
                raise
            where = self.engine.url.render_as_string(hide_password=True)
            file = sqlite_file(self.engine)
            if file and getattr(error.orig, "sqlite_errorname", "").startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
                raise CorruptStore(f"the database {where} is damaged ({error.orig}); {care.advice(file)}") from error
            raise StoreError(
                f"the database {where} cannot be used just now: {error.orig}; nothing was changed"
            ) from error


def insert_ignore(connection: sa.Connection, table: sa.Table, *rows: dict[str, Any]) -> None:
    """Insert the rows whose keys are new, in order."""
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    connection.execute(insert(table).on_conflict_do_nothing(), list(rows))


def upsert(
    connection: sa.Connection,
    table: sa.Table,
    key: tuple[str, ...],
    rows: list[dict[str, Any]],
    keep: tuple[str, ...] = (),
) -> None:
    """Insert rows or replace those with the same key, leaving the columns named in `keep` as they are."""
    if not rows:
        return
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = insert(table)
    changed = {name: statement.excluded[name] for name in rows[0] if name not in key and name not in keep}
    connection.execute(statement.on_conflict_do_update(index_elements=list(key), set_=changed), rows)
