"""What logs that others left in public taught: how they write what was not measured, and what goes wrong in them."""

from __future__ import annotations

from typing import Any

import numpy as np

from diagnostics import Engine

LUCK = np.random.default_rng(6)


def evaluated_now_and_then(run: Any, val: list[float]) -> list[dict[str, Any]]:
    """Every row has a validation loss: -1 where none was made."""
    losses = 8.0 * np.exp(-np.arange(100 * len(val)) / 250) + 2.6
    rows = run(train_loss=losses)
    for at, row in enumerate(rows):
        row["val_loss"] = val[at // 100] if at % 100 == 0 else -1.0
    return rows


def test_a_validation_loss_of_minus_one_was_not_made(assert_finds: Any, assert_silent: Any, run: Any) -> None:
    turned = evaluated_now_and_then(run, [10.9, 8.98, 8.74, 9.14, 9.58, 9.98, 10.3])
    assert "8.74 at step 200" in assert_finds(turned, "overfitting").title
    assert_silent(evaluated_now_and_then(run, [10.9, 8.0, 6.0, 4.5, 3.5, 3.0, 2.8]), "overfitting")


def test_row_by_row_and_many_at_once_what_was_not_made_is_left_out(run: Any) -> None:
    rows = [{**row, "train_loss": float(row["train_loss"])} for row in evaluated_now_and_then(run, [10.9, 8.0, 6.0])]
    one, many = Engine(), Engine()
    for row in rows:
        one.observe(row)
    many.observe_all(rows)
    for engine in (one, many):
        val = engine.series("val_loss")
        assert val is not None and list(val.raw_values) == [10.9, 8.0, 6.0]


def test_zeros_that_come_and_go_under_a_loss_of_ten_are_hidden(assert_finds: Any, run: Any) -> None:
    losses = [*(10.0 + LUCK.normal(0, 0.4, 31)), 0.0, 3.296, 9.727, 0.0, 0.0, 0.0, 9.425]
    finding = assert_finds(run(train_loss=losses), "masked-non-finite")
    assert finding.detected_step == 36


def test_zeros_that_are_common_are_the_loss_itself(assert_silent: Any, run: Any) -> None:
    losses = np.tile([0.5, 0.0, 0.4, 0.0, 0.0, 0.6], 30)
    losses[100:104] = 0.0
    assert_silent(run(train_loss=losses), "masked-non-finite")


def test_ten_points_that_stand_where_nothing_is_known(assert_finds: Any, assert_silent: Any, run: Any) -> None:
    steps, rates = range(10, 110, 10), np.linspace(4.5e-5, 5e-6, 10)
    stands = 10.824 + LUCK.normal(0, 0.002, 10)
    assert_finds(run(steps, loss=stands, learning_rate=rates), "loss-not-decreasing", config={"max_steps": 100})
    falls = np.linspace(10.82, 9.9, 10)
    assert_silent(run(steps, loss=falls, learning_rate=rates), "loss-not-decreasing", config={"max_steps": 100})


def test_a_log_that_begins_in_a_later_epoch_says_nothing_of_the_start(assert_silent: Any, run: Any) -> None:
    losses = 4.58 - 0.00008 * np.arange(400) + LUCK.normal(0, 0.02, 400)
    rows = run(loss=losses, epoch=16 + np.arange(400) / 130)
    assert_silent(rows)


def test_an_easy_first_point_is_no_rate_too_high(findings: Any, run: Any) -> None:
    """Means of 500 steps of which the first lies lowest, while validation finds a new best each time."""
    losses = [2.14, *(2.47 - 0.001 * np.arange(200))]
    rows = run(range(500, 101_000, 500)[:201], loss=losses)
    for at, value in enumerate([2.34, 2.29, 2.28, 2.26, 2.24, 2.22, 2.2]):
        rows[20 * at + 19]["eval_loss"] = value
    assert not [
        found for found in findings(rows, None) if found.rule == "learning-rate-too-high" and found.state == "open"
    ]
