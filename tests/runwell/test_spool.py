"""The spool: everything that was written can be read, nothing torn, bounded, and never silent about a loss."""

from __future__ import annotations

import errno
import json
import math
import mmap
import os
import resource
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from runwell import segment as segments
from runwell import spool as spool_module
from runwell.folder import bytes_under, read_json, remove_folder, try_lock
from runwell.frames import decode_frames
from runwell.outbox import Ack, Hole, LeftSpool, cut, load_ack, open_left, save_ack
from runwell.segment import Segment
from runwell.spool import Spool
from runwell.wire import BadEvent, Event

MakeSpool = Callable[..., Spool]


def on_disk(spool: Spool) -> list[Event]:
    """What a reader finds in the files alone, each read by itself, as after a SIGKILL."""
    events: list[Event] = []
    for path in sorted(spool.folder.glob("*.seg")):
        found = decode_frames(path.read_bytes(), torn=True)
        assert found.batch.first_seq == len(events) + 1
        assert found.refused == ()
        events.extend(found.batch.events)
    return events


def test_what_was_logged_is_in_the_file_when_the_call_returns(make_spool: MakeSpool) -> None:
    spool = make_spool()
    spool.metrics({"a": math.nan, "b": math.inf, "c": -math.inf, "d": -0.0}, 3, 1.5)
    spool.event({"type": "sample", "step": 3, "text": "hi", "x": math.nan})
    run, metrics, sample = on_disk(spool)
    assert run["type"] == "run"
    assert math.isnan(metrics.pop("a"))
    assert math.copysign(1, metrics["d"]) == -1
    assert metrics == {"type": "metrics", "step": 3, "time": 1.5, "b": math.inf, "c": -math.inf, "d": 0.0}
    assert sample == {"type": "sample", "step": 3, "text": "hi", "x": "NaN"}


def test_each_segment_is_readable_alone(make_spool: MakeSpool) -> None:
    spool = make_spool()
    for step in range(30_000):
        spool.metrics({"a": step, "b": 2.0} if step % 3 else {"c": step}, step, 0.0)
    assert len(spool.segments) == 2 or len(spool.segments) > 1
    events = on_disk(spool)[1:]
    assert [event["step"] for event in events] == list(range(30_000))
    assert all(event.get("a", event.get("c")) == event["step"] for event in events)


def test_a_value_that_is_no_number_leaves_nothing_behind(make_spool: MakeSpool) -> None:
    spool = make_spool()
    for bad in ("x", None, [1], 10**400):
        with pytest.raises(Exception):  # noqa: B017 -- whatever packing raises; the run above names it
            spool.metrics({"a": 1.0, "b": 2.0, "c": 3.0, "d": bad}, 1, 0.0)  # type: ignore[dict-item]
        spool.metrics({"a": 5.0}, 2, 0.0)
    assert [event["a"] for event in on_disk(spool)[1:]] == [5.0] * 4


@pytest.mark.parametrize("name", ["", "step", "a\nb", "x" * 251, 5])
def test_a_bad_name_is_refused_before_anything_is_written(make_spool: MakeSpool, name: Any) -> None:
    spool = make_spool()
    with pytest.raises(BadEvent):
        spool.metrics({name: 1.0}, 1, 0.0)
    with pytest.raises(BadEvent, match="at least one"):
        spool.metrics({}, 1, 0.0)
    with pytest.raises(BadEvent, match="too many"):
        spool.metrics({f"m{i}": 1.0 for i in range(10_001)}, 1, 0.0)
    with pytest.raises(BadEvent, match="too long together"):
        spool.metrics({f"{i}-{'x' * 200}": 1.0 for i in range(1000)}, 1, 0.0)
    assert len(on_disk(spool)) == 1


def test_ten_thousand_names_fit(make_spool: MakeSpool) -> None:
    spool = make_spool()
    for step in range(20):
        spool.metrics({f"m{i}": float(i) for i in range(10_000)}, step, 0.0)
    assert [len(event) for event in on_disk(spool)[1:]] == [10_003] * 20


def test_ever_new_names_roll_on(make_spool: MakeSpool) -> None:
    spool = make_spool()
    for step in range(9000):
        spool.metrics({f"unique{step}": 1.0}, step, 0.0)
    assert len(on_disk(spool)) == 9001


def test_a_record_that_is_too_large_is_refused(make_spool: MakeSpool) -> None:
    with pytest.raises(BadEvent, match="too large"):
        make_spool().event({"type": "log", "text": "x" * 600_000})


def test_logging_in_the_middle_of_logging_comes_after_it(make_spool: MakeSpool) -> None:
    spool = make_spool()

    class Nosy:
        def __float__(self) -> float:
            spool.metrics({"inner": 1.0}, 2, 0.0)
            spool.event({"type": "log", "text": "inner"})
            return 7.0

    spool.metrics({"outer": Nosy()}, 1, 0.0)  # type: ignore[dict-item]
    _, outer, inner, log = on_disk(spool)
    assert outer["outer"] == 7.0 and inner["inner"] == 1.0 and log["text"] == "inner"


# -- full, read-only, broken ---------------------------------------------------------------------------------------


def fill(spool: Spool, count: int, start: int = 0) -> None:
    for step in range(start, start + count):
        spool.metrics({"a": 1.0}, step, 0.0)


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
    spool.others_bytes = 3 * 2**20
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


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can be asked for pages")
def test_no_page_of_a_segment_is_met_for_the_first_time_by_the_training_thread(make_spool: MakeSpool) -> None:
    def faults(segment: Segment) -> int:
        before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
        for page in range(0, segment.size, mmap.PAGESIZE):
            segment.memory[page] = segment.memory[page]
        return resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before

    spool, untouched = make_spool(), segments.create(None)
    try:
        untouched.memory.madvise(segments._POPULATE_WRITE, 0, mmap.PAGESIZE)
    except OSError:
        pytest.skip("a kernel before 5.14 cannot be asked")
    pages = untouched.size // mmap.PAGESIZE
    assert faults(untouched) > pages / 2, "the count sees them"
    untouched.close(keep=False)
    spool._current.end = spool._current.size // 2
    spool.prepare()
    assert spool._spare is not None
    assert faults(spool._current) < pages / 8 and faults(spool._spare) < pages / 8


def test_memory_is_bounded_too(tmp_path: Path, make_spool: MakeSpool, said: list[str]) -> None:
    (tmp_path / "spool").write_text("a file where the folder should be")
    spool = make_spool()
    fill(spool, 600_000)
    assert spool.dropped
    assert len(spool.segments) == spool_module.MEMORY_BYTES // segments.SEGMENT_BYTES
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
        full.setattr(spool_module, "write_json", no_room)
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


# -- reading -------------------------------------------------------------------------------------------------------


def test_a_cut_from_anywhere_is_a_whole_body(make_spool: MakeSpool) -> None:
    spool = make_spool()
    for step in range(20):
        spool.metrics({"a": step} if step % 2 else {"b": step}, step, 0.0)
    for seq in range(1, 23):
        for count in (None, 1, 3):
            piece = cut(spool, seq, writer="alias", wire_seq=seq + 100, count=count)
            found = decode_frames(piece.body).batch
            assert (found.writer, found.first_seq) == ("alias", seq + 100)
            assert len(found.events) == piece.next_seq - seq == min(22 - seq, count or 99)
            assert [event["step"] for event in found.events if "step" in event] == list(
                range(max(seq - 2, 0), piece.next_seq - 2)
            )


def test_asking_for_what_is_gone_says_where_it_goes_on(make_spool: MakeSpool) -> None:
    spool = make_spool()
    fill(spool, 60_000)
    spool.release(spool.segments[0].next_seq - 1)
    with pytest.raises(Hole) as raised:
        cut(spool, 1, writer="w", wire_seq=1)
    assert raised.value.next_seq == spool.segments[0].first_seq


def test_release_removes_whole_segments_only(make_spool: MakeSpool) -> None:
    spool = make_spool()
    fill(spool, 60_000)
    first = spool.segments[0]
    spool.release(first.next_seq - 2)
    assert first.path is not None and first.path.exists()
    spool.release(first.next_seq - 1)
    assert not first.path.exists()


def test_close_leaves_what_is_not_sent_and_nothing_else(make_spool: MakeSpool) -> None:
    spool = make_spool()
    fill(spool, 10)
    spool.prepare()
    spool.close(3)
    (path,) = spool.folder.glob("*.seg")
    assert path.stat().st_size < 1000, "cut to what was written"
    assert not list(spool.folder.glob("spare*"))
    left = open_left(spool.folder, lambda cause, sentence: None)
    assert left is not None and left.next_seq == 12
    left.close(11)
    assert not spool.folder.exists() and not spool.folder.parent.exists()


def test_close_removes_everything_when_all_is_sent(make_spool: MakeSpool) -> None:
    spool = make_spool()
    fill(spool, 10)
    spool.close(11)
    assert not spool.folder.parent.exists()


def test_a_living_writer_is_not_taken_for_a_left_one(make_spool: MakeSpool, said: Any) -> None:
    spool = make_spool()
    assert open_left(spool.folder, said) is None
    assert try_lock(spool.folder / "lock") is None


def test_a_left_spool_is_opened_piece_by_piece(make_spool: MakeSpool, said: Any) -> None:
    spool = make_spool()
    fill(spool, 100_000)
    spool.close(0)
    left = open_left(spool.folder, said)
    assert left is not None and len(left.segments) == 1
    while left.next_seq < 100_002:
        before = left.next_seq
        left.release(left.next_seq - 1)
        assert left.next_seq > before
    left.release(left.next_seq - 1)
    left.close(left.next_seq - 1)
    assert not spool.folder.exists()


def test_a_damaged_segment_is_named_and_kept(make_spool: MakeSpool, said: Any) -> None:
    spool = make_spool()
    fill(spool, 60_000)
    spool.close(0)
    first, second = sorted(spool.folder.glob("*.seg"))[:2]
    first.write_bytes(b"garbage" * 100)
    left = open_left(spool.folder, said)
    assert isinstance(left, LeftSpool)
    assert f"{first} cannot be read and is left where it is" in said[0]
    assert left.segments[0].path == second
    left.close(10**9)
    assert first.exists()


def test_damage_in_the_middle_keeps_what_is_before(make_spool: MakeSpool, said: Any) -> None:
    spool = make_spool()
    fill(spool, 100)
    spool.close(0)
    (path,) = spool.folder.glob("*.seg")
    data = bytearray(path.read_bytes())
    data[-20:] = b"\xff" * 20
    path.write_bytes(data)
    left = open_left(spool.folder, said)
    assert left is not None and left.next_seq > 99
    left.close(0)


def test_acks_survive_and_nonsense_is_the_beginning(tmp_path: Path) -> None:
    save_ack(tmp_path, Ack(7, "w.3", 3))
    assert load_ack(tmp_path) == Ack(7, "w.3", 3)
    (tmp_path / "ack.json").write_text('{"acked": -4}')
    assert load_ack(tmp_path) == Ack()
    (tmp_path / "ack.json").write_text('{"ack')
    assert read_json(tmp_path / "ack.json") == {} and load_ack(tmp_path) == Ack()


def test_records_that_were_set_aside_outlive_their_folder(tmp_path: Path) -> None:
    folder = tmp_path / "r" / "w"
    folder.mkdir(parents=True)
    (folder / "writer.json").write_text("{}")
    (folder / "refused.jsonl").write_text("{}")
    remove_folder(folder)
    assert [path.name for path in folder.iterdir()] == ["refused.jsonl"]


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
