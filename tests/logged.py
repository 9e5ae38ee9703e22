"""What a run or a spool of the SDK has written to its files, read back as the server reads it."""

from __future__ import annotations

from typing import Any

from runwell.frames import decode_frames
from runwell.run import Run
from runwell.spool import Spool
from runwell.wire import Event


def stored(run: Run) -> list[dict[str, Any]]:
    """Everything in the run's files; none of it may be refused."""
    events = []
    for path in sorted((run._environment.spool / run.id).glob("*/*.seg")):
        found = decode_frames(path.read_bytes(), torn=True)
        assert found.refused == (), found.refused
        events.extend(found.batch.events)
    return events


def points(run: Run) -> list[dict[str, Any]]:
    """Its metrics records, without their times."""
    return [
        {name: value for name, value in event.items() if name not in ("type", "time")}
        for event in stored(run)
        if event["type"] == "metrics"
    ]


def on_disk(spool: Spool) -> list[Event]:
    """What a reader finds in the files alone, each read by itself, as after a SIGKILL."""
    events: list[Event] = []
    for path in sorted(spool.folder.glob("*.seg")):
        found = decode_frames(path.read_bytes(), torn=True)
        assert found.batch.first_seq == len(events) + 1
        assert found.refused == ()
        events.extend(found.batch.events)
    return events


def fill(spool: Spool, count: int, start: int = 0) -> None:
    """Write so many records of one number, at the steps from `start` on."""
    for step in range(start, start + count):
        spool.metrics({"a": 1.0}, step, 0.0)
