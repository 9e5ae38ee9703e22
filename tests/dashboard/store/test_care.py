"""Backups of a store in use, damage that is found and said, space that is given back."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dashboard.deliveries import Delivery, Table
from dashboard.errors import CorruptStore, StoreError
from dashboard.store import Store, care
from runwell.wire import Batch

pytestmark = pytest.mark.parametrize("url", ["sqlite"], indirect=True)


def fill(store: Store, run_id: str, rows: int = 20_000) -> None:
    rng = np.random.default_rng(7)
    table = Table(("a",), np.arange(rows), np.arange(rows), rng.random(rows), rng.random((rows, 1)))
    store.append(run_id, Batch("w", 1, ({"type": "run"},)))
    store.append(run_id, Delivery("w", 2, rows, (table,), ()))


def size(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path.stat().st_size


def damage(path: Path) -> None:
    """Overwrite the pages in the middle of the file, as a bad disk might."""
    size(path)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2 // 4096 * 4096
    content[middle : middle + 8 * 4096] = b"\xa5" * (8 * 4096)
    path.write_bytes(content)


def test_a_backup_of_a_store_in_use_is_whole(store: Store, tmp_path: Path) -> None:
    fill(store, "r1")
    ending = threading.Event()

    def go_on() -> None:
        seq = 1
        while not ending.is_set():
            store.append("r2", Batch("w", seq, ({"type": "run"}, {"type": "metrics", "step": seq, "b": 1.0})))
            seq += 2

    writer = threading.Thread(target=go_on)
    writer.start()
    target = store.back_up(tmp_path / "elsewhere" / "copy.db")
    ending.set()
    writer.join()
    assert target == tmp_path / "elsewhere" / "copy.db" and [path.name for path in target.parent.iterdir()] == [
        "copy.db"
    ]
    with closing(Store.open(target)) as copy:
        copy.check()
        assert (
            copy.series("r1", "a", buckets=10**5).last.tolist() == store.series("r1", "a", buckets=10**5).last.tolist()
        )
        for run in copy.runs():
            numbers = [number for number, _ in copy.replay(run.id)]
            assert numbers == list(range(1, len(numbers) + 1))


def test_a_backup_writes_over_nothing_and_says_what_is_in_the_way(store: Store, tmp_path: Path) -> None:
    target = store.back_up()
    assert target.parent == tmp_path / "backups"
    with pytest.raises(StoreError, match="exists; a backup never writes over a file"):
        store.back_up(target)
    with pytest.raises(StoreError, match=r"cannot be written: File exists"):
        store.back_up(target / "inside.db")


def test_a_backup_goes_where_a_file_can_have_but_one_name(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")  # as exFAT does

    fill(store, "r1", 10)
    monkeypatch.setattr("os.link", refuse)
    target = store.back_up(tmp_path / "stick" / "copy.db")
    assert [path.name for path in target.parent.iterdir()] == ["copy.db"]
    with closing(Store.open(target)) as copy:
        assert copy.series("r1", "a").count.sum() == 10


def test_a_damaged_file_is_said_with_its_newest_backup(store: Store, path: Path) -> None:
    fill(store, "r1")
    backup = store.back_up()
    store.check()
    store.close()
    damage(path)
    with closing(Store.open(path)) as opened:
        with pytest.raises(CorruptStore, match=f"is damaged .*the newest backup is {backup}: stop the server"):
            opened.check()
        with pytest.raises(CorruptStore, match=f"the newest backup is {backup}"):
            list(opened.replay("r1"))
        with pytest.raises(CorruptStore, match="so the database is"):
            opened.back_up(path.with_name("of-a-damaged-one.db"))
        assert not list(path.parent.glob("of-a-damaged-one*"))
    for other in path.parent.glob(f"{path.name}*"):
        other.unlink()
    path.write_bytes(backup.read_bytes())  # as the sentence says
    with closing(Store.open(path)) as restored:
        restored.check()
        assert restored.series("r1", "a", buckets=1).count.tolist() == [20_000]


def test_a_file_whose_tables_cannot_be_found_any_more_is_said_with_its_newest_backup(store: Store, path: Path) -> None:
    fill(store, "r1")
    backup = store.back_up()
    store.close()
    size(path)
    content = bytearray(path.read_bytes())
    for page in range(1, len(content) // 4096):
        content[page * 4096 : (page + 1) * 4096] = b"\xa5" * 4096
    path.write_bytes(content)
    with pytest.raises(CorruptStore, match=f"cannot be read as a database .*the newest backup is {backup}: stop the"):
        Store.open(path)


def test_without_a_backup_it_is_said_what_is_left(store: Store, path: Path) -> None:
    fill(store, "r1")
    store.close()
    damage(path)
    with closing(Store.open(path)) as opened, pytest.raises(CorruptStore, match=r"there is no backup; .*recover"):
        opened.check()


def test_a_look_that_takes_too_long_is_given_up(store: Store, path: Path) -> None:
    fill(store, "r1", 400_000)
    assert care.damage_of(path, seconds=-1.0) == ""


def test_deleted_runs_give_their_space_back(store: Store, path: Path) -> None:
    fill(store, "keep", 1000)
    before = size(path)
    fill(store, "go", 100_000)
    grown = size(path)
    assert grown > before + 800_000
    store.delete_run("go")
    store.give_back_space()
    assert path.stat().st_size < before + 20_000
    assert store.series("keep", "a", buckets=1).count.tolist() == [1000]
    store.check()


def test_a_file_made_before_space_could_be_given_back_learns_it(store: Store, path: Path, clock: Any) -> None:
    fill(store, "go", 50_000)
    store.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
        connection.execute("PRAGMA auto_vacuum=NONE")
        connection.execute("VACUUM")
        assert connection.execute("PRAGMA auto_vacuum").fetchone() == (0,)
    with closing(Store.open(path, clock)) as opened:
        opened.delete_run("go")
        opened.give_back_space()
    assert size(path) < 300_000


def test_a_folder_that_cannot_be_written_is_said(store: Store, tmp_path: Path) -> None:
    """A path below a file stands for a folder without permission, which root would have all the same."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"the folder of .*file/runwell\.db cannot be made: "):
        Store.open(tmp_path / "file" / "runwell.db")
    (tmp_path / "folder").mkdir()
    with pytest.raises(StoreError, match=r"folder cannot be opened \(unable to open database file\); see that"):
        Store.open(tmp_path / "folder")
