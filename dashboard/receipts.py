"""What arrived of a run and what did not: gaps, lag, doubles and drops of each writer. `Reports` keeps what senders say.

The store knows what it has; only the sender knows what it has not sent yet, and says so beside each batch. What senders
say is kept in memory alone: after a restart of the server it is there again with the next batch or heartbeat.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from dashboard.deliveries import Delivery
from dashboard.records import WriterRecord
from dashboard.writers import is_servers_own
from runwell.report import Report
from runwell.wire import SDK_WRITER

MAX_REPORTS = 20_000


class Seen(NamedTuple):
    """The last report of a writer, and how old the newest record of its batch was by the sender's own clock."""

    report: Report
    lag_seconds: float


class Reports:
    """The last report of each writer. Thread-safe, bounded."""

    def __init__(self) -> None:
        self._seen: OrderedDict[tuple[str, str], Seen] = OrderedDict()
        self._lock = threading.Lock()

    def note(self, run_id: str, batch: Delivery, report: Report, stored_through: int) -> None:
        """Take note of what came beside a batch that was stored up to `stored_through`; before its first when it was not."""
        kept = stored_through >= batch.first_seq
        newest = _newest_time(batch, report.now) if kept else batch.first_time(report.now)
        with self._lock:
            if report.written <= stored_through or not report.now:
                lag = 0.0
            else:
                lag = max(0.0, report.now - newest) if batch.count else self._aged(run_id, batch.writer, report)
            self._keep(run_id, batch.writer, Seen(report, lag))

    def note_unread(self, run_id: str, report: Report) -> None:
        """Take note of what came beside a batch that was turned away unread, of a writer that says its name."""
        with self._lock:
            if report.writer and (run_id, report.writer) in self._seen:
                self._keep(run_id, report.writer, Seen(report, self._aged(run_id, report.writer, report)))

    def _aged(self, run_id: str, writer: str, report: Report) -> float:
        """How old what waits may be: no older than when its sender was last heard, and what waited then has aged since."""
        last = self._seen.get((run_id, writer))
        if last is None:
            return 0.0
        news = report.written > last.report.written or last.lag_seconds > 0
        return last.lag_seconds + max(0.0, report.now - last.report.now) if news else 0.0

    def _keep(self, run_id: str, writer: str, seen: Seen) -> None:
        self._seen[run_id, writer] = seen
        self._seen.move_to_end((run_id, writer))
        while len(self._seen) > MAX_REPORTS:
            self._seen.popitem(last=False)

    def of(self, run_id: str, writers: Iterable[str]) -> dict[str, Seen]:
        """What was last said by these writers of a run; nothing of those that said nothing since this server began."""
        with self._lock:
            return {name: seen for name in writers if (seen := self._seen.get((run_id, name))) is not None}


def _newest_time(batch: Delivery, otherwise: float) -> float:
    times = [float(table.times[-1]) for table in batch.tables if len(table)]
    times += [event["time"] for _, event in batch.others if "time" in event]
    return max(times, default=otherwise)


@dataclass(frozen=True, kw_only=True, slots=True)
class WriterReceipt:
    """The receipt of one writer. All but `stored` are zero when everything is well."""

    writer: str
    stored: int
    """Records that are stored, or were refused by name."""
    missing: int
    """Records that lie between those that are stored and were never seen here."""
    behind: int
    """Records that its sender still holds."""
    lag_seconds: float
    """How old the newest stored record was when it came, while others waited behind it."""
    duplicates: int
    """Records that came again (an answer was lost, a server restarted); they are stored once."""
    refused: int
    dropped: int
    """Records that a full spool had to give up."""
    spool_percent: int
    last_contact_at: float | None
    ended_at: float | None
    """When it said its end; None while it goes on, or when it vanished."""


def receipts(writers: Sequence[WriterRecord], seen: Mapping[str, Seen]) -> list[WriterReceipt]:
    """One receipt for each writer that is not the server itself."""
    missing = _missing(writers)
    return [
        _receipt(writer, missing.get(writer.name, 0), seen.get(writer.name))
        for writer in writers
        if not is_servers_own(writer.name)
    ]


def _receipt(writer: WriterRecord, missing: int, seen: Seen | None) -> WriterReceipt:
    report = seen.report if seen is not None else Report(writer.stored_through)
    behind = max(0, report.written - writer.stored_through)
    return WriterReceipt(
        writer=writer.name, stored=writer.stored_through, missing=missing, behind=behind,
        lag_seconds=seen.lag_seconds if seen is not None and behind else 0.0, duplicates=writer.duplicates,
        refused=writer.refused, dropped=report.dropped, spool_percent=report.spool_percent,
        last_contact_at=writer.last_contact_at, ended_at=writer.ended_at,
    )  # fmt: skip


def _missing(writers: Sequence[WriterRecord]) -> dict[str, int]:
    """By writer: how many records before its first are nowhere. A writer begins anew when the server lacks what came
    before and the machine has it no more; the number in its name is that of its first record."""
    through: dict[str, int] = {}
    found: dict[str, int] = {}
    known = [(match, writer) for writer in writers if (match := SDK_WRITER.fullmatch(writer.name))]
    for match, writer in sorted(known, key=lambda one: int(one[0][2] or 1)):
        base, origin = match[1], int(match[2] or 1)
        found[writer.name] = max(0, origin - 1 - through.get(base, 0))
        # under such a name, record 1 only introduces the run again
        own = writer.stored_through - (1 if match[2] else 0)
        through[base] = max(through.get(base, 0), origin - 1 + max(0, own))
    return found
