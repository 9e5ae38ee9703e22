"""What a run of the SDK has written to its files, read back as the server reads it."""

from __future__ import annotations

from typing import Any

from runwell.frames import decode_frames
from runwell.run import Run


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
