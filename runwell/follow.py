"""A run log that is still being written: its events as they come. Whoever calls decides how long to wait and when to end.

Knows no clock: `wait` is called whenever everything that is there was given, and says whether to go on. A line or record
that is not whole yet is left until it is. Standard library only.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

from runwell.documents import begins_document, read_document
from runwell.logfolder import event_files
from runwell.runlog import GZIP, SNIFFED, Problem, UnreadableLog, encoding_of, read_events
from runwell.tfevents import EventFile, begins_event_file
from runwell.wire import Event

Wait = Callable[[], bool]
"""Called when nothing new is there; returns when it is time to look again, False to end."""

LEAST = 40
"""Bytes of the shortest beginning that tells an event file."""


class BeganAnew(Exception):
    """The file was replaced or cut: what follows is another log, to be read from its beginning."""


def follow_events(path: Path, wait: Wait, on_problem: Problem) -> Iterator[Event]:
    """The events of a file, or of a folder's event files, that are there and those that come, until `wait` says no.

    Raises `BeganAnew`, `UnreadableLog` when it ends and nothing could be read, and `OSError`.
    """
    while not _can_be_told(path):
        if not wait():
            return
    if path.is_dir():
        yield from _follow_event_files(lambda: event_files(path), wait, on_problem)
        return
    with path.open("rb") as file:
        head = file.read(SNIFFED)
    if head[: len(GZIP)] == GZIP:
        raise UnreadableLog(f"{path} is packed, so it cannot be followed; `runwell diagnose` reads it")
    if begins_event_file(head):
        yield from _follow_event_files(lambda: [path], wait, on_problem)
        return
    if encoding_of(head, str(path)) != "utf-8-sig":
        raise UnreadableLog(f"{path} is UTF-16, so it cannot be followed; `runwell diagnose` reads it")
    lines = _follow_lines(path, wait)
    first = next((line for line in lines if line.strip()), "")
    if begins_document(first):
        yield from _follow_document(path, wait, on_problem)
    elif first:
        yield from read_events(chain((first,), lines), name=str(path), on_problem=on_problem)


def _can_be_told(path: Path) -> bool:
    """Whether enough is there to tell what kind of log it is."""
    if path.is_dir():
        return bool(event_files(path))
    try:
        with path.open("rb") as file:
            head = file.read(SNIFFED)
    except FileNotFoundError:
        return False
    return len(head) >= LEAST or b"\n" in head


def _follow_lines(path: Path, wait: Wait) -> Iterator[str]:
    with path.open("rb") as file:
        held = b""
        encoding = "utf-8-sig"
        while True:
            held += file.readline()
            if held.endswith(b"\n"):
                yield held.decode(encoding, "replace")
                held, encoding = b"", "utf-8"
                continue
            if _replaced(path, os.fstat(file.fileno()), file.tell()):
                raise BeganAnew
            if not wait():
                break
        if held:
            yield held.decode(encoding, "replace")


def _replaced(path: Path, opened: os.stat_result, offset: int) -> bool:
    try:
        now = path.stat()
    except FileNotFoundError:
        return False  # moved away: its successor is not there yet
    return (now.st_dev, now.st_ino) != (opened.st_dev, opened.st_ino) or now.st_size < offset


def _follow_document(path: Path, wait: Wait, on_problem: Problem) -> Iterator[Event]:
    """A document is written anew each time, so it is read anew; events that were given before are not given again."""
    given = 0
    while True:
        items = list(read_document(path.read_text("utf-8-sig", "replace"), str(path)))
        # Not to be read, or without rows: it is being written at this moment.
        if events := [item for item in items if not isinstance(item, str)]:
            if len(events) < given:
                raise BeganAnew
            yield from events[given:]
            given = len(events)
        if not wait():
            break
    if not given:
        for item in items:
            on_problem(str(item))
        raise UnreadableLog(f"{path} holds nothing that can be read")


def _follow_event_files(list_files: Callable[[], list[Path]], wait: Wait, on_problem: Problem) -> Iterator[Event]:
    readers: dict[Path, EventFile] = {}
    going = True
    while going:
        going = wait() if readers else True
        files = list_files()
        for path in files:
            reader = readers.setdefault(path, EventFile(str(path)))
            with path.open("rb") as file:
                if os.fstat(file.fileno()).st_size < reader.offset:
                    raise BeganAnew
                file.seek(reader.offset)
                # A later file means that this one's writer has ended: its newest step will get no more numbers.
                for item in reader.read(file, last=not going or path != files[-1]):
                    if isinstance(item, str):
                        on_problem(item)
                    else:
                        yield item
