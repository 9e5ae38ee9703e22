"""The spool: everything that was written can be read, nothing torn; what was sent is removed."""

from __future__ import annotations

import math
import mmap
import resource
import struct
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runwell import segment as segments
from runwell.folder import read_json, remove_folder, try_lock
from runwell.frames import decode_frames
from runwell.outbox import Ack, Hole, LeftSpool, cut, load_ack, open_left, save_ack
from runwell.segment import Segment
from runwell.spool import Spool
from runwell.wire import BadEvent
from tests.logged import fill, on_disk

MakeSpool = Callable[..., Spool]


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

    class Half:
        """As a number of a framework is: JSON does not know it."""

        def __float__(self) -> float:
            return 0.5

    class Nosy:
        def __float__(self) -> float:
            spool.metrics({"inner": Half()}, 2, 0.0)  # type: ignore[dict-item]
            spool.event({"type": "log", "text": "inner"})
            return 7.0

    spool.metrics({"outer": Nosy()}, 1, 0.0)  # type: ignore[dict-item]
    _, outer, inner, log = on_disk(spool)
    assert outer["outer"] == 7.0 and inner["inner"] == 0.5 and log["text"] == "inner"


def test_what_is_sealed_in_the_middle_of_a_record_can_be_sent_from_there(make_spool: MakeSpool) -> None:
    """A signal handler ends the run and waits until the server has it; the record that it came into holds on meanwhile."""
    spool = make_spool()
    pieces = []

    class Ending:
        def __float__(self) -> float:
            spool.seal({"type": "state", "state": "stopped"})
            sender = threading.Thread(target=lambda: pieces.append(cut(spool, 1, writer="w", wire_seq=1)), daemon=True)
            sender.start()
            sender.join(timeout=10)
            raise ValueError

    with pytest.raises(struct.error):
        spool.metrics({"a": Ending()}, 1, 0.0)  # type: ignore[dict-item]
    (piece,) = pieces
    assert [event["type"] for event in decode_frames(piece.body).batch.events] == ["run", "state"]


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
