"""JSON lines as a run log: numbered lines in, events, tables of them or sentences out.

Pure: knows no file. A line that cannot be read becomes a sentence with its number, and the next line is read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from types import NoneType
from typing import Any

from runwell import parts, shapes
from runwell.apart import COLUMNS, OneRun
from runwell.lines import Lines
from runwell.rows import Rows, number_of, parse_number
from runwell.table import Column, Cutter, Table
from runwell.wire import MAX_STEP, BadEvent, Event, WireError, loads, shorten, validate_event

Item = Event | Table | str
"""What a reader gives: an event, many of them as a table, or a sentence about a line that cannot be read."""

FEW = 64
"""Lines that are not halved any further to find the one that is broken."""
SPARSE = 4
"""Names in a block, as a multiple of those in a row, above which columns would be mostly empty."""
READ_ALONE = frozenset({*COLUMNS, "value"})
"""Names of which a row that has one is read by itself: it may be another run's, or name its series in another cell."""
BETWEEN = '"##"'
"""Put between lines. Whoever writes that text in JSON writes `##`, or one of them as `\\u0023`: else it stands there alone."""


_SPELLED = re.compile(r"(?<=[:,\[])(\s*)([-+]?)(nan|inf(?:inity)?)(?=\s*[,}\]])", re.IGNORECASE)
"""A number that is not finite, bare, as programs print it that put their JSON together by hand."""


def parsed(text: str) -> Any:
    """A JSON value with non-finite numbers in any spelling. Raises `WireError`."""
    try:
        return loads(text)
    except WireError:
        mended = _SPELLED.sub(_respelled, text)
        if mended == text:
            raise
    return loads(mended)


def _respelled(match: re.Match[str]) -> str:
    if match[3].lower() == "nan":
        return f"{match[1]}NaN"
    return f"{match[1]}{match[2].strip('+')}Infinity"


def read_json_lines(lines: Lines, name: str, *, bulk: bool = False, one: OneRun | None = None) -> Iterator[Item]:
    """Events of JSON lines, or a sentence for each bad one. A last line without its end is passed over in silence.

    `bulk` reads ahead once there was an event, which a log that is still being written does not allow, and gives rows that
    are alike as tables; what comes out is the same. Of several runs the one that `one` lets pass.
    """
    reader = _Reader(name, one or OneRun())
    for number, line in lines:
        yield from reader.of_line(number, line)
        if bulk and reader.any:
            break
    while texts := lines.many() if bulk else None:
        yield from reader.of_lines(lines.number - len(texts), texts)


def _is_of(value: dict[str, Any], event: Event, one: OneRun) -> bool:
    """Whether an object is of the run that is read."""
    column = one.column_of([name for name, item in value.items() if isinstance(item, str | int) and item != ""])
    return not column or one.passes(column, value[column], float(event["step"]))


def event_of(value: Any, rows: Rows) -> Event:
    """The event that one JSON value of a log means. Raises `BadEvent`."""
    if not isinstance(value, dict):
        raise BadEvent(f"a line must be a JSON object, not {shorten(value)}")
    kind = value.get("type")
    if parts.is_record(kind):
        return validate_event(_config_event(value) if kind == "config" else value)
    numbers = rows.numbers_of(value)
    return rows.metrics(parts.as_validation(numbers) if parts.tells_validation(value) else numbers)


class _Reader:
    """Reads the lines of one log, in order."""

    def __init__(self, name: str, one: OneRun) -> None:
        self._name, self._one = name, one
        self._rows = Rows()
        self._cutter = Cutter(self._rows)
        self._first = True
        self.any = False
        """Whether there was an event."""

    def of_line(self, number: int, line: str, *known: Any) -> Iterator[Item]:
        """What one line tells; `known` is its value where that is known."""
        if not line.strip():
            return
        try:
            value = known[0] if known else parsed(line)
            if isinstance(value, dict) and "value" in value and not parts.is_record(value.get("type")):
                value = shapes.named(value)
            if self._first and isinstance(value, dict) and (curves := shapes.rows_of_lists(value)):
                yield from (event_of(row, self._rows) for row in curves)
                return
            event = event_of(value, self._rows)
        except WireError as error:
            # a line without its end is being written, or its writer was killed: that is no fault of the log
            if line.endswith("\n") or self._first:
                yield f"{self._name}, line {number}: {error}"
        else:
            self.any = True
            if not self._one.tells(value) or event["type"] != "metrics" or _is_of(value, event, self._one):
                yield event
        finally:
            self._first = False

    def of_lines(self, above: int, lines: list[str]) -> Iterator[Item]:
        """What many lines tell; `above` is the number of the line before them."""
        values = _parsed_together(lines)
        if values is None:
            if len(lines) > FEW:
                half = len(lines) // 2
                yield from self.of_lines(above, lines[:half])
                yield from self.of_lines(above + half, lines[half:])
                return
            for number, line in enumerate(lines, above + 1):
                yield from self.of_line(number, line)
            return
        for start, stop, table in self._cut(values):
            if table is None:
                for at in range(start, stop):
                    yield from self.of_line(above + at + 1, lines[at], values[at])
            else:
                yield table

    def _cut(self, values: list[Any]) -> Iterator[tuple[int, int, Table | None]]:
        odd = set[int]()
        columns = _columns(values, odd)
        return self._cutter.cut(columns, values, odd) if columns else iter([(0, len(values), None)])


def _parsed_together(lines: list[str]) -> list[Any] | None:
    """The values of the lines, or None when they must be parsed one by one to say which of them is bad."""
    text = f",{BETWEEN},".join(lines)
    try:
        values = json.loads(f"[{text}]")
    except (ValueError, RecursionError):
        return None
    # One value each: two halves of a value on two lines, or two values on one, must not be taken for lines.
    gaps = len(lines) - 1
    if len(values) != 2 * gaps + 1 or values[1::2].count("##") != gaps:
        return None
    # single letters are looked for first: that is several times as fast
    written = (text.count("#") != 2 * gaps and text.count("##") != gaps) or ("\\" in text and "\\u0023" in text)
    return None if written else values[::2]


def _columns(objects: list[Any], odd: set[int]) -> dict[str, Column] | None:
    """The numbers in JSON objects by name; objects that do not tell plainly of training are added to `odd`."""
    if set(map(type, objects)) != {dict}:
        return None
    names = sorted(set().union(*objects))
    if len(names) * len(objects) > SPARSE * sum(map(len, objects)):
        return None
    columns = {}
    for name in names:
        cells = [value.get(name) for value in objects]
        odd.update(parts.apart(name, cells))
        if name in READ_ALONE:
            odd.update(at for at, cell in enumerate(cells) if cell is not None)
        column = _numbers(cells, odd)
        if column is not None:
            columns[name] = column
    return columns


def _numbers(cells: list[Any], odd: set[int]) -> Column | None:
    """The numbers of one column, as `Rows.numbers_of` reads them; None when there is none. Nested objects are odd."""
    kinds = set(map(type, cells))
    if kinds == {float}:
        return cells
    if kinds == {int} and min(cells) >= -MAX_STEP and max(cells) <= MAX_STEP:
        return cells
    if kinds <= {str, NoneType}:
        words = {cell: parse_number(cell) for cell in set(cells) if cell is not None}
        if all(number is None for number in words.values()):
            return None
        cells = [words.get(cell) for cell in cells]
    elif not kinds <= {float, NoneType}:
        if dict in kinds:
            odd.update(at for at, cell in enumerate(cells) if type(cell) is dict)
        cells = [cell if cell is None or type(cell) is float else number_of(cell) for cell in cells]
    return None if cells.count(None) == len(cells) else cells


def _config_event(value: dict[str, Any]) -> dict[str, Any]:
    """A config line may hold the settings themselves beside `type`."""
    if isinstance(value.get("config"), dict):
        return value
    settings = {name: item for name, item in value.items() if name not in ("type", "time")}
    return {"type": "config", "config": settings, **({"time": value["time"]} if "time" in value else {})}
