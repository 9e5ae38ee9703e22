"""Where a writer's segments get their room: its folder, within the bound of all spools, or memory where it cannot be written.

It says when room runs short, each cause once. What lies in a segment it does not know.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from runwell import segment as segments
from runwell.folder import LOCK, META, SPARE, remove_folder, try_lock, write_json
from runwell.notice import Warn
from runwell.segment import SEGMENT_BYTES, Segment
from runwell.wire import Event, dumps

MEMORY_BYTES = 16 * 1024 * 1024
"""How much is kept in memory when the folder cannot be written."""
NEARLY_FULL, NO_LONGER_FULL = 0.8, 0.6
"""Shares of the bound from which on a spool is told to be nearly full, and below which it may be told again."""


class Room:
    """The folder of one writer under the spool's `root`, and its lock, held while the writer lives.

    `limit_bytes` bounds all folders together; `meta` is written to `writer.json`.
    """

    def __init__(self, root: Path, folder: Path, limit_bytes: int, meta: Mapping[str, Any], warn: Warn) -> None:
        self.folder = folder
        self.others_bytes = 0
        """What other writers hold of the bound; the sender refreshes it."""
        self._root, self._limit, self._meta, self._warn = root, limit_bytes, meta, warn
        self._descriptor: int | None = None
        self.open()

    def open(self) -> None:
        """Make the folder and take its lock, unless that is done. Where it could not be, there may be room by now."""
        if self._descriptor is not None:
            return
        descriptor = None
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = try_lock(self.folder / LOCK)
            write_json(self.folder / META, dumps(self._meta))
            self._descriptor = descriptor
        except OSError as error:
            if descriptor is not None:
                remove_folder(self.folder)
                os.close(descriptor)
            self.say_unwritable(error)

    def close(self, *, keep: bool) -> None:
        """Let go of the lock; without `keep`, remove the folder first."""
        if self._descriptor is not None:
            if not keep:
                remove_folder(self.folder)
            os.close(self._descriptor)
            self._descriptor = None

    def percent_full(self, held: Sequence[Segment]) -> int:
        """How full the whole spool folder is, all runs together; `held` are the writer's own segments."""
        return round(100 * (self.others_bytes + _bytes(held, on_disk=True)) / self._limit)

    def take(self, held: Sequence[Segment], *, reserve: bool = False) -> Segment | None:
        """An empty segment beside those `held`, or None when there is no room; with `reserve`, there always is."""
        used = self.others_bytes + _bytes(held, on_disk=True) + SEGMENT_BYTES
        if used > self._limit and not reserve:
            self._warn(
                "spool full",
                f"the spool in {self._root} is full ({self._limit // 2**20} MiB, RUNWELL_SPOOL_MIB): new records are dropped "
                "and counted until the server has taken older ones; start the server or run `runwell sync`",
            )
            return None
        if used > NEARLY_FULL * self._limit:
            self._warn(
                "spool nearly full",
                f"the spool in {self._root} is {used / self._limit:.0%} full; when it is full, new records are dropped: "
                "start the server, or raise RUNWELL_SPOOL_MIB",
            )
        if self._descriptor is not None:
            try:
                # it is named by its first record once that is known
                return segments.create(self.folder / f"{SPARE}-{os.urandom(4).hex()}")
            except OSError as error:
                self.say_unwritable(error)
        return self._in_memory(held, reserve)

    def say_unwritable(self, error: OSError) -> None:
        """Say that records go to memory, and what that means for them."""
        self._warn(
            "spool unwritable",
            f"the spool folder {self.folder} cannot be written ({error.strerror or error}): records are kept in memory, at "
            f"most {MEMORY_BYTES // 2**20} MiB, and sent from there; what is not sent is lost if the process is killed",
        )

    def _in_memory(self, held: Sequence[Segment], reserve: bool) -> Segment | None:
        if _bytes(held, on_disk=False) + SEGMENT_BYTES > MEMORY_BYTES and not reserve:
            self._warn(
                "memory full",
                f"{MEMORY_BYTES // 2**20} MiB of records wait in memory and no more are taken: new records are dropped and "
                "counted until the server has taken older ones",
            )
            return None
        return segments.create(None)


def _bytes(held: Sequence[Segment], *, on_disk: bool) -> int:
    # a copy: the training thread and the sender's add to the list and replace it
    return sum(segment.size for segment in list(held) if (segment.path is not None) is on_disk)


def fullness_alert(percent: int) -> Event:
    """The alert that the spool is nearly full."""
    text = (
        "The server does not take records as fast as they come. When the spool is full, new records are "
        "dropped and counted: see to the server, or raise RUNWELL_SPOOL_MIB."
    )
    return _alert(f"the spool is {percent}% full", text, spool_percent=percent)


def drops_alert(count: int) -> Event:
    """The alert that so many records were given up."""
    text = "The spool was full (RUNWELL_SPOOL_MIB) and the server did not take records in time."
    return _alert(f"{count:,} records were dropped", text, dropped=count)


def _alert(title: str, text: str, **more: int) -> Event:
    return {"type": "alert", "time": time.time(), "title": title, "text": text, "level": "warning", **more}
