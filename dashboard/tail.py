"""Stores what dead or living workers left in files: their output as log lines, their spool as events. Exactly once.

Files in, batches out; what a batch then does is the business of `Ingest` (the store's append, and telling who listens).
Decides nothing about a run's state.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from dashboard.deliveries import Delivery
from dashboard.errors import DashboardError, SequenceGap
from dashboard.frames import decode_delivery
from dashboard.output import Cursor, events_of, next_end, read_range
from dashboard.records import Receipt
from dashboard.workers import WorkerFolder
from dashboard.writers import LIFE_WRITER, OUTPUT_WRITER
from runwell.frames import HEADER, BadFrames, decode_header
from runwell.wire import Batch

log = logging.getLogger(__name__)


class Ingest(Protocol):
    """Stores a batch of a run and tells everyone who waits for it; `alive` as `Store.append` says. Raises `SequenceGap`."""

    def __call__(self, run_id: str, batch: Batch | Delivery, *, alive: bool | None = None) -> Receipt:
        """What became of it."""


MAX_RANGES = 20
"""Ranges of output stored in one go, so that one chatty worker cannot keep the others waiting."""


def store_output(run_id: str, folder: WorkerFolder, ingest: Ingest, now: float, *, dead: bool) -> bool:
    """Store new output. `dead`: nothing more will come, so a last line without its newline counts too.

    True when everything that is there has been stored. `now` is seconds since 1970.
    """
    if folder.cursor.end > folder.cursor.start:
        _store_range(run_id, folder, ingest, now)  # perhaps for the second time: duplicates are known by number
    for _ in range(MAX_RANGES):
        done = folder.cursor
        end = next_end(folder.output, done.end, to_the_end=dead)
        if end <= done.end:
            return True
        folder.intend(Cursor(done.first_seq, done.end, end))
        _store_range(run_id, folder, ingest, now)
    return False


def _store_range(run_id: str, folder: WorkerFolder, ingest: Ingest, now: float) -> None:
    cursor = folder.cursor
    events = tuple(events_of(read_range(folder.output, cursor.start, cursor.end), now))
    first_seq = cursor.first_seq
    if events:
        try:
            ingest(run_id, Batch(OUTPUT_WRITER, first_seq, events))
        except SequenceGap as gap:
            # The store is older than the folder (restored from a backup): go on where it stands.
            first_seq = gap.expected_seq
            ingest(run_id, Batch(OUTPUT_WRITER, first_seq, events))
    folder.stored(Cursor(first_seq + len(events), cursor.end, cursor.end))


def append_last(run_id: str, event: dict[str, Any], ingest: Ingest, writer: str = LIFE_WRITER) -> Receipt:
    """Append one event of the server's own to the run's record. A writer belongs to one thread."""
    # Asking for a number far ahead makes the store say which one is next: no counter to keep beside it.
    try:
        return ingest(run_id, Batch(writer, 2**52, (event,)))
    except SequenceGap as gap:
        return ingest(run_id, Batch(writer, gap.expected_seq, (event,)))


def store_spool(run_id: str, spool: Path, ingest: Ingest) -> int:
    """Store what dead writers left in `spool/<run>`: every whole record of every segment. The number newly stored.

    The files stay: the SDK, which owns them, sends them again some day, is told that they are known, and removes them.
    A file that cannot be read costs only itself, and is named in the server's log.
    """
    stored = 0
    for writer in sorted(path for path in _children(spool / run_id) if path.is_dir()):
        if _renumbered(writer):
            # The SDK goes on under another name and other numbers here; only it knows which, so it must send them.
            log.warning("run %s: %s waits for `runwell sync`", run_id, writer)
            continue
        for found in _segments(run_id, writer):
            try:
                stored += ingest(run_id, found, alive=False).stored
            except DashboardError as error:
                log.warning("run %s: the spool of writer %s was not taken up: %s", run_id, writer.name, error)
                break
    return stored


def _segments(run_id: str, folder: Path) -> Iterator[Delivery]:
    """What lies in a writer's segments, oldest first, each read when it is asked for: a full spool is a gigabyte."""
    for _, path in sorted(_first_seqs(run_id, folder)):
        try:
            found = decode_delivery(path.read_bytes(), time.time(), torn=True)[1]
        except (OSError, BadFrames) as error:
            log.warning("run %s: %s cannot be read: %s", run_id, path, error)
            continue
        if found.count:
            yield found


def _first_seqs(run_id: str, folder: Path) -> Iterator[tuple[int, Path]]:
    """The segments of the run, each with the number of its first record."""
    for path in _children(folder):
        try:
            with path.open("rb") as file:
                head = file.read(HEADER.size)
            if not head.startswith(b"RWF"):
                continue  # the writer's lock or its own notes
            header = decode_header(head)
        except (OSError, BadFrames) as error:
            log.warning("run %s: %s cannot be read: %s", run_id, path, error)
            continue
        if header.run_id == run_id:
            yield header.first_seq, path


def _renumbered(writer: Path) -> bool:
    try:
        value = json.loads((writer / "ack.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(value, dict) and bool(value.get("alias"))


def _children(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []
