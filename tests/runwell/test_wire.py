"""The border of the wire: every number survives, every bad record is named, nothing costs the batch."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwell import wire
from runwell.wire import BadEvent, Batch, WireError, decode_json_batch, encode_json_batch, validate_event

numbers = st.floats(allow_nan=True, allow_infinity=True)
names = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=20).filter(
    lambda name: name not in wire.RESERVED
)
metrics = st.builds(
    lambda step, values: {"type": "metrics", "step": step, **values},
    st.integers(0, 2**53),
    st.dictionaries(names, numbers, min_size=1, max_size=8),
)


def same(a: Any, b: Any) -> bool:
    """Equality in which NaN equals NaN."""
    return bool(repr(a) == repr(b))


@given(st.lists(metrics, max_size=5), st.integers(1, 10**9))
def test_a_batch_survives_json(events: list[dict[str, Any]], first_seq: int) -> None:
    batch = Batch("w-1", first_seq, tuple(events))
    data = encode_json_batch(batch)
    json.loads(data, parse_constant=lambda name: pytest.fail(f"bare {name} is not JSON"))
    decoded, refused = decode_json_batch(data)
    assert refused == ()
    assert same(decoded, batch)


@given(numbers)
def test_a_number_survives_its_encoding(number: float) -> None:
    decoded = wire.decode_number(wire.encode_number(number))
    assert decoded == number or (math.isnan(decoded) and math.isnan(number))


@pytest.mark.parametrize("bare", ["NaN", "Infinity", "-Infinity"])
def test_bare_non_finite_numbers_are_read_too(bare: str) -> None:
    batch, _ = decode_json_batch(
        b'{"writer":"w","first_seq":1,"events":[{"type":"metrics","step":1,"a":%s}]}' % bare.encode()
    )
    assert same(batch.events[0]["a"], wire.NON_FINITE[bare])


@given(
    st.recursive(
        st.none() | st.booleans() | numbers | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_anything_becomes_strict_json(value: Any) -> None:
    json.loads(wire.dumps(value).encode(), parse_constant=lambda name: pytest.fail(name))


@given(st.binary(max_size=200))
def test_any_bytes_give_a_sentence_or_a_batch(data: bytes) -> None:
    try:
        decode_json_batch(data)
    except WireError as error:
        assert str(error)


@given(
    st.recursive(
        st.none() | st.booleans() | numbers | st.integers() | st.text(),
        lambda i: st.lists(i) | st.dictionaries(st.text(), i),
    )
)
def test_any_record_is_taken_or_refused_with_a_reason(value: Any) -> None:
    try:
        event = validate_event(value)
    except BadEvent as error:
        assert 0 < len(error.reason) < 600
    else:
        wire.dumps(event)


BAD = [
    (5, "a record must be a JSON object, not 5"),
    ({}, "type None is not allowed"),
    ({"type": "x" * 65}, "1 to 64 printable"),
    ({"type": "metrics", "a": 1}, "needs a step"),
    ({"type": "metrics", "step": -1, "a": 1}, "step -1 is not allowed; it takes a whole number from 0 to 2^53"),
    ({"type": "metrics", "step": 2**53 + 1, "a": 1}, "from 0 to 2^53"),
    ({"type": "metrics", "step": 1.5, "a": 1}, "step 1.5 is not allowed"),
    ({"type": "metrics", "step": True, "a": 1}, "step True is not allowed"),
    ({"type": "metrics", "step": 1, "time": "NaN", "a": 1}, "seconds since 1970"),
    ({"type": "metrics", "step": 1, "a": "high"}, "metric 'a': 'high' is not a number"),
    ({"type": "metrics", "step": 1, "a": None}, "metric 'a': None is not a number"),
    ({"type": "metrics", "step": 1, "a": [1]}, "metric 'a': a list is not a number"),
    ({"type": "metrics", "step": 1, "a": 10**310}, "too large"),
    ({"type": "metrics", "step": 1, "": 1}, "1 to 250 printable characters"),
    ({"type": "metrics", "step": 1, "a" * 251: 1}, "1 to 250 printable characters"),
    ({"type": "metrics", "step": 1, "a\nb": 1}, "1 to 250 printable characters"),
    ({"type": "metrics", "step": 1, **{f"m{i}": 1 for i in range(wire.MAX_NAMES + 4)}}, "send at most 10,000 at once"),
    ({"type": "sample", "step": 1, "text": 5}, "sample field 'text' is 5; it takes text"),
    ({"type": "sample", "step": 1}, "needs the field 'text'"),
    ({"type": "rewind"}, "needs the field 'step'"),
    ({"type": "state", "state": "dancing"}, "it takes one of running, finished, stopped, crashed"),
    ({"type": "alert", "title": "t", "level": "loud"}, "it takes one of info, warning, critical"),
    ({"type": "ack", "command": "one"}, "it takes a command's number"),
    ({"type": "run", "tags": ["a", 1]}, "it takes a list of texts"),
    ({"type": "run", "config": [1]}, "it takes an object"),
    ({"type": "log", "text": "x" * (wire.MAX_EVENT_BYTES + 1)}, "at most 512 KiB"),
    ({"type": "x", "y": 10**400}, "more than 300 digits"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "reason"), BAD, ids=range(len(BAD)))
def test_a_bad_record_is_named(value: Any, reason: str) -> None:
    with pytest.raises(BadEvent) as raised:
        validate_event(value)
    assert reason in raised.value.reason


def test_depth_is_bounded() -> None:
    value: Any = 1
    for _ in range(50):
        value = [value]
    with pytest.raises(BadEvent, match="nested too deep"):
        validate_event({"type": "x", "y": value})
    with pytest.raises(WireError, match="nested too deep"):
        decode_json_batch(b'{"writer":"w","first_seq":1,"events":' + b"[" * 100_000 + b"]" * 100_000 + b"}")


def test_a_number_of_ten_thousand_digits_costs_its_record_alone() -> None:
    body = (
        b'{"writer":"w","first_seq":1,"events":[{"type":"metrics","step":1,"a":%s},{"type":"metrics","step":2,"a":1}]}'
    )
    batch, refused = decode_json_batch(body % (b"9" * 10_000))
    assert [seq for seq, _ in refused] == [1]
    assert batch.events[1] == {"type": "metrics", "step": 2, "a": 1.0}


def test_one_bad_record_keeps_its_place() -> None:
    events = [{"type": "metrics", "step": 1, "a": 1}, {"type": "metrics"}, {"type": "metrics", "step": 3, "a": "NaN"}]
    batch, refused = decode_json_batch(json.dumps({"writer": "w", "first_seq": 7, "events": events}).encode())
    assert [seq for seq, _ in refused] == [8]
    assert [event["type"] for event in batch.events] == ["metrics", "refused", "metrics"]
    assert batch.next_seq == 10
    assert math.isnan(batch.events[2]["a"])


def test_unknown_types_and_fields_are_kept_and_made_storable() -> None:
    event = validate_event({"type": "new", "field": {"deep": [1, "a\0b\ud800"]}, "step": 3})
    assert event == {"type": "new", "step": 3, "field": {"deep": [1, "a\ufffdb\ufffd"]}}
    assert validate_event({"type": "checkpoint", "step": 1, "path": "p", "val_loss": "NaN", "x": 1})["x"] == 1


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "cannot be read"),
        (b"\xff\xfe", "not UTF-8|cannot be read"),
        (b"[]", "must be a JSON object"),
        (b'{"writer":"../x","first_seq":1,"events":[]}', "writer '../x' is not allowed; it takes 1 to 64 letters"),
        (b'{"writer":"w","first_seq":0,"events":[1]}', "first_seq 0 is not allowed"),
        (b'{"writer":"w","first_seq":true,"events":[1]}', "first_seq True is not allowed"),
        (b'{"writer":"w","events":[1]}', "first_seq None is not allowed"),
        (b'{"writer":"w","first_seq":1,"events":{}}', "must be a list"),
    ],
)
def test_a_batch_that_cannot_be_read_is_refused_in_a_sentence(body: bytes, reason: str) -> None:
    with pytest.raises(WireError, match=reason):
        decode_json_batch(body)


def test_an_empty_batch_is_a_heartbeat() -> None:
    batch, refused = decode_json_batch(b'{"writer":"w","events":[]}')
    assert batch.events == () and refused == ()


@pytest.mark.parametrize("run_id", ["20260101-000000-abcdef", "a", "A.b_c-9", "x" * 64])
def test_good_run_ids(run_id: str) -> None:
    assert wire.check_run_id(run_id) == run_id


@pytest.mark.parametrize("run_id", ["", "-a", ".", "..", "a/b", "a\n", "x" * 65, "ä", None, 5])
def test_bad_run_ids(run_id: object) -> None:
    with pytest.raises(WireError, match="is not allowed; it takes 1 to 64 letters, digits"):
        wire.check_run_id(run_id)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_sign_is_no_digit(sign: int) -> None:
    event = {"type": "config", "config": {"seed": sign * (10**300 - 1)}}
    batch, refused = decode_json_batch(encode_json_batch(Batch("w-1", 1, (event,))))
    assert batch.events == (event,) and not refused
