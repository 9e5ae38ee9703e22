"""TensorBoard event files: built byte by byte here, read whole, torn, damaged and while they grow."""

from __future__ import annotations

import gzip
import io
import math
import struct
from pathlib import Path
from typing import Any

import pytest

from runwell.runlog import UnreadableLog, read_events
from runwell.tfevents import EventFile, begins_event_file, masked_crc


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def field(number: int, value: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(value)) + value


def simple(tag: str, value: float) -> bytes:
    return field(1, field(1, tag.encode()) + varint(2 << 3 | 5) + struct.pack("<f", value))


def tensor(tag: str, kind: int, body: bytes) -> bytes:
    return field(1, field(1, tag.encode()) + field(8, b"\x08" + bytes([kind]) + body))


def message(step: int, *values: bytes, time: float = 1e9) -> bytes:
    return b"\x09" + struct.pack("<d", time) + b"\x10" + varint(step % 2**64) + field(5, b"".join(values))


def framed(record: bytes) -> bytes:
    length = struct.pack("<Q", len(record))
    return length + struct.pack("<I", masked_crc(length)) + record + struct.pack("<I", masked_crc(record))


HEAD = framed(b"\x09" + struct.pack("<d", 1e9) + field(3, b"brain.Event:2"))


def event_file(*messages: bytes) -> bytes:
    return HEAD + b"".join(framed(record) for record in messages)


def read(data: bytes) -> tuple[list[dict[str, Any]], list[str]]:
    told: list[str] = []
    return list(read_events(io.BufferedReader(io.BytesIO(data)), name="tb", on_problem=told.append)), told  # type: ignore[arg-type]


def test_the_checksum_is_the_one_of_the_format() -> None:
    # The known value of CRC-32C for "123456789" is E3069283.
    assert masked_crc(b"123456789") == ((0xE3069283 >> 15 | 0xE3069283 << 17) + 0xA282EAD8) & 0xFFFFFFFF
    # The head of a real file of 24 bytes, as PyTorch's writer makes it: length and its checksum.
    assert HEAD[:12].hex() == "1800000000000000a37f4b22"


def test_numbers_of_one_step_are_one_event_and_non_finite_ones_stay() -> None:
    data = event_file(
        message(1, simple("train/loss", 2.5)),
        message(1, simple("lr", 0.5)),
        message(2, simple("train/loss", math.nan), simple("lr", math.inf)),
        message(3, simple("train/loss", -math.inf), time=2e9),
    )
    events, told = read(data)
    assert told == []
    assert [repr(event) for event in events] == [
        repr({"type": "metrics", "step": 1, "time": 1e9, "train/loss": 2.5, "lr": 0.5}),
        repr({"type": "metrics", "step": 2, "time": 1e9, "train/loss": math.nan, "lr": math.inf}),
        repr({"type": "metrics", "step": 3, "time": 2e9, "train/loss": -math.inf}),
    ]


def test_tensors_of_one_number_count_and_others_are_passed_over() -> None:
    events, told = read(
        event_file(
            message(
                7,
                tensor("packed", 1, field(5, struct.pack("<f", 1.5))),
                tensor("bytes", 1, field(4, struct.pack("<f", 2.5))),
                tensor("double", 2, field(4, struct.pack("<d", math.nan))),
                tensor("int", 9, field(4, struct.pack("<q", -3))),
                tensor("histogram", 2, field(4, struct.pack("<6d", *range(6)))),
                tensor("text", 7, field(8, b"words")),
                field(1, field(1, b"image") + field(4, b"\x08\x01")),
            )
        )
    )
    assert told == []
    (event,) = events
    assert math.isnan(event.pop("double"))
    assert event == {"type": "metrics", "step": 7, "time": 1e9, "packed": 1.5, "bytes": 2.5, "int": -3.0}


def test_every_cut_leaves_what_is_whole() -> None:
    data = event_file(*(message(step, simple("loss", step)) for step in range(4)))
    size = len(framed(message(1, simple("loss", 1))))
    for end in range(len(HEAD), len(data)):
        whole = (end - len(HEAD)) // size
        if whole == 0:
            with pytest.raises(UnreadableLog):
                read(data[:end])
        else:
            events, told = read(data[:end])
            assert told == [] and [event["step"] for event in events] == list(range(whole))


def test_a_damaged_record_is_told_and_the_next_one_read() -> None:
    data = bytearray(event_file(*(message(step, simple("loss", step)) for step in range(3))))
    place = len(HEAD) + len(framed(message(0, simple("loss", 0))))
    data[place + 20] ^= 1
    events, told = read(bytes(data))
    assert [event["step"] for event in events] == [0, 2]
    assert told == [f"tb, byte {place}: the record is damaged (its checksum is wrong)"]


def test_a_damaged_length_ends_the_file_with_a_sentence() -> None:
    data = bytearray(event_file(*(message(step, simple("loss", step)) for step in range(3))))
    place = len(HEAD) + len(framed(message(0, simple("loss", 0))))
    data[place] ^= 1
    events, told = read(bytes(data))
    assert [event["step"] for event in events] == [0]
    assert told == [f"tb, byte {place}: the record's length is damaged; what follows cannot be read"]


def test_a_message_that_is_none_and_a_step_that_is_none_are_told() -> None:
    events, told = read(event_file(b"\xff" * 12, message(-1, simple("loss", 1)), message(1, simple("loss", 1))))
    assert [event["step"] for event in events] == [1]
    assert told[0] == f"tb, byte {len(HEAD)}: the record is no Event message"
    assert told[1] == "tb: step = -1 is no step; it takes a whole number from 0 to 2^53"


def test_a_growing_file_gives_each_event_once_however_it_grows() -> None:
    data = event_file(*(message(step, simple("loss", step), simple("lr", 1)) for step in range(5)))
    whole, _ = read(data)
    for chunk in (1, 7, 50, 1000):
        reader, found = EventFile("tb"), []
        for end in [*range(0, len(data), chunk), len(data)]:
            file = io.BytesIO(data[:end])
            file.seek(reader.offset)
            found += list(reader.read(file, last=False))
        assert found == whole[:-1], "the newest step may still get numbers"
        assert [*found, *reader.read(io.BytesIO(), last=True)] == whole


def test_packed_files_and_folders(tmp_path: Path) -> None:
    for number in (2, 1):
        data = event_file(message(number * 10, simple("loss", number)))
        (tmp_path / f"events.out.tfevents.{number}.host").write_bytes(data if number == 1 else gzip.compress(data))
    (tmp_path / "events.out.tfevents.3.host").write_bytes(HEAD)
    (tmp_path / "events.out.tfevents.4.host").write_bytes(b"")
    told: list[str] = []
    assert [event["step"] for event in read_events(tmp_path, on_problem=told.append)] == [10, 20]
    assert len(told) == 1 and "is empty" in told[0]
    (tmp_path / "inner").mkdir()
    with pytest.raises(UnreadableLog, match="folder without TensorBoard event files"):
        list(read_events(tmp_path / "inner"))


def test_what_is_an_event_file_is_told_by_its_content() -> None:
    assert begins_event_file(HEAD[:64])
    assert not begins_event_file(b'{"step": 1, "note": "brain"}')
