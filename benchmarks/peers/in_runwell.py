"""Ours: the SDK with its sender, and the real server over HTTP on a store of its own. What waits in the spool is sent first."""

from __future__ import annotations

import json
import os
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.peers.tool import NAMES, Log, StepLog
from benchmarks.soak.processes import Server, sync
from benchmarks.store import file_bytes
from dashboard.store import Store

PACKAGES: tuple[str, ...] = ()
_BUCKETS = 1000
_PATIENCE_SECONDS = 120.0


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The server as `runwell up` starts it."""
    server = Server(folder).start()
    try:
        yield server.url
    finally:
        server.stop()


def begin(folder: Path, url: str) -> Log:
    """A new run."""
    os.environ |= {"RUNWELL_HOME": str(_client(folder)), "RUNWELL_URL": url}
    import runwell

    return StepLog(runwell.init("bench"), timeout=_PATIENCE_SECONDS)


def kept(folder: Path, url: str) -> set[int]:
    """Steps of the store that have all series, once `runwell sync` has sent what a killed process left."""
    sync(_client(folder), url)
    store = Store.open(_database(folder))
    try:
        events = [event for _, event in store.replay(_run(url)) if event["type"] == "metrics"]
    finally:
        store.close()
    return {event["step"] for event in events if all(name in event for name in NAMES)}


def drawn(folder: Path, url: str) -> list[float]:
    """Both ends of every bucket, as the page asks for them."""
    query = urllib.parse.urlencode({"name": NAMES[0], "buckets": _BUCKETS})
    found = _get(f"{url}/api/v1/runs/{_run(url)}/series?{query}")
    return [*found["min"], *found["max"]]


LINE = ".rw-graph-large .scatterlayer path.js-line"


@contextmanager
def page(folder: Path, url: str, points: int) -> Iterator[str]:
    """The run's page; its large chart is an SVG of plotly."""
    yield f"{url}/run/{_run(url)}"


def _run(url: str) -> str:
    return str(_get(f"{url}/api/v1/runs")["runs"][0]["id"])


def _get(url: str) -> dict[str, list]:  # type: ignore[type-arg]
    with urllib.request.urlopen(url, timeout=60) as answer:
        return dict(json.loads(answer.read()))


def _client(folder: Path) -> Path:
    return folder / "client"


def _database(folder: Path) -> Path:
    return folder / "server" / "runwell.db"


def size(folder: Path) -> int:
    """The database, and what is left of the spool."""
    spool = sum(path.stat().st_size for path in _client(folder).rglob("*") if path.is_file())
    return file_bytes(_database(folder)) + spool
