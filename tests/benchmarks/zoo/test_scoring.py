"""Scoring: what the engine says of a log is held against its label, and the tables count it rightly."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks.zoo import score
from benchmarks.zoo.judging import Mark, judge
from benchmarks.zoo.spec import Case
from benchmarks.zoo.storage import save, write_manifest
from benchmarks.zoo.tables import report, share


def case(family: str = "f", seed: int = 0, expected: Sequence[str] = (), onset: int = 0, hard: bool = False) -> Case:
    return Case(family=family, seed=seed, settings={}, text="docs", expected=tuple(expected), onset=onset, hard=hard)


def mark(said: dict[str, int], primary: str = "", **parts: Any) -> Mark:
    return Mark(case=case(**parts), said=said, primary=primary)


def log(*losses: float) -> list[dict[str, Any]]:
    return [{"type": "metrics", "step": step, "train/loss": loss} for step, loss in enumerate(losses, 1)]


def falling(n: int) -> list[float]:
    return [2.0 + 2.0 * math.exp(-step / 20) for step in range(n)]


def test_a_nan_is_found_at_once_counted_from_its_onset() -> None:
    judged = judge(case(expected=("non-finite-loss",), onset=61), log(*falling(60), math.nan, math.nan))
    assert judged.found and judged.delay == 1 and judged.primary == "non-finite-loss" and not judged.alarmed


def test_a_healthy_log_is_silent_and_an_alarm_on_one_is_counted() -> None:
    assert not judge(case(), log(*falling(120))).alarmed
    assert judge(case(), log(*falling(60), math.nan)).alarmed


def test_a_right_word_before_the_illness_is_not_right() -> None:
    judged = judge(case(expected=("non-finite-loss",), onset=50), log(*falling(20), math.nan, *falling(60)))
    assert judged.said == {"non-finite-loss": -1} and not judged.found and judged.delay is None


def test_what_the_data_tell_before_the_first_point_is_right_where_the_run_is_sick_from_its_start() -> None:
    told = [{"type": "data", "step": 0, "overlap": 0.9}, {"type": "metrics", "step": 0, "val/loss": 4.0}]
    judged = judge(case(expected=("train-val-overlap",)), [*told, *log(*falling(20))])
    assert judged.found and judged.delay == 0 and judged.primary == "train-val-overlap"


def test_another_rule_than_those_expected_is_no_find() -> None:
    judged = mark({"plateau": 3}, "plateau", expected=("overfitting",))
    assert not judged.found and not judged.alarmed and judged.right == ()


def test_the_tables_count_recall_causes_delays_and_alarms() -> None:
    sick = {"family": "sick", "expected": ("divergence", "loss-spike")}
    marks = [
        mark({"divergence": 4}, "divergence", **sick),
        mark({"loss-spike": 8, "plateau": 1}, "plateau", **sick, seed=1),
        mark({"plateau": 2}, "plateau", **sick, seed=2),
        mark({}, "", **sick, seed=3),
        mark({}, family="well"),
        mark({"plateau": 5}, "plateau", family="well-but-odd", hard=True),
    ]
    text = report(marks)
    assert "| all | 4 | 2 of 4 (50 %) | 1 of 2 (50 %) | 2 | 1 of 2 (50 %) |" in text
    assert "| hard cases | 0 | – | – | 1 | 1 of 1 (100 %) |" in text
    assert "| sick | 4 | 2 of 4 (50 %) | 1 of 2 (50 %) | 6, 8 | plateau 1, nothing 1 |" in text
    assert (
        "| well-but-odd (hard) | 1 | 1 of 1 (100 %) | plateau 1 |" in text and "| well | 1 | 0 of 1 (0 %) | – |" in text
    )
    assert "| `divergence` | 4 | 1 of 4 (25 %) | 0 | 0 | 0 of 2 (0 %) | 4 |" in text
    assert "| `plateau` | 0 | – | 0 | 2 | 1 of 2 (50 %) | – |" in text
    assert share(0, 0) == "–"


def test_the_command_scores_what_is_recorded_and_refuses_logs_of_another_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    planned = [case(expected=("non-finite-loss",), onset=31), case("g", 1)]
    monkeypatch.setattr(score, "cases", lambda: planned)
    assert score.main(["--half", "all", "--folder", str(tmp_path)]) == 2
    assert "no recorded run is chosen" in capsys.readouterr().err
    save(planned[0], log(*falling(30), math.nan), tmp_path)
    write_manifest(planned, tmp_path)
    assert score.main(["--half", "all", "--runs", "--folder", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert "1 of the 2 planned runs are recorded" in text and "| all | 1 | 1 of 1 (100 %)" in text
    assert "found   f-00" in text and "non-finite-loss after 1" in text
    monkeypatch.setattr(score, "cases", lambda: [case(expected=("non-finite-loss",), onset=30)])
    assert score.main(["--half", "all", "--folder", str(tmp_path)]) == 2
    assert "f-00: recorded under another plan" in capsys.readouterr().err
