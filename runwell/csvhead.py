"""Where a table of numbers begins, and what parts its cells. Numbered lines in; pure.

Knows comments above a header, the line `sep=;` that spreadsheets write, headers behind a `#` (as `numpy.savetxt` writes them)
and columns parted by gaps. Reads no row.
"""

from __future__ import annotations

import re

from runwell.lines import Lines, Numbered
from runwell.rows import parse_number

GAP = " "
"""Parts cells together with all further blanks behind it."""
SEPARATOR = re.compile(r'"?sep=(.)"?')
NAME = re.compile(r"[A-Za-z_][\w./%()-]*")
"""A column's, where gaps part them."""


def find_header(lines: Lines) -> str:
    """What parts the cells. Leaves the header as the next line: comments above it are passed over.

    Of a table without names above its numbers the last comment is the header, as `numpy.savetxt` writes it.
    """
    comment: Numbered | None = None
    separator = None
    for line in lines:
        text = line[1].strip()
        if separator is None and (separator := SEPARATOR.fullmatch(text)):
            continue
        if text and not text.startswith("#"):
            break
        comment = line if text else comment
    else:
        return ","
    if separator:
        lines.back(line)
        return separator[1]
    if comment and (_is_numbers(line[1], _delimiter(line[1])) or _is_numbers(line[1], None)):
        lines.back(line)
        line = comment[0], comment[1].lstrip("# ")
    delimiter = _delimiter(line[1])
    names = line[1].split()
    if len(names) > 1 and all(map(NAME.fullmatch, names)) and (below := next(lines, None)):
        # cells parted by gaps: only where the first row holds numbers alone, one for each name; else it is a sentence
        if len(names) == len(below[1].split()) and _is_numbers(below[1], None):
            delimiter = GAP
        lines.back(below)
    lines.back(line)
    return delimiter


def _delimiter(text: str) -> str:
    return max(",\t;", key=text.count)


def _is_numbers(text: str, delimiter: str | None) -> bool:
    cells = text.split(delimiter)
    return len(cells) > 1 and all(parse_number(cell) is not None for cell in cells)
