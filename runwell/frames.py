"""The spool's frames: how records lie on disk and travel on the wire, byte for byte the same. Pure: buffers in, values out.

A segment is a header (run, writer, first sequence number) and then frames, each padded to 8 bytes:

    u32 payload bytes · u8 kind · u8 0 · u16 key set · payload

`KEYS` names a key set (JSON list of metric names) and is no record. `SCALARS` is one metrics record: i64 step, f64 time
and one f64 for each name of its key set. `EVENT` is any other record as UTF-8 JSON. The kind is written last, as one byte:
until then it is 0 and the frame does not exist, so a torn record is never read. Little-endian throughout.
Hostile bytes raise `BadFrames`; memory is bounded by `MAX_BYTES`, also for compressed bodies.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from struct import Struct
from typing import NamedTuple

from runwell.wire import (
    MAX_NAMES,
    MAX_STEP,
    BadEvent,
    Batch,
    Event,
    Refused,
    WireError,
    check_name,
    check_run_id,
    check_seq,
    check_step,
    check_time,
    check_writer,
    loads,
    refusal,
    validate_event,
)

MAGIC = b"RWF1"
HEADER = Struct("<4sBBHQ64s64s")
"""magic, version, length of run id, length of writer, first sequence number, run id, writer."""
FRAME = Struct("<IBBH")
"""payload bytes, kind, 0, key set."""
VERSION = 1
KEYS, SCALARS, EVENT = 1, 2, 3
KIND_OFFSET = 4
MAX_BYTES = 8 * 1024 * 1024
MAX_KEY_SETS = 4096
COMPRESSED = 0x78
"""First byte of a zlib stream, which the magic does not begin with."""

Buffer = bytes | bytearray | memoryview


class BadFrames(WireError):
    """The bytes are not a segment. The message says what is wrong and where."""


class FrameBatch(NamedTuple):
    """What a segment holds: the run it belongs to, its records, and those refused."""

    run_id: str
    batch: Batch
    refused: Refused


class Header(NamedTuple):
    """The first bytes of a segment."""

    run_id: str
    writer: str
    first_seq: int


# -- writing -------------------------------------------------------------------------------------------------------


def encode_header(run_id: str, writer: str, first_seq: int) -> bytes:
    """The header of a segment; ids are ASCII of at most 64 characters (`WireError` otherwise)."""
    run, name = check_run_id(run_id).encode(), check_writer(writer).encode()
    return HEADER.pack(MAGIC, VERSION, len(run), len(name), check_seq(first_seq), run, name)


def padded(size: int) -> int:
    """The size rounded up to a multiple of 8, so that every frame starts aligned."""
    return (size + 7) & ~7


def scalar_packer(count: int) -> Struct:
    """Packs a whole `SCALARS` frame: payload bytes, kind, 0, key set, step, time, `count` numbers."""
    return Struct(f"<IBBHqd{count}d")


def encode_keys(key_set: int, names: Sequence[str]) -> bytes:
    """A whole `KEYS` frame."""
    return _encode_frame(KEYS, key_set, json.dumps(list(names), ensure_ascii=False, separators=(",", ":")).encode())


def encode_event_frame(payload: bytes) -> bytes:
    """A whole `EVENT` frame around one record's JSON."""
    return _encode_frame(EVENT, 0, payload)


def encode_scalars(key_set: int, step: int, time: float, values: Sequence[float]) -> bytes:
    """A whole `SCALARS` frame (the hot path packs the same bytes in place)."""
    packer = scalar_packer(len(values))
    return packer.pack(packer.size - FRAME.size, SCALARS, 0, key_set, step, time, *values)


def _encode_frame(kind: int, key_set: int, payload: bytes) -> bytes:
    return FRAME.pack(len(payload), kind, 0, key_set) + payload + bytes(padded(len(payload)) - len(payload))


def compress(body: bytes) -> bytes:
    """The body as a zlib stream; `decode_frames` takes either form."""
    return zlib.compress(body, 1)


# -- reading -------------------------------------------------------------------------------------------------------


def decompress(body: Buffer) -> Buffer:
    """The plain body of either form, never more than `MAX_BYTES`. Raises `BadFrames`."""
    if len(body) == 0 or body[0] != COMPRESSED:
        plain: Buffer = body
    else:
        unpacker = zlib.decompressobj()
        try:
            plain = unpacker.decompress(body, MAX_BYTES + 1)
        except zlib.error as error:
            raise BadFrames(f"the compressed frames cannot be unpacked: {error}") from None
        if len(plain) <= MAX_BYTES and not unpacker.eof:
            raise BadFrames("the compressed frames are cut off")
    if len(plain) > MAX_BYTES:
        raise BadFrames(f"the frames are larger than {MAX_BYTES // 2**20} MiB; send fewer at once")
    return plain


def decode_header(buffer: Buffer) -> Header:
    """Read the header of a segment. Raises `BadFrames`."""
    if len(buffer) < HEADER.size:
        raise BadFrames(f"the frames are cut off: {len(buffer)} bytes, but the header alone has {HEADER.size}")
    magic, version, run_length, writer_length, first_seq, run, writer = HEADER.unpack_from(buffer, 0)
    if magic != MAGIC:
        raise BadFrames(f"these are not Runwell frames: they begin with {bytes(magic)!r} instead of {MAGIC!r}")
    if version != VERSION:
        raise BadFrames(f"frames of version {version} cannot be read here; this is version {VERSION}")
    try:
        run_id = check_run_id(run[:run_length].decode("ascii", "replace"))
        return Header(run_id, check_writer(writer[:writer_length].decode("ascii", "replace")), check_seq(first_seq))
    except WireError as error:
        raise BadFrames(f"the frames' header is damaged: {error}") from None


class Frame(NamedTuple):
    """Where one frame lies: `start` to `stop` whole, `payload` to `payload + length` its content."""

    start: int
    kind: int
    key_set: int
    payload: int
    length: int
    stop: int


def scan(buffer: Buffer, start: int = HEADER.size, *, torn: bool = False) -> Iterator[Frame]:
    """Walk the frames of a segment from `start`. With `torn`, it ends quietly where writing had ended.

    Without, everything must be whole: `BadFrames` says where it is not.
    """
    size = len(buffer)
    while start < size:
        if start + FRAME.size > size:
            if torn:
                return
            raise BadFrames(f"the frames are cut off at byte {start}")
        length, kind, _, key_set = FRAME.unpack_from(buffer, start)
        stop = start + FRAME.size + padded(length)
        if torn and (kind == 0 or stop > size):
            return
        if kind not in (KEYS, SCALARS, EVENT):
            raise BadFrames(f"frame kind {kind} at byte {start} is unknown; kinds are {KEYS}, {SCALARS} and {EVENT}")
        if stop > size:
            raise BadFrames(f"the frame at byte {start} is cut off: it says {length} bytes, {size - start} are there")
        yield Frame(start, kind, key_set, start + FRAME.size, length, stop)
        start = stop


class KeySet(NamedTuple):
    """The metrics of a key set, how its frames are read, and why they are refused if they are."""

    names: tuple[str, ...]
    packer: Struct
    fault: str


def decode_frames(body: Buffer, *, torn: bool = False) -> FrameBatch:
    """Read a segment or a wire body, compressed or plain. One bad record never costs the rest: it is refused by name.

    Raises `BadFrames` when the bytes as a whole make no sense. `torn` is for files whose writer was killed.
    """
    plain = decompress(body)
    header = decode_header(plain)
    key_sets: dict[int, KeySet] = {}
    events: list[Event] = []
    refused: list[tuple[int, str]] = []
    for frame in scan(plain, torn=torn):
        if frame.kind == KEYS:
            define_key_set(key_sets, frame, plain)
            continue
        try:
            event = _decode_scalars(key_sets, frame, plain) if frame.kind == SCALARS else decode_event(frame, plain)
        except BadEvent as error:
            event = refusal(error.reason)
            refused.append((header.first_seq + len(events), error.reason))
        events.append(event)
    return FrameBatch(header.run_id, Batch(header.writer, header.first_seq, tuple(events)), tuple(refused))


def _payload(frame: Frame, buffer: Buffer) -> bytes:
    return bytes(buffer[frame.payload : frame.payload + frame.length])


def decode_keys(payload: bytes) -> tuple[str, ...]:
    """The names of a `KEYS` frame, not yet checked one by one. Raises `BadFrames`."""
    names = loads(payload)
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise BadFrames("a key set must be a list of metric names")
    if len(names) > MAX_NAMES or len(set(names)) != len(names):
        raise BadFrames(f"a key set must hold at most {MAX_NAMES:,} different names")
    return tuple(names)


def define_key_set(key_sets: dict[int, KeySet], frame: Frame, buffer: Buffer) -> None:
    """Take in a `KEYS` frame. Raises `BadFrames`."""
    names = decode_keys(_payload(frame, buffer))
    if frame.key_set in key_sets and key_sets[frame.key_set].names != names:
        raise BadFrames(f"key set {frame.key_set} is defined twice with different names")
    if len(key_sets) > MAX_KEY_SETS:
        raise BadFrames(f"more than {MAX_KEY_SETS} key sets in one segment")
    key_sets[frame.key_set] = KeySet(names, Struct(f"<qd{len(names)}d"), _fault(names))


def _fault(names: tuple[str, ...]) -> str:
    try:
        for name in names:
            check_name(name)
    except BadEvent as error:
        return error.reason
    return ""


def check_scalars(key_sets: Mapping[int, KeySet], frame: Frame) -> KeySet:
    """The key set of a `SCALARS` frame. Raises `BadFrames` when it has none, or another size than its key set says."""
    key_set = key_sets.get(frame.key_set)
    if key_set is None:
        raise BadFrames(f"the frame at byte {frame.start} uses key set {frame.key_set}, which is not defined before it")
    if frame.length != key_set.packer.size:
        raise BadFrames(f"the frame at byte {frame.start} has {frame.length} bytes, its key set {key_set.packer.size}")
    return key_set


def _decode_scalars(key_sets: Mapping[int, KeySet], frame: Frame, buffer: Buffer) -> Event:
    key_set = check_scalars(key_sets, frame)
    if key_set.fault:
        raise BadEvent(key_set.fault)
    step, time, *values = key_set.packer.unpack_from(buffer, frame.payload)
    if not 0 <= step <= MAX_STEP:
        check_step(step)
    event: Event = {"type": "metrics", "step": step, "time": check_time(time)}
    event.update(zip(key_set.names, values, strict=True))
    return event


def decode_event(frame: Frame, buffer: Buffer) -> Event:
    """The record of an `EVENT` frame. Raises `BadEvent`."""
    try:
        return validate_event(loads(_payload(frame, buffer)))
    except BadEvent:
        raise
    except WireError as error:
        raise BadEvent(str(error)) from None
