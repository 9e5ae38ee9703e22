"""A spool that is full, or cannot be written: what is kept, where, and what is said of it."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from runwell import room
from runwell import segment as segments
from runwell.folder import bytes_under, try_lock
from runwell.frames import decode_frames
from runwell.outbox import cut
from runwell.room import MEMORY_BYTES
from runwell.spool import Spool
from tests.logged import fill, on_disk

MakeSpool = Callable[..., Spool]


def test_a_full_spool_drops_the_newest_says_so_once_and_counts(make_spool: MakeSpool, said: list[str]) -> None:
    spool = make_spool(limit_mib=4)
    fill(spool, 150_000)
    kept = on_disk(spool)[1:]
    assert [event["step"] for event in kept] == list(range(len(kept))), "the oldest are kept"
    assert spool.dropped == 150_000 - len(kept) > 0
    assert bytes_under(spool.folder) <= 4 * 2**20 + 4096
    assert len(said) == 2
    assert "% full; when it is full, new records are dropped" in said[0]
    assert "is full (4 MiB, RUNWELL_SPOOL_MIB): new records are dropped and counted" in said[1]


def test_when_there_is_room_again_the_number_dropped_is_written_down(make_spool: MakeSpool) -> None:
    spool = make_spool(limit_mib=4)
    fill(spool, 150_000)
    dropped, acked = spool.dropped, spool.segments[1].next_seq - 1
    spool.report_drops()
    assert spool.dropped == dropped, "no room yet: the count is not forgotten"
    spool.release(acked)
    spool.prepare()
    spool.report_drops()
    fill(spool, 1, start=999_999)
    alert, point = decode_frames(sorted(spool.folder.glob("*.seg"))[-1].read_bytes(), torn=True).batch.events
    assert (
        alert["type"] == "alert"
        and alert["dropped"] == dropped
        and f"{dropped:,} records were dropped" in alert["title"]
    )
    assert alert["time"] > 1e9 and point["step"] == 999_999
    assert spool.dropped == 0


def test_last_words_fit_even_when_full(make_spool: MakeSpool) -> None:
    spool = make_spool(limit_mib=4)
    fill(spool, 150_000)
    spool.report_drops(reserve=True)
    spool.event({"type": "state", "state": "finished"}, reserve=True)
    assert [event["type"] for event in on_disk(spool)[-2:]] == ["alert", "state"]


def test_other_runs_count_towards_the_bound(make_spool: MakeSpool, said: list[str]) -> None:
    spool = make_spool(limit_mib=4)
    spool.room.others_bytes = 3 * 2**20
    fill(spool, 100_000)
    assert spool.dropped and "is full" in said[-1]


def test_a_folder_that_cannot_be_made(tmp_path: Path, make_spool: MakeSpool, said: list[str]) -> None:
    (tmp_path / "spool").write_text("a file where the folder should be")
    spool = make_spool()
    fill(spool, 10)
    assert spool.in_memory_after(0) == 11 and spool.in_memory_after(9) == 2
    assert len(said) == 1
    assert "cannot be written" in said[0] and "kept in memory, at most 16 MiB, and sent from there" in said[0]
    found = decode_frames(cut(spool, 1, writer="w-1", wire_seq=1).body)
    assert [event.get("step") for event in found.batch.events] == [None, *range(10)]


def test_memory_is_bounded_too(tmp_path: Path, make_spool: MakeSpool, said: list[str]) -> None:
    (tmp_path / "spool").write_text("a file where the folder should be")
    spool = make_spool()
    fill(spool, 600_000)
    assert spool.dropped
    assert len(spool.segments) == MEMORY_BYTES // segments.SEGMENT_BYTES
    assert "no more are taken" in said[-1]


def test_a_disk_that_fills_up_and_has_room_again(
    make_spool: MakeSpool, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = make_spool()
    real = os.posix_fallocate

    def no_room(*args: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", no_room)
    fill(spool, 60_000)
    in_memory = spool.in_memory_after(0)
    assert in_memory > 10_000 and "cannot be written (No space left on device): records are kept" in said[0]
    assert not list(spool.folder.glob("spare*")), "half-made files are removed"
    monkeypatch.setattr(os, "posix_fallocate", real)
    fill(spool, 60_000, start=60_000)
    assert spool.in_memory_after(0) < in_memory + 20_000 and spool.dropped == 0, "the newest lie on disk again"
    steps, seq = [], 2
    while seq < spool.next_seq:
        piece = cut(spool, seq, writer="w-1", wire_seq=seq)
        steps += [event["step"] for event in decode_frames(piece.body).batch.events]
        seq = piece.next_seq
    assert steps == list(range(120_000))


def test_a_folder_that_could_not_be_made_is_made_when_there_is_room(
    make_spool: MakeSpool, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full as the run begins: not even who the writer is can be written down."""
    open_files = psutil.Process().num_fds()

    def no_room(*args: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as full:
        full.setattr(room, "write_json", no_room)
        spool = make_spool()
        fill(spool, 5000)
        spool.prepare()
        assert not spool.folder.exists(), "nothing half-made is left"
        assert psutil.Process().num_fds() == open_files
    assert len(said) == 1 and "No space left on device" in said[0]
    for _ in range(2):
        fill(spool, 20_000)
        spool._spare = None
        spool.prepare()
    fill(spool, 20_000)
    assert spool.folder.is_dir() and spool._current.path is not None and try_lock(spool.folder / "lock") is None
    assert json.loads((spool.folder / "writer.json").read_text())["run_event"] == {"type": "run", "project": "p"}


def test_a_folder_that_is_removed_under_the_writer(make_spool: MakeSpool, said: list[str]) -> None:
    spool = make_spool()
    fill(spool, 10)
    shutil.rmtree(spool.folder)
    fill(spool, 60_000)
    assert spool.dropped == 0 and spool.next_seq == 60_012
    assert "cannot be written" in said[0] and "kept in memory" in said[0]


def test_a_spool_that_is_nearly_full_says_so_on_the_run_once(make_spool: MakeSpool) -> None:
    spool = make_spool(limit_mib=5)
    while spool.percent_full < 80:
        spool.metrics({f"n{number}": 1.0 for number in range(1000)}, 1, 0.0)
    spool.prepare()
    spool.prepare()
    told = [event for event in on_disk(spool) if event["type"] == "alert"]
    assert [event["title"] for event in told] == ["the spool is 80% full"]
    assert told[0]["time"] > 1e9, "when it was so, not when a server hears of it"
    spool.release(spool.next_seq - 2)
    assert spool.percent_full < 60
    spool.prepare()
    while spool.percent_full < 80:
        spool.metrics({f"n{number}": 1.0 for number in range(1000)}, 1, 0.0)
    spool.prepare()
    newest = decode_frames(sorted(spool.folder.glob("*.seg"))[-1].read_bytes(), torn=True).batch.events[-1]
    assert newest["type"] == "alert" and newest["spool_percent"] == 80
