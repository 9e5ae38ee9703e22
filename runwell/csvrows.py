"""CSV with a header row as a run log: numbered lines in, events, tables of them or sentences out.

Pure: knows no file. A row that cannot be read becomes a sentence with its line's number, and the next row is read.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from operator import itemgetter

from runwell import parts, shapes
from runwell.apart import OneRun
from runwell.csvhead import GAP, find_header
from runwell.lines import Lines
from runwell.loglines import Item
from runwell.rows import STEP_NAMES, Rows, parse_number
from runwell.table import Column, Cutter
from runwell.wire import BadEvent, Event, shorten

FIELD_BYTES = 16 * 1024 * 1024
END = "the end of the block"

_TOLD = re.compile(r"[=:]\s*[-+]?\.?\d|\bloss\s+[-+]?\.?\d", re.IGNORECASE)
"""A name with its number: a cell that reports, and names no column."""
_COUNT = re.compile(r"(\d{1,3}(?:,\d{3})+)(?:\.0*)?|(\d+) */ *\d+")
"""A count as people write it: `1,000`, or `10/500`."""

SENTENCES = 10
"""Rows without a number below a header that names neither steps nor a loss: it was a sentence with a comma in it."""


def read_csv(lines: Lines, name: str, *, bulk: bool = False, one: OneRun | None = None) -> Iterator[Item]:
    """Events of the rows under a header row, or a sentence for each bad one.

    `bulk` reads ahead once there was an event, and gives rows that are alike as tables; what comes out is the same. Of
    several runs the one that `one` lets pass.
    """
    delimiter = find_header(lines)
    before = csv.field_size_limit(FIELD_BYTES)
    try:
        yield from _Reader(lines, name, delimiter, one or OneRun()).read(bulk)
    finally:
        csv.field_size_limit(before)


class _Reader:
    """Reads the rows of one table, in order."""

    def __init__(self, lines: Lines, name: str, delimiter: str, one: OneRun) -> None:
        self._lines, self._name, self._delimiter, self._one = lines, name, delimiter, one
        self._decimal_commas = delimiter != ","
        # it takes no line before a row needs it: `lines.number` is that of the row's last line
        self._cells = csv.reader(map(itemgetter(1), lines), delimiter=delimiter, skipinitialspace=delimiter == GAP)
        self._rows = Rows()
        self._cutter = Cutter(self._rows)
        self._again = False

    def read(self, bulk: bool) -> Iterator[Item]:
        """All rows."""
        try:
            header = [cell.strip() for cell in next(self._cells, ())]
        except csv.Error as error:
            yield self._told(error)
            return
        if not header:
            yield self._told("no header stands below the comments")
            return
        # colours are for people who watch: `\x1b[34mwandb\x1b[0m: 249.75MB, 11 files` names no columns
        if "\x1b" in "".join(header) or (len(header) == 1 and parse_number(header[0]) is None and " " in header[0]):
            yield self._told("neither a JSON object nor a CSV header")
            return
        # `step,0,nan`: somebody gave series such names; numbers alone are a table that lost its header
        if any(parse_number(cell) is not None for cell in header) and not {*STEP_NAMES} & {*map(str.lower, header)}:
            yield self._told("the first row must name the columns, it holds numbers")
            return
        exported = shapes.runs_exported(header)
        if not exported and not self._counts_in(header) and any(_TOLD.search(cell) for cell in header):
            yield self._told("neither a JSON object nor a CSV header")
            return
        if len(exported) > 1:
            chosen = self._one.choose(exported, "names of columns")
            header = ["" if " - " in name and not name.startswith(f"{chosen} - ") else name for name in header]
        self._begin(header)
        names = [name for name in self._header if name]
        # of two columns with one name each row has the last that holds a number
        ahead = bulk and len(set(names)) == len(names) and not self._melted and not self._run
        sure, bad = bool(self._known), 0
        for item in self._one_by_one():
            yield item
            sure = sure or not isinstance(item, str)
            if sure and ahead and not isinstance(item, str):
                break
            bad += not sure
            if bad >= SENTENCES:
                yield self._told("neither a JSON object nor a CSV header stands above it")
                return
        while texts := self._lines.many():
            yield from self._together(texts)

    def _begin(self, header: list[str]) -> None:
        """Take the rows that follow as those of this header."""
        self._header = header = shapes.renamed(header, self._name)
        self._part, self._melted = parts.column_of(header), shapes.Melted(header)
        self._run = "" if self._melted else self._one.column_of(header)
        self._counts = self._counts_in(header)
        self._known = {name.lower() for name in header if name.lower() in STEP_NAMES or "loss" in name.lower()}

    @staticmethod
    def _counts_in(header: list[str]) -> list[int]:
        """The columns that count steps."""
        return [at for at, name in enumerate(header) if name.lower() in STEP_NAMES]

    def _begins_again(self, cells: list[str]) -> bool:
        """Whether a row is a header: the same once more, or that of a writer who went on with other columns."""
        words = [cell.strip() for cell in cells if cell.strip()]
        if len(words) < 2 or self._known.isdisjoint(word.lower() for word in words):
            return False
        return len(set(words)) == len(words) and all(parse_number(word) is None for word in words)

    def _told(self, why: object) -> str:
        return f"{self._name}, line {self._lines.number}: {why}"

    def _one_by_one(self, until: float = float("inf")) -> Iterator[Item]:
        """The rows to the end, or to that which reaches the line `until`."""
        while self._lines.number < until:
            try:
                cells = next(self._cells, None)
                if cells is None:
                    return
                event = self._event(cells)
            except (csv.Error, BadEvent) as error:
                yield self._told(error.reason if isinstance(error, BadEvent) else error)
            else:
                if event is not None:
                    yield event

    def _event(self, cells: list[str]) -> Event | None:
        """The event of a row; None when it is empty, or another run's. Raises `BadEvent`."""
        if self._begins_again(cells):
            self._again = True
            self._begin([cell.strip() for cell in cells])
            return None
        header = self._header
        if len(cells) > len(header) and any(parse_number(cell) is not None for cell in cells[len(header) :]):
            raise BadEvent(
                f"it has {len(cells)} cells under {len(header)} names, so which number is which cannot be told"
            )
        if self._melted:
            header, cells = self._melted.spread(header, cells)
        found = _numbers_of(header, cells, self._decimal_commas)
        self._count_steps(found, cells)
        if self._part is not None and self._part < len(cells) and parts.is_validation(cells[self._part]):
            found = parts.as_validation(found)
        if not found and not any(cell.strip() for cell in cells):
            return None
        if not self._run or (at := self._header.index(self._run)) >= len(cells):
            return self._rows.metrics(found)
        found.pop(self._run, None)
        event = self._rows.metrics(found)
        return event if self._one.passes(self._run, cells[at], float(event["step"])) else None

    def _count_steps(self, found: dict[str, float], cells: list[str]) -> None:
        """Read the steps that are written as people write them. Raises `BadEvent` where none can be read."""
        if self._melted:
            return
        odd = [
            (self._header[at], cells[at].strip()) for at in self._counts if at < len(cells) and not _is_plain(cells[at])
        ]
        for name, cell in odd:
            if count := _COUNT.fullmatch(cell):
                found[name] = float((count[1] or count[2]).replace(",", ""))
        if odd and not any(self._header[at] in found for at in self._counts):
            name, cell = odd[0]
            raise BadEvent(f"{name} = {shorten(cell)} is no step; it takes a whole number from 0 to 2^53")

    def _together(self, texts: list[str]) -> Iterator[Item]:
        """The rows of many lines, read at a stroke where each line is a row."""
        above = self._lines.number - len(texts)
        whole_text = "".join(texts)
        known = whole_text.lower() if self._known else ""
        if self._again or any(name in known for name in self._known):  # another header may stand among them
            self._lines.back_all(texts)
            yield from self._one_by_one(until=above + len(texts))
            return
        rows = _parsed_together(texts, self._delimiter)
        if rows is None:
            self._lines.back_all(texts)
            yield from self._one_by_one(until=above + len(texts))
            return
        width, odd = len(self._header), set[int]()
        orders, blank = [self._header] * len(rows), [""] * width
        whole = rows
        if set(map(len, rows)) != {width}:
            odd = {at for at, cells in enumerate(rows) if len(cells) != width}
            whole = [blank if len(cells) != width else cells for cells in rows]
        columns = self._columns(list(zip(*whole, strict=True)), odd, plain="_" not in whole_text)
        for start, stop, table in self._cutter.cut(columns, orders, odd):
            if table is not None:
                yield table
                continue
            for at in range(start, stop):
                try:
                    event = self._event(rows[at])
                except BadEvent as error:
                    yield f"{self._name}, line {above + at + 1}: {error.reason}"
                else:
                    if event is not None:
                        yield event

    def _columns(self, found: Sequence[Sequence[str]], odd: set[int], *, plain: bool) -> dict[str, Column]:
        """The numbers by column; rows that tell of an evaluation are added to `odd`. `plain`: no cell has an underscore."""
        if self._part is not None:
            odd.update(at for at, word in enumerate(found[self._part]) if parts.is_validation(word))
        columns = {
            name: _numbers(cells, plain, self._decimal_commas and at not in self._counts)
            for at, (name, cells) in enumerate(zip(self._header, found, strict=True))
            if name
        }
        return {name: column for name, column in columns.items() if column.count(None) < len(column)}


def _parsed_together(texts: list[str], delimiter: str) -> list[list[str]] | None:
    """The cells of each line; None when a row goes over several lines, or one is broken."""
    try:
        rows = list(csv.reader([*texts, END], delimiter=delimiter, skipinitialspace=delimiter == GAP))
    except csv.Error:
        return None
    # No row takes less than a line. The last one must not be open, either.
    return rows[:-1] if len(rows) == len(texts) + 1 and rows[-1] == [END] else None


def _numbers(cells: Sequence[str], plain: bool, decimal_commas: bool) -> Column:
    """The numbers of a column, as `_numbers_of` reads them."""
    try:
        if plain or "_" not in "".join(cells):
            return [float(cell) if cell else None for cell in cells] if "" in cells else list(map(float, cells))
    except ValueError:
        pass
    known = {cell: _number(cell, decimal_commas) for cell in set(cells)}
    return [known[cell] for cell in cells]


def _numbers_of(header: list[str], cells: list[str], decimal_commas: bool) -> dict[str, float]:
    """The numbers of a row by column; cells that are empty or hold words are left out."""
    if "_" not in "".join(cells):  # Python would read 1_000 as a number, which no logger means
        try:
            found = {column: float(cell) for column, cell in zip(header, cells, strict=False) if cell}
            found.pop("", None)
            return found
        except ValueError:
            pass  # a word, or a number in a spelling that float() does not know
    pairs = ((column, _number(cell, decimal_commas)) for column, cell in zip(header, cells, strict=False) if column)
    return {column: number for column, number in pairs if number is not None}


def _is_plain(cell: str) -> bool:
    """Whether a step is a number as it stands, or nothing that begins like one."""
    return not cell.strip()[:1].isdigit() or parse_number(cell) is not None


def _number(cell: str, decimal_commas: bool) -> float | None:
    """The number in a cell; with a decimal comma where the comma does not part the cells, as spreadsheets write it."""
    cell = cell.replace("\0", "")
    number = parse_number(cell)
    if number is None and decimal_commas and cell.count(",") == 1:
        return parse_number(cell.replace(",", "."))
    return number
