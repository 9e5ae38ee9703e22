"""Frames: bit-exact both ways, readable up to where writing ended, and clear about hostile bytes."""

from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwell import frames
from runwell.frames import (
    BadFrames,
    compress,
    decode_frames,
    encode_event_frame,
    encode_header,
    encode_keys,
    encode_scalars,
)

HEAD = encode_header("r1", "w-1", 5)
KEYS = encode_keys(0, ["a", "b"])
NAN, INF = float("nan"), float("inf")


def bits(value: float) -> bytes:
    return struct.pack("<d", value)


@given(st.lists(st.tuples(st.integers(0, 2**53), st.floats(0, 1e12), st.floats(), st.floats())))
def test_scalars_survive_to_the_bit(rows: list[tuple[int, float, float, float]]) -> None:
    body = HEAD + KEYS + b"".join(encode_scalars(0, step, time, [a, b]) for step, time, a, b in rows)
    for form in (body, compress(body)):
        found = decode_frames(form)
        assert found.run_id == "r1" and found.batch.writer == "w-1" and found.batch.first_seq == 5
        assert found.refused == ()
        read = [(e["step"], e["time"], bits(e["a"]), bits(e["b"])) for e in found.batch.events]
        assert read == [(step, time, bits(a), bits(b)) for step, time, a, b in rows]


def test_non_finite_numbers_pass() -> None:
    (event,) = decode_frames(
        HEAD + encode_keys(0, ["n", "p", "m"]) + encode_scalars(0, 1, 0.0, [NAN, INF, -INF])
    ).batch.events
    assert event["n"] != event["n"] and event["p"] == INF and event["m"] == -INF


def test_other_events_travel_as_json() -> None:
    body = HEAD + encode_event_frame('{"type":"sample","step":1,"text":"héllo","x":"NaN"}'.encode())
    assert decode_frames(body).batch.events == ({"type": "sample", "step": 1, "text": "héllo", "x": "NaN"},)


def test_a_bad_record_costs_itself_alone() -> None:
    body = (
        HEAD + KEYS + encode_scalars(0, -3, 0.0, [1, 2]) + encode_event_frame(b"{") + encode_scalars(0, 4, 0.0, [1, 2])
    )
    found = decode_frames(body)
    assert [seq for seq, _ in found.refused] == [5, 6]
    assert [event["type"] for event in found.batch.events] == ["refused", "refused", "metrics"]
    named = decode_frames(HEAD + encode_keys(0, ["step"]) + encode_scalars(0, 4, 0.0, [1]))
    assert "cannot be a metric name" in named.refused[0][1]


WHOLE = (
    HEAD
    + KEYS
    + encode_scalars(0, 1, 0.0, [NAN, 2])
    + encode_event_frame(b'{"type":"x"}')
    + encode_scalars(0, 2, 0.0, [1, 2])
)

FRAMES = [(frame.start, frame.stop) for frame in frames.scan(WHOLE)]


@pytest.mark.parametrize("length", range(len(WHOLE)))
def test_cut_anywhere_it_is_an_error_on_the_wire_and_a_prefix_on_disk(length: int) -> None:
    cut = WHOLE[:length]
    if length < len(HEAD):
        with pytest.raises(BadFrames, match="cut off"):
            decode_frames(cut, torn=True)
        return
    prefix = decode_frames(cut, torn=True).batch.events
    assert repr(prefix) == repr(decode_frames(WHOLE).batch.events[: len(prefix)])
    torn = bytearray(cut + bytes(4096))
    if start := next((start for start, stop in FRAMES if start < length < stop), 0):
        torn[start + frames.KIND_OFFSET] = 0  # the kind is written last: a frame that is not whole has none
    assert repr(decode_frames(torn, torn=True).batch.events) == repr(prefix), "zeros are room not yet written"
    try:
        assert repr(decode_frames(cut).batch.events) == repr(prefix), "cut between two frames it is whole"
    except BadFrames as error:
        assert "cut off" in str(error)


@given(st.binary(max_size=300))
def test_any_bytes_give_a_sentence_or_records(data: bytes) -> None:
    for body in (data, HEAD + data, b"\x78" + data):
        for torn in (False, True):
            try:
                decode_frames(body, torn=torn)
            except BadFrames as error:
                assert str(error)
            except frames.WireError as error:
                assert str(error)


@given(st.integers(0, len(WHOLE) - 1), st.integers(0, 255))
def test_any_flipped_byte_gives_a_sentence_or_records(place: int, value: int) -> None:
    body = WHOLE[:place] + bytes([value]) + WHOLE[place + 1 :]
    try:
        decode_frames(body)
    except frames.WireError as error:
        assert str(error)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "cut off"),
        (b"GIF8" + HEAD[4:], "not Runwell frames"),
        (HEAD[:4] + b"\x09" + HEAD[5:], "version 9 cannot be read"),
        (HEAD + encode_scalars(0, 1, 0.0, [1, 2]), "uses key set 0, which is not defined"),
        (HEAD + KEYS + encode_scalars(0, 1, 0.0, [1, 2, 3]), "its key set 32"),
        (HEAD + KEYS + encode_keys(0, ["c"]), "defined twice"),
        (HEAD + encode_keys(0, ["a", "a"]), "different names"),
        (HEAD + encode_keys(0, []), "must be a list of metric names"),
        (HEAD + frames.FRAME.pack(0, 9, 0, 0), "frame kind 9 at byte 144 is unknown; kinds are 1, 2 and 3"),
        (HEAD + frames.FRAME.pack(2**31, 3, 0, 0), "cut off"),
        (compress(WHOLE)[:-4], "cut off"),
        (b"\x78\x9c" + b"\xff" * 20, "cannot be unpacked"),
        (encode_header("r1", "w-1", 1).replace(b"r1", b"/1"), "header is damaged: run id '/1' is not allowed"),
    ],
)
def test_hostile_bytes_are_named(body: bytes, reason: str) -> None:
    with pytest.raises(BadFrames, match=reason):
        decode_frames(body)


def test_a_bomb_is_not_unpacked() -> None:
    bomb = zlib.compress(bytes(300 * 2**20), 9)
    assert len(bomb) < 400_000
    with pytest.raises(BadFrames, match="larger than 8 MiB"):
        decode_frames(bomb)


def test_a_million_key_sets_are_refused() -> None:
    many = b"".join(encode_keys(number, [str(number)]) for number in range(frames.MAX_KEY_SETS + 2))
    with pytest.raises(BadFrames, match="more than 4096 key sets"):
        decode_frames(HEAD + many)


def test_names_of_any_script_travel() -> None:
    name = "损失/📉 ü"
    (event,) = decode_frames(HEAD + encode_keys(3, [name]) + encode_scalars(3, 1, 0.0, [NAN])).batch.events
    assert name in event
