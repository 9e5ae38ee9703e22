"""Logs that tell of several runs, one after the other: each is judged by itself, and one run is not taken for two."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from diagnostics import Engine
from diagnostics.anew import EpochCounter, begins_anew
from diagnostics.clock import Restart
from diagnostics.history import History
from diagnostics.life import EARLIER
from diagnostics.reading import Reading, sentence
from diagnostics.series import SeriesView

Rows = list[dict[str, Any]]


def curve(n: int, start: float, end: float, seed: int = 0, noise: float = 0.02) -> np.ndarray:
    """A loss that falls from `start` to near `end`."""
    loss = end + (start - end) * np.exp(-np.arange(n) / (n / 5))
    return np.asarray(loss * (1 + np.random.default_rng(seed).normal(0, noise, n)))


def trainer_rows(loss: np.ndarray, epochs: float, *, twice: bool = False) -> Rows:
    """What a trainer prints: no step, but the epoch so far; an evaluation at every tenth row."""
    rows: Rows = []
    for at, value in enumerate(loss, 1):
        epoch = at * epochs / loss.size
        row = {"loss": float(value), "grad_norm": 1.0, "learning_rate": 1e-4, "epoch": round(epoch, 4)}
        rows += [row, {**row, "epoch": round(epoch, 2)}] if twice else [row]
        if at % 10 == 0:
            rows.append({"eval_loss": float(value) + 0.05, "epoch": round(epoch, 4)})
    return rows


def loud(found: list[Any]) -> list[str]:
    return [f"{finding.rule}: {finding.title}" for finding in found if finding.severity != "info"]


@pytest.mark.parametrize("twice", [False, True])
def test_rows_without_steps_whose_epochs_begin_again_are_another_run(findings: Any, twice: bool) -> None:
    """The second run has a harder text: it stands far above the first, throughout."""
    runs = curve(60, 2.0, 1.1), curve(60, 3.1, 2.4, seed=1), curve(60, 2.6, 1.9, seed=2)
    assert loud(findings([row for loss in runs for row in trainer_rows(loss, 3.0, twice=twice)])) == []


def test_a_report_says_how_many_runs_a_log_tells_of() -> None:
    engine = Engine()
    engine.observe_all([row for seed in range(3) for row in trainer_rows(curve(60, 2.0, 1.1, seed), 3.0)])
    reading = engine.reading()
    assert reading.begins == (66, 132)
    assert reading.speaks and Reading.of(reading.to_mapping()).begins == reading.begins
    assert "3 runs one after the other, each judged by itself: others begin at 66, 132" in sentence(reading)
    assert Engine().reading().begins == ()


def test_what_an_earlier_run_suffered_from_is_told_as_such(findings: Any) -> None:
    sick = curve(60, 2.0, 1.1)
    sick[30:] += 4
    found = findings(trainer_rows(sick, 3.0) + trainer_rows(curve(60, 2.0, 1.1, seed=1), 3.0))
    (divergence,) = (one for one in found if one.rule == "divergence")
    assert divergence.status == "resolved"
    assert divergence.title.endswith(EARLIER)


def test_evaluations_of_runs_in_a_row_are_not_held_against_each_other(findings: Any) -> None:
    run = [10.83, 4.43, 4.08, 3.68, 3.42, 3.30, 3.28]
    rows = [{"step": min(250 * at, 1300), "val_loss": loss + k / 100} for k in range(4) for at, loss in enumerate(run)]
    assert loud(findings(rows)) == []


def test_a_counter_that_begins_again_on_a_higher_level_is_another_run(findings: Any) -> None:
    """The first run begins high, so that the second, which begins lower, does not come back to where the log began."""
    runs = curve(80, 9.0, 1.5), curve(80, 4.0, 3.0, seed=1)
    rows = [{"step": 10 * at, "loss": float(loss)} for run in runs for at, loss in enumerate(run)]
    assert loud(findings(rows)) == []


@pytest.mark.parametrize(("reached", "anew"), [((400, 1000), True), ((1000, 1010), False), ((1000,), False)])
def test_parts_of_different_lengths_are_not_epochs(reached: tuple[int, ...], anew: bool) -> None:
    history = History()
    for step in range(60):
        history.append(step, 2.0 + 0.01 * (step % 5))
    restarts = [Restart(0, end, 0) for end in reached]
    assert begins_anew(SeriesView("loss", history), restarts, EpochCounter()) is anew


def test_a_first_run_of_two_rows_is_forgotten_as_well(findings: Any) -> None:
    starts = [
        {"epoch": epoch, "loss": loss, "val_loss": loss} for _ in range(3) for epoch, loss in ((1, 2.9), (2, 1.5))
    ]
    before = [{"epoch": 1 + at, "loss": float(x), "val_loss": float(x)} for at, x in enumerate(curve(40, 2.9, 0.04))]
    after = [{"epoch": 1 + at, "loss": float(x), "val_loss": float(x)} for at, x in enumerate(curve(40, 2.9, 0.04))]
    assert loud(findings(before + starts + after)) == []


def test_what_is_not_finite_waits_for_nothing(findings: Any) -> None:
    rows = trainer_rows(curve(60, 2.0, 1.1), 3.0)
    rows.append({"loss": math.nan, "grad_norm": math.nan, "learning_rate": 0.0, "epoch": 0.01})
    assert [one.rule for one in findings(rows) if one.severity == "critical"] == ["non-finite-loss"]


def test_epochs_that_are_counted_on_show_that_it_is_the_same_run(assert_finds: Any) -> None:
    """The counter of steps begins again with each epoch; at the third the rate destroys what was learned."""
    loss = curve(300, 5.0, 1.5)
    loss[200:] += 1.2
    rows = [{"epoch": at // 100, "step": at % 100, "loss": float(value)} for at, value in enumerate(loss)]
    finding = assert_finds(rows, "divergence", "loss-spike")
    assert finding.detected_step < 240


def test_a_resume_that_goes_back_a_little_is_the_same_run(assert_finds: Any) -> None:
    loss = curve(120, 4.0, 1.5)
    rows = [{"epoch": at / 20, "step": at, "loss": float(value)} for at, value in enumerate(loss)]
    again = [{"epoch": at / 20, "step": at, "loss": 2.3 + 0.01 * (at % 3)} for at in range(100, 160)]
    assert_finds(rows + again, "divergence")


def test_a_row_that_comes_late_begins_no_run(assert_finds: Any) -> None:
    rows = trainer_rows(curve(60, 2.0, 1.1), 3.0)
    rows.insert(40, {**rows[1], "loss": 1.3})
    sick = [{**row, "loss": row["loss"] + 4.0} if "loss" in row else row for row in rows[44:]]
    assert assert_finds(rows[:44] + sick, "divergence", "loss-spike").first_step < 60


def test_epochs_taken_at_a_stroke_leave_what_single_ones_do_also_after_a_rewind() -> None:
    """What falls later is held against the highest since the rewind, however it came."""
    one, bulk = EpochCounter(), EpochCounter()
    for part in ([1.0, 20.0, 40.0], [1.0, 2.0, 3.0]):
        one.rewind(), bulk.rewind()
        assert [one.take(epoch) for epoch in part] == [False] * 3
        assert bulk.first_fall(np.array(part)) is None
        bulk.take_all(np.array(part))
    later = [1.5, 1.6, 1.7, math.nan, 1.8]
    assert [one.take(epoch) for epoch in later] == [bulk.take(epoch) for epoch in later] == [False] * 5


@pytest.mark.parametrize(
    ("restart", "back"),
    [
        (Restart(0, 900, 0), True),
        (Restart(0, 900, 50), True),
        (Restart(0, 900, 400), False),
        (Restart(500, 900, 0), True),
    ],
)
def test_how_far_a_counter_went_back(restart: Restart, back: bool) -> None:
    assert restart.to_the_beginning(0.1) is back
