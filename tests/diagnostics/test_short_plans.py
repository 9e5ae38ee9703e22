"""Runs whose plan is short: what can be told of them after a tenth of it, and what must be waited for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from diagnostics.stats import line_error

CONFIG = {"vocab_size": 100, "max_steps": 400, "learning_rate": 2e-3}
AT = np.arange(60)
NOISE = 0.03 * np.random.default_rng(3).standard_normal(60)
FLAT = 4.6 + NOISE
FALLING = 3.2 + 1.4 * np.exp(-AT / 25) + NOISE
"""As slow as the slowest models that learn: 1.7 % of ln V for each hundredth that the rates sum up to."""
FULL = np.full(60, 2e-3)
TENTH = 40


def test_a_loss_that_has_not_moved_is_told_within_a_tenth_of_the_plan(assert_finds: Any, run: Any) -> None:
    finding = assert_finds(run(train_loss=FLAT, lr=FULL), "loss-not-decreasing", config=CONFIG)
    assert finding.detected_step <= TENTH
    assert "it began at" in finding.evidence[0].sentence


def test_a_loss_that_falls_as_slowly_as_any_is_let_be(assert_silent: Any, run: Any) -> None:
    assert_silent(run(train_loss=FALLING, lr=FULL), "loss-not-decreasing", "learning-rate-too-low", config=CONFIG)


def test_only_norms_that_learn_are_too_little(assert_finds: Any, run: Any) -> None:
    norms = 4.6 - 0.12 * (1 - np.exp(-AT / 20)) + NOISE
    finding = assert_finds(run(train_loss=norms, lr=FULL), "loss-not-decreasing", config=CONFIG)
    assert finding.detected_step <= TENTH


def test_a_warm_up_is_waited_for(assert_silent: Any, assert_finds: Any, run: Any) -> None:
    ramp = np.minimum(1.0, (AT + 1) / 40) * 2e-4
    config = {**CONFIG, "warmup_steps": 40, "learning_rate": 2e-4}
    assert_silent(
        run(train_loss=FLAT[:40], lr=ramp[:40]), "loss-not-decreasing", "learning-rate-too-low", config=config
    )
    cold = run(train_loss=FLAT[:40], lr=ramp[:40] / 1000)
    assert assert_finds(cold, "learning-rate-too-low", config=config).detected_step <= TENTH


def test_a_rate_at_a_thousandth_is_not_waited_for_once_the_declared_warm_up_is_over(
    assert_finds: Any, assert_silent: Any, run: Any
) -> None:
    config = {**CONFIG, "max_steps": 250, "warmup_steps": 20, "learning_rate": 3e-3}
    ramp = np.minimum(1.0, AT[::5] / 24) * 3e-3  # logged at every fifth step: at the 25th it still seems to rise
    steps = list(range(5, 60, 5))
    cold = run(steps, train_loss=FLAT[:11], lr=ramp[1:] / 1000)
    assert assert_finds(cold, "learning-rate-too-low", config=config).detected_step <= 25
    assert_silent(run(steps, train_loss=FALLING[5::5], lr=ramp[1:]), "learning-rate-too-low", config=config)


@pytest.mark.parametrize(
    ("times", "began", "speaks"),
    [(4.0, 1e-3, True), (0.0, 1e-3, True), (12.0, 1e-3, False), (6.0, 5e-3, False), (-3000.0, 1e-3, False)],
)
def test_weights_of_which_most_do_not_move_are_told_by_one_measurement(
    findings: Any, run: Any, times: float, began: float, speaks: bool
) -> None:
    """Six times the rate after a sum of 0.1: weights have grown by as much as they were. And -3 is a logarithm."""
    slow = 4.6 - 0.002 * AT + NOISE
    rows = run(train_loss=slow[:30], lr=np.full(30, began))
    rows[20]["update_ratio"] = times * began
    told = [f for f in findings(rows[:24], CONFIG) if f.rule == "loss-not-decreasing" and len(f.evidence) == 2]
    assert bool(told) is speaks
    if told:
        assert told[0].causes[0].cause == "most weights do not move"
        learns = run(train_loss=FALLING, lr=FULL)
        learns[20]["update_ratio"] = times * 2e-3
        assert "loss-not-decreasing" not in [f.rule for f in findings(learns, CONFIG)]


def test_a_smoothed_loss_lags_behind_and_gathers_way(assert_silent: Any, run: Any) -> None:
    smooth = [FALLING[0]]
    for value in FALLING[1:]:
        smooth.append(0.95 * smooth[-1] + 0.05 * value)
    assert_silent(run(train_loss=smooth, lr=FULL), "loss-not-decreasing", config=CONFIG)


def test_validation_that_fell_speaks_for_the_run(assert_silent: Any, run: Any) -> None:
    rows = run(train_loss=FLAT, lr=FULL)
    evaluations = {0: 4.6, 10: 4.3, 20: 4.1, 30: 3.9}
    rows = [{**row, **({"val_loss": evaluations[at]} if at in evaluations else {})} for at, row in enumerate(rows)]
    assert_silent(rows[:28], "loss-not-decreasing", config=CONFIG)


def test_another_optimizers_rate_says_nothing_of_the_first_steps(assert_silent: Any, run: Any) -> None:
    rate = np.full(60, 0.1)
    assert_silent(run(train_loss=FLAT, lr=rate)[:28], "loss-not-decreasing", config={**CONFIG, "learning_rate": 0.1})


@pytest.mark.parametrize(("unigram", "speaks"), [(2.72, True), (2.825, False), (None, False)])
def test_of_few_tokens_it_is_asked_only_where_their_frequencies_are_worth_something(
    findings: Any, run: Any, unigram: float | None, speaks: bool
) -> None:
    data = (
        [] if unigram is None else [{"type": "data", "step": 0, "train_tokens": 180_000.0, "unigram_entropy": unigram}]
    )
    events = [*data, *run(train_loss=FLAT - 4.6 + 2.83, lr=FULL)]
    found = [finding.rule for finding in findings(events[:TENTH], {**CONFIG, "vocab_size": 17})]
    assert ("loss-not-decreasing" in found) is speaks


def test_few_tokens_are_given_time_before_their_rate_is_called_too_low(assert_silent: Any, run: Any) -> None:
    slow = 2.59 - 0.0008 * AT + NOISE / 10
    config = {"vocab_size": 13, "max_steps": 500, "learning_rate": 5e-4}
    assert_silent(run(train_loss=slow, lr=np.full(60, 5e-4)), "learning-rate-too-low", config=config)


def test_rates_that_sum_up_to_nothing_over_the_whole_plan_are_told_at_once(assert_finds: Any, run: Any) -> None:
    config = {**CONFIG, "learning_rate": 3e-6}
    finding = assert_finds(run(train_loss=FLAT, lr=np.full(60, 3e-6)), "learning-rate-too-low", config=config)
    assert finding.detected_step <= TENTH
    assert "sum up to 0.0012" in finding.evidence[0].sentence


def test_a_usual_rate_and_a_plan_of_a_few_steps_is_no_low_rate(findings: Any, run: Any) -> None:
    trial = {**CONFIG, "max_steps": 20, "learning_rate": 3e-4}
    found = findings(run(train_loss=FLAT[:20], lr=np.full(20, 3e-4)), trial)
    assert "learning-rate-too-low" not in [finding.rule for finding in found]


def test_a_low_rate_with_steps_enough_is_waited_for(assert_silent: Any, run: Any) -> None:
    config = {"vocab_size": 100, "max_steps": 100_000, "learning_rate": 1e-5}
    steps = list(range(0, 6000, 100))
    loss = 2.0 + 2.6 * np.exp(-AT / 10)
    assert_silent(run(steps, train_loss=loss, lr=np.full(60, 1e-5)), "learning-rate-too-low", config=config)


def test_weights_that_do_not_move_at_all_are_not_moved_too_slowly(findings: Any, run: Any) -> None:
    events = run(train_loss=np.resize(FLAT, 300), lr=np.full(300, 1e-3), update_ratio=np.zeros(300))
    found = [finding.rule for finding in findings(events, CONFIG) if finding.severity != "info"]
    assert "loss-not-decreasing" in found
    assert "learning-rate-too-low" not in found


def test_the_error_about_a_line_is_blind_to_its_slope() -> None:
    noise = np.random.default_rng(0).standard_normal(200)
    assert line_error(noise + 5 * np.arange(200)) == pytest.approx(float(noise.std()), rel=0.1)
    assert line_error(np.array([1.0, 2.0])) == 0.0
