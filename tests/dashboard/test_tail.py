"""What dead writers left in the spool is stored once, whatever else lies there."""

from __future__ import annotations

import json
import math
from pathlib import Path

from dashboard.deliveries import Delivery
from dashboard.records import Receipt
from dashboard.store import Store
from dashboard.tail import append_last, store_spool
from runwell.frames import encode_event_frame, encode_header, encode_keys, encode_scalars
from runwell.wire import Batch

RUN = "a-run"


def segment(writer: str, first_seq: int, losses: list[float], *, intro: bool = False) -> bytes:
    """A segment file as the SDK leaves it when it is killed: whole frames, then the unused zeros of the mapping."""
    body = encode_header(RUN, writer, first_seq)
    body += encode_event_frame(json.dumps({"type": "run", "host": "here"}).encode()) if intro else b""
    body += encode_keys(0, ["loss"])
    start = first_seq + intro
    body += b"".join(encode_scalars(0, start + index, 1.0 + index, [loss]) for index, loss in enumerate(losses))
    return body + bytes(4096)


def write(spool: Path, writer: str, name: str, data: bytes) -> Path:
    path = spool / RUN / writer / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def values(store: Store) -> list[float]:
    return [event["loss"] for _, event in store.replay(RUN) if event["type"] == "metrics"]


def test_every_record_is_stored_once_in_order_and_non_finite_ones_stay(tmp_path: Path, store: Store) -> None:
    write(tmp_path, "w-1", "00000000000000000004.seg", segment("w-1", 4, [math.inf, -math.inf, 5.0]))
    write(tmp_path, "w-1", "00000000000000000001.seg", segment("w-1", 1, [1.0, math.nan], intro=True))
    write(tmp_path, "w-1", "lock", b"")
    write(tmp_path, "w-1", "writer.json", b'{"run_event": {}}')
    store.create_run(RUN)
    assert store_spool(RUN, tmp_path, store.append) == 6
    assert store_spool(RUN, tmp_path, store.append) == 0, "a second time changes nothing"
    found = values(store)
    assert found[0] == 1.0 and math.isnan(found[1]) and found[2:] == [math.inf, -math.inf, 5.0]


def test_what_was_sent_before_is_not_doubled(tmp_path: Path, store: Store) -> None:
    write(tmp_path, "w-1", "1.seg", segment("w-1", 1, [1.0, 2.0, 3.0], intro=True))
    sent = ({"type": "run"}, {"type": "metrics", "step": 2, "time": 1.0, "loss": 1.0})
    store.append(RUN, Batch("w-1", 1, sent))
    assert store_spool(RUN, tmp_path, store.append) == 2
    assert values(store) == [1.0, 2.0, 3.0]


def test_a_torn_record_is_not_read_and_a_damaged_file_costs_only_itself(tmp_path: Path, store: Store) -> None:
    whole = segment("w-1", 1, [1.0, 2.0], intro=True).rstrip(b"\0")
    torn = encode_scalars(0, 9, 9.0, [9.0])
    write(tmp_path, "w-1", "1.seg", whole + torn[:4] + b"\0" + torn[5:])
    write(tmp_path, "w-1", "2.seg", b"RWF1 and then nonsense")
    write(tmp_path, "w-2", "1.seg", segment("w-2", 1, [7.0]))
    store.create_run(RUN)
    store_spool(RUN, tmp_path, store.append)
    assert values(store) == [1.0, 2.0, 7.0]


def test_a_hole_in_one_writer_does_not_hold_up_another(tmp_path: Path, store: Store) -> None:
    write(tmp_path, "w-1", "1.seg", segment("w-1", 50, [1.0]))
    write(tmp_path, "w-2", "1.seg", segment("w-2", 1, [7.0]))
    store.create_run(RUN)
    assert store_spool(RUN, tmp_path, store.append) == 1
    assert values(store) == [7.0]


def test_a_writer_that_goes_on_under_another_name_is_left_to_the_sdk(tmp_path: Path, store: Store) -> None:
    write(tmp_path, "w-1", "1.seg", segment("w-1", 1, [1.0]))
    write(tmp_path, "w-1", "ack.json", b'{"acked": 0, "alias": "w-1.1", "origin": 1}')
    store.create_run(RUN)
    assert store_spool(RUN, tmp_path, store.append) == 0 and values(store) == []


def test_a_segment_of_another_run_is_not_taken(tmp_path: Path, store: Store) -> None:
    data = segment("w-1", 1, [1.0]).replace(b"a-run", b"b-run", 1)
    write(tmp_path, "w-1", "1.seg", data)
    store.create_run(RUN)
    assert store_spool(RUN, tmp_path, store.append) == 0


def test_a_segment_is_read_when_those_before_it_are_stored(tmp_path: Path, store: Store) -> None:
    """A spool may hold a gigabyte: it is never in memory as a whole."""
    store.create_run(RUN)
    write(tmp_path, "w-1", "1.seg", segment("w-1", 1, [1.0]))
    newest = write(tmp_path, "w-1", "2.seg", segment("w-1", 2, [1.0]))

    def take_the_next_away(run_id: str, batch: Batch | Delivery, *, alive: bool | None = None) -> Receipt:
        newest.unlink()
        return store.append(run_id, batch, alive=alive)

    assert store_spool(RUN, tmp_path, take_the_next_away) == 1


def test_no_spool_is_no_trouble(tmp_path: Path, store: Store) -> None:
    assert store_spool("unknown", tmp_path, store.append) == 0


def test_the_servers_own_word_is_appended_without_a_counter_beside_the_store(store: Store) -> None:
    store.create_run(RUN)
    for reason in ("first", "second"):
        assert append_last(RUN, {"type": "state", "state": "crashed", "reason": reason}, store.append).stored == 1
    assert [entry.data["reason"] for entry in store.timeline(RUN, ["state"])] == ["first", "second"]
