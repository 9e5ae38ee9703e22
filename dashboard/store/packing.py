"""Columns of numbers to bytes and back, without loss. Pure: knows numpy and zlib, not the database.

Integers (steps, arrival numbers) and times change little from row to row, so their differences are kept, byte by byte
across rows, and compressed. Values are noise to a compressor and are read by every chart, so they lie raw: as float32
where that loses nothing (most losses come from float32 tensors), else as float64. NaN, +Inf and -Inf are bits like any.
"""

from __future__ import annotations

import zlib

import numpy as np

from dashboard.errors import CorruptStore
from dashboard.records import Floats, Ints

_REGULAR, _PACKED = b"r", b"z"
_ZLIB_LEVEL = 1  # the shuffled differences are mostly zeros; higher levels cost time and save next to nothing


def pack_integers(values: Ints) -> bytes:
    """A start and a stride where that is all there is to say, else shuffled, compressed differences of int64.

    Differences may wrap around; the sum wraps back.
    """
    values = np.ascontiguousarray(values, dtype="<i8")
    differences = np.diff(values, prepend=np.int64(0))
    if len(values) > 1 and (differences[1:] == differences[1]).all():
        return _REGULAR + differences[:2].tobytes()
    return _PACKED + zlib.compress(differences.view(np.uint8).reshape(-1, 8).T.tobytes(), _ZLIB_LEVEL)


def unpack_integers(blob: bytes, count: int) -> Ints:
    """The `count` integers that `pack_integers` packed. Raises CorruptStore."""
    kind, content = blob[:1], blob[1:]
    if kind == _REGULAR and len(content) == 16:
        start, stride = np.frombuffer(content, "<i8")
        with np.errstate(over="ignore"):
            regular: Ints = start + np.arange(count, dtype=np.int64) * stride
        return regular
    if kind != _PACKED:
        raise CorruptStore("a packed column begins with an unknown mark; restore a backup of the database")
    # max_length bounds what a damaged or forged blob can make us allocate.
    try:
        raw = zlib.decompressobj().decompress(content, max_length=8 * count + 1)
    except zlib.error as error:
        raise CorruptStore(f"a packed column does not unpack ({error}); restore a backup of the database") from error
    if len(raw) != 8 * count:
        raise CorruptStore(
            f"a packed column holds {len(raw)} bytes, {8 * count} belong there; restore a backup of the database"
        )
    differences = np.frombuffer(raw, np.uint8).reshape(8, count).T.copy().view("<i8").reshape(count)
    return np.cumsum(differences, dtype=np.int64)


def pack_times(values: Floats) -> bytes:
    """Like `pack_integers`, of the times' bit patterns: neighbouring times are neighbouring patterns."""
    return pack_integers(np.ascontiguousarray(values, dtype="<f8").view("<i8"))


def unpack_times(blob: bytes, count: int) -> Floats:
    """The `count` times that `pack_times` packed, bit by bit. Raises CorruptStore."""
    return unpack_integers(blob, count).view(np.float64)


def pack_values(values: Floats) -> bytes:
    """float32 when every value survives it (NaN counts as NaN), else float64. The length tells which."""
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        small = values.astype("<f4")
    if np.array_equal(small.astype(np.float64), values, equal_nan=True):
        return small.tobytes()
    return values.astype("<f8").tobytes()


def unpack_values(blob: bytes, count: int) -> Floats:
    """The `count` values that `pack_values` packed, as float64. Raises CorruptStore."""
    if len(blob) == 4 * count:
        return np.frombuffer(blob, "<f4").astype(np.float64)
    if len(blob) == 8 * count:
        return np.frombuffer(blob, "<f8")
    raise CorruptStore(f"a column of {count} values holds {len(blob)} bytes; restore a backup of the database")


def pack_number(value: float) -> bytes:
    """One float64 as eight bytes, because a NaN in a number column would come back as NULL."""
    return np.float64(value).tobytes()


def unpack_number(blob: bytes) -> float:
    """The float that `pack_number` packed."""
    return float(np.frombuffer(blob, "<f8", count=1)[0])
