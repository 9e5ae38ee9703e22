"""The table of what each type of event may hold: one entry a field, with the words for its error message.

`wire` checks events against it and the docs quote it. Fields that are not listed are kept as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

STATES = ("running", "finished", "stopped", "crashed")
LEVELS = ("info", "warning", "critical")


class Field(NamedTuple):
    """One known field: whether a value is accepted, in code and in words."""

    accepts: Callable[[Any], bool]
    words: str
    schema: Mapping[str, Any]
    """The same as JSON Schema, for the API's own description."""
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
    "window_tokens", "distinct", "repeated", "most_places", "overlap", "unigram_entropy",
)  # fmt: skip


def _one_of(*choices: str) -> Callable[[Any], bool]:
    return lambda value: value in choices


STEP_SCHEMA = {"type": "integer", "minimum": 0, "maximum": 2**53}
NUMBER_SCHEMA = {"anyOf": [{"type": "number"}, {"enum": ["NaN", "Infinity", "-Infinity"]}]}

TEXT = Field(_is_text, "text", {"type": "string"})
NEEDED_TEXT = Field(_is_text, "text", {"type": "string"}, required=True)
MAPPING = Field(_is_mapping, "an object", {"type": "object"})
INTEGER = Field(_is_integer, "a whole number", {"type": "integer", "minimum": -(2**53), "maximum": 2**53})
STEP = Field(_is_step, "a whole number from 0 to 2^53", STEP_SCHEMA)
NEEDED_STEP = Field(_is_step, "a whole number from 0 to 2^53", STEP_SCHEMA, required=True)
NUMBER = Field(_is_number, "a number", NUMBER_SCHEMA, numeric=True)
FLAG = Field(_is_flag, "true or false", {"type": "boolean"})
TAGS = Field(_is_tags, "a list of texts", {"type": "array", "items": {"type": "string"}})
STATE = Field(_one_of(*STATES), "one of " + ", ".join(STATES), {"enum": list(STATES)}, required=True)
LEVEL = Field(_one_of(*LEVELS), "one of " + ", ".join(LEVELS), {"enum": list(LEVELS)})
COMMAND = Field(_is_integer, "a command's number", INTEGER.schema, required=True)

FIELDS: dict[str, dict[str, Field]] = {
    "run": {
        "project": TEXT,
        "name": TEXT,
        "config": MAPPING,
        "tags": TAGS,
        "host": TEXT,
        "pid": INTEGER,
        "pid_started_at": NUMBER,
        "resumed_from_step": STEP,
        "parent": TEXT,
        "forked": FLAG,
    },
    "config": {"config": MAPPING},
    "data": {
        **dict.fromkeys(_DATA_NUMBERS, NUMBER),
        "dataset": TEXT,
        "issues": TAGS,
        "most_text": TEXT,
        "common_characters": TEXT,
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
        "state": STATE,
        "reason": TEXT,
        "exit_code": INTEGER,
    },
    "left": {
        "state": STATE,
        "reason": TEXT,
        "exit_code": INTEGER,
    },
    "rewind": {"step": NEEDED_STEP},
    "alert": {
        "title": NEEDED_TEXT,
        "text": TEXT,
        "level": LEVEL,
    },
    "ack": {"command": COMMAND, "ok": FLAG, "text": TEXT},
}
"""Known types and their fields; `metrics` is checked by its own rule: every field but the reserved ones is a number."""


def event_schemas() -> list[dict[str, Any]]:
    """What each known type of event may hold, as JSON Schema, and last the rest: the API describes itself with this."""
    own = {"step": STEP_SCHEMA, "time": {"type": "number"}}
    metrics = {
        "type": "object",
        "required": ["type", "step"],
        "properties": {"type": {"enum": ["metrics"]}, **own},
        "additionalProperties": NUMBER_SCHEMA,
    }
    unknown = {
        "type": "object",
        "required": ["type"],
        "properties": {"type": {"type": "string", "maxLength": 64}, **own},
    }
    return [metrics, *(_schema(kind, fields, own) for kind, fields in FIELDS.items()), unknown]


def _schema(kind: str, fields: dict[str, Field], own: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["type", *(name for name, field in fields.items() if field.required)],
        "properties": {"type": {"enum": [kind]}, **own, **{name: field.schema for name, field in fields.items()}},
    }
