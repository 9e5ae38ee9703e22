"""Schema changes: applied once, in order, with a copy first; what is not ours or newer than us is left alone."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from dashboard.errors import NewerStore, StoreError
from dashboard.store import Store
from dashboard.store.database import Database, open_engine
from dashboard.store.migrations import FIRST_VERSION, MIGRATIONS, Migration, migrate

ADD = Migration(
    FIRST_VERSION + 1, "a column", lambda c: c.execute(sa.text("ALTER TABLE runs ADD COLUMN colour TEXT")) and None
)
FAIL = Migration(
    FIRST_VERSION + 2, "a mistake", lambda c: c.execute(sa.text("ALTER TABLE nothing ADD COLUMN x TEXT")) and None
)


def columns(path: Path) -> set[str]:
    with closing(sqlite3.connect(path)) as connection:
        return {row[1] for row in connection.execute("PRAGMA table_info(runs)")}


@pytest.fixture
def old(path: Path) -> Path:
    store = Store.open(path)
    store.create_run("r1", name="kept")
    store.close()
    return path


def test_numbers_follow_each_other() -> None:
    assert [m.version for m in MIGRATIONS] == list(range(FIRST_VERSION + 1, FIRST_VERSION + 1 + len(MIGRATIONS)))


def test_a_migration_is_applied_once_after_a_backup(old: Path) -> None:
    database = Database(open_engine(old))
    backup = migrate(database, 5.0, (ADD,))
    assert backup is not None and backup.exists() and "colour" in columns(old) and "colour" not in columns(backup)
    with closing(sqlite3.connect(backup)) as copy:
        assert copy.execute("SELECT id FROM runs").fetchall() == [("r1",)]
    assert migrate(database, 6.0, (ADD,)) is None
    database.engine.dispose()


def test_a_migration_that_fails_changes_nothing(old: Path) -> None:
    database = Database(open_engine(old))
    with pytest.raises(StoreError, match="nothing was changed"):
        migrate(database, 5.0, (ADD, FAIL))
    database.engine.dispose()
    assert "colour" not in columns(old)
    with closing(Store.open(old)) as store:
        assert store.run("r1").name == "kept"


def test_a_second_backup_does_not_overwrite_the_first(old: Path) -> None:
    database = Database(open_engine(old))
    first = migrate_and_fail(database)
    second = migrate_and_fail(database)
    assert first and second and first < second
    database.engine.dispose()


def migrate_and_fail(database: Database) -> set[Path]:
    with pytest.raises(StoreError):
        migrate(database, 5.0, (ADD, FAIL))
    return set(Path(database.engine.url.database or "").parent.glob("*.backup*"))


def test_a_newer_database_is_left_alone(old: Path) -> None:
    with closing(sqlite3.connect(old)) as connection:
        connection.execute("INSERT INTO schema_version VALUES (999, 0)")
        connection.commit()
    with pytest.raises(NewerStore, match="999"):
        Store.open(old)


def test_a_foreign_database_is_left_alone(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE somebody_elses (x)")
        connection.commit()
    with pytest.raises(StoreError, match="not Runwell's"):
        Store.open(path)


def test_a_file_that_is_no_database_is_said_to_be(path: Path) -> None:
    path.write_bytes(b"this is a text, and a long one at that. " * 200)
    with pytest.raises(StoreError, match="cannot be read as a database"):
        Store.open(path)
    assert path.read_bytes().startswith(b"this is a text")


@pytest.mark.parametrize("url", ["sqlite://", "mysql://host/name", "sqlite:///:memory:"])
def test_other_databases_are_refused(url: str) -> None:
    with pytest.raises(StoreError, match="not supported"):
        Store.open(url)


@pytest.mark.parametrize("url", ["://", "postgresql://u:s3cr3t@host:port/x", "s3cr3t://"])
def test_a_url_that_is_none_is_one_sentence_without_its_password(url: str) -> None:
    with pytest.raises(StoreError) as caught:
        Store.open(url)
    assert "the database URL cannot be read; it takes sqlite:////path/file.db" in str(
        caught.value
    ) or "not supported" in str(caught.value)
    assert "s3cr3t@" not in str(caught.value) and caught.value.__cause__ is None


def test_a_missing_driver_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StoreError, match=r"needs a driver that is not installed .*pip install psycopg"):
        open_engine("postgresql://u:s3cr3t@127.0.0.1:1/x")


def test_opening_again_finds_everything(old: Path) -> None:
    with closing(Store.open(f"sqlite:///{old}")) as store:
        assert store.run("r1").name == "kept" and store.backup is None
