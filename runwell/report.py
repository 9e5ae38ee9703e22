"""What a sender says of itself beside each batch, in one header: so that a run's page can tell how far behind it is. Pure.

    Runwell-Sender: written=1201, dropped=0, spool=3, now=1764187000.125, alive=1, writer=w-0123456789ab

`written` is the number of the writer's newest record, sent or not; `dropped` counts what a full spool had to give up;
`spool` is how full it is, in percent; `now` is the sender's own clock, so that its lag needs no clock but its own;
`alive` is 0 for what a writer that is gone left behind: somebody else sends it, and it is no sign of life; `writer` is the
name that the batch bears, for a server that has no time to read the batch.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from runwell.wire import RUN_ID

HEADER = "Runwell-Sender"
_MOST = 2**53


class Report(NamedTuple):
    """One such header."""

    written: int
    dropped: int = 0
    spool_percent: int = 0
    now: float = 0.0
    """Seconds since 1970 by the sender's clock; filled in as the header is sent."""
    alive: bool | None = None
    """Whether it is the writer itself that sends; None when that is not said."""
    writer: str = ""
    """Empty when that is not said."""


def encode(report: Report) -> str:
    """The header's value."""
    alive = "" if report.alive is None else f", alive={report.alive:d}"
    writer = f", writer={report.writer}" if report.writer else ""
    return (
        f"written={report.written}, dropped={report.dropped}, spool={report.spool_percent}, now={report.now:.3f}"
        + alive
        + writer
    )


def decode(text: str) -> Report | None:
    """The report in a header's value; None for anything else, because a batch is worth more than its report."""
    found = dict(part.strip().partition("=")[::2] for part in text[:200].split(","))
    try:
        report = Report(
            int(found["written"]),
            int(found.get("dropped", 0)),
            int(found.get("spool", 0)),
            float(found.get("now", 0)),
            {"0": False, "1": True}.get(found.get("alive", "")),
            name if RUN_ID.fullmatch(name := found.get("writer", "")) else "",
        )
    except (KeyError, ValueError):
        return None
    counts = (report.written, report.dropped, report.spool_percent)
    sound = all(0 <= count <= _MOST for count in counts) and math.isfinite(report.now)
    return report if sound else None
