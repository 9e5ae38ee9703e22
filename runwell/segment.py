"""One piece of a spool: a fixed-size memory-mapped file of frames, or the same in plain memory when no file can be had.

What was copied into the mapping is in the page cache at once: it survives SIGKILL of the process without a system call.
This file knows how one segment is made, opened, read in slices and removed; which segments there are is the spool's.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from runwell.frames import HEADER, KEYS, BadFrames, decode_header, encode_header, scan

SEGMENT_BYTES = 1024 * 1024
"""Large enough for 14,000 records of six numbers, small enough that a short run wastes little."""
SUFFIX = ".seg"
SLICE_BYTES = 64 * 1024
_POPULATE_WRITE = 23
"""MADV_POPULATE_WRITE of Linux 5.14, which Python 3.11 has no name for."""


class Segment:
    """A run of frames. Bytes from 0 to `end` are committed; records `first_seq` up to, not including, `next_seq`."""

    __slots__ = ("_known", "end", "first_seq", "keys", "memory", "next_seq", "path")

    def __init__(self, memory: mmap.mmap, path: Path | None, first_seq: int) -> None:
        self.memory = memory
        self.path = path
        """None when it lies in memory only."""
        self.first_seq = first_seq
        self.next_seq = first_seq
        self.end = HEADER.size
        self.keys: list[tuple[int, bytes]] = []
        """(offset, whole frame) of each key set, in order."""
        self._known = (0, 0)

    @property
    def size(self) -> int:
        """Bytes reserved."""
        return len(self.memory)

    def begin(self, run_id: str, writer: str, first_seq: int) -> None:
        """Write the header of an empty segment."""
        self.memory[: HEADER.size] = encode_header(run_id, writer, first_seq)
        self.first_seq = self.next_seq = first_seq

    def touch(self) -> None:
        """Have every page in memory and ready to be written, where the system can: a first write to one costs 20 µs else.

        In slices, because the training thread waits for the interpreter meanwhile: half a millisecond at once is too long.
        """
        with contextlib.suppress(OSError, ValueError):  # an older kernel; or closed, because the run ended meanwhile
            for start in range(0, self.size if sys.platform == "linux" else 0, SLICE_BYTES):
                self.memory.madvise(_POPULATE_WRITE, start, min(SLICE_BYTES, self.size - start))

    def body(self, run_id: str, writer: str, wire_seq: int, intro: bytes, start: int, stop: int) -> bytes:
        """The bytes from `start` to `stop` as a wire body: own header, `intro` frames, and the key sets defined before."""
        keys = [frame for offset, frame in self.keys if offset < start]
        return b"".join((encode_header(run_id, writer, wire_seq), intro, *keys, self.memory[start:stop]))

    def position_of(self, seq: int) -> int:
        """Where record `seq` begins (`end` for `next_seq`). Quick for the place last remembered, else a walk."""
        if seq == self.next_seq:
            return self.end
        if seq == self._known[0]:
            return self._known[1]
        return next(start for number, start in self._records() if number == seq)

    def remember(self, seq: int, offset: int) -> None:
        """Note that record `seq` begins, or will begin, at `offset`."""
        self._known = (seq, offset)

    def _records(self) -> Iterator[tuple[int, int]]:
        seq = self.first_seq
        with memoryview(self.memory) as view, view[: self.end] as committed:
            for frame in scan(committed, torn=True):
                if frame.kind != KEYS:
                    yield seq, frame.start
                    seq += 1

    def close(self, *, keep: bool) -> None:
        """Let go of the memory; the file is cut to what was written, or removed."""
        try:
            self.memory.close()
            closed = True
        except BufferError:
            closed = False  # being read this moment: it is freed with that, and must not be cut under the reader
        if self.path is None:
            return
        with contextlib.suppress(OSError):
            if keep and not closed:
                return
            if keep:
                os.truncate(self.path, self.end)
            else:
                self.path.unlink()


def create(path: Path | None, size: int = SEGMENT_BYTES) -> Segment:
    """A new empty segment. Raises `OSError` when the file cannot be made or the disk has no room for all of it."""
    if path is None:
        return Segment(mmap.mmap(-1, size), None, 1)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o600)
    try:
        _reserve(descriptor, size)
        return Segment(mmap.mmap(descriptor, size), path, 1)
    except (OSError, ValueError) as error:
        path.unlink(missing_ok=True)
        raise OSError(getattr(error, "errno", None) or 5, getattr(error, "strerror", None) or str(error)) from None
    finally:
        os.close(descriptor)


def _reserve(descriptor: int, size: int) -> None:
    # A sparse file on a full disk would kill the training process with SIGBUS at some later write: take the room now.
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
        return
    zeros = bytes(1 << 16)
    for _ in range(0, size, len(zeros)):
        os.write(descriptor, zeros)
    os.truncate(descriptor, size)


def read(path: Path) -> Segment:
    """Open a segment that another process left behind. Raises `BadFrames` or `OSError`.

    Damage behind the header ends the segment there: everything before it is kept.
    """
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size < HEADER.size:
            raise BadFrames(f"{path} is too short to be a segment")
        memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    segment = Segment(memory, path, 1)
    with memoryview(memory) as view:
        segment.first_seq = segment.next_seq = decode_header(view).first_seq
        with contextlib.suppress(BadFrames):
            for frame in scan(view, torn=True):
                if frame.kind == KEYS:
                    segment.keys.append((frame.start, bytes(view[frame.start : frame.stop])))
                else:
                    segment.next_seq += 1
                segment.end = frame.stop
    return segment
