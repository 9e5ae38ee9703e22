"""The arithmetic of rolling hashes: polynomials modulo 2^64 over a table of random numbers. Knows no text and no tokens.

With the running sums S of number × base^place, the window from i to j hashes to (S[j] - S[i]) × base^-i: the same for
the same window, wherever it stands, at a few nanoseconds a place.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
BASE = 0x9E3779B97F4A7C15
"""Odd, so that it has an inverse modulo 2^64."""
INVERSE = pow(BASE, -1, 2**64)


def random_numbers(count: int, key: int) -> Hashes:
    """The same numbers for the same key, one for each symbol."""
    return np.random.Generator(np.random.Philox(key=key)).integers(0, 2**64, count, dtype=np.uint64)


class Rolling:
    """Hashes of windows of `window` symbols, in pieces of at most `longest` symbols."""

    def __init__(self, window: int, symbols: int, longest: int, key: int) -> None:
        self.window = window
        self._numbers = random_numbers(symbols, key)
        self._up, self._down = _powers(BASE, longest), _powers(INVERSE, longest)

    def every(self, piece: NDArray[np.unsignedinteger]) -> Hashes:
        """The hash of every window of a piece, shape (n,) → (n - window + 1,)."""
        terms = self._numbers[piece] * self._up[: len(piece)]
        sums = np.concatenate([np.zeros(1, dtype=np.uint64), np.cumsum(terms, dtype=np.uint64)])
        found: Hashes = (sums[self.window :] - sums[: -self.window]) * self._down[: len(piece) - self.window + 1]
        return found

    def at(self, tokens: NDArray[np.unsignedinteger], starts: NDArray[np.int64]) -> Hashes:
        """The hashes of the windows of a stream that begin there."""
        found = np.empty(len(starts), dtype=np.uint64)
        for at in range(0, len(starts), 4096):  # bounds the block of 8 bytes a symbol
            block = tokens[starts[at : at + 4096, None] + np.arange(self.window)]
            found[at : at + 4096] = (self._numbers[block] * self._up[: self.window]).sum(axis=1, dtype=np.uint64)
        return found


def _powers(base: int, count: int) -> Hashes:
    powers = np.full(count, base, dtype=np.uint64)
    powers[0] = 1
    found: Hashes = np.cumprod(powers, dtype=np.uint64)
    return found
