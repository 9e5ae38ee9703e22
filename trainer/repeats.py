"""How much of what a model trains on stands there more than once, and how much of the validation part stands in it.

Windows of tokens are drawn by lot and looked for in the whole stream with a rolling hash, a piece at a time: memory is
bounded by the number of windows, and 100 million tokens take seconds. Knows token ids only, no text, no documents.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.rolling import Hashes, Rolling

SAMPLED = 8192
"""Windows drawn from each part: a share is then known to about half a percent."""
AT_ONCE = 1 << 20
"""Tokens that are hashed at once."""
WINDOW_CHARACTERS = 100
"""About as much text as one window holds: shorter pieces are phrases that any text repeats."""
SHORTEST, LONGEST = 16, 256
"""Tokens of a window."""
BOILERPLATE = 20
"""Places above which a passage is a licence header or its like, and no sign that a document lies on both sides."""
LEAST_WINDOWS, LEAST_HELD_OUT = 10, 3
"""A training part, and a validation part, that hold fewer windows side by side say nothing."""

Tokens = NDArray[np.unsignedinteger]
_SIEVE_BITS = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Repeats:
    """What the sampled windows of a stream showed; shares are 0 to 1."""

    window: int
    """Tokens of a window."""
    distinct: float
    """The share of the stream that would be left if everything stood in it once: the mean of 1 / places."""
    repeated: float
    """The share of windows that stand at another place too."""
    most: int
    """Places at which the window that is repeated most often stands."""
    most_at: int
    """Where that window begins, in tokens."""
    overlap: float | None
    """The share of the validation part's windows that stand in the stream, at no more than 20 places: what stands at more
    is boilerplate. None where that part is too short."""


def window_tokens(characters: int, tokens: int) -> int:
    """The tokens of a window of about 100 characters, for a text of so many characters and tokens."""
    return min(LONGEST, max(SHORTEST, round(WINDOW_CHARACTERS * tokens / max(1, characters))))


def measure(stream: Tokens, validation: Tokens, window: int, sampled: int = SAMPLED) -> Repeats | None:
    """Measure a stream, shape (n,), and the validation part, shape (m,). None for a stream too short to say anything."""
    if len(stream) < LEAST_WINDOWS * window:
        return None
    own = _draw(len(stream), window, sampled)
    held_out = _draw(len(validation), window, sampled) if len(validation) >= LEAST_HELD_OUT * window else own[:0]
    symbols = int(max(stream.max(), validation.max() if len(validation) else 0)) + 1
    rolling = Rolling(window, symbols, AT_ONCE + window, key=7)
    wanted = np.concatenate([rolling.at(stream, own), rolling.at(validation, held_out)])
    known, which = np.unique(wanted, return_inverse=True)
    places = _count(stream, rolling, known)[which]
    found, overlapping = places[: len(own)], places[len(own) :]
    return Repeats(
        window=window,
        distinct=float(np.mean(1.0 / found)),
        repeated=float(np.mean(found > 1)),
        most=int(found.max()),
        most_at=int(own[int(found.argmax())]),
        overlap=float(np.mean((overlapping > 0) & (overlapping <= BOILERPLATE))) if len(overlapping) else None,
    )


def _draw(length: int, window: int, count: int) -> NDArray[np.int64]:
    """Where the windows begin, sorted. Drawn, not spread evenly: text that repeats itself evenly would be seen in step."""
    starts = length - window + 1
    if starts <= count:
        return np.arange(starts)
    return np.sort(np.random.Generator(np.random.Philox(key=starts)).integers(0, starts, count))


def _count(stream: Tokens, rolling: Rolling, known: Hashes) -> NDArray[np.int64]:
    """At how many places of the stream each of the hashes stands; `known` is sorted."""
    shift = np.uint64(64 - _SIEVE_BITS)
    sieve = np.zeros(1 << _SIEVE_BITS, dtype=bool)
    sieve[known >> shift] = True  # nearly every window of the stream is turned away here, without a search
    counts = np.zeros(len(known), dtype=np.int64)
    for start in range(0, len(stream) - rolling.window + 1, AT_ONCE):
        hashes = rolling.every(stream[start : start + AT_ONCE + rolling.window - 1])
        hashes = hashes[sieve[hashes >> shift]]
        at = np.minimum(np.searchsorted(known, hashes), len(known) - 1)
        counts += np.bincount(at[known[at] == hashes], minlength=len(known))
    return counts
