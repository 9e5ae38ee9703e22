"""Trackio on this machine: its client writes into its own SQLite file twice a second; the page asks for 3,000 points a run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.peers.serving import free_port
from benchmarks.peers.tool import NAMES, Log, StepLog, no_server

PACKAGES = ("trackio",)
serving = no_server
_PAGE_POINTS = 3000


def begin(folder: Path, url: str) -> Log:
    """A new run in a store of its own."""
    _here(folder)
    import trackio  # type: ignore[import-not-found]

    run = trackio.init(project="bench", name="run", embed=False, auto_log_gpu=False, auto_log_cpu=False)
    return StepLog(run)


def kept(folder: Path, url: str) -> set[int]:
    """Steps of its log that have all series."""
    return {int(row["step"]) for row in _logs(folder, None) if all(name in row for name in NAMES)}


def drawn(folder: Path, url: str) -> list[float]:
    """What `get_logs_batch` gives its page."""
    return [row[NAMES[0]] for row in _logs(folder, _PAGE_POINTS) if NAMES[0] in row]


LINE = ".vega-embed canvas"


@contextmanager
def page(folder: Path, url: str, points: int) -> Iterator[str]:
    """The project's dashboard as `trackio.show` serves it, each chart a canvas of Vega."""
    _here(folder)
    import trackio

    app, address, _, _ = trackio.show("bench", open_browser=False, block_thread=False, server_port=free_port())
    try:
        yield f"{address}?project=bench"
    finally:
        app.close()


def _logs(folder: Path, points: int | None) -> list[dict[str, float]]:
    _here(folder)
    from trackio.sqlite_storage import SQLiteStorage  # type: ignore[import-not-found]

    found: list[dict[str, float]] = SQLiteStorage.get_logs("bench", "run", max_points=points, scalar_only=True)
    return found


def _here(folder: Path) -> None:
    """It reads these when it is imported."""
    os.environ |= {"TRACKIO_DIR": str(folder / "trackio"), "HF_HUB_OFFLINE": "1"}


def size(folder: Path) -> int:
    """All that lies in its folder."""
    return sum(path.stat().st_size for path in (folder / "trackio").rglob("*") if path.is_file())
