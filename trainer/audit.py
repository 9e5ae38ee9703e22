"""The audit of a data set: how much text there is, what is doubled, empty or hardly text at all. Pure: documents in, facts out.

One pass over the documents, a few bytes kept of each; what a token stream repeats is `trainer.repeats`' question. The
facts travel as a `data` event, so that the rules on data judge every trainer's text alike.
"""

from __future__ import annotations

import hashlib
import math
import re
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from trainer.rolling import Hashes, Rolling

SHORT = 50
"""Characters under which a document is short."""
COMMON = frozenset(("the", "be", "to", "of", "and", "a", "in", "that", "have", "i"))
"""The ten commonest words of English; three of them among the first hundred words look English."""
ENGLISH_WORDS, ENGLISH_LEAST = 100, 3
SHORT_SHARE, DUPLICATE_SHARE = 0.10, 0.05
"""Shares of the documents above which they are an issue."""
UNREADABLE = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\ud800-\udfff\ue000-\uf8ff\ufffd]")
"""Characters that stand for nothing: controls, halves of pairs, private ones, and the mark of a byte that was no text."""
SHINGLE, SKETCH, ALIKE = 50, 8, 6
"""Near duplicates: of the 8 smallest hashes of a document's runs of 50 bytes, 6 are another's."""
COMPARED = 100_000
"""Documents that are compared for near duplicates; later ones are not."""
LOOKED_AT = 1 << 16
"""Bytes of a document that are looked at for near duplicates."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TextAudit:
    """What was counted. `duplicates` are copies of an earlier document: two equal ones are one duplicate."""

    documents: int
    characters: int
    words: int
    shortest: int
    longest: int
    """Characters of the shortest and the longest document."""
    empty: int
    short: int
    """Documents under 50 characters, empty ones included."""
    duplicates: int
    """By the SHA-256 of their text with every run of white space as one blank."""
    near_duplicates: int
    english: float
    """Share of the documents that look English."""
    unreadable: float
    """Share of the characters that stand for nothing."""

    @property
    def mean_words(self) -> float:
        """Words of a document."""
        return self.words / self.documents if self.documents else 0.0

    @property
    def issues(self) -> tuple[str, ...]:
        """What a person should look at, in sentences."""
        return tuple(_issues(self))

    def to_mapping(self) -> dict[str, Any]:
        """Plain JSON values, under the names of the `data` event."""
        return {**asdict(self), "mean_words": round(self.mean_words, 1), "issues": list(self.issues)}


def audit(documents: Iterable[str]) -> TextAudit:
    """Look at every document once."""
    count = characters = words = empty = short = english = unreadable = longest = 0
    shortest = math.inf
    digests = array("Q")
    sketches: list[Hashes] = []
    compared: set[int] = set()
    rolling = Rolling(SHINGLE, 256, LOOKED_AT, key=3)
    for document in documents:
        parts = document.split()
        count, characters, words = count + 1, characters + len(document), words + len(parts)
        shortest, longest = min(shortest, len(document)), max(longest, len(document))
        empty, short = empty + (not parts), short + (len(document) < SHORT)
        english += _looks_english(parts)
        unreadable += len(UNREADABLE.findall(document))
        if not parts:
            continue
        normal = " ".join(parts).encode("utf-8", "replace")
        digest = _number(normal)
        digests.append(digest)
        if len(normal) >= SHINGLE and len(sketches) < COMPARED and digest not in compared:
            compared.add(digest)
            sketches.append(_sketch(normal, rolling))
    return TextAudit(
        documents=count, characters=characters, words=words, shortest=int(min(shortest, longest)), longest=longest, empty=empty,
        short=short, duplicates=len(digests) - len(set(digests)), near_duplicates=_alike(sketches), english=english / max(1, count),
        unreadable=unreadable / max(1, characters),
    )  # fmt: skip


def _issues(found: TextAudit) -> Iterator[str]:
    of = f"of {found.documents:,} documents"
    empty = f"{found.empty:,} empty" if found.empty else ""
    if found.short > SHORT_SHARE * found.documents:
        yield f"{found.short:,} {of} have fewer than {SHORT} characters" + (f" ({empty})" if empty else "")
    elif empty:
        yield f"{found.empty:,} {of} {'is' if found.empty == 1 else 'are'} empty"
    if found.duplicates > DUPLICATE_SHARE * found.documents:
        yield f"{found.duplicates:,} {of} {'is a copy' if found.duplicates == 1 else 'are copies'} of another"
    if found.near_duplicates > DUPLICATE_SHARE * found.documents:
        yield f"{found.near_duplicates:,} {of} nearly {'equals' if found.near_duplicates == 1 else 'equal'} another"
    if found.unreadable > 0.01:
        yield f"{found.unreadable:.1%} of the characters cannot be read"


def _looks_english(words: list[str]) -> bool:
    first = re.findall(r"\w+", " ".join(words[:ENGLISH_WORDS]).lower())
    return len(COMMON.intersection(first)) >= ENGLISH_LEAST


def _number(data: bytes) -> int:
    return int.from_bytes(hashlib.sha256(data).digest()[:8], "big")


def _sketch(data: bytes, rolling: Rolling) -> Hashes:
    """The smallest hashes of a document's runs of bytes, sorted, shape (SKETCH,); one of few runs repeats its last."""
    runs = rolling.every(np.frombuffer(data[:LOOKED_AT], np.uint8))
    smallest = np.unique(np.partition(runs, 4 * SKETCH)[: 4 * SKETCH] if len(runs) > 4 * SKETCH else runs)[:SKETCH]
    return np.concatenate([smallest, np.repeat(smallest[-1:], SKETCH - len(smallest))])


def _alike(sketches: list[Hashes]) -> int:
    """Documents whose sketch is nearly that of an earlier one."""
    if not sketches:
        return 0
    table = np.stack(sketches)
    _, first, which = np.unique(table, return_index=True, return_inverse=True)
    origin = (first // SKETCH)[which].reshape(table.shape)  # the earliest document that holds each hash
    origin.sort(axis=1)
    mine = np.arange(len(table))[:, None]
    # 6 of 8 equal ones in a sorted row: the entry 5 places on is the same.
    run = origin[:, ALIKE - 1 :] == origin[:, : SKETCH - ALIKE + 1]
    return int((run & (origin[:, ALIKE - 1 :] != mine)).any(axis=1).sum())
