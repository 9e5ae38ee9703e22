"""One line of what a trainer printed: the numbers that it tells by name, if it is a report. Text in, numbers out. Pure.

Knows what most training loops print: `iter 10: loss 4.57`, `step 1 | loss: 10.9 | lr 1.6e-06`, `step:5/90 val_loss:3.7`, Megatron's
`iteration 5/ 90 | lm loss: 2.2E+00 |`, Hugging Face's `{'loss': 3.4, 'epoch': 0.1}`, `Epoch[0] Batch [50] perplexity=455.6`, progress
bars with a loss. A line that tells no loss and no perplexity, or none of where the training is, is prose: what the numbers of a
sentence mean cannot be known. Knows nothing of the lines around it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from runwell import parts
from runwell.metrics import END_OF_TRAINING
from runwell.overflows import SCALE, SKIPPED_IN_ROW
from runwell.rows import STEP_NAMES, TIME_NAMES, parse_number

LONGEST = 16_384
"""Characters of a line that are looked at: no trainer prints more numbers than that, and a line may be a whole corpus."""

NUMBER = r"[-+]?(?:(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?|[-+]?(?:nan|inf(?:inity)?)(?![A-Za-z_])"
_WORD = r"[A-Za-z_][\w./@-]*"
_PAIR = re.compile(
    rf"(?<![\w.])(?P<name>{_WORD}(?:[ ]{_WORD}){{0,2}})"
    r"(?:\ \((?:avg|average|mean|running|smoothed|ema)\b[^()]{0,24}\))?"
    r"['\"]?(?P<sign>\s*[:=]\s*|\s+|(?:(?<=poch)|(?<=atch)|(?<=step)|(?<=iter))(?=\[))['\"\[]?"
    rf"(?P<number>(?>{NUMBER}))(?!%|[a-z]\}})"
    r"(?:(?P<unit>(?-i:[kKMBGT]|\s?[mu]s))(?![\w/]))?(?:\s*/\s*\d+)?",
    re.IGNORECASE,
)
"""A name of up to three words, perhaps of what it is a mean (`Loss (avg over last 100): 2.4`), a colon, an equals sign or a gap, a
number; after it perhaps `/ how many there are`. Counts may stand in brackets, `Epoch[0]`. Some trainers print their own source first:
`{val_loss:.4f}` is no number; nor is how far a bar has come, `loss: 15%|`."""

_UNITS = {"k": 1e3, "K": 1e3, "M": 1e6, "B": 1e9, "G": 1e9, "T": 1e12, "ms": 1e-3, "us": 1e-6}
"""`45.6K` is a number of thousands, and `120ms` are 0.12 seconds: else a rate that passes a thousand would seem to collapse."""

_BEFORE_ITS_UNIT = re.compile(
    rf"(?:^|[|(,;])\s*(?:time:?\s+)?(?P<number>{NUMBER})\s*(?:(?P<speed>tok(?:en)?s?/s(?:ec)?)|ms)\s*(?=[|),;]|$)",
    re.IGNORECASE,
)
"""llm.c and others name some numbers by their unit alone: `| 6.52 ms | 39269 tok/s`; nanoGPT says `time 38.12ms`."""

_LEVELS = ("INFO", "WARN", "DEBUG", "SUCCESS")
_PREFIX = re.compile(
    r"\W{0,2}(?:(?:\d{4}[-/.]\d\d?[-/.]\d\d?[ T:,_-]{1,2})?\d\d?:\d\d:\d\d(?:[.,]\d+)?)?\W{0,4}(?:[\w.<>]{1,60}[^\w\"']{1,4})?"
    rf"(?:{'|'.join(_LEVELS)})(?:ING)?\b"
    r"(?:[\s|:\[\]()-]{1,12}[\w./<>]+(?::[\w.<>]+)?:\d+(?::\w+)?(?=[\s|:\])]))?"
    r"(?::(?:root|__\w+__|\w+(?:\.\w+)+))*[\s|:)\]-]*"
)
"""What a logger puts before a line: time, level, its own name and where in the source it stands. Its numbers are none of the run's:
`2025-01-02 03:04:05.678 | INFO     | __main__:train:35 - `, `[2025-01-02 03:04:05,678] [INFO] [train.py:35:main] `."""

_COUNT = re.compile(
    r"\b(\d+)/ *\d+ (?:\[|batches)|^\s*(\d+)/\d+ |(?:Iter|Epoch)\(train\)\s*(?:\[\d+\])?\[ *(\d+)/|^\[(\d+) \| [\d.]+\] |^\[ *(\d+) ?/ ?\d+\]"
)
"""A progress bar's count: `| 130/2724 [`, or that of a loop: `200/ 2983 batches`, `500/20000 loss: 2.8`, `Iter(train) [ 10/500]`,
`[10 | 23.5] loss=2.8`, `[  60/600] loss=3.5`."""

_BARE_COUNT = re.compile(r"(\d+): (?=[A-Za-z])")
"""The same where nothing else counts: `60: Loss 3.5`."""

_GLUED = re.compile(r"(?<![\w./-])(epoch|step|iter|batch)(?=\d+[\s:|,\]])", re.IGNORECASE)
"""A count without a gap before it: `Epoch0: Loss: 4.5`."""

_BARE_ROW = re.compile(
    rf"\s*(\d+) (?:stage \w+ )?(train|val|valid|eval|evaluate)((?: {NUMBER})?)((?: [A-Za-z_]\w* (?:{NUMBER}))*)\s*",
    re.IGNORECASE,
)
"""The shortest form there is: `250 val 6.25`, and with more behind it: `1 train 10.5 adam_lr 2.5e-06`, `1 train ce 10.5 lr 1e-3`."""

_LLMC = re.compile(r"s:(\d+) (trl|tel):(\S+)(?: lr:(\S+) norm:(\S+))?\s*")
"""llm.c's own log: a training or a test loss, with what belongs to it."""

_MARIAN = re.compile(
    rf"(?:\[[-\d: ]+\] )?Ep\. (?P<epoch>\d+) : Up\. (?P<step>\d+) : Sen\. [\d,]+ : Cost (?P<loss>{NUMBER})(?P<rest>.*)",
    re.IGNORECASE,
)
_MARIANS_REST = (("norm", re.compile(rf"gNorm ({NUMBER})")), ("lr", re.compile(rf"L\.r\. ({NUMBER})")))
"""Marian's updates: `Ep. 1 : Up. 2000 : Sen. 98,765 : Cost 5.2 : Time 9.5s : 3007.8 words/s : gNorm 0.5 : L.r. 3.0e-04`."""

_HELD_OUT = r"(?:val|valid|validation|eval|evaluation|dev|test)"
_EVALUATED = re.compile(
    rf"\|\s*(?:valid|validation|dev|test)\s*\||^\[ *\d+ ?/ ?\d+\]\s*{_HELD_OUT}\b",
    re.IGNORECASE,
)
"""fairseq says it between bars: `| INFO | valid | epoch 001 | … | loss 3.5 |`; others behind the count: `[60/600] eval: loss=3.5`."""
_NAMED_BEFORE = re.compile(rf"\b{_HELD_OUT}\s*[:\]|-]\s*$", re.IGNORECASE)
"""Or it stands by itself before the loss: `Epoch 3: Validation: Loss: 3.5`, `Validation - Loss: 3.5`."""
_LONGEST_PART = 16
"""Characters before a loss among which that word stands."""
_ABBREVIATED = 5
"""Letters that a word with a dot behind it has at most: `Val. Loss` is one name, `finished. Avg Loss` is the end of a sentence."""

_AT = re.compile(
    rf"\b(val|valid|validation|test|train|training) loss at (?:step|iteration|iter) (\d+)\s*[:=]\s*({NUMBER})",
    re.IGNORECASE,
)
_MEGATRONS = re.compile(r"\b(?:validation|test) loss at iteration (\d+)", re.IGNORECASE)

_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_WRAPPED = re.compile(r"\b(?:np\.float\d+|tensor)\(([^(),]*)[^()]*\)")
"""Numbers as their libraries print them: `np.float64(0.5)`."""

_COUNTING = frozenset(STEP_NAMES) | {"it", "update"}
_EPOCHS = frozenset({"epoch", "ep"})
_BATCHES = frozenset({"batch", "batch_index", "batch_idx"})
_LOSSES = frozenset({"loss", "nll", "losses", "xent", "bpb", "ce"})
_PERPLEXITIES = frozenset({"ppl", "perplexity"})
_SCALES = frozenset({"scale", "scaler"})
"""What belongs to a loss and is none; nor is the line of a program that told of it, `[loss_scaler.py:181]`."""
_BARE = _COUNTING | _EPOCHS | _LOSSES | _PERPLEXITIES | {"batch", "lr", "norm", "gnorm", "grad_norm", "mfu", SCALE}
"""Last words of names that need no sign before their number."""
_BETWEEN_TWO = frozenset({"per", "every", "in", "of"})
"""Words before `batch` that make it no count of them: `seconds per batch: 2`."""


def numbers_in(line: str, begin: int | None = None, *, told_above: bool = False) -> dict[str, float]:
    """The numbers that a printed line tells by name, `step` among them where it is told; empty when it is no report.

    `begin`: where the text of a plain line begins, where that is known. `told_above`: a loss is one even if the line
    tells no step to it.
    """
    if begin is None:
        line = plain(line)
        begin = message_begins(line)
    if (found := _of_one_form(line)) is not None:
        return found
    found, evaluation = _pairs(line, begin)
    if "val" in found and "loss train" in found:  # litgpt: `loss train: 2.5, val: 2.6`
        found["val loss"] = found.pop("val")
    if {"train", "val"} <= found.keys() and any(map(_is_perplexity, found)):  # that says what the two are
        found = {f"{name} loss" if name in ("train", "val") else name: number for name, number in found.items()}
    if "loss scale" in found:  # one name for the rows and for the lines between them
        found[SCALE] = found.pop("loss scale")
    # Megatron tells no loss of steps that were all skipped
    skipped = "step" in found and {SCALE, SKIPPED_IN_ROW} <= found.keys()
    loss = any(map(is_loss, found))
    if END_OF_TRAINING in found or not (loss or skipped or any(map(_is_perplexity, found))):
        return {}
    batch = found.pop("batch", None)
    if "step" not in found:
        count = _COUNT.search(line) or (_BARE_COUNT.match(line) if "epoch" not in found and batch is None else None)
        if count:
            found["step"] = float(next(filter(None, count.groups())))
        elif batch is not None:
            found["step"] = batch
    if "step" in found or "epoch" in found or told_above or (loss and "{" in line):
        return parts.as_validation(found) if evaluation else found
    return {}


def plain(line: str) -> str:
    """The text of a line as far as it is looked at, without colours."""
    line = line[:LONGEST]
    return _COLOURS.sub("", line) if "\x1b" in line else line


def message_begins(line: str) -> int:
    """Where a line's text begins, behind what a logger put before it."""
    # asked of every line of logs that may have millions: most have no level, and the words are found far sooner
    if not any(level in line for level in _LEVELS):
        return 0
    prefix = _PREFIX.match(line)
    return prefix.end() if prefix else 0


def is_loss(name: str) -> bool:
    """Whether a name is that of a loss."""
    words = re.split(r"[^a-z]+", name.lower())
    return not _LOSSES.isdisjoint(words) and _SCALES.isdisjoint(words)


def _is_perplexity(name: str) -> bool:
    return not _PERPLEXITIES.isdisjoint(re.split(r"[^a-z]+", name.lower()))


def tells_held_out(numbers: Iterable[str]) -> bool:
    """Whether the losses that a line tells by these names are all of an evaluation."""
    losses = [name for name in numbers if is_loss(name) or _is_perplexity(name)]
    return bool(losses) and all(map(parts.is_validation, (re.split(r"[^a-z]", name.lower())[0] for name in losses)))


def _of_one_form(line: str) -> dict[str, float] | None:
    """The numbers of a line in one of the forms that are no pairs of names and numbers; None for another."""
    if (row := _BARE_ROW.fullmatch(line)) and (numbers := _of_bare_row(row)):
        return numbers
    if " loss at " in line.lower() and (at := _AT.search(line)) and (number := _parsed(at[3])) is not None:
        return {"step": float(at[2]), f"{'train' if at[1].lower().startswith('train') else 'val'}/loss": number}
    if " : Up. " in line and (marian := _MARIAN.search(line)):
        return _of_marian(marian)
    if llmc := _LLMC.fullmatch(line):
        names = ("train/loss" if llmc[2] == "trl" else "val/loss", "lr", "norm")
        cells = zip(names, (parse_number(cell or "") for cell in llmc.groups()[2:]), strict=True)
        return {"step": float(llmc[1]), **{name: number for name, number in cells if number is not None}}
    return None


def _of_marian(update: re.Match[str]) -> dict[str, float]:
    told = {"step": update["step"], "epoch": update["epoch"], "train/loss": update["loss"]}
    told |= {name: found[1] for name, form in _MARIANS_REST if (found := form.search(update["rest"]))}
    return {name: number for name, cell in told.items() if (number := _parsed(cell)) is not None}


def _of_bare_row(row: re.Match[str]) -> dict[str, float]:
    """Step, loss and what stands behind it; nothing where there is no loss."""
    words = row[4].split()
    pairs = zip(words[::2], map(_parsed, words[1::2]), strict=True)
    others = {name: number for name, number in pairs if number is not None}
    losses = [_parsed(row[3]), *(others.pop(name) for name in ("loss", "ce") if name in others)]
    loss = next((number for number in losses if number is not None), None)
    if loss is None:
        return {}
    training = row[2].lower() == "train"
    told = {"step": float(row[1]), "train/loss" if training else "val/loss": loss}
    return told | (others if training else parts.as_validation(others))


def _pairs(line: str, begin: int) -> tuple[dict[str, float], bool]:
    """The numbers of a line by their names, and whether they are those of an evaluation."""
    if "(" in line:
        line = _WRAPPED.sub(r"\1", line)
    line = _GLUED.sub(r"\1 ", line)
    found: dict[str, float] = {}
    evaluation = _MEGATRONS.search(line) is not None or _EVALUATED.search(line) is not None
    for match in _PAIR.finditer(line, begin):
        name, number = _after_a_sentence(match["name"]), _parsed(match["number"])
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
        elif words[-1] in _EPOCHS:
            found.setdefault("epoch", number)
        elif words[-1] in _BATCHES and number.is_integer() and _BETWEEN_TWO.isdisjoint(words):
            found.setdefault("batch", number)
        elif (words[-1] in _LOSSES or words[-1] in _PERPLEXITIES) and _NAMED_BEFORE.search(
            line, max(0, match.start() - _LONGEST_PART), match.start()
        ):
            found.setdefault(f"val/{words[-1]}", number)
        elif words[-1] not in TIME_NAMES:  # here a time is how long something took, not when it was
            found.setdefault(_shortest(name, words, match["sign"]), number)
    for match in _BEFORE_ITS_UNIT.finditer(line):
        if (number := _parsed(match["number"])) is not None:
            found.setdefault(*(("tok/s", number) if match["speed"] else ("step_time", number / 1e3)))
    return found, evaluation


def _parsed(text: str) -> float | None:
    return parse_number(text.replace(",", ""))


def _is_bare(word: str) -> bool:
    return word in _BARE or word.endswith("loss")


def _after_a_sentence(name: str) -> str:
    sentence, dot, rest = name.rpartition(". ")
    return rest if dot and len(sentence.rpartition(" ")[2]) > _ABBREVIATED else name


def _shortest(name: str, words: list[str], sign: str) -> str:
    """The name without words of the sentence before it: of `saved, loss 3.2` only what stands at a loss."""
    if sign.strip() or len(words) < 3:
        return name
    return " ".join(name.split(" ")[-2:])
