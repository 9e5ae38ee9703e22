"""Logs that are one JSON document: Hugging Face's `trainer_state.json`, and lists of objects. Text in, events out. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from runwell import shapes
from runwell.loglines import event_of, parsed
from runwell.metrics import END_OF_TRAINING
from runwell.printed import is_loss
from runwell.rows import STEP_NAMES, Rows, number_of
from runwell.wire import BadEvent, Event, WireError, validate_event

HISTORIES = ("log_history", "history", "logs")
"""Where a document keeps its rows."""

ONE_LINE = re.compile(r'"log_history"\s*:\s*\[')
"""Tells a whole `trainer_state.json` on one line from a line of JSON lines."""


def begins_document(line: str) -> bool:
    """Whether a log whose first line this is must be read as a whole: its object does not end with its line."""
    text = line.strip()
    return text in ("{", "[") or text.startswith("[{") or (text[:1] == "{" and ONE_LINE.search(text) is not None)


def read_document(text: str, name: str, line: int = 1) -> Iterator[Event | str]:
    """Events of a document, or a sentence for each bad row. `line` is where it began, for the sentence that it is bad."""
    try:
        value = parsed(text)
    except WireError as error:
        yield f"{name}, line {line}: {error}"
        return
    state = value if isinstance(value, dict) else {}
    history = value if isinstance(value, list) else next((state[n] for n in HISTORIES if _is_list(state.get(n))), None)
    if history is None:
        history = next(filter(_tells_of_training, state.values()), None)
    if history is None:
        history = shapes.rows_of_lists(state) or None
    if history is None:
        yield f"{name}: a JSON document needs a list of rows under one of {', '.join(HISTORIES)}, or lists of numbers with a loss among them"
        return
    settings = {name: item for name, item in state.items() if isinstance(item, int | float | str)}
    if settings:
        yield validate_event({"type": "config", "config": settings})
    yield from _rows(history, _Epochs(settings), name)


def _rows(history: list[Any], epochs: _Epochs, name: str) -> Iterator[Event | str]:
    rows = Rows()
    for number, row in enumerate(history, 1):
        try:
            if isinstance(row, dict) and END_OF_TRAINING in row:
                yield validate_event({**row, "type": "summary"})
            else:
                yield event_of(epochs.with_step(row), rows)
        except BadEvent as error:
            yield f"{name}, row {number}: {error.reason}"


class _Epochs:
    """Steps for rows that tell only their epoch, where the document says how many steps and epochs are planned."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        steps, epochs = _number(settings.get("max_steps")), _number(settings.get("num_train_epochs"))
        self._steps_per_epoch = steps / epochs if steps > 0 and epochs > 0 else 0.0

    def with_step(self, row: Any) -> Any:
        """The row with its step, if it has none and it can be worked out; else the row."""
        epoch = _number(row.get("epoch")) if isinstance(row, dict) and row.get("step") is None else math.nan
        if not self._steps_per_epoch or not 0 <= epoch < 1e9:
            return row
        return {**row, "step": round(epoch * self._steps_per_epoch)}


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and abs(value) < 1e300 else math.nan


def _tells_of_training(value: Any) -> bool:
    """Whether a list in a document is that of a run, whatever it is called: each of its rows has a loss and a count."""
    return (
        isinstance(value, list)
        and len(value) >= shapes.FEWEST
        and all(isinstance(row, dict) and _counts(row) and any(map(is_loss, row)) for row in value)
    )


def _counts(row: dict[str, Any]) -> bool:
    return any(name.lower() in (*STEP_NAMES, "epoch") and number_of(item) is not None for name, item in row.items())


def _is_list(value: Any) -> bool:
    return isinstance(value, list)
