"""The lines of a text with their numbers: one by one, or many at a stroke. Pure: knows no file and no form of log."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from itertools import islice

Numbered = tuple[int, str]
"""A line's number, from 1, and its text with the line's end."""

MOST, CHARACTERS = 2048, 1 << 20
"""What is read ahead at most: so many lines, and no more once there are so many characters."""
AT_ONCE = 128


class Lines(Iterator[Numbered]):
    """Numbered lines. Where a packed text breaks off after its first line, it ends there."""

    def __init__(self, texts: Iterable[str], number: int = 0) -> None:
        self._texts = iter(texts)
        self._next: list[Numbered] = []
        self._kept: list[Numbered] | None = None
        self.number = number
        """Of the last line that was given out; `number` lines stood before the first one."""

    def __next__(self) -> Numbered:
        if self._next:
            line = self._next.pop()
        else:
            try:
                line = self.number + 1, next(self._texts)
            except (EOFError, OSError, zlib.error):
                if not self.number:
                    raise
                raise StopIteration from None
        self.number = line[0]
        if self._kept is not None:
            self._kept.append(line)
        return line

    def back(self, line: Numbered) -> None:
        """Give the line that came last out once more."""
        self._next.append(line)
        self.number = line[0] - 1
        if self._kept:
            self._kept.pop()

    def back_all(self, texts: list[str]) -> None:
        """Give what `many` gave once more."""
        self.number -= len(texts)
        self._next += list(enumerate(texts, self.number + 1))[::-1]

    def many(self) -> list[str]:
        """The next lines, as many as may be read ahead; none at the end. `number` is that of the last one."""
        found = [line for _, line in islice(self, len(self._next))]
        size = sum(map(len, found))
        while len(found) < MOST and size < CHARACTERS:
            before = len(found)
            try:
                found.extend(islice(self._texts, AT_ONCE))  # what came before an error stays in the list
            except (EOFError, OSError, zlib.error):
                break
            finally:
                self.number += len(found) - before
            if len(found) == before:
                break
            size += sum(map(len, found[before:]))
        return found

    # -- for those who must first find out whose lines they are -------------------------------------------------------

    def remember(self) -> None:
        """Keep the lines that are given out one by one from now on."""
        self._kept = []

    def taken(self) -> list[Numbered]:
        """The lines that were kept since the last call."""
        kept, self._kept = self._kept or [], []
        return kept

    def forget(self) -> None:
        """Keep no line any more."""
        self._kept = None
