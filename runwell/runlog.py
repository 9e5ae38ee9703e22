"""Run logs as files: JSON lines or CSV in, events out; and events out to JSON lines. Pure but for opening the file.

JSON lines take Runwell's own form and, line by line, any object with numbers (then it is metrics). CSV takes a header
row. NaN and ±Inf are read in any spelling. A bad line is told by its number and skipped: only a file in which nothing can
be read is refused. Fields and types that are not known are kept.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import IO, Any

from runwell.rows import Rows, parse_number
from runwell.wire import (
    BadEvent,
    Event,
    WireError,
    dumps,
    loads,
    shorten,
    validate_event,
)

MAX_TOLD = 20
CSV_FIELD_BYTES = 16 * 1024 * 1024

Problem = Callable[[str], None]
"""Told of each line that could not be read: one sentence with its number."""


class UnreadableLog(ValueError):
    """Nothing in the file can be read as a run log. The message says what was seen and what is allowed."""


def read_events(
    source: str | PathLike[str] | IO[str] | Iterable[str], *, name: str = "", on_problem: Problem | None = None
) -> Iterator[Event]:
    """The events of a file (`.gz` too), an open text or any iterable of lines, one at a time.

    `on_problem` hears of skipped lines. Raises `UnreadableLog` when no line can be read, `OSError` from opening.
    """
    if isinstance(source, str | PathLike):
        path = Path(source)
        with _open(path) as file:
            yield from read_events(file, name=str(path), on_problem=on_problem)
        return
    lines = _decoded(iter(source), name or "the log")
    first, rest = _first_line(lines)
    if first is None:
        raise UnreadableLog(f"{name or 'the log'} is empty")
    reader = _json_lines if first[1].lstrip().startswith("{") else _csv_rows
    yield from _guarded(reader, first, rest, name or "the log", on_problem)


def write_events(events: Iterable[Mapping[str, Any]], file: IO[str]) -> int:
    """Write events as JSON lines, non-finite numbers as strings; returns how many."""
    count = 0
    for count, event in enumerate(events, 1):  # noqa: B007 -- the count is what is returned
        file.write(dumps(event) + "\n")
    return count


# -- opening -------------------------------------------------------------------------------------------------------


def _open(path: Path) -> IO[str]:
    with path.open("rb") as probe:
        packed = probe.read(2) == b"\x1f\x8b"
    raw: Any = gzip.open(path, "rb") if packed else path.open("rb")  # noqa: SIM115 -- closed with the wrapper
    return io.TextIOWrapper(raw, encoding="utf-8-sig", errors="replace", newline="")


def _decoded(lines: Iterator[str], name: str) -> Iterator[tuple[int, str]]:
    number = 0
    try:
        for number, line in enumerate(lines, 1):
            yield number, line
    except (EOFError, OSError, UnicodeDecodeError) as error:
        # a gzip file whose end is missing: what came before it stands
        if number == 0:
            raise UnreadableLog(f"{name} cannot be read: {error}") from None


def _first_line(lines: Iterator[tuple[int, str]]) -> tuple[tuple[int, str] | None, Iterator[tuple[int, str]]]:
    for number, line in lines:
        if line.strip():
            return (number, line), lines
    return None, lines


def _guarded(
    reader: Callable[..., Iterator[Event | str]],
    first: tuple[int, str],
    rest: Iterator[tuple[int, str]],
    name: str,
    on_problem: Problem | None,
) -> Iterator[Event]:
    """Events as they come; problems told, at most `MAX_TOLD` of them; refused when there was nothing but problems."""
    good, bad, example = 0, 0, ""
    for item in reader(first, rest, name):
        if not isinstance(item, str):
            good += 1
            yield item
            continue
        bad += 1
        example = example or item
        if on_problem is not None and bad <= MAX_TOLD:
            on_problem(item if bad < MAX_TOLD else f"{item}; further bad lines are not listed")
    if not good:
        raise UnreadableLog(
            f"{name} holds nothing that can be read ({example or 'no record at all'}); "
            "a run log is JSON lines (one object with numbers a line) or CSV with a header row"
        )


# -- JSON lines ----------------------------------------------------------------------------------------------------


def _json_lines(first: tuple[int, str], rest: Iterator[tuple[int, str]], name: str) -> Iterator[Event | str]:
    rows = Rows()
    held = ""
    for number, line in _chain(first, rest):
        if held:
            yield held
            held = ""
        if not line.strip():
            continue
        try:
            value = loads(line)
            event = _event_of(value, rows)
        except WireError as error:
            told = f"{name}, line {number}: {error}"
            # a line without its end is being written, or its writer was killed: that is no fault of the log
            held = "" if not line.endswith("\n") and number > first[0] else told
            continue
        yield event
    if held:
        yield held


def _event_of(value: Any, rows: Rows) -> Event:
    if not isinstance(value, dict):
        raise BadEvent(f"a line must be a JSON object, not {shorten(value)}")
    if isinstance(value.get("type"), str) and value["type"] != "metrics":
        return validate_event(_config_event(value) if value["type"] == "config" else value)
    return rows.metrics(rows.numbers_of(value))


def _config_event(value: dict[str, Any]) -> dict[str, Any]:
    """A config line may hold the settings themselves beside `type`."""
    if isinstance(value.get("config"), dict):
        return value
    settings = {name: item for name, item in value.items() if name not in ("type", "time")}
    return {"type": "config", "config": settings, **({"time": value["time"]} if "time" in value else {})}


# -- CSV -----------------------------------------------------------------------------------------------------------


def _csv_rows(first: tuple[int, str], rest: Iterator[tuple[int, str]], name: str) -> Iterator[Event | str]:
    delimiter = max(",\t;", key=first[1].count)
    numbers = [first[0]]

    def texts() -> Iterator[str]:
        for number, line in _chain(first, rest):
            numbers[0] = number
            yield line.replace("\0", "")

    before = csv.field_size_limit(CSV_FIELD_BYTES)
    try:
        yield from _rows(csv.reader(texts(), delimiter=delimiter), numbers, name)
    finally:
        csv.field_size_limit(before)


def _rows(reader: Iterator[list[str]], line: list[int], name: str) -> Iterator[Event | str]:
    header = [cell.strip() for cell in next(reader)]
    if len(header) == 1 and parse_number(header[0]) is None and " " in header[0]:
        yield f"{name}, line {line[0]}: neither a JSON object nor a CSV header"
        return
    if any(parse_number(cell) is not None for cell in header):
        yield f"{name}, line {line[0]}: the first row must name the columns, it holds numbers"
        return
    columns = [(index, cell) for index, cell in enumerate(header) if cell]
    rows = Rows()
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield f"{name}, line {line[0]}: {error}"
            continue
        if not any(cell.strip() for cell in cells):
            continue
        found = {column: number for index, column in columns if (number := _cell(cells, index)) is not None}
        try:
            yield rows.metrics(found)
        except BadEvent as error:
            yield f"{name}, line {line[0]}: {error.reason}"


def _cell(cells: list[str], index: int) -> float | None:
    return parse_number(cells[index]) if index < len(cells) else None


def _chain(first: tuple[int, str], rest: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    yield first
    yield from rest
