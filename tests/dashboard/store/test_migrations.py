"""Schema changes: applied once, in order, with a copy first; what is not ours or newer than us is left alone."""

from __future__ import annotations

import sqlite3
import sys
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from dashboard.errors import NewerStore, StoreError
from dashboard.records import Ints
from dashboard.store import Store, packing
from dashboard.store import migrations as migrations_module
from dashboard.store.database import Database, open_engine
from dashboard.store.migrations import FIRST_VERSION, MIGRATIONS, Migration, migrate
from runwell.wire import Batch

NEWEST = MIGRATIONS[-1].version

ADD = Migration(
    NEWEST + 1, "a column", lambda c: c.execute(sa.text("ALTER TABLE runs ADD COLUMN colour TEXT")) and None
)
FAIL = Migration(
    NEWEST + 2, "a mistake", lambda c: c.execute(sa.text("ALTER TABLE nothing ADD COLUMN x TEXT")) and None
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
    backup = migrate(database, 5.0, (*MIGRATIONS, ADD))
    assert backup is not None and backup.exists() and "colour" in columns(old) and "colour" not in columns(backup)
    with closing(sqlite3.connect(backup)) as copy:
        assert copy.execute("SELECT id FROM runs").fetchall() == [("r1",)]
    assert migrate(database, 6.0, (*MIGRATIONS, ADD)) is None
    database.engine.dispose()


def too_early(seen: int | None) -> Callable[[Database], int | None]:
    """Reads the schema's number, and the first time what it was a moment before."""
    look, first = migrations_module._version, [seen]
    return lambda database: first.pop() if first else look(database)


def test_servers_that_start_at_once_make_and_change_the_tables_once(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    change = Migration(NEWEST + 1, "once", lambda _: steps.append("changed"))
    for migrations, seen in (MIGRATIONS, None), ((*MIGRATIONS, change), NEWEST):
        for _ in range(2):
            database = Database(open_engine(url))
            with monkeypatch.context() as racing:
                racing.setattr(migrations_module, "_version", too_early(seen))
                migrate(database, 5.0, migrations)
            assert migrations_module._version(database) == migrations[-1].version
            database.engine.dispose()
    assert steps == ["changed"]


def test_a_migration_that_fails_changes_nothing(old: Path) -> None:
    database = Database(open_engine(old))
    with pytest.raises(StoreError, match="nothing was changed"):
        migrate(database, 5.0, (*MIGRATIONS, ADD, FAIL))
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
        migrate(database, 5.0, (*MIGRATIONS, ADD, FAIL))
    return set(Path(database.engine.url.database or "").parent.glob("*.backup*"))


def test_blocks_of_schema_1_are_read_and_gain_what_new_ones_have(old: Path) -> None:
    """Its integers were compressed, and it had no summaries of pieces."""
    steps = [step + step % 3 for step in range(0, 8000, 2)]
    with closing(Store.open(old)) as store:
        events = [{"type": "metrics", "step": step, "time": step / 7, "a": float(step % 11)} for step in steps]
        store.append("r1", Batch("w", 1, ({"type": "run"}, *events[:2000])))
    with closing(sqlite3.connect(old)) as connection:
        key, count, arrivals, kept, times = connection.execute(
            "SELECT key, rows, arrivals, steps, times FROM blocks"
        ).fetchone()
        packed = [compressed(packing.unpack_integers(blob, count)) for blob in (arrivals, kept, times)]
        connection.execute("UPDATE blocks SET arrivals = ?, steps = ?, times = ? WHERE key = ?", (*packed, key))
        connection.executescript(
            "DROP TABLE deleted_writers; DROP TABLE digests; DROP TABLE outlines; DELETE FROM schema_version;"
        )
        connection.execute("DROP INDEX entries_newest_alerts")
        for added in ("forked", "ended_at", "said"):
            connection.execute(f"ALTER TABLE writers DROP COLUMN {added}")
        connection.execute("INSERT INTO schema_version VALUES (1, 0)")
        connection.commit()
    with closing(Store.open(old)) as store:
        assert store.backup is not None and store.backup.name.endswith("schema-1.backup")
        with closing(sqlite3.connect(old)) as connection:
            assert connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'entries_newest_alerts'").fetchone()
        store.append("r1", Batch("w", 2002, tuple(events[2000:])))
        assert store.series("r1", "a", buckets=4000).step.tolist() == sorted(steps)
        assert store.series("r1", "a", buckets=2).count.sum() == len(steps)
        assert [event["step"] for _, event in store.replay("r1") if event["type"] == "metrics"] == steps


def test_runs_of_schema_4_end_as_before_and_their_writers_end_from_here_on(url: str) -> None:
    with closing(Store.open(url)) as store:
        store.append("r1", Batch("w", 1, ({"type": "run"},)))
        with store._database.write() as connection:
            for added in ("forked", "ended_at", "said"):
                connection.execute(sa.text(f"ALTER TABLE writers DROP COLUMN {added}"))
            connection.execute(sa.text("DELETE FROM schema_version"))
            connection.execute(sa.text("INSERT INTO schema_version VALUES (4, 0)"))
    with closing(Store.open(url)) as store:
        (writer,) = store.writers("r1")
        assert (writer.forked, writer.ended_at, writer.said) == (False, None, {})
        store.append("r1", Batch("w", 2, ({"type": "state", "state": "finished"},)))
        (writer,) = store.writers("r1")
        assert store.run("r1").state == "finished" and writer.ended_at and writer.said["state"] == "finished"


def compressed(values: Ints) -> bytes:
    """As schema 1 packed integers."""
    differences = np.diff(values, prepend=np.int64(0))
    return b"z" + zlib.compress(differences.view(np.uint8).reshape(-1, 8).T.tobytes(), 1)


def test_a_newer_database_is_left_alone(old: Path) -> None:
    with closing(sqlite3.connect(old)) as connection:
        connection.execute("INSERT INTO schema_version VALUES (999, 0)")
        connection.commit()
    with pytest.raises(NewerStore, match="999"):
        Store.open(old)


def test_a_database_that_does_not_answer_is_one_sentence_without_its_password(tmp_path: Path) -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(
        StoreError, match=r"^postgresql://u:\*\*\*@[^\n]* cannot be opened \([^\n]*that this user may write to it$"
    ):
        Store.open("postgresql://u:secret@127.0.0.1:1/x")


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
