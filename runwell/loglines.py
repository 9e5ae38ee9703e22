"""The two text forms of a run log that go line by line: JSON lines and CSV. Numbered lines in, events or sentences out.

Pure: knows no file. A line that cannot be read becomes a sentence with its number, and the next line is read.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from operator import itemgetter
from typing import Any

from runwell import parts
from runwell.rows import Rows, parse_number
from runwell.wire import BadEvent, Event, WireError, loads, shorten, validate_event

Numbered = tuple[int, str]
"""A line's number, from 1, and its text with the line's end."""

CSV_FIELD_BYTES = 16 * 1024 * 1024
BULK_LINES = 200
"""Lines parsed at a stroke: four times as fast as one by one, and small enough that it costs no memory to speak of."""


# -- JSON lines ----------------------------------------------------------------------------------------------------


def read_json_lines(lines: Iterable[Numbered], name: str, *, bulk: bool = False) -> Iterator[Event | str]:
    """Events of JSON lines, or a sentence for each bad one. A last line without its end is passed over in silence.

    `bulk` reads ahead, which a log that is still being written does not allow; what comes out is the same.
    """
    rows = Rows()
    held = ""
    first = True
    for numbered in _bulks(lines) if bulk else ([line] for line in lines):
        values = _parsed_together(numbered) if bulk else None
        for at, (number, line) in enumerate(numbered):
            if held:
                yield held
                held = ""
            if not line.strip():
                continue
            try:
                event = event_of(loads(line) if values is None else values[at], rows)
            except WireError as error:
                told = f"{name}, line {number}: {error}"
                # a line without its end is being written, or its writer was killed: that is no fault of the log
                held = "" if not line.endswith("\n") and not first else told
                continue
            finally:
                first = False
            yield event
    if held:
        yield held


def event_of(value: Any, rows: Rows) -> Event:
    """The event that one JSON value of a log means. Raises `BadEvent`."""
    if not isinstance(value, dict):
        raise BadEvent(f"a line must be a JSON object, not {shorten(value)}")
    kind = value.get("type")
    if isinstance(kind, str) and kind != "metrics" and kind.lower() not in parts.TRAINING | parts.VALIDATION:
        return validate_event(_config_event(value) if kind == "config" else value)
    numbers = rows.numbers_of(value)
    return rows.metrics(parts.as_validation(numbers) if parts.tells_validation(value) else numbers)


def _bulks(lines: Iterable[Numbered]) -> Iterator[list[Numbered]]:
    lines = iter(lines)
    while bulk := list(islice(lines, BULK_LINES)):
        yield bulk


def _parsed_together(numbered: list[Numbered]) -> list[Any] | None:
    """The values of the lines, or None when they must be parsed one by one to say which of them is bad."""
    try:
        values = json.loads("[" + ",".join([line for _, line in numbered]) + "]")
    except (ValueError, RecursionError):
        return None
    return values if len(values) == len(numbered) else None


def _config_event(value: dict[str, Any]) -> dict[str, Any]:
    """A config line may hold the settings themselves beside `type`."""
    if isinstance(value.get("config"), dict):
        return value
    settings = {name: item for name, item in value.items() if name not in ("type", "time")}
    return {"type": "config", "config": settings, **({"time": value["time"]} if "time" in value else {})}


# -- CSV -----------------------------------------------------------------------------------------------------------


def read_csv(lines: Iterable[Numbered], name: str) -> Iterator[Event | str]:
    """Events of the rows under a header row, or a sentence for each bad one."""
    lines = iter(lines)
    number, header = next(lines, (1, ""))
    texts = chain((header,), map(itemgetter(1), lines))
    before = csv.field_size_limit(CSV_FIELD_BYTES)
    try:
        yield from _rows(csv.reader(texts, delimiter=max(",\t;", key=header.count)), number - 1, name)
    finally:
        csv.field_size_limit(before)


def _rows(reader: Any, above: int, name: str) -> Iterator[Event | str]:
    """Events of a `csv.reader`; `above` is how many lines stand before those that it reads."""
    header = [cell.strip() for cell in next(reader)]
    if len(header) == 1 and parse_number(header[0]) is None and " " in header[0]:
        yield f"{name}, line {above + reader.line_num}: neither a JSON object nor a CSV header"
        return
    if any(parse_number(cell) is not None for cell in header):
        yield f"{name}, line {above + reader.line_num}: the first row must name the columns, it holds numbers"
        return
    rows, part = Rows(), parts.column_of(header)
    while True:
        try:
            for cells in reader:
                found = _numbers(header, cells)
                if part is not None and part < len(cells) and parts.is_validation(cells[part]):
                    found = parts.as_validation(found)
                if found or any(cell.strip() for cell in cells):
                    yield rows.metrics(found)
            return
        except (csv.Error, BadEvent) as error:
            why = error.reason if isinstance(error, BadEvent) else error
            yield f"{name}, line {above + reader.line_num}: {why}"


def _numbers(header: list[str], cells: list[str]) -> dict[str, float]:
    """The numbers of a row by column; cells that are empty or hold words are left out."""
    if "_" not in "".join(cells):  # Python would read 1_000 as a number, which no logger means
        try:
            found = {column: float(cell) for column, cell in zip(header, cells, strict=False) if cell}
            found.pop("", None)
            return found
        except ValueError:
            pass  # a word, or a number in a spelling that float() does not know
    pairs = (
        (column, parse_number(cell.replace("\0", ""))) for column, cell in zip(header, cells, strict=False) if column
    )
    return {column: number for column, number in pairs if number is not None}
