"""Run logs as files: any tool's log in, events out; and events out to JSON lines. Pure but for opening the file.

Takes Runwell's own JSON lines and any with numbers (then they are metrics), CSV with a header row, JSON documents such as
Hugging Face's `trainer_state.json`, what a trainer printed, TensorBoard event files, and any of them packed with gzip. What a
file is, its content says, never its name. NaN and ±Inf are read in any spelling. A bad line is told by its number and skipped: only a file in
which nothing can be read is refused. Fields and types that are not known are kept.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import IO, Any, BinaryIO

from runwell.apart import OneRun
from runwell.backwards import oldest_first
from runwell.console import or_printed
from runwell.csvrows import read_csv
from runwell.documents import begins_document, read_document
from runwell.lines import Lines
from runwell.logfolder import event_files
from runwell.loglines import Item, read_json_lines
from runwell.table import Table
from runwell.tfevents import EventFile, begins_event_file
from runwell.wire import Event, dumps

MAX_TOLD = 20
PATIENCE = 10_000
"""Bad lines after which a file that gave no event at all is no log: a text corpus is not read to its end."""

GZIP = b"\x1f\x8b"
PACKED = (
    (b"PK\x03\x04", "zip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"7z\xbc\xaf", "7z"),
)
FORMS = (
    "a run log is JSON lines (one object with numbers a line), CSV with a header row, a trainer_state.json, "
    "what a trainer printed (a step and a loss a line) or a TensorBoard event file"
)
MAX_BYTES = 256 * 2**20
"""Of one line, and of one document: a small file that unpacks to gigabytes must not fill the memory."""
SNIFFED = 64
"""Bytes that tell what a file is."""

Problem = Callable[[str], None]
"""Told of each line that could not be read: one sentence with its number."""

Source = str | PathLike[str] | IO[str] | BinaryIO | Iterable[str]


class UnreadableLog(ValueError):
    """Nothing in the file can be read as a run log. The message says what was seen and what is allowed."""


def read_events(
    source: Source, *, name: str = "", on_problem: Problem | None = None, one: OneRun | None = None
) -> Iterator[Event]:
    """The events of a file, of a folder's event files, of an open stream, or of any iterable of lines, one at a time.

    A file is read ahead; a stream line by line as it comes. `on_problem` hears of skipped lines. Of a table of several
    runs one is read: that of `one`, which knows the others afterwards; without it `on_problem` hears of them. Raises
    `UnreadableLog` when nothing can be read, `OSError` from opening.
    """
    ahead = isinstance(source, str | PathLike)
    for item in read_tables(source, name=name, on_problem=on_problem, ahead=ahead, one=one):
        if isinstance(item, Table):
            yield from item.events()
        else:
            yield item


def read_tables(
    source: Source,
    *,
    name: str = "",
    on_problem: Problem | None = None,
    ahead: bool = True,
    one: OneRun | None = None,
) -> Iterator[Event | Table]:
    """The same as `read_events` for those who read to the end, several times as fast: many events in a row as one table.

    Without `ahead` nothing is read before it is asked for, and all are single events.
    """
    told, one = one is None, one or OneRun()
    if isinstance(source, str | PathLike):
        items, name = _of_path(Path(source), name or str(source), one, bulk=ahead), name or str(source)
    elif isinstance(source, io.BufferedIOBase):
        items = _of_bytes(source, name or "the log", one, bulk=ahead)
    else:
        items = _of_lines(source, name or "the log", one, bulk=ahead)  # type: ignore[arg-type]
    name = name or "the log"
    items = oldest_first(items, name) if ahead else items
    yield from _guarded(_with_word_of_others(items, name, one, told), name, on_problem)


def _with_word_of_others(items: Iterator[Item], name: str, one: OneRun, told: bool) -> Iterator[Item]:
    yield from items
    if one.others and (told or not one.read):
        yield one.sentence(name)


def write_events(events: Iterable[Mapping[str, Any]], file: IO[str]) -> int:
    """Write events as JSON lines, non-finite numbers as strings; returns how many."""
    count = 0
    for count, event in enumerate(events, 1):  # noqa: B007 -- the count is what is returned
        file.write(dumps(event) + "\n")
    return count


# -- what it is ----------------------------------------------------------------------------------------------------


def _of_path(path: Path, name: str, one: OneRun, *, bulk: bool) -> Iterator[Item]:
    if not path.is_dir():
        with path.open("rb") as file:
            yield from _of_bytes(file, name, one, bulk=bulk)
        return
    files = event_files(path)
    if not files:
        raise UnreadableLog(f"{name} is a folder without TensorBoard event files")
    for inner in files:
        with inner.open("rb") as file:
            try:
                yield from _of_bytes(file, str(inner), one, bulk=bulk)
            except UnreadableLog as error:  # begun and never written: the others are read all the same
                yield str(error)


def _of_bytes(file: Any, name: str, one: OneRun, *, bulk: bool) -> Iterator[Item]:
    file = _peekable(file)
    if file.peek(len(GZIP))[: len(GZIP)] == GZIP:
        file = _peekable(gzip.GzipFile(fileobj=file))
    try:
        head = file.peek(SNIFFED)[:SNIFFED]
    except (EOFError, OSError, zlib.error) as error:
        raise UnreadableLog(f"{name} cannot be read: {error}") from None
    if begins_event_file(head):
        yield from EventFile(name).read(file, last=True)
        return
    bounded = io.BufferedReader(_Bounded(file, name), 2**16)
    text = io.TextIOWrapper(bounded, encoding=encoding_of(head, name), errors="replace", newline="")
    try:
        yield from _of_lines(text, name, one, bulk=bulk)
    finally:
        text.detach()  # whoever opened the file closes it


def encoding_of(head: bytes, name: str) -> str:
    """The encoding of a text that begins so. Raises `UnreadableLog` for what is packed in another way, or no text at all."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):  # what a redirection in Windows PowerShell writes
        return "utf-16"
    if packed := next((by for begin, by in PACKED if head.startswith(begin)), ""):
        raise UnreadableLog(f"{name} is packed with {packed}; unpack it first (gzip alone is read as it is)")
    if b"\0" not in head.lstrip(b"\0"):  # a log that was cut while its writer went on begins with nothing but these
        return "utf-8-sig"
    for low, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        if not any(head[low::2]) and all(head[1 - low :: 2]):
            return encoding
    raise UnreadableLog(f"{name} holds binary data, not text; {FORMS}")


class _Bounded(io.RawIOBase):
    """The bytes of a file. Raises `UnreadableLog` in a line that is longer than memory is given to it."""

    def __init__(self, file: Any, name: str) -> None:
        self._file, self._name = file, name
        self._length = 0

    def readable(self) -> bool:
        """They can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """As many as are there at once."""
        chunk = self._file.read1(len(buffer))
        buffer[: len(chunk)] = chunk
        end = max(chunk.rfind(b"\n"), chunk.rfind(b"\r"))
        self._length = len(chunk) + (self._length if end < 0 else -end)
        if self._length > MAX_BYTES:
            raise UnreadableLog(
                f"{self._name} has a line of more than {MAX_BYTES // 2**20} MiB, the most that one may have"
            )
        return len(chunk)


def _document(lines: Iterable[tuple[int, str]], name: str) -> str:
    """The text of a document. Raises `UnreadableLog` when it is too long."""
    found, size = [], 0
    for _, line in lines:
        found.append(line)
        size += len(line)
        if size > MAX_BYTES:
            raise UnreadableLog(
                f"{name} is one JSON document of more than {MAX_BYTES // 2**20} MiB, the most that one may have; "
                "JSON lines may be of any length"
            )
    return "".join(found)


def _peekable(file: Any) -> Any:
    return file if hasattr(file, "peek") else io.BufferedReader(file)


def _of_lines(texts: Iterable[str], name: str, one: OneRun, *, bulk: bool) -> Iterator[Item]:
    lines = Lines(texts)
    try:
        first = next((line for line in lines if line[1].strip()), None)
    except (EOFError, OSError, zlib.error) as error:
        raise UnreadableLog(f"{name} cannot be read: {error}") from None
    if first is None:
        raise UnreadableLog(f"{name} is empty")
    lines.back(first)
    if begins_document(first[1]):
        return or_printed(lambda lines: read_document(_document(lines, name), name, first[0]), lines, name, PATIENCE)
    if first[1].lstrip().startswith("{"):
        return or_printed(lambda lines: read_json_lines(lines, name, bulk=bulk, one=one), lines, name, PATIENCE)
    return or_printed(lambda lines: read_csv(lines, name, bulk=bulk, one=one), lines, name, PATIENCE)


def _guarded(items: Iterator[Item], name: str, on_problem: Problem | None) -> Iterator[Event | Table]:
    """Events as they come; problems told, at most `MAX_TOLD` of them; refused when there was nothing but problems."""
    good, bad, example = 0, 0, ""
    for item in items:
        if not isinstance(item, str):
            good += 1
            yield item
            continue
        bad += 1
        example = example or item
        if on_problem is not None and bad <= MAX_TOLD:
            on_problem(item if bad < MAX_TOLD else f"{item}; further bad lines are not listed")
        if not good and bad >= PATIENCE:
            break
    if not good:
        raise UnreadableLog(f"{name} holds nothing that can be read ({example or 'no record at all'}); {FORMS}")
