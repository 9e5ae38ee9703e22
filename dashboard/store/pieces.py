"""Summaries of a full block's pieces: what a zoomed-out chart needs of every PIECE rows. Pure: numpy, no database.

The rows of a block, sorted by step, are cut into pieces. An *outline* says where each piece lies (one a block); a *digest*
says what a column's values are in each (one a column). A chart whose buckets are wider than a piece reads these instead of
the values: 8 and 50 bytes for 128 rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dashboard.errors import CorruptStore
from dashboard.records import Floats, Ints

PIECE = 128
"""Rows in a piece; the last of a block may have fewer."""

WORTHWHILE = 1024
"""A block with fewer rows has no digests: it is unpacked as fast."""

OUTLINE = np.dtype([("first_step", "<i8"), ("last_step", "<i8"), ("last_time", "<f8"), ("last_arrival", "<i8")])
DIGEST = np.dtype(
    [
        ("low", "<f8"), ("high", "<f8"), ("mean", "<f8"), ("last", "<f8"), ("low_step", "<i8"), ("high_step", "<i8"),
        ("nonfinite", "<u2"),
    ]
)  # fmt: skip
"""Where nothing is finite, `low` is +Inf, `high` -Inf and `mean` 0."""

Rows = NDArray[np.void]


def outline(steps: Ints, times: Floats, arrivals: Ints) -> bytes:
    """Where the pieces of rows sorted by step lie."""
    starts = np.arange(0, len(steps), PIECE)
    ends = np.append(starts[1:], len(steps)) - 1
    found = np.empty(len(starts), OUTLINE)
    found["first_step"], found["last_step"] = steps[starts], steps[ends]
    found["last_time"], found["last_arrival"] = times[ends], arrivals[ends]
    return found.tobytes()


def digests(steps: Ints, values: Floats) -> list[bytes]:
    """For each column of `values` (rows sorted by step, series) what its pieces hold."""
    count = -(-len(steps) // PIECE)
    found = np.empty((values.shape[1], count), DIGEST)
    whole = len(steps) // PIECE
    _digest(found[:, :whole], steps[: whole * PIECE].reshape(whole, PIECE), values[: whole * PIECE], whole)
    if whole < count:
        _digest(found[:, whole:], steps[whole * PIECE :].reshape(1, -1), values[whole * PIECE :], 1)
    return [column.tobytes() for column in found]


def _digest(found: Rows, steps: Ints, values: Floats, count: int) -> None:
    """Fill `found` (series, pieces) from equal pieces: `steps` (pieces, rows of a piece), `values` (rows, series)."""
    if not count:
        return
    size, width = steps.shape[1], values.shape[1]
    cut = values.reshape(count, size, width)
    finite = np.isfinite(cut)
    low_values, high_values = np.where(finite, cut, np.inf), np.where(finite, cut, -np.inf)
    low, high, counts = low_values.argmin(axis=1), high_values.argmax(axis=1), finite.sum(axis=1)
    rows = np.arange(count)[:, None]
    found["low"] = np.take_along_axis(low_values, low[:, None], axis=1)[:, 0].T
    found["high"] = np.take_along_axis(high_values, high[:, None], axis=1)[:, 0].T
    found["low_step"], found["high_step"] = steps[rows, low].T, steps[rows, high].T
    # Divided before it is added: the sum of huge values overflows, their mean does not.
    found["mean"] = (np.where(finite, cut, 0.0) / np.maximum(counts, 1)[:, None]).sum(axis=1).T
    found["last"], found["nonfinite"] = cut[:, -1].T, (size - counts).T


def unpack(blobs: Sequence[bytes], kind: np.dtype[np.void], rows: Sequence[int]) -> Rows:
    """The records of many blocks, one block after the other; `rows` are the rows of each block. Raises CorruptStore."""
    for blob, count in zip(blobs, rows, strict=True):
        if len(blob) != -(-count // PIECE) * kind.itemsize:
            raise CorruptStore(f"a summary of {count} rows holds {len(blob)} bytes; restore a backup of the database")
    return np.frombuffer(b"".join(blobs), kind)
