"""Finds what the model copies: the longest run of written tokens that stands so in the training text.

An index of short windows at equal distances over the memory-mapped tokens says where to look, and the tokens themselves
decide: a hash that collides costs time, never a wrong answer. Knows token ids only, no text, no reports.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.data import Packed

WINDOW = 16
"""Tokens of one window; shorter copies are not looked for."""
MAX_WINDOWS = 8_000_000
"""Windows in the index, 12 bytes each: up to 128 million tokens every token lies in one, beyond that they stand apart."""
BUILT_AT_ONCE = 1 << 20
"""Windows that are hashed at once: bounds the memory while the index is made."""
CANDIDATES = 64
"""Places that are looked at for one window: boilerplate stands at thousands."""

_Hashes = NDArray[np.uint64]
_FACTORS: _Hashes = np.random.default_rng(20).integers(0, 2**63, WINDOW, dtype=np.uint64) * np.uint64(2) + np.uint64(1)


@dataclass(frozen=True, slots=True)
class Copy:
    """A run of written tokens, `start` to `stop`, that stands so in the training text at `places` places (as far as counted)."""

    start: int = 0
    stop: int = 0
    places: int = 0

    @property
    def length(self) -> int:
        """Tokens; 0 when nothing was found."""
        return self.stop - self.start


class CopyFinder:
    """Looks for copies of training text. The index is made at the first question, in seconds for 100 MB of text."""

    def __init__(self, tokens: Packed, max_windows: int = MAX_WINDOWS) -> None:
        """`tokens` is the training part, shape (n,)."""
        self._tokens = tokens
        self.stride = max(WINDOW, -(-len(tokens) // max_windows))
        """Tokens between the starts of two windows."""
        self._hashes: _Hashes | None = None
        self._order = np.empty(0, dtype=np.uint32)

    @property
    def floor(self) -> int:
        """Every copy of at least so many tokens is found; of shorter ones, those that hold a whole window."""
        return WINDOW + self.stride - 1

    def longest(self, written: NDArray[np.int64]) -> Copy:
        """The longest run of `written`, shape (m,), that stands in the training text; ties go to the first."""
        if len(written) < WINDOW or len(self._tokens) < WINDOW:
            return Copy()
        starts: dict[tuple[int, int], set[int]] = {}
        best = (0, 0)
        for at, place in self._places(written):
            start, stop = self._extend(written, at, place)
            starts.setdefault((start, stop), set()).add(place - at)
            if stop - start > best[1] - best[0]:
                best = (start, stop)
        return Copy(*best, places=len(starts[best])) if best[1] else Copy()

    def _places(self, written: NDArray[np.int64]) -> list[tuple[int, int]]:
        """(start in `written`, place in the tokens) of windows that stand in both, one for each way of laying them side by side."""
        hashes, order = self._index()
        asked = _hash(np.lib.stride_tricks.sliding_window_view(written, WINDOW))
        first, last = np.searchsorted(hashes, asked, side="left"), np.searchsorted(hashes, asked, side="right")
        found: list[tuple[int, int]] = []
        covered: dict[int, int] = {}
        for at in np.flatnonzero(last > first).tolist():
            for number in order[first[at] : min(last[at], first[at] + CANDIDATES)].tolist():
                place = number * self.stride
                if at < covered.get(place - at, 0):
                    continue  # inside a run that was found with an earlier window
                if np.array_equal(self._tokens[place : place + WINDOW], written[at : at + WINDOW]):
                    found.append((at, place))
                    covered[place - at] = self._extend(written, at, place)[1]
        return found

    def _extend(self, written: NDArray[np.int64], at: int, place: int) -> tuple[int, int]:
        """(start, stop) in `written` of the whole run around a window that stands at `place`."""
        back = min(at, place)
        before = written[at - back : at][::-1] == self._tokens[place - back : place][::-1]
        ahead = min(len(written) - at, len(self._tokens) - place)
        after = written[at : at + ahead] == self._tokens[place : place + ahead]
        return at - _run(before), at + _run(after)

    def _index(self) -> tuple[_Hashes, NDArray[np.uint32]]:
        """Sorted hashes of the windows, and the numbers of their windows."""
        if self._hashes is None:
            count = (len(self._tokens) - WINDOW) // self.stride + 1
            windows = np.lib.stride_tricks.sliding_window_view(self._tokens, WINDOW)[:: self.stride]
            hashes = np.empty(count, dtype=np.uint64)
            for start in range(0, count, BUILT_AT_ONCE):
                hashes[start : start + BUILT_AT_ONCE] = _hash(windows[start : start + BUILT_AT_ONCE])
            self._order = np.argsort(hashes, kind="stable").astype(np.uint32)
            self._hashes = hashes[self._order]
        return self._hashes, self._order


def _hash(windows: NDArray[np.generic]) -> _Hashes:
    """A hash of each window, shape (n, WINDOW) → (n,): a sum of products modulo 2^64, its high bits mixed down."""
    total = np.zeros(len(windows), dtype=np.uint64)
    for column, factor in enumerate(_FACTORS):  # column by column: no (n, WINDOW) array of 8 bytes an id
        total += (windows[:, column].astype(np.uint64) + np.uint64(1)) * factor
    return total ^ (total >> np.uint64(32))


def _run(same: NDArray[np.bool_]) -> int:
    """How many are true from the start on."""
    return len(same) if same.all() else int(same.argmin())
