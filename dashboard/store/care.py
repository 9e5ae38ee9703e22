"""Care of a SQLite file: copies while it is in use, whether it is whole, and space that is free given back to the disk.

Nothing here knows what is stored. For PostgreSQL its own tools do this (pg_dump, autovacuum).
"""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path

from dashboard.errors import CorruptStore, StoreError

BACKUPS = "backups"
"""Folder beside the database in which `runwell backup` puts its copies when it is told no file."""

_PAGES_AT_ONCE = 4096  # of a clean-up, between which writers have their turn
_WAIT_SECONDS = 10.0


def back_up(source: Path, target: Path) -> Path:
    """Copy the database as it is at one moment, while it is in use; the copy is checked before it gets its name.

    Raises StoreError, and leaves nothing half-written under that name.
    """
    if target.exists():
        raise StoreError(f"{target} exists; a backup never writes over a file, give another name")
    partial = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial.unlink(missing_ok=True)
        copy_file(source, partial)
        damage = damage_of(partial)
        if damage:
            raise CorruptStore(f"the copy of {source} is damaged ({damage}), so the database is; {advice(source)}")
        _give_name(partial, target)
    except (OSError, sqlite3.Error) as error:
        said = getattr(error, "strerror", None) or error
        raise StoreError(f"{target} cannot be written: {said}; nothing was changed") from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
    return target


def _give_name(partial: Path, target: Path) -> None:
    """Give a whole copy its name, unless somebody else made that file meanwhile."""
    try:
        os.link(partial, target)
    except FileExistsError:
        raise
    except OSError:  # a stick or a network folder that knows no second names
        if target.exists():
            raise
        partial.rename(target)


def copy_file(source: Path, target: Path) -> None:
    """SQLite's own backup: it includes what is still in the write-ahead log, and the copy needs no log of its own."""
    with closing(_read_only(source)) as old, closing(sqlite3.connect(target)) as copy:
        old.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE")


def _read_only(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)


def default_target(source: Path, now: float) -> Path:
    """Where a backup goes that is told no file."""
    return source.parent / BACKUPS / time.strftime("runwell-%Y%m%d-%H%M%S.db", time.gmtime(now))


def newest_backup(source: Path) -> Path | None:
    """The newest copy that lies where Runwell puts copies: made by `runwell backup`, or before a migration."""
    found = [*source.parent.glob(f"{source.name}.*backup*"), *(source.parent / BACKUPS).glob("*.db")]
    return max(found, key=lambda path: path.stat().st_mtime, default=None)


def advice(source: Path) -> str:
    """What to do about a damaged database."""
    backup = newest_backup(source)
    if backup is None:
        return (
            "there is no backup; stop the server, move the file away, and run `sqlite3 FILE .recover` on it to save what can "
            "be read"
        )
    return (
        f"the newest backup is {backup}: stop the server, move {source.name} and its -wal and -shm files away, and copy the "
        f"backup to {source}; writers send again what they still have"
    )


def damage_of(path: Path, seconds: float | None = None) -> str:
    """What SQLite finds wrong with a file; empty when it is whole, or when looking took longer than `seconds`."""
    deadline = None if seconds is None else time.monotonic() + seconds
    try:
        with closing(_read_only(path)) as connection:
            if deadline is not None:
                connection.set_progress_handler(lambda: time.monotonic() > deadline, 100_000)
            said = [row[0] for row in connection.execute("PRAGMA quick_check(1)")]
    except sqlite3.OperationalError as error:
        return "" if str(error) == "interrupted" else str(error)
    except sqlite3.DatabaseError as error:
        return str(error)
    return "" if said == ["ok"] else " ".join(said).replace("\n", " ")[:200]


def give_back_space(path: Path) -> None:
    """Shrink the file by the pages that are free, a slice at a time, so that writers wait for none of it long."""
    with closing(sqlite3.connect(path, timeout=_WAIT_SECONDS, isolation_level=None)) as connection:
        run = connection.execute
        if run("PRAGMA auto_vacuum").fetchone() != (2,):
            run("PRAGMA auto_vacuum = INCREMENTAL")  # a file of schema 1: it takes one VACUUM to become such
            run("VACUUM")
        while run("PRAGMA freelist_count").fetchone() != (0,):
            run(f"PRAGMA incremental_vacuum({_PAGES_AT_ONCE})").fetchall()
        run("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
