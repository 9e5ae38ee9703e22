"""Texts of a trainer that printed its progress: which lines are reports, and what the lines around a report say of it. Pure.

Numbered lines in, events out. Knows losses below the heading of their epoch, reports over several lines, tables in Markdown, JSON
among prose, losses without any count (`uncounted`), and overflows in fp16 (`overflows`). Another line that is no report (`printed`)
is passed over in silence.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice

from runwell import parts
from runwell.batches import Batches
from runwell.lines import Lines, Numbered
from runwell.loglines import Item, event_of, parsed
from runwell.overflows import Overflows
from runwell.printed import NUMBER, is_loss, message_begins, numbers_in, plain, tells_held_out
from runwell.rows import STEP_NAMES, Rows, parse_number
from runwell.uncounted import Uncounted
from runwell.wire import BadEvent, Event, WireError

_ALONE = re.compile(
    r"[^\w{}\"'\[\]]*(?:(?P<part>train|training|val\.?|valid|validation|eval|test)[ _/-]+)?loss\s*[:=]?\s",
    re.IGNORECASE,
)
"""How a line begins that tells a loss and leaves the step to the lines above it."""

_BOTH = re.compile(
    r"(?=.*\btrain(?:ing)?[ _-]loss\s*[:=]).*\b(?:val|valid|validation|eval|test|dev)[ _-]loss\s*[:=]",
    re.IGNORECASE | re.DOTALL,
)
"""A line that tells a training and a validation loss, wherever they stand in it, tells those of the epoch above it."""

_OF_AN_EPOCH = re.compile(r"(?:^|.*\s)([01]?\.\d+) perplexity: ", re.DOTALL)
"""How far the epoch above has come, as TensorFlow's tutorial of language models and its copies print it: `0.204 perplexity: 95.5`."""

_HEADING = re.compile(r"\[(?:step|batch)=(\d+)/\d+[^\]]*\]:?\s*$")
_EVALUATION = re.compile(r"\[Eval batch=\d+/\d+\]")
_UNDER_IT = re.compile(rf"(?:\d+:)?\s+(?:(Train|Eval) )?([\w./() -]+?)(?:=|: )({NUMBER})\s*", re.IGNORECASE)
"""OLMo's and Composer's forms: the step on a line of its own, `[step=5/90,epoch=0]` or `[batch=5/90]:`, and its numbers on
lines below that are set in, each behind the word Train or Eval in Composer's."""

_EPOCH_HEADING = re.compile(
    r"(?!.*\b(?:loss|nll|ce|ppl|perplexity)\b)[^\w{}\"'\[\]]*(?:(?:start|starting|begin|beginning|training) )?Epoch:? +(\d+)(?: ?/ ?\d+)?"
    rf"(?:[ ,]+(?:learning rate|lr)[:=]? *{NUMBER})?[\s=*#:-]*(?:\|.*)?",
    re.IGNORECASE | re.DOTALL,
)
_BATCHES = re.compile(r"^\s*(\d+)/(\d+) ")
"""Keras: the epoch on a line of its own, and bars below it that count its batches. Many loops tell its losses on lines below it."""

_ROW = re.compile(r"\s*\|(.+)\|\s*")
"""A row of a table in Markdown, as model cards have them."""


# -- which of two forms a text has ----------------------------------------------------------------------------------


def or_printed(read: Callable[[Lines], Iterator[Item]], lines: Lines, name: str, patience: int) -> Iterator[Item]:
    """What `read` makes of the lines; but what a trainer printed, where that comes before the first record of `read`.

    After `patience` lines without either, `read` goes on alone: its sentences say what is wrong with the text.
    """
    lines.remember()
    items, told, reports = read(lines), list[str](), _Reports(name)
    found: list[Item] = []
    for item in items:
        if not isinstance(item, str):
            lines.forget()
            yield from chain(told, (item,), items)
            return
        told.append(item)
        found += reports.of(lines.taken())
        if reports.any or len(told) >= patience:
            break
    else:  # `read` has given up at the first line, or there is no other
        for line in chain(lines.taken(), islice(lines, patience)):
            found += reports.of([line])
            if reports.any:
                break
        else:
            found += reports.rest()
    lines.forget()
    yield from chain(found, reports.of(lines), reports.rest()) if reports.any else chain(told, items)


class _Reports:
    """Events of the lines that are reports, or a sentence where one tells an impossible step."""

    def __init__(self, name: str) -> None:
        self._rows = Rows()
        self._name = name
        self._open: dict[str, float] = {}
        self._step = 0.0
        self._epoch = 0
        self._columns: list[str] = []
        self._overflows = Overflows()
        self._batches = Batches()
        self._uncounted: Uncounted | None = Uncounted()
        """None once a report says how the log counts."""
        self.any = False
        """Whether there was one that tells a loss."""

    def of(self, lines: Iterable[Numbered]) -> Iterator[Event | str]:
        """Those of the lines; of one over several lines when it is known to be over, by a line or by `rest`."""
        for number, line in lines:
            if self._open and (below := _UNDER_IT.fullmatch(line)):
                self._open[_under_word(below[1], below[2])] = float(below[3].replace(",", ""))
                continue
            yield from self.rest()
            line, overflows = self._overflows.of_line(line)
            line = plain(line)
            begin = message_begins(line)
            if heading := _HEADING.search(line):
                self._step = float(heading[1])
                self._open = {"step": self._step}
            elif _EVALUATION.search(line):
                self._open = {"step": self._step}
            elif (epoch := _epoch_heading(line, begin)) is not None:
                self._epoch = epoch
            elif line.lstrip().startswith('{"'):
                yield from self._of_json(line)
            elif numbers := self._of_table(line) or self._of_line(line, begin):
                self._uncounted = None
                yield from self._event(number, self._overflows.with_count(numbers))
            elif self._uncounted:
                for told, row in self._uncounted.of_line(number, line, begin):
                    yield from self._event(told, row)
            yield from map(self._rows.beside, overflows)

    def rest(self) -> Iterator[Event | str]:
        """The report that has been begun."""
        numbers, self._open = self._open, {}
        if len(numbers) > 1:
            self._uncounted = None
            yield from self._event(0, numbers)

    def _of_line(self, line: str, begin: int) -> dict[str, float]:
        """The numbers of a line. Batches that are counted anew in each epoch, whose heading stands above, are counted on."""
        alone = _ALONE.match(line, begin) if "oss" in line or "OSS" in line else None
        validation = alone is not None and parts.is_validation((alone["part"] or "").rstrip("."))
        both = bool(self._epoch) and _BOTH.match(line) is not None
        far = _OF_AN_EPOCH.match(line) if self._epoch and " perplexity: " in line else None
        told_above = both or far is not None or (alone is not None and bool(self._epoch or (validation and self.any)))
        numbers = numbers_in(line, begin, told_above=told_above)
        if told_above and self._epoch and numbers and "step" not in numbers:
            numbers.setdefault("epoch", self._epoch - 1 + float(far[1]) if far else float(self._epoch))
        if self._epoch and numbers and "epoch" not in numbers and (batches := _BATCHES.match(line)):
            epoch, done, of_all = self._epoch, int(batches[1]), int(batches[2])
            return {**numbers, "step": float((epoch - 1) * of_all + done), "epoch": float(epoch)}
        if "step" in numbers and (self._epoch or "epoch" in numbers):
            told = numbers.get("epoch", float(self._epoch))
            numbers["step"] = self._batches.counted_on(told, numbers["step"], held_out=tells_held_out(numbers))
        return numbers

    def _of_json(self, line: str) -> Iterator[Event]:
        """The event of an object with a loss and a count that was printed among prose; no other object is a report."""
        try:
            value = parsed(line)
            names = {name.lower() for name in value} if isinstance(value, dict) else set()
            if any(map(is_loss, names)) and not names.isdisjoint((*STEP_NAMES, "epoch")):
                event = event_of(value, self._rows)
                if event["type"] == "metrics":
                    self.any, self._uncounted = True, None
                    yield event
        except WireError:
            return

    def _of_table(self, line: str) -> dict[str, float]:
        """The numbers of a row of a table whose header, with a loss among its names, has gone before."""
        row = _ROW.fullmatch(line)
        if row is None:
            self._columns = []
            return {}
        cells = [cell.strip() for cell in row[1].split("|")]
        if not any(char.isdigit() for char in row[1]) and any(is_loss(cell) for cell in cells):
            self._columns = cells
        elif len(cells) == len(self._columns):
            pairs = zip(self._columns, map(parse_number, cells), strict=True)
            return {name: number for name, number in pairs if name and number is not None}
        return {}

    def _event(self, number: int, numbers: dict[str, float]) -> Iterator[Event | str]:
        try:
            event = self._rows.metrics(numbers)
        except BadEvent as error:
            yield f"{self._name}, line {number}: {error.reason}"
            return
        self.any = True
        yield event


def _epoch_heading(line: str, begin: int) -> int | None:
    """The epoch of which a line is the heading; None for another line."""
    heading = _EPOCH_HEADING.fullmatch(line, begin) if "poch" in line or "POCH" in line else None
    return int(heading[1]) if heading else None


def _under_word(word: str | None, name: str) -> str:
    """A name of Composer's without the word before it, which says nothing that the name does not, unless it is bare."""
    return f"eval/{name}" if word and word.lower() == "eval" and "/" not in name else name
