"""Logs that are one JSON document: `trainer_state.json` as Hugging Face writes it, and lists of objects."""

from __future__ import annotations

import gzip
import io
import json
import math
from pathlib import Path
from typing import Any

import pytest

from runwell.logfolder import event_files, find_logs
from runwell.runlog import UnreadableLog, read_events

ROWS = [
    {"epoch": 0.5, "grad_norm": 1.25, "learning_rate": 5e-05, "loss": 2.5, "step": 10},
    {"epoch": 0.5, "eval_loss": 2.4, "eval_runtime": 1.0, "step": 10},
    {"epoch": 1.0, "grad_norm": math.nan, "learning_rate": 0.0, "loss": math.inf, "step": 20},
    {"epoch": 1.0, "step": 20, "total_flos": 0.0, "train_loss": 2.45, "train_runtime": 9.0},
]
STATE = {
    "best_metric": None,
    "max_steps": 20,
    "num_train_epochs": 1,
    "log_history": ROWS,
    "is_local_process_zero": True,
}


def read(text: str) -> tuple[list[dict[str, Any]], list[str]]:
    told: list[str] = []
    return list(read_events(io.StringIO(text), name="state", on_problem=told.append)), told


@pytest.mark.parametrize("indent", [None, 2])
def test_a_trainer_state_gives_its_settings_rows_and_summary(indent: int | None) -> None:
    events, told = read(json.dumps(STATE, indent=indent))
    assert told == []
    assert events[0] == {
        "type": "config",
        "config": {"max_steps": 20, "num_train_epochs": 1, "is_local_process_zero": True},
    }
    assert repr(events[1:4]) == repr(
        [
            {"type": "metrics", "epoch": 0.5, "grad_norm": 1.25, "learning_rate": 5e-05, "loss": 2.5, "step": 10},
            {"type": "metrics", "epoch": 0.5, "eval_loss": 2.4, "eval_runtime": 1.0, "step": 10},
            {
                "type": "metrics",
                "epoch": 1.0,
                "grad_norm": math.nan,
                "learning_rate": 0.0,
                "loss": math.inf,
                "step": 20,
            },
        ]
    )
    assert events[4]["type"] == "summary", "its train_loss is the mean of the run and no point of the curve"


def test_rows_that_tell_only_their_epoch_get_the_step_where_the_plan_is_known() -> None:
    rows = [{"epoch": 0.25, "loss": 3.0}, {"epoch": 1.0, "loss": 2.0}, {"epoch": 1.5, "loss": 1.0}]
    planned = {"max_steps": 200, "num_train_epochs": 2, "log_history": rows}
    assert [event["step"] for event in read(json.dumps(planned))[0][1:]] == [25, 100, 150]
    assert [event["step"] for event in read(json.dumps({"log_history": rows}))[0]] == [0, 1, 2]
    whole = [{"epoch": epoch, "loss": 1.0} for epoch in (1.0, 2.0, 3.0)]
    assert [event["step"] for event in read(json.dumps({"log_history": whole}))[0]] == [1, 2, 3]


@pytest.mark.parametrize("indent", [None, 1])
def test_a_list_of_objects(indent: int | None) -> None:
    events, told = read(json.dumps([{"step": 1, "loss": math.nan}, "x", {"step": 2, "loss": 1.5}], indent=indent))
    assert [event["step"] for event in events] == [1, 2] and math.isnan(events[0]["loss"])
    assert told == ["state, row 2: a line must be a JSON object, not 'x'"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{\n "log_history": [\n', "state, line 1: the JSON cannot be read"),
        ('{\n "model_type": "gpt2"\n}\n', "a JSON document needs a list of rows under one of log_history"),
        ('{"log_history": []}\n', "no record at all"),
    ],
)
def test_documents_without_rows_are_refused(text: str, sentence: str) -> None:
    with pytest.raises(UnreadableLog) as raised:
        read(text)
    assert sentence in str(raised.value)


def test_json_lines_are_not_taken_for_a_document() -> None:
    events, _ = read('{"step": 1, "loss": 2, "history": [1, 2]}\n{"step": 2, "loss": 1}\n')
    assert [event["step"] for event in events] == [1, 2]


def test_a_packed_trainer_state(tmp_path: Path) -> None:
    path = tmp_path / "trainer_state.json.gz"
    path.write_bytes(gzip.compress(json.dumps(STATE, indent=2).encode()))
    assert len(list(read_events(path))) == 5


# -- folders -------------------------------------------------------------------------------------------------------


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def found(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in find_logs(folder)]


def test_logs_are_found_by_their_names(tmp_path: Path) -> None:
    logs = ["a.jsonl", "b/c.CSV", "b/d.ndjson.gz", "e/f.tsv"]
    touch(tmp_path, *logs, "model.bin", "notes.txt", "config.json", ".git/x.csv", "b/.cache/y.csv")
    assert found(tmp_path) == logs


def test_event_files_stand_for_their_folder_oldest_first(tmp_path: Path) -> None:
    touch(
        tmp_path, "r1/events.out.tfevents.2.h", "r1/events.out.tfevents.1.h", "r2/events.out.tfevents.1.h", "r2/x.csv"
    )
    assert found(tmp_path) == ["r1", "r2", "r2/x.csv"]
    assert [path.name for path in event_files(tmp_path / "r1")] == [
        "events.out.tfevents.1.h",
        "events.out.tfevents.2.h",
    ]


def test_of_the_copies_in_checkpoints_only_the_longest_counts(tmp_path: Path) -> None:
    touch(tmp_path, *(f"a/checkpoint-{step}/trainer_state.json" for step in (500, 1000, 90)))
    touch(tmp_path, "b/trainer_state.json", "b/checkpoint-500/trainer_state.json")
    assert found(tmp_path) == ["a/checkpoint-1000/trainer_state.json", "b/trainer_state.json"]


def test_a_folder_that_cannot_be_listed_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        find_logs(tmp_path / "missing")


def test_a_report_keeps_its_rows_under_a_name_of_its_own() -> None:
    rows = [{"step": step, "loss": 3.5 - step, "best_loss": 3.0} for step in (1, 2, 3)]
    events, told = read(json.dumps({"summary": {"final_loss": 0.5}, "training_history": rows}, indent=2))
    assert not told
    assert [(event["step"], event["loss"]) for event in events if event["type"] == "metrics"] == [
        (1, 2.5), (2, 1.5), (3, 0.5),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "rows",
    [
        [{"question": "Which step?", "loss": 0.5}] * 5,  # of an evaluation: no row has a count
        [{"step": 1, "score": 0.5}] * 5,
        [{"step": 1, "loss": 0.5}, {"step": 2, "loss": 0.25}, {"text": "an end"}],
        [{"step": 1, "loss": 0.5}],
    ],
)
def test_a_list_that_tells_of_no_training_is_none(rows: list[dict[str, Any]]) -> None:
    with pytest.raises(UnreadableLog, match="needs a list of rows"):
        read(json.dumps({"results": rows}, indent=2))
