"""The made-up runs are judged well enough: a bar that a change of the rules must not fall below."""

from __future__ import annotations

from benchmarks.diagnosis_curves import measure
from benchmarks.made_up import HEALTHY


def test_no_false_alarm_and_every_illness_found() -> None:
    runs = 2 * len(HEALTHY)
    scores = measure(runs, seed=11)
    healthy = {make.__name__ for make in HEALTHY}
    assert sum(scores[kind].runs for kind in healthy) == runs
    assert sum(score.runs for kind, score in scores.items() if kind not in healthy) == runs
    assert {kind: scores[kind].alarms for kind in healthy} == dict.fromkeys(healthy, 0)
    missed = {kind: score.runs - score.found for kind, score in scores.items() if kind not in healthy}
    assert sum(missed.values()) <= 1, missed
    assert sum(score.primary for score in scores.values()) >= 0.9 * runs
