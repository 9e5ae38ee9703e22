"""Scoring: what the engine says of a log is held against its label, and the tables count it rightly."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks.zoo import score
from benchmarks.zoo.bars import bars
from benchmarks.zoo.harm import Outcome, Pair
from benchmarks.zoo.judging import Label, Mark, Word, judge, losses_alone
from benchmarks.zoo.spec import Case
from benchmarks.zoo.storage import save, write_manifest
from benchmarks.zoo.tables import report, share
from diagnostics.silence import MOMENTS


def case(family: str = "f", seed: int = 0, expected: Sequence[str] = (), onset: int = 0, hard: bool = False) -> Case:
    return Case(family=family, seed=seed, settings={}, text="docs", expected=tuple(expected), onset=onset, hard=hard)


def mark(said: dict[str, int], primary: str = "", label: Label | None = None, **parts: Any) -> Mark:
    planned = case(**parts)
    words = {
        rule: Word(step=points, points=points, evaluations=points, share=points / 100) for rule, points in said.items()
    }
    label = label or ("sick" if planned.sick else "healthy")
    return Mark(case=planned, label=label, said=words, first=primary, primary=primary)


GOOD = Outcome(train=2.0, first=4.0, best=2.0, last=2.0, finite=True)


def log(*losses: float) -> list[dict[str, Any]]:
    return [{"type": "metrics", "step": step, "train/loss": loss} for step, loss in enumerate(losses, 1)]


def falling(n: int) -> list[float]:
    return [2.0 + 2.0 * math.exp(-step / 20) for step in range(n)]


def test_a_nan_is_found_at_once_counted_from_its_onset() -> None:
    judged = judge(case(expected=("non-finite-loss",), onset=61), log(*falling(60), math.nan, math.nan))
    assert judged.found and judged.delay == 1 and judged.primary == judged.first == "non-finite-loss"
    assert judged.label == "sick"


def test_a_healthy_log_is_silent_and_an_alarm_on_one_is_counted() -> None:
    assert not judge(case(), log(*falling(120))).spoke
    assert judge(case(), log(*falling(60), math.nan)).spoke


def test_a_rule_that_is_tolerated_has_to_have_taken_it_back() -> None:
    def grokking(end: float) -> list[dict[str, Any]]:
        train = [{"type": "metrics", "step": n, "train/loss": 3.5 * math.exp(-n / 30)} for n in range(1, 401)]
        val = [3.5 + min(n, 150) / 50 - (6.5 - end) * max(0, n - 150) / 250 for n in range(1, 401)]
        return [e if e["step"] % 10 else {**e, "val/loss": val[e["step"] - 1]} for e in train]

    strict = Case(family="g", seed=0, settings={}, text="")
    lenient = Case(family="g", seed=0, settings={}, text="", tolerated=("overfitting",))
    assert "overfitting" in judge(strict, grokking(0.1)).said
    assert "overfitting" not in judge(lenient, grokking(0.1)).said, "good in the end"
    assert "overfitting" in judge(lenient, grokking(6.5)).said, "it stands until the end"


def test_a_run_is_labelled_by_what_became_of_it() -> None:
    ill = case(expected=("divergence",))
    survived, died = Pair(own=GOOD, twin=GOOD, excess=0.0), Pair(own=GOOD, twin=None, excess=math.nan)
    assert judge(ill, log(*falling(20)), survived).label == "harmless"
    assert judge(ill, log(*falling(20)), died).label == "sick"
    assert judge(case(), log(*falling(20)), GOOD).label == "healthy"
    spoiled = Outcome(train=0.5, first=4.0, best=2.0, last=2.5, finite=True)
    assert judge(case(), log(*falling(20)), spoiled).label == "spoiled"


def test_delays_are_told_in_points_evaluations_and_shares_of_the_plan() -> None:
    train = [{"type": "metrics", "step": n, "train/loss": 3.0 * math.exp(-n / 60) + 0.2} for n in range(1, 301)]
    events = [{**e, "val/loss": 2.0 + abs(e["step"] - 100) / 100} if e["step"] % 20 == 0 else e for e in train]
    word = judge(case(expected=("overfitting",)), events).said["overfitting"]
    assert word.step > 100 and word.points == word.step and word.share == pytest.approx(word.step / 300)
    assert word.evaluations == (word.step - 100) // 20


def test_a_loss_that_is_not_finite_is_counted_from_itself_and_not_from_the_gradient_before_it() -> None:
    events: list[dict[str, Any]] = log(*falling(60), math.nan)
    events[59] |= {"train/grad_norm": math.inf}
    assert judge(case(expected=("non-finite-loss",), onset=40), events).said["non-finite-loss"].points == 1


def test_a_silence_is_heard_while_it_lasts() -> None:
    events = [{**event, "time": float(event["step"])} for event in log(*falling(60))]
    events[40:40] = [{"type": "clock", "time": 41.0 + moment} for moment in MOMENTS]
    for event in events[40 + len(MOMENTS) :]:
        event["time"] += 3600.0
    judged = judge(case(expected=("stalled-run",), onset=41), events)
    assert judged.found and not judged.early and judged.delay == 0 and judged.primary == "stalled-run"


def test_the_bars_say_what_is_reached_and_what_falls_short() -> None:
    sick = {"family": "sick", "expected": ("divergence", "loss-spike")}
    marks = [
        mark({"divergence": 4}, "divergence", **sick),
        mark({"divergence": 50}, "plateau", **sick, seed=1),
        mark({}, family="missed", expected=("overfitting",)),
        mark({}, label="harmless", family="survived", expected=("overfitting",)),
        mark({"overfitting": 6}, "overfitting", family="late", expected=("overfitting",)),
        mark({"plateau": 1}, family="well"),
        mark({}, family="well", seed=1),
    ]
    text = bars(marks)
    assert "| recall | ≥ 97% | 3 of 4 (75 %) | no |" in text and "2 of 3 (67 %) | no | missed |" in text
    assert "| false alarms | ≤ 1% | 1 of 2 (50 %) | no | well-00 |" in text
    assert "2 of 3 (67 %) | no | sick-01 |" in text, "the primary cause"
    assert "| delay: divergence, spike | ≤ 30 points | 1 of 2 (50 %), worst 50 | no | sick-01 |" in text
    assert "| ≤ 4 evaluations | 0 of 1 (0 %), worst 6 | no | late-00 |" in text


def test_a_right_word_before_the_illness_is_not_right() -> None:
    judged = judge(case(expected=("non-finite-loss",), onset=50), log(*falling(20), math.nan, *falling(60)))
    assert judged.said["non-finite-loss"].points == -1 and not judged.found and judged.delay is None


def test_what_the_data_tell_before_the_first_point_is_right_where_the_run_is_sick_from_its_start() -> None:
    told = [{"type": "data", "step": 0, "overlap": 0.9}, {"type": "metrics", "step": 0, "val/loss": 4.0}]
    judged = judge(case(expected=("train-val-overlap",)), [*told, *log(*falling(20))])
    assert judged.found and judged.delay == 0 and judged.primary == "train-val-overlap"


def test_another_rule_than_those_expected_is_no_find() -> None:
    judged = mark({"plateau": 3}, "plateau", expected=("overfitting",))
    assert not judged.found and judged.right == ()


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
    marks.append(mark({"plateau": 2}, "plateau", label="harmless", **sick, seed=9))
    text = report(marks)
    assert (
        "| all | 4 | 2 of 4 (50 %) | 1 of 2 (50 %) | 1 of 2 (50 %) | 2 | 1 of 2 (50 %) | 1 | 1 of 1 (100 %) |" in text
    )
    assert "| hard cases | 0 | – | – | – | 1 | 1 of 1 (100 %) | 0 | – |" in text
    assert "| sick | 4 | 2 of 4 (50 %) | 1 of 2 (50 %) | 1 of 2 (50 %) | 6, 8 | plateau 1, nothing 1 |" in text
    assert "| well-but-odd (hard) | 1 | 1 of 1 (100 %) | plateau 1 |" in text
    assert "| silent: well 1 | 1 | 0 of 1 (0 %) | – |" in text
    assert "| `divergence` | 4 | 1 of 4 (25 %) | 2 of 4 (50 %) | 0 | 0 | 0 of 2 (0 %) | 4 | 4 |" in text
    assert "| `plateau` | 0 | – | – | 0 | 2 | 1 of 2 (50 %) | – | – |" in text
    assert share(0, 0) == "–"


def test_the_command_scores_what_is_recorded_and_refuses_logs_of_another_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    planned = [case(expected=("non-finite-loss",), onset=31), case("g", 1)]
    monkeypatch.setattr(score, "cases", lambda half: planned)
    assert score.main(["--half", "all", "--folder", str(tmp_path)]) == 2
    assert "no recorded run is chosen" in capsys.readouterr().err
    save(planned[0], log(*falling(30), math.nan), tmp_path)
    write_manifest(planned, tmp_path)
    assert score.main(["--half", "all", "--runs", "--folder", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert "1 of the 2 planned runs are recorded" in text and "| all | 1 | 1 of 1 (100 %)" in text
    assert "found    f-00" in text and "non-finite-loss after 1" in text
    monkeypatch.setattr(score, "cases", lambda half: [case(expected=("non-finite-loss",), onset=30)])
    assert score.main(["--half", "all", "--folder", str(tmp_path)]) == 2
    assert "f-00: recorded under another plan" in capsys.readouterr().err


def test_a_log_of_losses_alone_has_nothing_else_and_keeps_what_is_not_finite() -> None:
    events = [
        {"type": "config", "config": {"vocab_size": 65}},
        {"type": "metrics", "step": 1, "time": 9.0, "train/loss": math.nan, "train/grad_norm": 2.0},
        {"type": "metrics", "step": 2, "train/learning_rate": 0.1},
        {"type": "sample", "step": 2, "prompt": "", "text": "a"},
        {"type": "metrics", "step": 3, "train/loss": 2.0, "val/loss": math.inf},
    ]
    first, second = losses_alone(events)
    assert first.keys() == {"type", "step", "train/loss"} and math.isnan(first["train/loss"])
    assert second == {"type": "metrics", "step": 3, "train/loss": 2.0, "val/loss": math.inf}
