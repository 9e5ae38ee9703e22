"""What trainers print: lines of text in which a step and a loss are told. Numbered lines in, events out. Pure.

Knows what most training loops print: `iter 10: loss 4.57`, `step 1 | loss: 10.9 | lr 1.6e-06`, `step:5/90 val_loss:3.7`, Megatron's
`iteration 5/ 90 | lm loss: 2.2E+00 |`, Hugging Face's `{'loss': 3.4, 'epoch': 0.1}`, progress bars with a loss, overflows in fp16
(`overflows`). Another line that tells no loss, or no step to it, is prose, and passed over in silence: what the numbers of a
sentence mean cannot be known.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice

from runwell import parts
from runwell.lines import Lines, Numbered
from runwell.loglines import Item
from runwell.metrics import END_OF_TRAINING
from runwell.overflows import SCALE, SKIPPED_IN_ROW, Overflows
from runwell.rows import STEP_NAMES, TIME_NAMES, Rows, parse_number
from runwell.wire import BadEvent, Event

LONGEST = 16_384
"""Characters of a line that are looked at: no trainer prints more numbers than that, and a line may be a whole corpus."""

_NUMBER = (
    r"[-+]?(?:(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?|[-+]?(?:nan|inf(?:inity)?)(?![A-Za-z_])"
)
_WORD = r"[A-Za-z_][\w./@-]*"
_PAIR = re.compile(
    rf"(?<![\w.])(?P<name>{_WORD}(?:[ ]{_WORD}){{0,2}})['\"]?(?P<sign>\s*[:=]\s*|\s+)['\"\[]?(?P<number>(?>{_NUMBER}))(?!%|[a-z]\}})"
    r"(?:(?P<unit>(?-i:[kKMBGT]|\s?[mu]s))(?![\w/]))?(?:\s*/\s*\d+)?",
    re.IGNORECASE,
)
"""A name of up to three words, a colon, an equals sign or a gap, a number; after it perhaps `/ how many there are`. Some trainers
print their own source first: `{val_loss:.4f}` is no number; nor is how far a bar has come, `loss: 15%|`."""

_UNITS = {"k": 1e3, "K": 1e3, "M": 1e6, "B": 1e9, "G": 1e9, "T": 1e12, "ms": 1e-3, "us": 1e-6}
"""`45.6K` is a number of thousands, and `120ms` are 0.12 seconds: else a rate that passes a thousand would seem to collapse."""

_BEFORE_ITS_UNIT = re.compile(
    rf"(?:^|[|(,;])\s*(?:time:?\s+)?(?P<number>{_NUMBER})\s*(?:(?P<speed>tok(?:en)?s?/s(?:ec)?)|ms)\s*(?=[|),;]|$)",
    re.IGNORECASE,
)
"""llm.c and others name some numbers by their unit alone: `| 6.52 ms | 39269 tok/s`; nanoGPT says `time 38.12ms`."""

_COUNT = re.compile(
    r"\b(\d+)/ *\d+ (?:\[|batches)|^\s*(\d+)/\d+ |(?:Iter|Epoch)\(train\)\s*(?:\[\d+\])?\[ *(\d+)/|^\[(\d+) \| [\d.]+\] |^\[ *(\d+) ?/ ?\d+\]"
)
"""A progress bar's count: `| 130/2724 [`, or that of a loop: `200/ 2983 batches`, `500/20000 loss: 2.8`, `Iter(train) [ 10/500]`,
`[10 | 23.5] loss=2.8`, `[  60/600] loss=3.5`."""

_BARE_COUNT = re.compile(r"^(\d+): (?=[A-Za-z])|\bbatch: (\d+),")
"""The same where nothing else counts: `60: Loss 3.5`, `batch: 60, loss: 3.5`."""

_BARE_ROW = re.compile(rf"\s*(\d+) (train|val) (\S+)((?: [A-Za-z_]\w* (?:{_NUMBER}))*)\s*", re.IGNORECASE)
"""The shortest form there is: `250 val 6.25`, and with more behind it: `1 train 10.5 adam_lr 2.5e-06`."""

_LLMC = re.compile(r"s:(\d+) (trl|tel):(\S+)(?: lr:(\S+) norm:(\S+))?\s*")
"""llm.c's own log: a training or a test loss, with what belongs to it."""

_EVALUATED = re.compile(
    r"\|\s*(?:valid|validation|dev|test)\s*\||^\[ *\d+ ?/ ?\d+\]\s*(?:eval|val|valid|validation|dev|test)\b",
    re.IGNORECASE,
)
"""fairseq says it between bars: `| INFO | valid | epoch 001 | … | loss 3.5 |`; others behind the count: `[60/600] eval: loss=3.5`."""

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

_HEADING = re.compile(r"\[(?:step|batch)=(\d+)/\d+[^\]]*\]:?\s*$")
_EVALUATION = re.compile(r"\[Eval batch=\d+/\d+\]")
_UNDER_IT = re.compile(rf"(?:\d+:)?\s+(?:(Train|Eval) )?([\w./() -]+?)(?:=|: )({_NUMBER})\s*", re.IGNORECASE)
"""OLMo's and Composer's forms: the step on a line of its own, `[step=5/90,epoch=0]` or `[batch=5/90]:`, and its numbers on
lines below that are set in, each behind the word Train or Eval in Composer's."""

_EPOCH_HEADING = re.compile(
    r"(?!.*\bloss\b)[^\w{}\"'\[\]]*Epoch:? +(\d+)(?: ?/ ?\d+)?[\s=*#:-]*(?:\|.*)?", re.IGNORECASE | re.DOTALL
)
_BATCHES = re.compile(r"^\s*(\d+)/(\d+) ")
"""Keras: the epoch on a line of its own, and bars below it that count its batches. Many loops tell its losses on lines below it."""

_AT = re.compile(
    rf"\b(val|valid|validation|test|train|training) loss at (?:step|iteration|iter) (\d+)\s*[:=]\s*({_NUMBER})",
    re.IGNORECASE,
)
_MEGATRONS = re.compile(r"\b(?:validation|test) loss at iteration (\d+)", re.IGNORECASE)

_ROW = re.compile(r"\s*\|(.+)\|\s*")
"""A row of a table in Markdown, as model cards have them."""

_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_WRAPPED = re.compile(r"\b(?:np\.float\d+|tensor)\(([^(),]*)[^()]*\)")
"""Numbers as their libraries print them: `np.float64(0.5)`."""

_COUNTING = frozenset(STEP_NAMES) | {"it", "update"}
_LOSSES = frozenset({"loss", "nll", "losses", "xent", "bpb"})
_SCALES = frozenset({"scale", "scaler"})
"""What belongs to a loss and is none; nor is the line of a program that told of it, `[loss_scaler.py:181]`."""
_BARE = _COUNTING | _LOSSES | {"epoch", "lr", "norm", "gnorm", "grad_norm", "ppl", "mfu", SCALE}
"""Last words of names that need no sign before their number."""


def numbers_in(line: str, *, told_above: bool = False) -> dict[str, float]:
    """The numbers that a printed line tells by name, `step` among them where it is told; empty when it is no report.

    `told_above`: a loss is one even if the line tells no step to it.
    """
    line = _WRAPPED.sub(r"\1", _COLOURS.sub("", line[:LONGEST]))
    if (row := _BARE_ROW.fullmatch(line)) and (number := parse_number(row[3])) is not None:
        words = row[4].split()
        pairs = zip(words[::2], (parse_number(word.replace(",", "")) for word in words[1::2]), strict=True)
        others = {name: other for name, other in pairs if other is not None}
        part = row[2].lower()
        return {"step": float(row[1]), f"{part}/loss": number} | (
            parts.as_validation(others) if part == "val" else others
        )
    if (at := _AT.search(line)) and (number := parse_number(at[3].replace(",", ""))) is not None:
        return {"step": float(at[2]), f"{'train' if at[1].lower().startswith('train') else 'val'}/loss": number}
    if llmc := _LLMC.fullmatch(line):
        names = ("train/loss" if llmc[2] == "trl" else "val/loss", "lr", "norm")
        cells = zip(names, (parse_number(cell or "") for cell in llmc.groups()[2:]), strict=True)
        return {"step": float(llmc[1]), **{name: number for name, number in cells if number is not None}}
    found: dict[str, float] = {}
    evaluation = _MEGATRONS.search(line) is not None or _EVALUATED.search(line) is not None
    for match in _PAIR.finditer(line):
        name, number = match["name"], parse_number(match["number"].replace(",", ""))
        words = name.lower().split(" ")
        if number is None or (not match["sign"].strip() and not _is_bare(words[-1])):
            continue
        if match["unit"]:
            number *= _UNITS[match["unit"].strip()]
        if words[-2:] == SKIPPED_IN_ROW.split(" "):
            found[SKIPPED_IN_ROW] = number
        elif words[-1].removeprefix("valid_") in _COUNTING:
            # fairseq tells its epochs as `update`, with a fraction, before its steps
            found["step"] = number if words[-1] == "num_updates" else found.get("step", number)
            evaluation = evaluation or parts.is_validation(words[0])  # `Eval Step 200: Loss=2.5`
        elif words[-1] == "epoch":
            found.setdefault("epoch", number)
        elif words[-1] not in TIME_NAMES:  # here a time is how long something took, not when it was
            found.setdefault(_shortest(name, words, match["sign"]), number)
    for match in _BEFORE_ITS_UNIT.finditer(line):
        number = parse_number(match["number"].replace(",", ""))
        if number is not None:
            found.setdefault(*(("tok/s", number) if match["speed"] else ("step_time", number / 1e3)))
    if "val" in found and "loss train" in found:  # litgpt: `loss train: 2.5, val: 2.6`
        found["val loss"] = found.pop("val")
    if "loss scale" in found:  # one name for the rows and for the lines between them
        found[SCALE] = found.pop("loss scale")
    # Megatron tells no loss of steps that were all skipped
    skipped = "step" in found and {SCALE, SKIPPED_IN_ROW} <= found.keys()
    if END_OF_TRAINING in found or not (skipped or any(_is_loss(name) for name in found)):
        return {}
    count = _COUNT.search(line) or (_BARE_COUNT.search(line) if "epoch" not in found else None)
    if "step" not in found and count:
        found["step"] = float(next(filter(None, count.groups())))
    if "step" in found or "epoch" in found or "{" in line or told_above:
        return parts.as_validation(found) if evaluation else found
    return {}


def _is_bare(word: str) -> bool:
    return word in _BARE or word.endswith("loss")


def _is_loss(name: str) -> bool:
    words = re.split(r"[^a-z]+", name.lower())
    return not _LOSSES.isdisjoint(words) and _SCALES.isdisjoint(words)


def _shortest(name: str, words: list[str], sign: str) -> str:
    """The name without words of the sentence before it: of `saved, loss 3.2` only what stands at a loss."""
    if sign.strip() or len(words) < 3:
        return name
    return " ".join(name.split(" ")[-2:])


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
            if heading := _HEADING.search(line):
                self._step = float(heading[1])
                self._open = {"step": self._step}
            elif _EVALUATION.search(line):
                self._open = {"step": self._step}
            elif epoch := _EPOCH_HEADING.fullmatch(line):
                self._epoch = int(epoch[1])
            # what begins as JSON is no print: it is read as JSON, or was found to be broken
            elif not line.lstrip().startswith('{"') and (numbers := self._of_table(line) or self._of_line(line)):
                yield from self._event(number, self._overflows.with_count(numbers))
            yield from map(self._rows.beside, overflows)

    def rest(self) -> Iterator[Event | str]:
        """The report that has been begun."""
        numbers, self._open = self._open, {}
        if len(numbers) > 1:
            yield from self._event(0, numbers)

    def _of_line(self, line: str) -> dict[str, float]:
        """The numbers of a line. Batches that are counted anew in each epoch, whose heading stands above, are counted on."""
        alone = _ALONE.match(line)
        validation = alone is not None and parts.is_validation((alone["part"] or "").rstrip("."))
        both = bool(self._epoch) and _BOTH.match(line[:LONGEST]) is not None
        told_above = both or (alone is not None and bool(self._epoch or (validation and self.any)))
        numbers = numbers_in(line, told_above=told_above)
        if told_above and self._epoch and numbers and "step" not in numbers:
            numbers.setdefault("epoch", float(self._epoch))
        if self._epoch and numbers and "epoch" not in numbers and (batches := _BATCHES.match(line)):
            epoch, done, of_all = self._epoch, int(batches[1]), int(batches[2])
            return {**numbers, "step": float((epoch - 1) * of_all + done), "epoch": float(epoch)}
        return numbers

    def _of_table(self, line: str) -> dict[str, float]:
        """The numbers of a row of a table whose header, with a loss among its names, has gone before."""
        row = _ROW.fullmatch(line)
        if row is None:
            self._columns = []
            return {}
        cells = [cell.strip() for cell in row[1].split("|")]
        if not any(char.isdigit() for char in row[1]) and any(_is_loss(cell) for cell in cells):
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


def _under_word(word: str | None, name: str) -> str:
    """A name of Composer's without the word before it, which says nothing that the name does not, unless it is bare."""
    return f"eval/{name}" if word and word.lower() == "eval" and "/" not in name else name
