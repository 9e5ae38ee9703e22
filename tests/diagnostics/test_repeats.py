"""Rows told twice count once; what stands still, is not finite or zero counts each time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from diagnostics.repeats import Repeats, agree

FULL = {"train_loss": 2.0123932361602783, "grad_norm": 0.2421875}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (2.0123932361602783, 2.012, True),
        (2.0123932361602783, 2.01, True),
        (2.012, 2.0123932361602783, True),
        (0.0512, 0.05, True),
        (123.456, 123.0, True),
        (2.0123932361602783, 2.013, False),
        (2.0123, 2.0124, False),
        (2.0, 3.0, False),
    ],
)
def test_which_numbers_are_one(one: float, other: float, same: bool) -> None:
    assert agree(one, other) is same


def test_a_row_in_fewer_digits_adds_what_only_it_tells() -> None:
    repeats = Repeats()
    repeats.new_in(FULL, 5, told=True)
    assert repeats.new_in({"train_loss": 2.012, "grad_norm": 0.2422, "learning_rate": 0.0}, 5, told=True) == {
        "learning_rate": 0.0
    }
    assert repeats.new_in({"train_loss": 2.012, "grad_norm": 0.2422}, 5, told=True) == {}
    assert repeats.new_in({"train_loss": 2.012, "grad_norm": 0.2422}, 6, told=True) != {}


def test_rows_without_steps_repeat_only_once() -> None:
    repeats = Repeats()
    told = [repeats.new_in({**FULL, "epoch": 0.1 * at}, at, told=False) for at in range(4)]
    assert [bool(row) for row in told] == [True, False, True, False]


@pytest.mark.parametrize("loss", [2.31, 0.0, math.nan, math.inf])
def test_what_may_stand_still_counts_each_time_where_no_step_is_told(loss: float) -> None:
    repeats = Repeats()
    assert all(repeats.new_in({"train_loss": loss, "epoch": 0.1 * at}, at, told=False) for at in range(4))


def test_batches_of_one_step_are_points_of_their_own() -> None:
    repeats = Repeats()
    rows = [{"train_loss": loss, "learning_rate": 1e-3} for loss in (2.31, 2.35, 2.28)]
    assert [repeats.new_in(row, 7, told=True) for row in rows] == rows


@pytest.mark.parametrize("told", [False, True])
def test_a_log_with_each_row_twice_is_judged_as_with_each_once(findings: Any, told: bool) -> None:
    """Printed in full and in four digits: where each pair counts as two points, noise seems half of what it is."""
    rng = np.random.default_rng(3)
    loss = 2 + 6 * np.exp(-np.arange(300) / 40) + rng.normal(0, 0.15, 300)
    loss[[120, 250]] += 1.2
    rows = []
    for step, value in enumerate(loss.tolist()):
        full = {"loss": value, "grad_norm": 1.1234567 + step / 1e4, "epoch": step / 100.0}
        again = {**full, "loss": float(f"{value:.4g}")} if told else {**full, "epoch": round(step / 100 + 0.003, 2)}
        rows += [{"step": step, **one} if told else one for one in (full, again)]
    once = [row if told else {**row, "step": 2 * at} for at, row in enumerate(rows[::2])]
    assert [f.to_mapping() for f in findings(rows)] == [f.to_mapping() for f in findings(once)]
