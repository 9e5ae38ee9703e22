"""What can be measured of a text that a model wrote: how far it repeats itself, how far it is no text at all. Pure.

All measures are taken over windows of equal length: a long text compresses better than a short one, and a text that runs
into a loop does so at its end. Knows nothing of steps, rounds or rules.
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Sequence

WINDOW = 500
"""Characters over which repetition is measured."""
LOOP, LOOP_COMPRESSION, MOSTLY_BLANK = 150, 4.0, 0.85
"""Characters of a text that can be called a loop; how far it must compress, or how much of it must be blank: code has up to half."""
FEW_WORDS = 20
"""Texts with fewer words than this in a window have no spaces (or one endless word): their characters are counted."""

# Scripts that are written without spaces: each character stands for a word.
_WORD = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\U00020000-\U0003ffff]|[^\W_]+|_+|[^\w\s]+"
)
_UNPRINTABLE = frozenset(("Cc", "Cs", "Co", "Cn"))
_LAYOUT = frozenset("\n\r\t\f")


def words(text: str) -> list[str]:
    """Words, runs of punctuation, and single characters of scripts that have no spaces."""
    return _WORD.findall(text)


def ending(text: str, length: int = WINDOW) -> str:
    """The last `length` characters, runs of blanks and line ends made one: layout is no repetition."""
    return " ".join(text.split())[-length:]


def compression(text: str) -> float:
    """Bytes ÷ compressed bytes of the last window; English stays below 2, a loop goes beyond 4. 0 for an empty text."""
    data = ending(text).encode("utf-8", "replace")
    return len(data) / len(zlib.compress(data, 9)) if data else 0.0


def repeated_share(text: str) -> float:
    """Share of the last window's 4-grams of words that stood there before (8-grams of characters where words are few)."""
    window = ending(text)
    found = words(window)
    units: Sequence[str] = found if len(found) >= FEW_WORDS else window
    size = 4 if len(found) >= FEW_WORDS else 8
    grams = [tuple(units[at : at + size]) for at in range(len(units) - size + 1)]
    return 1.0 - len(set(grams)) / len(grams) if grams else 0.0


def blank_share(text: str) -> float:
    """Share of the last window that is blanks and line ends."""
    window = text[-WINDOW:]
    return sum(char.isspace() for char in window) / len(window) if window else 0.0


def loops(text: str) -> bool:
    """Whether a long text is one loop, of words or of nothing but blanks: what is left when a model repeats itself for good."""
    if len(text) < LOOP:
        return False
    if blank_share(text) > MOSTLY_BLANK:
        return True
    return len(ending(text)) >= LOOP and compression(text) > LOOP_COMPRESSION and repeated_share(text) > 0.8


def unprintable_share(text: str) -> float:
    """Share of characters that nobody can read: controls, unassigned and private ones, U+FFFD for bytes that are no text.

    Joiners and direction marks belong to scripts and emoji, line ends and tabs to layout. A character that was cut in two
    at the end of the text is no illness.
    """
    for _ in range(3):
        text = text.removesuffix("\ufffd")
    bad = sum(
        1 for char in text if char == "\ufffd" or (char not in _LAYOUT and unicodedata.category(char) in _UNPRINTABLE)
    )
    return bad / len(text) if text else 0.0


def commonest(text: str) -> tuple[str, float]:
    """(the commonest word, its share of all words); of a text with few words, the commonest character and its share.

    A run of punctuation counts once: rulers and tables are no illness.
    """
    found = words(text)
    if len(found) < FEW_WORDS:
        found = [char for word in found for char in (word if word[0].isalnum() else word[0])]
    if not found:
        return "", 0.0
    word, count = Counter(found).most_common(1)[0]
    return word, count / len(found)
