"""Scalars out of TensorBoard event files: records in TFRecord frames, each a protobuf message. Standard library only.

Reads what a training loop writes (`simple_value`, and tensors that hold one number) and passes over images, histograms,
texts and graphs. Remembers how far it read, so that a file that is still being written can be followed; a last record
that is not whole yet is left for the next time. Knows nothing of rules.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

from runwell.rows import Rows
from runwell.wire import BadEvent, Event

MAGIC = b"brain.Event:"
"""Stands in the first record of every event file."""

MAX_RECORD = 512 * 2**20
CHECKED_BYTES = 64 * 1024
"""Scalars are small; the checksum of what is larger (an image) is not worked out, for it is slow and not used."""

FLOAT, DOUBLE, INT32, INT64 = 1, 2, 3, 9
"""Kinds of tensor elements (`DataType` of TensorFlow)."""


class BrokenMessage(ValueError):
    """The bytes are no protobuf message."""


def begins_event_file(head: bytes) -> bool:
    """Whether a file that begins with these (at least 40) bytes is an event file."""
    return MAGIC in head[12:64]


class EventFile:
    """One event file, read up to where it is written. Steps that belong together become one event."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.offset = 0
        """Bytes read so far: up to the end of the last whole record."""
        self.broken = False
        """Whether a record's length is damaged: what follows it cannot be found."""
        self._rows = Rows()
        self._held: dict[str, float] = {}

    def read(self, file: BinaryIO, *, last: bool) -> Iterator[Event | str]:
        """Events of the records from `offset` on, for which the file must stand there; a sentence for each bad record.

        The numbers of the newest step are held back until the next step comes, or given when this is the `last` read.
        """
        while not self.broken and (record := self._next(file)) is not None:
            if isinstance(record, str):
                yield record
                continue
            try:
                wall_time, step, values = scalars(record)
            except BrokenMessage as error:
                yield f"{self.name}, byte {self.offset - len(record) - 16}: {error}"
                continue
            for tag, value in values:
                if self._held and (self._held["step"] != step or tag in self._held):
                    yield from self._give()
                if not self._held:
                    self._held = {"step": float(step), "time": wall_time}
                self._held[tag] = value
        if last:
            yield from self._give()

    def _give(self) -> Iterator[Event | str]:
        held, self._held = self._held, {}
        if held:
            try:
                yield self._rows.metrics(held)
            except BadEvent as error:
                yield f"{self.name}: {error.reason}"

    def _next(self, file: BinaryIO) -> bytes | str | None:
        """The next record, a sentence about a damaged one, or None at the end of what is written."""
        place = self.offset
        try:
            head = file.read(12)
            if len(head) < 12:
                return None
            length = int.from_bytes(head[:8], "little")
            if length > MAX_RECORD or masked_crc(head[:8]) != int.from_bytes(head[8:], "little"):
                self.broken = True
                return f"{self.name}, byte {place}: the record's length is damaged; what follows cannot be read"
            body = file.read(length + 4)
        except (EOFError, OSError):
            return None  # a gzip file whose end is missing
        if len(body) < length + 4:
            return None
        self.offset = place + length + 16
        record = body[:length]
        if length <= CHECKED_BYTES and masked_crc(record) != int.from_bytes(body[length:], "little"):
            return f"{self.name}, byte {place}: the record is damaged (its checksum is wrong)"
        return record


# -- messages ------------------------------------------------------------------------------------------------------


def scalars(record: bytes) -> tuple[float, int, list[tuple[str, float]]]:
    """(seconds since 1970, step, [(tag, value)]) of one `Event` message. Raises `BrokenMessage`."""
    wall_time, step = 0.0, 0
    found: list[tuple[str, float]] = []
    for field, value in _fields(record):
        if field == 1 and isinstance(value, bytes):
            (wall_time,) = struct.unpack("<d", _sized(value, 8))
        elif field == 2 and isinstance(value, int):
            step = value - 2**64 if value >= 2**63 else value
        elif field == 5 and isinstance(value, bytes):
            found += [pair for inner, item in _fields(value) if inner == 1 and (pair := _scalar(item)) is not None]
    return wall_time, step, found


def _scalar(message: int | bytes) -> tuple[str, float] | None:
    tag, number = "", None
    for field, value in _fields(message) if isinstance(message, bytes) else ():
        if not isinstance(value, bytes):
            continue
        if field == 1:
            tag = value.decode("utf-8", "replace")
        elif field == 2:
            number = float(struct.unpack("<f", _sized(value, 4))[0])
        elif field == 8:
            number = _tensor(value)
    return None if number is None or not tag else (tag, number)


def _tensor(message: bytes) -> float | None:
    """The one number that a `TensorProto` holds; None when it holds none, several, or something else."""
    kind, content, values = 0, b"", list[float]()
    for field, value in _fields(message):
        if field == 1 and isinstance(value, int):
            kind = value
        elif field == 4 and isinstance(value, bytes):
            content = value
        elif field in (5, 6) and isinstance(value, bytes):
            size, form = (4, "f") if field == 5 else (8, "d")
            values += struct.unpack(f"<{len(value) // size}{form}", value[: len(value) // size * size])
    form = {FLOAT: "<f", DOUBLE: "<d", INT32: "<i", INT64: "<q"}.get(kind, "")
    if form and len(content) == struct.calcsize(form):
        return float(struct.unpack(form, content)[0])
    return values[0] if len(values) == 1 and not content else None


def _sized(value: bytes, size: int) -> bytes:
    if len(value) != size:
        raise BrokenMessage(f"a number of {len(value)} bytes where {size} belong")
    return value


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(field number, whole number or bytes) of each field. Raises `BrokenMessage` when a field does not end."""
    at, end = 0, len(message)
    while at < end:
        key, at = _varint(message, at)
        wire, field = key & 7, key >> 3
        if wire == 0:
            number, at = _varint(message, at)
            yield field, number
            continue
        if wire == 2:
            length, at = _varint(message, at)
        else:
            length = {1: 8, 5: 4}.get(wire, end + 1)
        if at + length > end:
            raise BrokenMessage("the record is no Event message")
        yield field, message[at : at + length]
        at += length


def _varint(message: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while at < len(message) and shift < 70:
        byte = message[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7
    raise BrokenMessage("the record is no Event message")


# -- checksums -----------------------------------------------------------------------------------------------------


def _make_table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return tuple(table)


_TABLE = _make_table()


def masked_crc(data: bytes) -> int:
    """CRC-32C, masked as TFRecord files do, so that a checksum of data that holds checksums stays sound."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
