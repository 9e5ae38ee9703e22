"""Brings a database to the schema of this version, with a copy of a SQLite file first. Knows no rows, only tables.

A new database is made from `tables.py` and stamped with the newest number. An older one is taken there by the numbered
steps of `MIGRATIONS`; a step is never edited once released. A database of a later version is refused, untouched.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from dashboard.errors import CorruptStore, NewerStore, StoreError
from dashboard.store.care import advice, copy_file
from dashboard.store.database import Database, sqlite_file
from dashboard.store.tables import deleted_writers, digests, metadata, newest_alerts, outlines, schema_version, writers


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered change of the schema. `apply` runs inside the transaction that also records it."""

    version: int
    note: str
    apply: Callable[[sa.Connection], None]


FIRST_VERSION = 1


def _add_pieces(connection: sa.Connection) -> None:
    for table in (outlines, digests):
        table.create(connection)


def _add_ends(connection: sa.Connection) -> None:
    for column in (writers.c.forked, writers.c.ended_at, writers.c.said):
        told = sa.schema.CreateColumn(column).compile(dialect=connection.dialect)
        connection.execute(sa.text(f"ALTER TABLE writers ADD COLUMN {told}"))


MIGRATIONS: tuple[Migration, ...] = (
    Migration(2, "summaries of blocks' pieces; blocks written before have none and are unpacked", _add_pieces),
    Migration(3, "who wrote runs that were deleted", deleted_writers.create),
    Migration(4, "the newest alerts of all runs are found by an index", newest_alerts.create),
    Migration(5, "what each writer says of its own end", _add_ends),
)
"""Steps from FIRST_VERSION on, in order: version 2, 3, …"""


def migrate(database: Database, now: float, migrations: Sequence[Migration] = MIGRATIONS) -> Path | None:
    """Create or upgrade the schema; the path of the backup when one was made.

    Raises NewerStore for a database of a later version, StoreError for a file that is no Runwell database.
    """
    newest = migrations[-1].version if migrations else FIRST_VERSION
    version = _version(database)
    if version is None:
        _create(database, newest, now)
        version = _version(database) or newest  # another server may have been quicker, and be of another version
    if version > newest:
        raise NewerStore(
            f"the store {database.engine.url.render_as_string(hide_password=True)} has schema {version}, and this version "
            f"of Runwell knows up to {newest}; install the newer Runwell, or start with another --home"
        )
    if version == newest:
        return None
    backup = _back_up(database, version)
    with database.write() as connection:
        _take_turn(connection)
        version = connection.scalar(_VERSION) or 0
        for migration in [migration for migration in migrations if migration.version > version]:
            migration.apply(connection)
            connection.execute(schema_version.insert().values(version=migration.version, applied_at=now))
    return backup


def _version(database: Database) -> int | None:
    """The schema's number; None for an empty database."""
    try:
        names = sa.inspect(database.engine).get_table_names()
    except sa.exc.OperationalError as error:
        said = " ".join(str(error.orig).split())
        raise StoreError(
            f"{database.engine.url.render_as_string(hide_password=True)} cannot be opened ({said}); see that it can be "
            f"reached, and that this user may write to it{' and to its folder' if sqlite_file(database.engine) else ''}"
        ) from error
    except sa.exc.DatabaseError as error:
        file = sqlite_file(database.engine)
        raise CorruptStore(
            f"{database.engine.url.render_as_string(hide_password=True)} cannot be read as a database ({error.orig})"
            f"{f'; {advice(file)}' if file else ''}"
        ) from error
    if not names:
        return None
    if schema_version.name not in names:
        raise StoreError(
            f"{database.engine.url.render_as_string(hide_password=True)} is a database, but not Runwell's; "
            "give another --home or RUNWELL_DATABASE_URL"
        )
    with database.read() as connection:
        version: int | None = connection.scalar(_VERSION)
    return version


_VERSION = sa.select(sa.func.max(schema_version.c.version))


def _take_turn(connection: sa.Connection) -> None:
    """Wait for another server that makes or changes the tables of this schema. SQLite has one writer anyway."""
    if connection.dialect.name == "postgresql":
        name = sa.literal("runwell schema ") + sa.func.current_schema()
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtextextended(name, 0))))


def _create(database: Database, version: int, now: float) -> None:
    with database.write() as connection:
        _take_turn(connection)
        if sa.inspect(connection).has_table(schema_version.name):
            return
        metadata.create_all(connection)
        connection.execute(schema_version.insert().values(version=version, applied_at=now))


def _back_up(database: Database, version: int) -> Path | None:
    """Copy a SQLite file beside itself through SQLite's own backup, which includes what is still in the log file."""
    source = sqlite_file(database.engine)
    if source is None:
        return None
    target = source.with_name(f"{source.name}.schema-{version}.backup")
    number = 1
    while target.exists():
        number += 1
        target = source.with_name(f"{source.name}.schema-{version}.backup-{number}")
    copy_file(source, target)
    return target
