"""A table that was sorted newest first is read from its oldest row on; whatever else goes back is left as it is."""

from __future__ import annotations

import io
import json
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from runwell.runlog import read_events, read_tables
from runwell.table import Table

ROWS = [{"step": step, "loss": 2 + 8 / (1 + step / 50)} for step in range(0, 3000, 10)]


def lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def comma_separated(rows: list[dict[str, Any]]) -> str:
    return "step,loss\n" + "".join(f"{row['step']},{row['loss']!r}\n" for row in rows)


def read(folder: Path, text: str) -> tuple[list[tuple[int, float]], list[str]]:
    """(step, loss) of each row, and what was told; read at a stroke and one by one, which must be the same."""
    told: list[str] = []
    (file := folder / "run.log").write_text(text)
    events = list(read_events(file, on_problem=told.append))
    at_a_stroke = [list(item.events()) if isinstance(item, Table) else [item] for item in read_tables(file)]
    assert list(chain.from_iterable(at_a_stroke)) == events
    return [(event["step"], event["loss"]) for event in events if "loss" in event], told


MEANT = [(row["step"], row["loss"]) for row in ROWS]


@pytest.mark.parametrize("write", [lines, comma_separated])
def test_rows_whose_steps_all_fall_are_read_in_their_order(tmp_path: Path, write: Any) -> None:
    rows, told = read(tmp_path, write(ROWS[::-1]))
    assert rows == MEANT
    assert [word.split("run.log ")[1] for word in told] == [
        "begins with its newest row; its rows are read in the order of their steps"
    ]


def test_what_stands_around_the_rows_stays_there(tmp_path: Path) -> None:
    config = {"type": "config", "config": {"vocab_size": 65}}
    evaluated = [{"step": 2990, "val_loss": 2.2}, *ROWS[::-1], {"type": "state", "state": "finished"}]
    (file := tmp_path / "run.jsonl").write_text(lines([config, *evaluated]))
    events = list(read_events(file))
    assert [event["type"] for event in events] == ["config", *["metrics"] * (len(ROWS) + 1), "state"]
    assert events[-2]["val_loss"] == 2.2


@pytest.mark.parametrize(
    "rows",
    [
        ROWS[100:] + ROWS[:100],
        ROWS[:100] + ROWS[50:],
        [*ROWS[:1:-1], ROWS[0], ROWS[1]],
        ROWS[2::-1],
        [{"step": 0, "loss": row["loss"]} for row in ROWS],
    ],
    ids=["another-run-first", "resumed", "one-step-up-at-the-end", "three-rows", "no-steps"],
)
def test_what_goes_back_now_and_then_is_left_as_it_is(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    assert read(tmp_path, lines(rows)) == ([(row["step"], row["loss"]) for row in rows], [])


def test_a_stream_is_not_waited_for(tmp_path: Path) -> None:
    """Whoever follows a log sees each row as it comes."""
    stream = iter(lines(ROWS[::-1]).splitlines(keepends=True))
    events = read_events(stream)
    assert next(events)["step"] == 2990
    assert len(list(stream)) > len(ROWS) - 10
    packed = io.BytesIO(lines(ROWS[::-1]).encode())
    assert next(event for event in read_events(packed))["step"] == 2990
