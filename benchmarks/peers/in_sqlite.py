"""The raw limit: one table in SQLite and nothing around it; no page, so nothing is drawn.

A call's commit survives the end of the process (`synchronous=NORMAL`), a pour's the machine's (`FULL`, 10,000 rows each).
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

from benchmarks.peers.tool import NAMES, Log, Row, no_server

PACKAGES: tuple[str, ...] = ()
serving = no_server
_ROWS = 10_000


class _Log:
    def __init__(self, path: Path) -> None:
        self.connection = sqlite3.connect(path)
        self.connection.execute("PRAGMA journal_mode=WAL")
        self.connection.execute("PRAGMA synchronous=NORMAL")
        columns = "series INTEGER, step INTEGER, time REAL, value REAL, PRIMARY KEY (series, step)"
        self.connection.execute(f"CREATE TABLE points ({columns}) WITHOUT ROWID")

    def log(self, values: dict[str, float], step: int) -> None:
        self._insert(_points([(step, values)]))

    def pour(self, rows: Iterable[Row]) -> None:
        self.connection.execute("PRAGMA synchronous=FULL")
        points = list(_points(rows))
        for start in range(0, len(points), _ROWS):
            self._insert(points[start : start + _ROWS])

    def finish(self) -> None:
        self.connection.close()

    def _insert(self, points: Iterable[tuple[int, int, float, float]]) -> None:
        self.connection.executemany("INSERT INTO points VALUES (?, ?, ?, ?)", points)
        self.connection.commit()


def _points(rows: Iterable[Row]) -> Iterator[tuple[int, int, float, float]]:
    now = time.time()
    return ((NAMES.index(name), step, now, value) for step, values in rows for name, value in values.items())


def begin(folder: Path, url: str) -> Log:
    """A new file."""
    return _Log(folder / "points.db")


def kept(folder: Path, url: str) -> set[int]:
    """Steps with six rows."""
    with closing(sqlite3.connect(folder / "points.db")) as connection:
        return {step for (step,) in connection.execute("SELECT step FROM points GROUP BY step HAVING count(*) = 6")}


drawn = page = None
LINE = ""


def size(folder: Path) -> int:
    """The file; the last connection has taken the write-ahead log in."""
    return (folder / "points.db").stat().st_size
