"""Turns what a worker printed into log events: whole lines, plain text, bounded, each exactly once.

Reading is by byte ranges of `output.log`. `events_of` depends on the bytes of a range alone, so a range that was cut
off by a crash of the server gives the same events when it is read again. Knows nothing of stores.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

READ_BYTES = 256 * 1024
"""The most that is read at once; the rest waits for the next look, so a chatty worker cannot fill the memory."""

MAX_LINE_CHARACTERS = 2000
MAX_LINES = 400
"""Lines kept of one range. A flood keeps its head and its tail, and a line says how much was left out."""

_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|\x1b[\]PX^_].*?(?:\x07|\x1b\\|$)"  # OSC and friends: titles, links
    r"|\x1b[ -/]*[0-~]"  # the short ones
)


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far an output was read: the bytes [start, end) are being stored as the events from `first_seq` on."""

    first_seq: int = 1
    start: int = 0
    end: int = 0


def read_range(path: Path, start: int, end: int) -> bytes:
    """The bytes [start, end) of the file; fewer when it is shorter, none when it is not there."""
    try:
        with path.open("rb") as file:
            file.seek(start)
            return file.read(max(0, end - start))
    except FileNotFoundError:
        return b""


def next_end(path: Path, start: int, *, to_the_end: bool) -> int:
    """Where the next range from `start` ends: after a whole line, or at the file's end when nothing more will come."""
    data = read_range(path, start, start + READ_BYTES)
    if to_the_end and len(data) < READ_BYTES:
        return start + len(data)
    whole = max(data.rfind(b"\n"), data.rfind(b"\r")) + 1
    # A line longer than the window would hold everything up for ever.
    return start + (whole if whole or len(data) < READ_BYTES else len(data))


def events_of(data: bytes, at: float) -> list[dict[str, Any]]:
    """The log events of one range, timed `at` (seconds since 1970). Undecodable bytes are shown as U+FFFD."""
    lines = [clean(line) for line in data.decode("utf-8", errors="replace").split("\n")]
    lines = [line for line in lines if line]
    if len(lines) > MAX_LINES:
        left_out = len(lines) - MAX_LINES + 1
        notice = f"[{left_out:,} lines left out here: too many at once; the run's output.log has them]"
        lines = [*lines[: MAX_LINES // 2], notice, *lines[len(lines) - MAX_LINES // 2 + 1 :]]
    return [{"type": "log", "stream": "stdout", "text": line, "time": at} for line in lines]


def clean(line: str) -> str:
    """A line as a person sees it in the end: no escapes, no control characters, a progress bar's last state, bounded."""
    text = _ESCAPES.sub("", line)
    # A carriage return starts the line over: what counts is the last state that shows anything.
    text = next((part for part in reversed(text.split("\r")) if part.strip()), "")
    text = "".join(c if c == "\t" or c.isprintable() else "" for c in text).rstrip()
    if len(text) > MAX_LINE_CHARACTERS:
        return f"{text[:MAX_LINE_CHARACTERS]} [… {len(text) - MAX_LINE_CHARACTERS:,} characters more]"
    return text


def last_lines(path: Path, count: int, window_bytes: int = 16_384) -> list[str]:
    """The last lines of an output, cleaned, oldest first; empty when there is none."""
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return []
    text = read_range(path, max(0, size - window_bytes), size).decode("utf-8", errors="replace")
    lines = [cleaned for cleaned in map(clean, text.split("\n")) if cleaned]
    return lines[-count:]
