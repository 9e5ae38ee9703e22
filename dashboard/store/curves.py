"""Reads one series of a run as chart columns. SQL to find the blocks, `buckets` to reduce them; writes nothing.

What lies whole within the window and is narrow beside a bucket is answered from summaries: of the whole block, or of its
pieces. Everything else is unpacked: at the edges of the window, where a rewind cuts, where generations overlap, and when
buckets hold few points.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from dashboard.records import Floats, Ints, Series
from dashboard.store import buckets as bucketing
from dashboard.store import packing, pieces
from dashboard.store.buckets import Aggregates, Points
from dashboard.store.tables import blocks, columns, digests, generations, outlines

_ENDLESS = 2**62
_AT_ONCE = 500  # blocks asked for in one statement; databases bound the number of parameters

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Blocks:
    """The blocks that may hold visible points of the window. `stop` is the last step of each that is visible."""

    key: Ints
    generation: Ints
    rows: Ints
    first: Ints
    last: Ints
    stop: Ints
    whole: Aggregates

    def __len__(self) -> int:
        return len(self.key)

    def __getitem__(self, which: Ints | Mask) -> _Blocks:
        return _Blocks(*(getattr(self, field.name)[which] for field in fields(self)))


@dataclass(frozen=True, slots=True)
class _Summaries:
    """Summaries that may stand for their points: which block each is of (an index), and where it begins."""

    block: Ints
    piece: Ints  # -1 for a whole block
    first: Ints
    rows: Aggregates

    def __len__(self) -> int:
        return len(self.first)

    def __getitem__(self, which: Ints | Mask) -> _Summaries:
        return _Summaries(*(getattr(self, field.name)[which] for field in fields(self)))


def read(
    connection: sa.Connection,
    run_key: int,
    series_key: int,
    name: str,
    start: int | None,
    stop: int | None,
    buckets: int,
) -> Series:
    """Columns for start..stop (both included): raw when they hold at most `buckets` visible points, else bucketed."""
    first, last = -_ENDLESS if start is None else start, _ENDLESS if stop is None else stop
    found = _overview(connection, series_key, first, last, hidden_after(connection, run_key))
    if not len(found):
        return bucketing.empty(name)
    if found.rows.sum() <= buckets:
        return bucketing.raw(name, _points(connection, series_key, found, first, None))
    low, high = max(first, int(found.first.min())), min(last, int(found.stop.max()))
    width = bucketing.width_for(low, high, buckets)
    chosen, edges = _choose(_summaries(connection, series_key, found, low, width), low, high, width)
    points = _points(connection, series_key, found, low, chosen)
    if len(points) + int(chosen.rows.count.sum()) <= buckets:
        return bucketing.raw(name, _points(connection, series_key, found, low, None))
    return bucketing.combine(name, [bucketing.reduce_points(points, edges), chosen.rows], edges)


def hidden_after(connection: sa.Connection, run_key: int) -> dict[int, int]:
    """For each generation that was rewound: the step after which its points are hidden."""
    rewinds = connection.execute(
        sa.select(generations.c.generation, generations.c.step)
        .where(generations.c.run_key == run_key)
        .order_by(generations.c.generation.desc())
    ).all()
    cutoffs: dict[int, int] = {}
    lowest = _ENDLESS
    newest = rewinds[0].generation if rewinds else 0
    steps = {row.generation: row.step for row in rewinds}
    for generation in range(newest, 0, -1):
        lowest = min(lowest, steps.get(generation, _ENDLESS))
        cutoffs[generation - 1] = lowest
    return cutoffs


# -- which blocks ----------------------------------------------------------------------------------------------------


def _overview(connection: sa.Connection, series_key: int, first: int, last: int, cutoffs: Mapping[int, int]) -> _Blocks:
    """The blocks that may hold visible points of first..last, with what is known of each without unpacking it."""
    rows = connection.execute(
        sa.select(
            blocks.c.key, blocks.c.generation, blocks.c.rows, blocks.c.first_step, blocks.c.last_step, blocks.c.last_time,
            blocks.c.last_arrival, columns.c.nonfinite, columns.c.lowest, columns.c.highest, columns.c.mean,
            columns.c.lowest_step, columns.c.highest_step, columns.c.last,
        )
        .join(columns, columns.c.block_key == blocks.c.key)
        .where(columns.c.series_key == series_key, blocks.c.last_step >= first, blocks.c.first_step <= last)
        .order_by(blocks.c.generation, blocks.c.first_arrival)
    ).all()  # fmt: skip
    names = "key generation rows first last time arrival nonfinite low high mean low_step high_step last_value"
    told: dict[str, Sequence[Any]] = dict(
        zip(names.split(), zip(*rows, strict=True) if rows else [()] * 14, strict=True)
    )
    ints = {name: np.array(told[name], np.int64) for name in ("key", "generation", "rows", "first", "last")}
    stop = np.array([min(last, cutoffs.get(generation, _ENDLESS)) for generation in told["generation"]], np.int64)
    found = _Blocks(**ints, stop=np.minimum(ints["last"], stop), whole=_whole(told))
    return found[found.first <= stop]


def _whole(told: Mapping[str, Sequence[Any]]) -> Aggregates:
    """The aggregates that lie beside whole blocks."""

    def ints(name: str) -> Ints:
        return np.array(told[name], np.int64)

    def floats(name: str, missing: float) -> Floats:
        values = np.array(told[name], np.float64)  # None becomes NaN; no finite value is NaN
        return np.where(np.isnan(values), missing, values)

    return Aggregates(
        step=ints("last"), time=floats("time", np.nan), arrival=ints("arrival"), low=floats("low", np.inf),
        high=floats("high", -np.inf), mean=floats("mean", 0.0), last=np.frombuffer(b"".join(told["last_value"]), "<f8"),
        count=ints("rows"), nonfinite=ints("nonfinite"), low_step=ints("low_step"), high_step=ints("high_step"),
    )  # fmt: skip


# -- which summaries -------------------------------------------------------------------------------------------------


def _summaries(connection: sa.Connection, series_key: int, found: _Blocks, low: int, width: int) -> _Summaries:
    """Summaries that stand for their points exactly, none wider than half a bucket."""
    half = width // 2
    usable = ~_contested(found)
    span = found.last - found.first
    narrow = usable & (span <= half) & (found.first >= low) & (found.last <= found.stop)
    some = np.flatnonzero(narrow)
    whole = _Summaries(some, np.full(len(some), -1), found.first[some], found.whole[some])
    # Pieces are at least this wide on the whole; where that is too wide, looking for narrow ones is in vain.
    count = -(-found.rows // pieces.PIECE)
    cut = np.flatnonzero(usable & ~narrow & (found.rows >= pieces.WORTHWHILE) & (span // count <= half))
    if not len(cut):
        return whole
    inside = _pieces(connection, series_key, found, cut)
    keep = (
        (inside.rows.step - inside.first <= half)
        & (inside.first >= low)
        & (inside.rows.step <= found.stop[inside.block])
    )
    return _joined([whole, inside[keep]])


def _contested(found: _Blocks) -> Mask:
    """Blocks whose steps another generation reaches into: there, the newer point of a step hides the older one."""
    contested = np.zeros(len(found), bool)
    for generation in set(found.generation.tolist()):
        mine = found.generation == generation
        if mine.all():
            break
        first, stop = np.sort(found.first[~mine]), np.sort(found.stop[~mine])
        begun = np.searchsorted(first, found.stop[mine], side="right")
        contested[mine] = begun > np.searchsorted(stop, found.first[mine], side="left")
    return contested


def _pieces(connection: sa.Connection, series_key: int, found: _Blocks, which: Ints) -> _Summaries:
    """The pieces of some blocks. Blocks of schema 1 have none."""
    stored = _by_key(
        connection,
        sa.select(outlines.c.block_key, outlines.c.body, digests.c.body)
        .join(digests, digests.c.block_key == outlines.c.block_key)
        .where(digests.c.series_key == series_key),
        outlines.c.block_key,
        found.key[which].tolist(),
    )
    which = which[[key in stored for key in found.key[which].tolist()]]
    rows = found.rows[which].tolist()
    bodies = [stored[key] for key in found.key[which].tolist()]
    where = pieces.unpack([body[1] for body in bodies], pieces.OUTLINE, rows)
    what = pieces.unpack([body[2] for body in bodies], pieces.DIGEST, rows)
    pieces_of = -(-found.rows[which] // pieces.PIECE)
    number = np.arange(len(where)) - np.repeat(np.cumsum(pieces_of) - pieces_of, pieces_of)
    block = np.repeat(which, pieces_of)
    count = np.minimum(pieces.PIECE, found.rows[block] - number * pieces.PIECE)
    return _Summaries(
        block, number, where["first_step"],
        Aggregates(
            step=where["last_step"], time=where["last_time"], arrival=where["last_arrival"], low=what["low"],
            high=what["high"], mean=what["mean"], last=what["last"], count=count,
            nonfinite=what["nonfinite"].astype(np.int64), low_step=what["low_step"], high_step=what["high_step"],
        ),
    )  # fmt: skip


def _joined(parts: Sequence[_Summaries]) -> _Summaries:
    rows = Aggregates(
        *(np.concatenate([getattr(part.rows, field.name) for part in parts]) for field in fields(Aggregates))
    )
    return _Summaries(
        np.concatenate([part.block for part in parts]),
        np.concatenate([part.piece for part in parts]),
        np.concatenate([part.first for part in parts]),
        rows,
    )


def _choose(found: _Summaries, low: int, high: int, width: int) -> tuple[_Summaries, Ints]:
    """The summaries that lie within one bucket each, and the buckets' edges."""
    edges = bucketing.edges_for(low, high, width)
    if not len(found):
        return found, edges
    found = found[np.argsort(found.first, kind="stable")]
    edges = bucketing.give_way(edges, found.first, found.rows.step)
    inside = np.searchsorted(edges, found.first, side="right") == np.searchsorted(edges, found.rows.step, side="right")
    return found[inside], edges


# -- single points ---------------------------------------------------------------------------------------------------


def _points(
    connection: sa.Connection, series_key: int, found: _Blocks, first: int, chosen: _Summaries | None
) -> Points:
    """The visible points from `first` on, sorted by step; without those that the chosen summaries stand for."""
    instead = np.zeros(len(found), np.int64)  # pieces of each block that are not opened
    skipped: dict[int, Ints] = {}
    if chosen is not None:
        whole = chosen.block[chosen.piece < 0]
        np.add.at(instead, chosen.block[chosen.piece >= 0], 1)
        instead[whole] = -(-found.rows[whole] // pieces.PIECE)
    opened = np.flatnonzero(instead < -(-found.rows // pieces.PIECE))
    if chosen is not None:
        partly = opened[instead[opened] > 0]
        skipped = {int(block): chosen.piece[chosen.block == block] for block in partly}
    contents = _contents(connection, series_key, found.key[opened].tolist())
    by_generation: dict[int, list[Points]] = {}
    for block in opened.tolist():
        points = _unpacked(contents[int(found.key[block])], int(found.rows[block]))
        if block in skipped:
            points = points.by_step()
            points = points[np.flatnonzero(~np.isin(np.arange(len(points)) // pieces.PIECE, skipped[block]))]
        if found.first[block] < first or found.last[block] > found.stop[block]:
            points = points[np.flatnonzero((points.steps >= first) & (points.steps <= found.stop[block]))]
        by_generation.setdefault(int(found.generation[block]), []).append(points)
    return _newest_wins([_join(by_generation[generation]) for generation in sorted(by_generation)]).by_step()


def _unpacked(row: Any, count: int) -> Points:
    return Points(
        packing.unpack_integers(row.steps, count),
        packing.unpack_times(row.times, count),
        packing.unpack_values(row.data, count),
        packing.unpack_integers(row.arrivals, count),
    )


def _contents(connection: sa.Connection, series_key: int, keys: Sequence[int]) -> dict[int, Any]:
    query = (
        sa.select(blocks.c.key, blocks.c.arrivals, blocks.c.steps, blocks.c.times, columns.c.data)
        .join(columns, columns.c.block_key == blocks.c.key)
        .where(columns.c.series_key == series_key)
    )
    return _by_key(connection, query, columns.c.block_key, keys)


def with_times(connection: sa.Connection, run_key: int, series_key: int, found: Series) -> Series:
    """The same columns, and when the extremes of each row were logged."""
    if not len(found.step):
        return replace(found, min_time=found.time, max_time=found.time)
    wanted = np.unique(np.concatenate([found.min_step, found.max_step]))
    times = _times_at(connection, run_key, series_key, wanted)
    low, high = (times[np.searchsorted(wanted, steps)] for steps in (found.min_step, found.max_step))
    raw = found.count == 1  # points at one step were logged at times of their own
    return replace(found, min_time=np.where(raw, found.time, low), max_time=np.where(raw, found.time, high))


def _times_at(connection: sa.Connection, run_key: int, series_key: int, wanted: Ints) -> Floats:
    """When the visible point at each of those steps (sorted) was logged; of several the last that arrived."""
    found = _overview(connection, series_key, int(wanted[0]), int(wanted[-1]), hidden_after(connection, run_key))
    asked = np.searchsorted(wanted, found.first) < np.searchsorted(wanted, found.stop, side="right")
    found = found[asked]
    query = sa.select(blocks.c.key, blocks.c.arrivals, blocks.c.steps, blocks.c.times)
    contents = _by_key(connection, query, blocks.c.key, found.key.tolist())
    told: list[tuple[Ints, Ints, Ints, Floats]] = []
    for block in range(len(found)):
        row, count = contents[int(found.key[block])], int(found.rows[block])
        steps = packing.unpack_integers(row.steps, count)
        order = None if (np.diff(steps) >= 0).all() else np.argsort(steps, kind="stable")
        ahead = steps if order is None else steps[order]
        place = np.arange(*np.searchsorted(wanted, [found.first[block], found.stop[block] + 1]))
        last = np.searchsorted(ahead, wanted[place], side="right") - 1  # of one step the row that arrived last
        there = ahead[last] == wanted[place]
        place, at = place[there], (last if order is None else order[last])[there]
        generation = np.full(len(place), found.generation[block])
        arrivals, times = packing.unpack_integers(row.arrivals, count), packing.unpack_times(row.times, count)
        told.append((place, generation, arrivals[at], times[at]))
    places, generations_of, arrivals_of, times_of = (np.concatenate(parts) for parts in zip(*told, strict=True))
    newest_last = np.lexsort((arrivals_of, generations_of))
    when = np.full(len(wanted), np.nan)
    when[places[newest_last]] = times_of[newest_last]
    return when


def _by_key(
    connection: sa.Connection, query: sa.Select[Any], column: sa.ColumnElement[int], keys: Sequence[int]
) -> dict[int, Any]:
    """Rows of a query by their first column, for those whose `column` is among the keys."""
    found: dict[int, Any] = {}
    for start in range(0, len(keys), _AT_ONCE):
        rows = connection.execute(query.where(column.in_(keys[start : start + _AT_ONCE])))
        found.update((row[0], row) for row in rows)
    return found


def _join(parts: Sequence[Points]) -> Points:
    return Points(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Points)))


def _newest_wins(by_generation: list[Points]) -> Points:
    """One list of points from those of each generation, oldest first: a later generation's step replaces earlier ones."""
    if not by_generation:
        return bucketing.no_points()
    kept = [by_generation[-1]]
    for points in reversed(by_generation[:-1]):
        newer = np.concatenate([points.steps for points in kept])
        kept.append(points[np.flatnonzero(~np.isin(points.steps, newer))])
    return _join(kept[::-1]) if len(kept) > 1 else kept[0]
