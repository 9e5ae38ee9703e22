"""What public logs taught: each test is the shape of a real log, with made-up numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def decay(n: int, noise: float = 0.03, seed: int = 0) -> np.ndarray:
    """A healthy loss: power law to a floor, with noise."""
    return np.asarray(2 + 8 * (1 + np.arange(n) / 20) ** -0.7 + rng(seed).normal(0, noise, n))


def test_overfitting_names_the_lowest_evaluation_not_the_smoothed_best(assert_finds: Any, run: Any) -> None:
    n = 40
    val = np.concatenate([np.linspace(4.0, 2.5, 14), 2.5 + 0.035 * np.arange(n - 14)]) + rng(1).normal(0, 0.03, n)
    at = int(np.argmin(val))
    val[at] -= 0.02
    steps = range(0, 50 * n, 50)
    finding = assert_finds(run(steps, train_loss=np.linspace(4, 0.5, n), val_loss=val), "overfitting")
    assert f"best validation {val[at]:.3g} at step {steps[at]:,}" in finding.title
    assert f"step {steps[at]:,}" in finding.remedies[0].sentence
    assert finding.first_step == steps[at + 1]


def test_the_lowest_evaluation_is_remembered_beyond_the_tail(assert_finds: Any, run: Any) -> None:
    n = 3000
    val = np.concatenate([np.linspace(4.0, 2.0, 900), np.linspace(2.0, 3.2, n - 900)]) + rng(2).normal(0, 0.01, n)
    val[901] = 1.9
    finding = assert_finds(run(train_loss=np.linspace(4, 0.5, n), val_loss=val), "overfitting")
    assert "best validation 1.9 at step 901" in finding.title


@pytest.mark.parametrize("start", [0.8, 2.0, 3.1])
def test_a_clean_climb_after_noisy_evaluations_is_known_after_four(findings: Any, run: Any, start: float) -> None:
    before = 1.0 + (start - 1.0) * np.exp(-np.arange(12) / 2) * (1 + rng(3).normal(0, 0.08, 12)) + 0.02
    val = np.concatenate([before, [0.97, 1.0, 1.03, 1.065, 1.10, 1.13]])
    train = np.linspace(start, 0.2, val.size)
    (finding,) = (f for f in findings(run(train_loss=train, val_loss=val)) if f.rule == "overfitting")
    assert finding.detected_step <= 12 + 4


def test_evaluations_that_jump_are_judged_together_when_the_text_is_known_by_heart(assert_finds: Any, run: Any) -> None:
    val = [0.176, 0.166, 0.157, 0.215, 0.195, 0.228, 0.177, 0.237, 0.214, 0.214]
    train = [0.155, 0.092, 0.1, 0.0014, 0.0009, 0.0004, 0.0004, 0.0003, 0.0002, 0.0002]
    assert_finds(run(train_loss=train, val_loss=val), "overfitting")


def test_the_same_jumping_evaluations_are_no_proof_by_themselves(assert_silent: Any, run: Any) -> None:
    val = [0.176, 0.166, 0.157, 0.215, 0.195, 0.228, 0.177, 0.237, 0.214, 0.214]
    assert_silent(run(train_loss=[0.2, 0.19, 0.175, 0.177, 0.175, 0.176, 0.174, 0.177, 0.175, 0.176], val_loss=val))


def test_a_frozen_loss_is_told(findings: Any, run: Any) -> None:
    loss = decay(200)
    loss[120:] = loss[119]
    first = findings(run(train_loss=loss))[0]
    assert (first.rule, str(first.severity)) == ("masked-non-finite", "warning")
    assert first.detected_step - 120 <= 12


@pytest.mark.parametrize("digits", [1, 2])
def test_a_loss_that_rounding_holds_still_is_not_frozen(assert_silent: Any, run: Any, digits: int) -> None:
    loss = np.round(1.3 + np.exp(-np.arange(300) / 20) + rng(4).normal(0, 0.2 * 10.0**-digits, 300), digits)
    assert_silent(run(train_loss=loss), "masked-non-finite")


def test_a_rate_that_ended_at_zero_freezes_nothing(assert_silent: Any, run: Any) -> None:
    loss = decay(200)
    loss[150:] = loss[149]
    rate = np.concatenate([np.linspace(1e-3, 0, 150), np.zeros(50)])
    assert_silent(run(train_loss=loss, lr=rate), "masked-non-finite")


def test_zeros_in_a_low_loss_of_four_digits_are_told(assert_finds: Any, run: Any) -> None:
    loss = np.round(0.03 + 0.004 * rng(5).normal(0, 1, 80), 4)
    loss[50:] = 0.0
    finding = assert_finds(run(train_loss=loss), "masked-non-finite")
    assert finding.detected_step <= 53


@pytest.mark.parametrize("every", [10, 125])
def test_a_column_of_nan_before_its_first_evaluation_is_no_alarm(assert_silent: Any, run: Any, every: int) -> None:
    n = 4 * every + 5
    val = np.full(n, math.nan)
    val[every::every] = decay(n, noise=0.0)[every::every]
    for count in range(1, n, 7):
        assert_silent(run(train_loss=decay(n)[:count], val_loss=val[:count]))


def test_evaluations_that_were_never_a_number_are_critical(assert_finds: Any) -> None:
    events: list[dict[str, Any]] = [{"step": step, "loss": float(v)} for step, v in enumerate(decay(60))]
    for event in events[9::10]:
        event["eval_loss"] = math.nan
    assert assert_finds(events, "non-finite-loss").severity == "critical"


def test_a_plateau_is_told_once(findings: Any, run: Any) -> None:
    for seed in range(8):
        level = 1.4 + 0.6 * np.exp(-np.arange(1500) / 60) + 0.01 * np.sin(np.arange(1500) / 40)
        loss = level * (1 + rng(seed).normal(0, 0.15, 1500))
        told = [f.occurrences for f in findings(run(loss=loss)) if f.rule in ("plateau", "loss-not-decreasing")]
        assert all(times <= 2 for times in told)


def test_a_log_that_begins_in_the_middle_of_a_run_may_be_flat(assert_silent: Any, run: Any) -> None:
    loss = 3.7 + rng(6).normal(0, 0.04, 600)
    assert_silent(run(range(140_000, 170_000, 50), train_loss=loss))


def test_a_run_that_has_gained_a_tenth_after_five_thousand_steps_is_too_slow(assert_finds: Any, run: Any) -> None:
    steps = range(0, 6000, 20)
    loss = 10.8 - 1.1 * np.arange(300) / 300 + rng(7).normal(0, 0.02, 300)
    assert_finds(run(steps, train_loss=loss), "learning-rate-too-low")


def test_a_rate_of_five_hundredths_is_never_called_too_low(findings: Any, run: Any) -> None:
    loss = 8.2 + 2.6 * np.exp(-np.arange(300) / 8) + rng(8).normal(0, 0.03, 300)
    found = findings(run(range(0, 6000, 20), train_loss=loss, lr=[0.05] * 300))
    assert "learning-rate-too-low" not in {f.rule for f in found}
    assert found[0].rule == "learning-rate-too-high"


def test_a_first_loss_that_was_luck_is_no_best_to_diverge_from(assert_silent: Any, run: Any) -> None:
    assert_silent(run(loss=[0.47, 0.55, 0.92, 0.87, 1.06, 1.26, 1.17, 1.19, 1.0, 0.66, 1.04, 1.1]))


def test_a_divergence_after_a_steep_fall_is_seen_in_few_points(assert_finds: Any, run: Any) -> None:
    loss = [11.0, 1.43, 0.77, 1.0, 0.97, 1.46, 2.1, 2.0, 2.14, 2.09, 2.06, 2.04, 2.19, 2.18]
    assert_finds(run(train_loss=loss), "divergence")


def test_a_log_whose_first_row_is_late_is_held_to_no_pace(assert_silent: Any, run: Any) -> None:
    val = 4.85 + 1.36 * np.exp(-np.arange(30) / 7)
    assert_silent(run(range(1000, 31_000, 1000), train_loss=val - 0.8 * np.arange(30) / 30, val_loss=val))
    assert_silent(run(range(1000, 31_000, 1000), val_loss=val))


def test_validation_alone_cannot_tell_overfitting_from_a_rate_too_high_and_says_so(assert_finds: Any, run: Any) -> None:
    finding = assert_finds(run(val_loss=[3.2, 2.6, 2.5, 2.7, 2.9, 3.1, 3.3, 3.4]), "overfitting")
    assert "log the training loss" in finding.causes[1].why
