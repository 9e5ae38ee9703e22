"""Frames read into columns say exactly what frames read one by one say, whatever is mixed, refused or damaged."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboard.deliveries import Delivery
from dashboard.frames import decode_delivery
from runwell.frames import (
    HEADER,
    BadFrames,
    compress,
    decode_frames,
    encode_event_frame,
    encode_header,
    encode_keys,
    encode_scalars,
)

NAMES = {1: ("loss",), 2: ("loss", "lr"), 3: ("step",), 4: ("a", "b", "c")}  # "step" is not allowed as a name

RECORDS = st.one_of(
    st.tuples(
        st.sampled_from([1, 1, 1, 2, 3, 4]),
        st.sampled_from([0, 7, 2**53, 2**53 + 1, -1]),
        st.sampled_from([0.0, 1.5e9, math.nan, math.inf, 1e13]),
        st.sampled_from([1.0, math.nan, math.inf, -0.0]),
    ),
    st.sampled_from([b'{"type":"log","text":"hi","time":3}', b'{"type":"run"}', b'{"type":"metrics"}', b"not json"]),
    st.sampled_from([b'{"type":"metrics","step":7,"time":2.5,"loss":"NaN"}', b'{"type":"metrics","step":8,"new":1}']),
)


def body_of(records: list[Any], first_seq: int = 5) -> bytes:
    """A body with these records, each key set defined before it is first used."""
    parts, known = [encode_header("r", "w", first_seq)], set()
    for record in records:
        if isinstance(record, bytes):
            parts.append(encode_event_frame(record))
            continue
        key_set, step, time, value = record
        if key_set not in known:
            known.add(key_set)
            parts.append(encode_keys(key_set, NAMES[key_set]))
        values = [value + index for index in range(len(NAMES[key_set]))]
        parts.append(encode_scalars(key_set, step, time, values))
    return b"".join(parts)


def told(delivery: Delivery) -> tuple[Any, ...]:
    tables = sorted(
        (table.names, table.places.tolist(), table.steps.tolist(), repr(table.times.tolist()), repr(table.values.tolist()))
        for table in delivery.tables
    )  # fmt: skip
    return delivery.writer, delivery.first_seq, delivery.count, tables, repr(delivery.others)


@given(st.lists(RECORDS, max_size=60), st.booleans())
@settings(deadline=None)
def test_columns_say_what_single_records_say(records: list[Any], packed: bool) -> None:
    body = body_of(records)
    one_by_one = decode_frames(body)
    run_id, delivery = decode_delivery(compress(body) if packed else body, 0.0)
    assert run_id == "r"
    assert told(delivery) == told(Delivery.of(one_by_one.batch, 0.0))
    assert tuple((5 + place, reason) for place, reason in delivery.refused) == one_by_one.refused


@given(st.lists(RECORDS, min_size=1, max_size=12), st.data())
@settings(deadline=None)
def test_damaged_frames_raise_the_same_or_read_the_same(records: list[Any], data: st.DataObject) -> None:
    body = bytearray(body_of(records))
    at = data.draw(st.integers(HEADER.size, max(len(body) - 1, HEADER.size)))
    if data.draw(st.booleans()):
        del body[at:]
    elif at < len(body):
        body[at] ^= data.draw(st.integers(1, 255))
    try:
        expected = told(Delivery.of(decode_frames(bytes(body)).batch, 0.0))
    except ValueError as error:
        with pytest.raises(type(error)) as caught:
            decode_delivery(bytes(body), 0.0)
        assert isinstance(error, BadFrames) <= isinstance(caught.value, BadFrames)
        return
    assert told(decode_delivery(bytes(body), 0.0)[1]) == expected


def test_long_runs_of_one_key_set_are_whole() -> None:
    records = [(1, step, 1.0, float(step)) for step in range(3000)]
    records[1000:1000] = [(2, 5, 1.0, 2.0)]
    delivery = decode_delivery(body_of(records), 0.0)[1]
    loss, both = delivery.tables
    assert loss.steps.tolist() == list(range(3000)) and both.places.tolist() == [1000]
    assert loss.places.tolist() == [place for place in range(3001) if place != 1000]


def test_what_was_delivered_before_is_left_out_and_numbers_go_on() -> None:
    records = [
        (1, 0, 1.0, 0.5),
        b"not json",
        (1, 1, 1.0, 0.25),
        b'{"type":"run"}',
        (1, 2**53 + 1, 1.0, 1.0),
        (1, 3, 2.0, 1.0),
    ]
    fresh = decode_delivery(body_of(records), 0.0)[1].after(1)
    assert [table.steps.tolist() for table in fresh.tables] == [[1, 3]] and [place for place, _ in fresh.refused] == [
        1,
        4,
    ]
    assert fresh.numbers(10, fresh.tables[0].places).tolist() == [10, 12]
    assert fresh.numbers(10, np.array([3])).tolist() == [11]
