"""Steps that restart, stumble or repeat: nothing is corrupted, nothing is made up."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diagnostics.clock import StepClock
from diagnostics.life import EARLIER


def decay(n: int, seed: int = 0) -> np.ndarray:
    """A healthy loss: power law to a floor, with noise."""
    return np.asarray(2 + 8 * (1 + np.arange(n) / 20) ** -0.7 + np.random.default_rng(seed).normal(0, 0.03, n))


def place(steps: list[int]) -> list[int]:
    clock = StepClock()
    return [clock.place("loss", step) for step in steps]


def test_steps_that_rise_are_left_as_they_are() -> None:
    assert place([0, 1, 1, 5, 900]) == [0, 1, 1, 5, 900]


def test_a_late_row_stands_at_the_newest_step() -> None:
    assert place([10, 20, 15, 30, 25, 40]) == [10, 20, 20, 30, 30, 40]


def test_a_restarted_counter_is_counted_on() -> None:
    assert place([0, 1, 2, 0, 1, 2, 3, 4]) == [0, 1, 2, 3, 4, 5, 6, 7]


def test_a_counter_that_goes_back_halfway_is_counted_on_after_three_rows() -> None:
    assert place([0, 10, 20, 30, 10, 15, 20, 25]) == [0, 10, 20, 30, 30, 30, 31, 36]


def test_every_series_follows_the_first_that_shows_the_restart() -> None:
    clock = StepClock()
    for step in (0, 10, 20, 0, 10, 20):
        placed = clock.place("train", step)
        if step == 20:
            val = clock.place("val", step)
    assert (clock.restarts, placed, val) == (1, 41, 41)


def test_a_series_that_comes_in_a_table_of_its_own_is_no_restart() -> None:
    clock = StepClock()
    for step in range(5):
        clock.place("train", step)
    assert [clock.place("val", step) for step in range(5)] == [0, 1, 2, 3, 4]
    assert clock.restarts == 0


def test_a_rewind_that_is_told_is_believed() -> None:
    clock = StepClock()
    for step in (0, 50, 100):
        clock.place("loss", step)
    assert clock.rewind(50) == 50
    assert [clock.place("loss", step) for step in (60, 70)] == [60, 70]


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(-5, 50)), max_size=80))
def test_no_series_ever_goes_back(rows: list[tuple[str, int]]) -> None:
    clock = StepClock()
    newest: dict[str, int] = {}
    for series, step in rows:
        placed = clock.place(series, step)
        assert placed >= newest.get(series, placed)
        newest[series] = placed


def overfit(n: int = 400) -> list[dict[str, Any]]:
    """Train falls all the time, validation turns at the middle."""
    train = decay(n) * np.exp(-np.maximum(0, np.arange(n) - n / 2) / n)
    events = [{"step": step, "loss": float(value)} for step, value in enumerate(train)]
    for at in range(0, n, 20):
        events[at]["eval_loss"] = float(train[at] + 0.2 + 0.03 * max(0.0, at - n / 2))
    return events


@pytest.mark.parametrize("epochs", [1, 2, 4])
def test_overfitting_is_seen_across_counters_that_restart_each_epoch(assert_finds: Any, epochs: int) -> None:
    length = 400 // epochs
    events = [{**event, "step": event["step"] % length} for event in overfit()]
    finding = assert_finds(events, "overfitting")
    assert 200 <= finding.first_step <= finding.detected_step <= 320
    for evidence in finding.evidence:
        assert evidence.window[0] <= evidence.window[1]


def test_rows_out_of_order_change_no_verdict(assert_silent: Any, assert_finds: Any) -> None:
    healthy = [{"step": step, "loss": float(value)} for step, value in enumerate(decay(300))]
    for events in (healthy, sick := overfit()):
        for at in range(0, len(events) - 1, 7):
            events[at], events[at + 1] = events[at + 1], events[at]
    assert_silent(healthy)
    assert_finds(sick, "overfitting")


def test_rows_written_twice_count_once(findings: Any) -> None:
    loss = decay(300)
    loss[[100, 102, 200]] += 3.0
    events = [{"step": step, "loss": float(value), "lr": 1e-3} for step, value in enumerate(loss)]
    twice = [event for event in events for _ in range(2)]
    assert [f.to_mapping() for f in findings(twice)] == [f.to_mapping() for f in findings(events)]


@pytest.mark.parametrize("value", [math.nan, math.inf, 0.0])
def test_what_repeats_because_it_is_sick_is_never_passed_over(findings: Any, value: float) -> None:
    events = [{"step": 0, "loss": 3.0}, {"step": 1, "loss": 2.9}] + [{"step": 2, "loss": value}] * 6
    assert findings(events)[0].severity == "critical"


def test_another_run_in_the_same_table_is_judged_by_itself(findings: Any) -> None:
    rows = [
        {"step": step * 500, "train_loss": float(loss), "val_loss": float(loss) + 0.1}
        for start in (4.2, 9.2)
        for step, loss in enumerate(1.5 + start * np.exp(-np.arange(11) / 3))
    ]
    assert [f for f in findings(rows) if f.severity != "info"] == []


@pytest.mark.parametrize("runs", [2, 3])
def test_another_run_that_begins_with_an_evaluation_is_judged_by_itself(findings: Any, runs: int) -> None:
    loss = [6.9, 6.9, 12.3, *(2 + 4.9 * np.exp(-np.arange(60) / 4))]
    rows: list[dict[str, Any]] = []
    for _ in range(runs):
        rows.append({"step": 0, "val_loss": loss[0]})
        rows += [{"step": step, "train_loss": float(value)} for step, value in enumerate(loss[1:], 1)]
        rows.append({"step": len(loss), "val_loss": float(loss[-1])})
    assert [f for f in findings(rows) if f.severity != "info"] == []


def test_what_was_wrong_with_an_earlier_run_of_a_table_is_still_told(findings: Any) -> None:
    first = [*(1.5 + 4 * np.exp(-np.arange(11) / 3)), math.nan, math.nan]
    second = 1.5 + 4 * np.exp(-np.arange(11) / 3)
    events = [{"step": step, "loss": float(loss)} for run in (first, second) for step, loss in enumerate(run)]
    (finding,) = findings(events)
    assert (finding.rule, finding.status, str(finding.severity)) == ("non-finite-loss", "resolved", "critical")
    assert finding.title.endswith(EARLIER)


def test_a_counter_that_restarts_each_epoch_is_the_same_run(findings: Any) -> None:
    loss = decay(400)
    loss[250:] += 5
    events = [{"step": step % 100, "loss": float(value)} for step, value in enumerate(loss)]
    (divergence,) = (f for f in findings(events) if f.rule == "divergence")
    assert (divergence.status, str(divergence.severity)) == ("open", "critical")
    assert 248 <= divergence.first_step <= 258
