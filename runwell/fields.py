"""The table of what each type of event may hold: one entry a field, with the words for its error message.

`wire` checks events against it and the docs quote it. Fields that are not listed are kept as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

STATES = ("running", "finished", "stopped", "crashed")
LEVELS = ("info", "warning", "critical")


class Field(NamedTuple):
    """One known field: whether a value is accepted, in code and in words."""

    accepts: Callable[[Any], bool]
    words: str
    required: bool = False
    numeric: bool = False
    """The value is a number that may be non-finite: the strings of the wire are turned into floats first."""


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_mapping(value: Any) -> bool:
    return isinstance(value, dict)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def _is_step(value: Any) -> bool:
    return _is_integer(value) and 0 <= value <= 2**53


def _is_number(value: Any) -> bool:
    return isinstance(value, float)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_tags(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(tag, str) for tag in value)


_DATA_NUMBERS = (
    "documents", "characters", "words", "mean_words", "shortest", "longest", "empty", "short", "duplicates",
    "near_duplicates", "english", "unreadable", "train_tokens", "val_tokens", "planned_tokens", "parameters",
    "window_tokens", "distinct", "repeated", "most_places", "overlap",
)  # fmt: skip


def _one_of(*choices: str) -> Callable[[Any], bool]:
    return lambda value: value in choices


TEXT = Field(_is_text, "text")
NEEDED_TEXT = Field(_is_text, "text", required=True)
MAPPING = Field(_is_mapping, "an object")
INTEGER = Field(_is_integer, "a whole number")
NEEDED_STEP = Field(_is_step, "a whole number from 0 to 2^53", required=True)
NUMBER = Field(_is_number, "a number", numeric=True)
FLAG = Field(_is_flag, "true or false")

FIELDS: dict[str, dict[str, Field]] = {
    "run": {
        "project": TEXT,
        "name": TEXT,
        "config": MAPPING,
        "tags": Field(_is_tags, "a list of texts"),
        "host": TEXT,
        "pid": INTEGER,
        "pid_started_at": NUMBER,
        "resumed_from_step": Field(_is_step, "a whole number from 0 to 2^53"),
        "parent": TEXT,
    },
    "config": {"config": MAPPING},
    "data": {
        **dict.fromkeys(_DATA_NUMBERS, NUMBER),
        "dataset": TEXT,
        "issues": Field(_is_tags, "a list of texts"),
        "most_text": TEXT,
    },
    "sample": {
        "step": NEEDED_STEP,
        "prompt": TEXT,
        "text": NEEDED_TEXT,
        "temperature": NUMBER,
        "top_k": NUMBER,
        "verbatim_tokens": NUMBER,
        "verbatim_characters": NUMBER,
        "verbatim_places": NUMBER,
    },
    "log": {"stream": TEXT, "text": NEEDED_TEXT},
    "checkpoint": {"step": NEEDED_STEP, "path": NEEDED_TEXT, "val_loss": NUMBER, "best": FLAG},
    "state": {
        "state": Field(_one_of(*STATES), "one of " + ", ".join(STATES), required=True),
        "reason": TEXT,
        "exit_code": INTEGER,
    },
    "rewind": {"step": NEEDED_STEP},
    "alert": {
        "title": NEEDED_TEXT,
        "text": TEXT,
        "level": Field(_one_of(*LEVELS), "one of " + ", ".join(LEVELS)),
    },
    "ack": {"command": Field(_is_integer, "a command's number", required=True), "ok": FLAG, "text": TEXT},
}
"""Known types and their fields; `metrics` is checked by its own rule: every field but the reserved ones is a number."""
