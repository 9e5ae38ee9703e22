"""Rows that say in a word which part of the data they tell of: evaluations are never read as training."""

from __future__ import annotations

import io
from typing import Any

import pytest

from runwell.fields import FIELDS
from runwell.parts import TRAINING, VALIDATION, as_validation, is_validation
from runwell.runlog import read_events


def numbers(text: str) -> list[dict[str, Any]]:
    events = read_events(io.StringIO(text), on_problem=lambda told: pytest.fail(told))
    return [{name: value for name, value in event.items() if name != "type"} for event in events]


@pytest.mark.parametrize("column", ["split", "Phase", "event", "mode"])
@pytest.mark.parametrize("word", ["val", "Validation", "eval", "test", " dev "])
def test_a_table_with_a_column_that_says_it(column: str, word: str) -> None:
    assert numbers(f"{column},step,loss,lr\ntrain,1,2.5,0.1\n{word},1,2.75,\ntrain,2,2.0,0.1\n") == [
        {"step": 1, "loss": 2.5, "lr": 0.1},
        {"step": 1, "val/loss": 2.75},
        {"step": 2, "loss": 2.0, "lr": 0.1},
    ]


def test_json_lines_that_say_it_in_their_type_or_beside_it() -> None:
    assert numbers(
        '{"type":"train","step":1,"loss":2.5}\n{"type":"eval","step":1,"loss":2.75,"val_accuracy":0.5}\n'
        '{"split":"valid","step":2,"loss":2.25}\n'
    ) == [
        {"step": 1, "loss": 2.5},
        {"step": 1, "val/loss": 2.75, "val_accuracy": 0.5},
        {"step": 2, "val/loss": 2.25},
    ]


def test_events_of_other_types_stay_events() -> None:
    text = '{"type":"log","text":"a"}\n{"type":"sample","step":1,"prompt":"a","text":"b"}\n{"type":"novelty","x":1}\n'
    assert [event["type"] for event in read_events(io.StringIO(text))] == ["log", "sample", "novelty"]


def test_no_word_is_the_type_of_a_runs_own_record() -> None:
    assert not (TRAINING | VALIDATION) & {*FIELDS, "metrics"}


def test_names_that_say_it_already_are_left() -> None:
    given = {"step": 1.0, "epoch": 2.0, "eval_loss": 3.0, "test/nll": 4.0, "ppl": 5.0}
    assert list(as_validation(given)) == ["step", "epoch", "eval_loss", "test/nll", "val/ppl"]
    assert not is_validation(None) and not is_validation("value")


@pytest.mark.parametrize("column", ["current_steps", "update_step", "num_updates", "train/global_step"])
def test_step_columns_of_more_trainers(column: str) -> None:
    assert numbers(f'{{"loss":2.5,"{column}":10}}\n') == [{"step": 10, "loss": 2.5}]
