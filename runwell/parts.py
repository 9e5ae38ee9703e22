"""Which part of the data a row tells of, where a word beside its numbers says so: `split: val`, `event: eval`. Pure.

Such a log has one column `loss` for both; the rows of the evaluations are named apart here (`val/loss`), or else they would
be read as training losses.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from runwell.rows import STEP_NAMES, TIME_NAMES

COLUMNS = ("split", "phase", "event", "mode", "stage", "subset", "partition", "set", "kind", "type")
"""Columns that say it, in any case."""

_ALL_COLUMNS = frozenset(COLUMNS)
_BESIDE_TYPE = _ALL_COLUMNS - {"type"}

TRAINING = frozenset({"train", "training", "train_step"})
VALIDATION = frozenset(
    {"val", "valid", "validation", "validate", "eval", "evaluation", "evaluate", "dev", "test", "heldout"}
)

_SHARED = frozenset({*STEP_NAMES, *TIME_NAMES, "epoch"})
"""Names that mean the same in both."""


def column_of(header: list[str]) -> int | None:
    """Where a table's rows say it, or None."""
    names = [name.lower() for name in header]
    return next((names.index(column) for column in COLUMNS if column in names), None)


def is_record(kind: object) -> bool:
    """Whether a row of this `type` is a record of its own kind, and its numbers are no metrics."""
    return isinstance(kind, str) and kind != "metrics" and kind.lower() not in TRAINING | VALIDATION


def apart(column: str, words: Sequence[object]) -> Iterable[int]:
    """The rows which, by their words in this column, do not tell plainly of training."""
    if column not in _ALL_COLUMNS or words.count("metrics") == len(words):
        return ()
    others = [(at, word) for at, word in enumerate(words) if word != "metrics" and word is not None]
    return [at for at, word in others if is_validation(word) or (column == "type" and is_record(word))]


def tells_validation(row: Mapping[str, object]) -> bool:
    """Whether one of an object's words says that it tells of an evaluation."""
    # Asked of every row of logs that may have millions: nearly all have none of these columns, or say only "metrics".
    columns = _BESIDE_TYPE if row.get("type") == "metrics" else _ALL_COLUMNS
    return not columns.isdisjoint(row) and any(is_validation(row[column]) for column in columns.intersection(row))


def is_validation(word: object) -> bool:
    """Whether a cell says that its row tells of an evaluation."""
    return isinstance(word, str) and word.strip().lower() in VALIDATION


def as_validation(numbers: Mapping[str, float]) -> dict[str, float]:
    """The numbers under names that say so; what says it already is left as it is."""
    return {_named(name): number for name, number in numbers.items()}


def _named(name: str) -> str:
    lower = name.lower()
    # `Eval step 200 | train loss 1.5 | val loss 1.75` tells of both
    if lower in _SHARED or re.split(r"[/_ -]", lower)[0] in VALIDATION | {"train", "training"}:
        return name
    return f"val/{name}"
