"""The reading side of a spool: wire bodies cut from its segments, for a writer that lives or one that is gone.

It copies bytes and counts frames; it decodes no record and knows nothing of the network.
"""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from runwell import segment as segments
from runwell.folder import ACK, LOCK, META, read_json, remove_folder, try_lock, write_json
from runwell.frames import BadFrames, encode_header
from runwell.notice import Warn
from runwell.segment import SUFFIX, Segment
from runwell.wire import check_run_id, check_writer, dumps


class Source(Protocol):
    """A spool as the sender sees it: alive (`Spool`) or left behind (`LeftSpool`)."""

    run_id: str
    writer: str
    folder: Path
    meta: dict[str, Any]
    lock: threading.RLock
    segments: list[Segment]
    dropped_total: int
    abandoned: bool
    """Whether its writer is gone, so that nothing will ever be added."""

    @property
    def percent_full(self) -> int:
        """How full the spool is; past 100 nothing more is taken."""

    @property
    def next_seq(self) -> int:
        """The sequence number after the last record."""

    def release(self, acked: int) -> None:
        """Remove the segments whose records the server all has."""


class Cut(NamedTuple):
    """A wire body with the records from the asked one up to, not including, `next_seq`."""

    body: bytes
    next_seq: int


class Hole(Exception):
    """The record asked for is not in the spool any more; `next_seq` is the first that is."""

    def __init__(self, next_seq: int) -> None:
        super().__init__(next_seq)
        self.next_seq = next_seq


def cut(source: Source, seq: int, *, writer: str, wire_seq: int, intro: bytes = b"", count: int | None = None) -> Cut:
    """The records from `seq` on, of one segment, at most `count` of them, as a wire body.

    `writer` and `wire_seq` go into its header; `intro` is put before the records. Raises `Hole` when `seq` is gone.
    """
    with source.lock:
        segment = _segment_of(source, seq)
        if segment is None:
            return Cut(encode_header(source.run_id, writer, wire_seq) + intro, seq)
        end, next_seq = segment.end, segment.next_seq
        start = segment.position_of(seq)
        if count is not None and seq + count < next_seq:
            end, next_seq = segment.position_of(seq + count), seq + count
        body = segment.body(source.run_id, writer, wire_seq, intro, start, end)
        segment.remember(next_seq, end)
    return Cut(body, next_seq)


def _segment_of(source: Source, seq: int) -> Segment | None:
    if seq >= source.next_seq:
        return None
    for segment in source.segments:
        if seq < segment.first_seq:
            raise Hole(segment.first_seq)
        if seq < segment.next_seq:
            return segment
    raise Hole(source.next_seq)


class LeftSpool:
    """The spool of a writer that is gone. Holding its lock, nobody else sends or removes it.

    It opens `ahead` segments at a time: a gigabyte that was left must not cost a gigabyte of reading at once.
    """

    abandoned = True

    def __init__(self, folder: Path, descriptor: int, warn: Warn, ahead: int = 1) -> None:
        self.folder = folder
        self.run_id, self.writer = check_run_id(folder.parent.name), check_writer(folder.name)
        self.meta = read_json(folder / META)
        self.lock = threading.RLock()
        self.segments: list[Segment] = []
        self.dropped_total = self.percent_full = 0
        self._descriptor, self._warn, self._ahead = descriptor, warn, ahead
        self._damaged = False
        self._paths = sorted(folder.glob(f"*{SUFFIX}"))
        self._next_seq = 1
        self._load()

    @property
    def next_seq(self) -> int:
        """The sequence number after the last record of the segments opened so far."""
        return self._next_seq

    def release(self, acked: int) -> None:
        """Remove the segments whose records the server all has, and open the next ones."""
        for segment in [segment for segment in self.segments if segment.next_seq <= acked + 1]:
            self.segments.remove(segment)
            segment.close(keep=False)
        self._load()

    def close(self, acked: int) -> None:
        """Let go of the folder; it is removed when the server has everything in it."""
        done = not self._paths and not self._damaged and self.next_seq <= acked + 1
        for segment in self.segments:
            segment.memory.close()
        self.segments = []
        if done:
            remove_folder(self.folder)
        os.close(self._descriptor)

    def forget(self) -> None:
        """In a forked child: let go of the lock without touching anything."""
        os.close(self._descriptor)

    def _load(self) -> None:
        while self._paths and len(self.segments) < self._ahead:
            path = self._paths.pop(0)
            try:
                segment = segments.read(path)
            except (BadFrames, OSError, ValueError) as error:
                self._damaged = True
                self._warn(f"damaged {path}", f"{path} cannot be read and is left where it is: {error}")
                continue
            self.segments.append(segment)
            self._next_seq = segment.next_seq


def open_left(folder: Path, warn: Warn, *, url: str | None = None, ahead: int = 1) -> LeftSpool | None:
    """The spool in `folder` if its writer is gone and nobody else is sending it, else None.

    With `url`, only a spool that was meant for that server.
    """
    if not (folder / META).is_file() or (url is not None and read_json(folder / META).get("url") != url):
        return None
    try:
        descriptor = try_lock(folder / LOCK)
    except OSError:
        return None
    if descriptor is None:
        return None
    try:
        # someone else may have sent and removed it between the two looks
        if (folder / META).is_file():
            return LeftSpool(folder, descriptor, warn, ahead)
    except ValueError as error:
        warn(f"folder {folder}", f"{folder} is not a writer's folder: {error}")
    os.close(descriptor)
    return None


def trouble_with(folder: Path) -> str:
    """Why this user cannot take what lies in a writer's folder; empty when he can, or when its writer lives."""
    try:
        descriptor = try_lock(folder / LOCK)
    except OSError as error:
        return str(error.strerror or error)
    if descriptor is not None:
        os.close(descriptor)
    return ""


def writer_folders(root: Path, run_id: str | None = None) -> list[Path]:
    """Every writer's folder under the spool's root, oldest run first."""
    return sorted(path.parent for path in root.glob(f"{run_id or '*'}/*/{META}"))


class Ack(NamedTuple):
    """How far a server has got: the last record it has, and under which name and origin the writer is known to it."""

    acked: int = 0
    alias: str = ""
    origin: int = 1


def load_ack(folder: Path) -> Ack:
    """What was last written by `save_ack`; the beginning when there is nothing sound."""
    value = read_json(folder / ACK)
    acked, alias, origin = value.get("acked"), value.get("alias"), value.get("origin")
    if isinstance(acked, int) and isinstance(alias, str) and isinstance(origin, int) and acked >= 0 and origin >= 1:
        return Ack(acked, alias, origin)
    return Ack()


def save_ack(folder: Path, ack: Ack) -> None:
    """Remember how far the server has got. A folder that cannot be written costs a resend later, nothing else."""
    with contextlib.suppress(OSError):
        if folder.is_dir():
            write_json(folder / ACK, dumps(ack._asdict()))
