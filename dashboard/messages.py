"""What the live stream sends: one numbered message, its text made at most once; points series by series. Knows no page.

Points that no page watches stay the arrays they came as: writing a million numbers as text costs more than storing them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runwell.wire import dumps

POINTS_AT_ONCE = 400
"""Points of one series in one message; of more, the extremes and the non-finite ones are sent, and the ends."""

POINT_BYTES, CHUNK_BYTES = 48, 400
"""What a point takes as text, and what three small arrays take: the size of points that are not serialised yet."""

Columns = Mapping[str, Sequence[float] | NDArray[Any]]
"""`step`, `time` and `value` of one series, of equal length."""


class Message:
    """One published message. Its text is made when a page first needs it; the hub's lock guards it."""

    __slots__ = ("_make", "_text", "kind", "parent_id", "run_id", "seq", "size")

    def __init__(
        self, seq: int, kind: str, run_id: str, size: int, make: Callable[[], str], parent_id: str | None
    ) -> None:
        """`size` is about what it takes in memory, as text or before; `parent_id` the run whose page gets it besides."""
        self.seq, self.kind, self.run_id, self.size, self.parent_id = seq, kind, run_id, size, parent_id
        self._text = ""
        self._make: Callable[[], str] | None = make

    @property
    def text(self) -> str:
        """As it is sent, serialised once for all."""
        if self._make is not None:
            self._text, self._make = self._make(), None  # what it was made of is let go
        return self._text

    def text_for(self, chosen: Set[str] | None) -> str | None:
        """As a page gets it that has `chosen` some series (None: all); None when it has nothing for it."""
        return self.text

    def names(self) -> Set[str]:
        """The series of which it holds points."""
        return frozenset()


class Points(Message):
    """Points of some series. Each series is serialised at most once, when a page first asks for it."""

    __slots__ = ("_epoch", "_series", "_texts")

    def __init__(self, seq: int, epoch: str, run_id: str, series: Mapping[str, list[Columns]]) -> None:
        points = sum(len(part["step"]) for parts in series.values() for part in parts)
        size = POINT_BYTES * points + CHUNK_BYTES * sum(map(len, series.values()))
        super().__init__(seq, "points", run_id, size, lambda: self._joined(series), None)
        self._epoch, self._series, self._texts = epoch, series, dict[str, str]()

    def text_for(self, chosen: Set[str] | None) -> str | None:
        """See `Message`."""
        if chosen is None:
            return self.text
        found = chosen & self._series.keys()
        return self._joined(found) if found else None

    def names(self) -> Set[str]:
        """See `Message`."""
        return self._series.keys()

    def _joined(self, names: Iterable[str]) -> str:
        head = dumps({"seq": self.seq, "epoch": self._epoch, "type": self.kind, "run": self.run_id})[:-1]
        return f'{head},"series":{{{",".join(map(self._of, names))}}}}}'

    def _of(self, name: str) -> str:
        text = self._texts.get(name)
        if text is None:
            text = self._texts[name] = dumps({name: _said(self._series[name])})[1:-1]
        return text


def _said(parts: list[Columns]) -> dict[str, list[float]]:
    """The columns of one series as they are sent."""
    joined = {
        name: parts[0][name] if len(parts) == 1 else np.concatenate([part[name] for part in parts])
        for name in ("step", "time", "value")
    }
    lists = {name: np.asarray(values).tolist() for name, values in joined.items()}
    kept = thin(lists["value"], POINTS_AT_ONCE)
    if len(kept) == len(lists["value"]):
        return lists
    return {name: [values[index] for index in kept] for name, values in lists.items()}


def thin(values: Sequence[float], most: int) -> list[int]:
    """Indices of about `most` values that keep every extreme: per slice the lowest, the highest, the last and the first
    non-finite one."""
    if len(values) <= most:
        return list(range(len(values)))
    size = math.ceil(len(values) / (most // 4))
    kept: set[int] = {0}
    for start in range(0, len(values), size):
        indices = range(start, min(start + size, len(values)))
        finite = [index for index in indices if math.isfinite(values[index])]
        kept.add(indices[-1])
        if finite:
            kept.add(min(finite, key=values.__getitem__))
            kept.add(max(finite, key=values.__getitem__))
        if len(finite) < len(indices):
            kept.add(next(index for index in indices if not math.isfinite(values[index])))
    return sorted(kept)
