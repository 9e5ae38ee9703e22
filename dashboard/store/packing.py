"""Columns of numbers to bytes and back, without loss. Pure: knows numpy and zlib, not the database.

Integers (steps, arrival numbers) and times change little from row to row, so their differences are kept: how far each is
from the middle one, in as few bytes as most of them need, and the few that need more beside them. That is as small as
compressing them and read ten times faster. Values are noise to a compressor and are read by every chart, so they lie raw:
as float32 where that loses nothing (most losses come from float32 tensors), else as float64. NaN, +Inf and -Inf are bits
like any.
"""

from __future__ import annotations

import zlib
from struct import Struct

import numpy as np
from numpy.typing import NDArray

from dashboard.errors import CorruptStore
from dashboard.records import Floats, Ints

_REGULAR, _PATCHED, _COMPRESSED = b"r", b"p", b"z"
_HEAD = Struct("<BIqq")
"""Of a patched column: bytes a difference, number of patches, first value, middle difference."""
_PATCH_BYTES = 12
_HEAL = "restore a backup of the database"


def pack_integers(values: Ints) -> bytes:
    """A start and a stride where that is all there is to say, else the differences of int64.

    Differences may wrap around; the sum wraps back.
    """
    values = np.ascontiguousarray(values, dtype="<i8")
    differences = np.diff(values)
    if len(differences) and (differences == differences[0]).all():
        return _REGULAR + values[:1].tobytes() + differences[:1].tobytes()
    return _PATCHED + _patched(values, differences)


def _patched(values: Ints, differences: Ints) -> bytes:
    count = len(differences)
    middle = np.sort(differences)[count // 2] if count else np.int64(0)
    with np.errstate(over="ignore"):
        apart = differences - middle
    folded = ((apart << 1) ^ (apart >> 63)).view(np.uint64)  # small numbers of either sign become small ones
    larger = [int(np.count_nonzero(folded >> np.uint64(8 * width))) for width in range(8)] + [0]
    width = min(range(9), key=lambda width: width * count + _PATCH_BYTES * larger[width])
    patches = np.flatnonzero(folded >> np.uint64(8 * width)) if larger[width] else np.zeros(0, np.int64)
    kept = folded.view(np.uint8).reshape(-1, 8)[:, :width].tobytes()
    head = _HEAD.pack(width, len(patches), int(values[0]), int(middle))
    return head + kept + patches.astype("<u4").tobytes() + folded[patches].tobytes()


def unpack_integers(blob: bytes, count: int) -> Ints:
    """The `count` integers that `pack_integers` packed. Raises CorruptStore."""
    kind, content = blob[:1], blob[1:]
    if kind == _REGULAR and len(content) == 16:
        start, stride = np.frombuffer(content, "<i8")
        with np.errstate(over="ignore"):
            regular: Ints = start + np.arange(count, dtype=np.int64) * stride
        return regular
    if kind == _PATCHED:
        return _unpatched(content, count)
    if kind != _COMPRESSED:
        raise CorruptStore(f"a packed column begins with an unknown mark; {_HEAL}")
    return _decompressed(content, count)


def _unpatched(content: bytes, count: int) -> Ints:
    if len(content) < _HEAD.size:
        raise CorruptStore(f"a packed column is cut off; {_HEAL}")
    width, patches, first, middle = _HEAD.unpack_from(content)
    body = (count - 1) * width
    if width > 8 or len(content) != _HEAD.size + body + _PATCH_BYTES * patches:
        raise CorruptStore(f"a packed column of {count} numbers holds {len(content)} bytes; {_HEAL}")
    folded = np.zeros((count - 1, 8), np.uint8)
    folded[:, :width] = np.frombuffer(content, np.uint8, body, _HEAD.size).reshape(count - 1, width)
    wide: NDArray[np.uint64] = folded.view("<u8").reshape(count - 1)
    if patches:
        where = np.frombuffer(content, "<u4", patches, _HEAD.size + body)
        if where.max() >= count - 1:
            raise CorruptStore(f"a packed column has a patch outside it; {_HEAL}")
        wide[where] = np.frombuffer(content, "<u8", patches, _HEAD.size + body + 4 * patches)
    found = np.empty(count, np.int64)
    found[0] = first
    with np.errstate(over="ignore"):
        found[1:] = (wide >> np.uint64(1)).view(np.int64) ^ -(wide & np.uint64(1)).view(np.int64)
        found[1:] += np.int64(middle)
        return np.cumsum(found, out=found)


def _decompressed(content: bytes, count: int) -> Ints:
    """Blocks of schema 1: the differences shuffled byte by byte and compressed."""
    # max_length bounds what a damaged or forged blob can make us allocate.
    try:
        raw = zlib.decompressobj().decompress(content, max_length=8 * count + 1)
    except zlib.error as error:
        raise CorruptStore(f"a packed column does not unpack ({error}); {_HEAL}") from error
    if len(raw) != 8 * count:
        raise CorruptStore(f"a packed column holds {len(raw)} bytes, {8 * count} belong there; {_HEAL}")
    differences = np.frombuffer(raw, np.uint8).reshape(8, count).T.copy().view("<i8").reshape(count)
    return np.cumsum(differences, dtype=np.int64)


def pack_times(values: Floats) -> bytes:
    """Like `pack_integers`, of the times' bit patterns: neighbouring times are neighbouring patterns."""
    return pack_integers(np.ascontiguousarray(values, dtype="<f8").view("<i8"))


def unpack_times(blob: bytes, count: int) -> Floats:
    """The `count` times that `pack_times` packed, bit by bit. Raises CorruptStore."""
    return unpack_integers(blob, count).view(np.float64)


def pack_values(values: Floats) -> list[bytes]:
    """Each column of `values` (rows, series) by itself: float32 when every value survives it (NaN counts as NaN), else
    float64. The length tells which."""
    wide = np.ascontiguousarray(values.T, dtype="<f8")
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        narrow = wide.astype("<f4")
    survives = ((narrow == wide) | (np.isnan(narrow) & np.isnan(wide))).all(axis=1).tolist()
    return [(narrow if small else wide)[index].tobytes() for index, small in enumerate(survives)]


def unpack_values(blob: bytes, count: int) -> Floats:
    """The `count` values that `pack_values` packed, as float64. Raises CorruptStore."""
    if len(blob) == 4 * count:
        return np.frombuffer(blob, "<f4").astype(np.float64)
    if len(blob) == 8 * count:
        return np.frombuffer(blob, "<f8")
    raise CorruptStore(f"a column of {count} values holds {len(blob)} bytes; restore a backup of the database")


def pack_numbers(values: Floats) -> list[bytes]:
    """Each float64 as eight bytes, because a NaN in a number column would come back as NULL."""
    packed = np.ascontiguousarray(values, dtype="<f8").tobytes()
    return [packed[start : start + 8] for start in range(0, len(packed), 8)]


def unpack_number(blob: bytes) -> float:
    """One of the floats that `pack_numbers` packed."""
    return float(np.frombuffer(blob, "<f8", count=1)[0])
