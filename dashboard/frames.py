"""Reads a writer's frames into columns: what `runwell.frames` decodes record by record, at once. Pure: bytes in.

Frames of one key set have one size, so those that lie side by side are read as one array. What is refused, and with which
words, is decided by the same checks as in `runwell.frames`; a test holds the two against each other.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dashboard.deliveries import Delivery, Table
from dashboard.records import Ints
from runwell.frames import (
    HEADER,
    KEYS,
    SCALARS,
    BadFrames,
    Buffer,
    Frame,
    KeySet,
    check_scalars,
    decode_event,
    decode_frames,
    decode_header,
    decompress,
    define_key_set,
    scan,
)
from runwell.wire import MAX_STEP, BadEvent, Event, check_step, check_time, refusal

_MAX_TIME = 1e12


@dataclass(slots=True)
class _Columns:
    """Frames of one key set: arrays of those that lay side by side, and the places of their records."""

    key_set: KeySet
    places: list[Ints] = field(default_factory=list)
    frames: list[NDArray[np.void]] = field(default_factory=list)


def decode_delivery(body: Buffer, now: float, *, torn: bool = False) -> tuple[str, Delivery]:
    """(run id, what was delivered). One bad record never costs the rest. Raises `BadFrames`.

    A record without a time gets `now`. `torn` is for files whose writer was killed: they end where writing had ended.
    """
    plain = decompress(body)
    header = decode_header(plain)
    words = np.frombuffer(plain, "<u8", len(plain) // 8)
    key_sets: dict[int, KeySet] = {}
    columns: dict[int, _Columns] = {}
    others: list[tuple[int, Event]] = []
    place, at = 0, HEADER.size
    while (frame := next(scan(plain, at, torn=torn), None)) is not None:
        at = frame.stop
        if frame.kind == KEYS:
            define_key_set(key_sets, frame, plain)
        elif frame.kind == SCALARS:
            found = columns.setdefault(frame.key_set, _Columns(check_scalars(key_sets, frame)))
            check_scalars(key_sets, frame)
            count = _alike(words, frame)
            found.places.append(np.arange(place, place + count))
            found.frames.append(np.frombuffer(plain, _layout(found.key_set), count, frame.start))
            place += count
            at = frame.start + count * (frame.stop - frame.start)
        else:
            others.append((place, _event(frame, plain)))
            place += 1
    if any(event["type"] == "metrics" for _, event in others):
        # Numbers as JSON among the frames, as other languages and older scripts may write them: they are points as well.
        return header.run_id, Delivery.of(decode_frames(plain, torn=torn).batch, now)
    tables = [_table(found, others) for found in columns.values()]
    others.sort(key=lambda other: other[0])
    kept = tuple(table for table in tables if len(table))
    return header.run_id, Delivery(header.writer, header.first_seq, place, kept, tuple(others))


def _layout(key_set: KeySet) -> np.dtype[np.void]:
    return np.dtype([("head", "<u8"), ("step", "<i8"), ("time", "<f8"), ("values", "<f8", (len(key_set.names),))])


def _alike(words: NDArray[np.uint64], frame: Frame) -> int:
    """How many whole frames with the very same head lie side by side from this one on."""
    stride = (frame.stop - frame.start) // 8
    first = frame.start // 8
    most = (len(words) - first) // stride
    reach = 16
    while True:
        heads = words[first : first + min(reach, most) * stride : stride]
        other = np.flatnonzero(heads != heads[0])
        if len(other):
            return int(other[0])
        if reach >= most:
            return most
        reach *= 8


def _event(frame: Frame, plain: Buffer) -> Event:
    try:
        return decode_event(frame, plain)
    except BadEvent as error:
        return refusal(error.reason)


def _table(found: _Columns, others: list[tuple[int, Event]]) -> Table:
    """The records of one key set; those that are not allowed go to `others` as refused."""
    places = np.concatenate(found.places)
    frames = np.concatenate(found.frames) if len(found.frames) > 1 else found.frames[0]
    steps, times, values = (np.ascontiguousarray(frames[name]) for name in ("step", "time", "values"))
    if found.key_set.fault:
        others.extend((place, refusal(found.key_set.fault)) for place in places.tolist())
        return Table(found.key_set.names, places[:0], steps[:0], times[:0], values[:0])
    with np.errstate(invalid="ignore"):
        good = (steps >= 0) & (steps <= MAX_STEP) & (np.abs(times) <= _MAX_TIME)
    if good.all():
        return Table(found.key_set.names, places, steps, times, values)
    for bad in np.flatnonzero(~good):
        others.append((int(places[bad]), _why(int(steps[bad]), float(times[bad]))))
    return Table(found.key_set.names, places[good], steps[good], times[good], values[good])


def _why(step: int, time: float) -> Event:
    try:
        check_step(step)
        check_time(time)
    except BadEvent as error:
        return refusal(error.reason)
    raise BadFrames("a record was refused without a reason")  # the checks here and there differ
