"""Healthy runs that look alarming: nothing above info may be said of them. Each was somebody's false alarm."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

FLOOR, GAIN = 2.0, 8.0


def decay(n: int, noise: float = 0.03, seed: int = 0, floor: float = FLOOR, gain: float = GAIN) -> np.ndarray:
    """A healthy loss: power law to a floor, with noise."""
    rng = np.random.default_rng(seed)
    return np.asarray(floor + gain * (1 + np.arange(n) / 20) ** -0.7 + rng.normal(0, noise, n))


def norms(n: int, seed: int = 1, level: float = 1.0) -> np.ndarray:
    """Healthy gradient norms: log-normal."""
    return np.asarray(level * np.exp(np.random.default_rng(seed).normal(0, 0.4, n)))


@pytest.mark.parametrize("seed", range(5))
def test_single_points_that_jump_by_nearly_three_nats(assert_silent: Any, run: Any, seed: int) -> None:
    loss = decay(600, seed=seed)
    loss[[80, 200, 201, 333, 450]] += 2.7
    assert_silent(run(train_loss=loss), "loss-spike", "divergence")


def test_a_gradient_norm_of_55_times_the_median(assert_silent: Any, run: Any) -> None:
    grad = norms(400)
    grad[[100, 250]] *= 55
    assert_silent(run(train_loss=decay(400), grad_norm=grad), "exploding-gradients")


def test_clipping_at_every_step(assert_silent: Any, run: Any) -> None:
    assert_silent(run(train_loss=decay(300), grad_norm=norms(300, level=40)), config={"grad_clip": 1.0})


def test_a_late_peak_of_the_rate(assert_silent: Any, run: Any) -> None:
    rate = np.concatenate([np.linspace(0, 1e-3, 400), np.linspace(1e-3, 0, 200)])
    loss = 8.3 - 6 * np.minimum(1, np.cumsum(rate) / 0.2) + np.random.default_rng(3).normal(0, 0.02, 600)
    assert_silent(run(train_loss=loss, lr=rate), config={"vocab_size": 4096, "max_steps": 600, "learning_rate": 1e-3})


def test_a_warm_up_that_is_waited_for(assert_silent: Any, run: Any) -> None:
    rate = np.linspace(0, 3e-4, 2000)[:150]
    loss = 10.82 - 0.0002 * np.arange(150) + np.random.default_rng(1).normal(0, 0.01, 150)
    events = run(train_loss=loss, lr=rate)
    assert_silent(events, config={"vocab_size": 50257, "max_steps": 20_000, "learning_rate": 3e-4})


def test_a_wsd_tail(assert_silent: Any, run: Any) -> None:
    rate = np.concatenate([np.full(800, 1e-3), np.linspace(1e-3, 0, 200)])
    loss = decay(1000)
    loss[800:] -= np.linspace(0, 0.3, 200)
    assert_silent(run(train_loss=loss, learning_rate=rate, grad_norm=norms(1000)))


def test_warm_restarts(assert_silent: Any, run: Any) -> None:
    rate = 1e-3 * 0.5 * (1 + np.cos(np.pi * (np.arange(900) % 300) / 300)) + 1e-6
    assert_silent(run(train_loss=decay(900) + 500 * rate, lr=rate), "divergence", "loss-spike")


def test_stair_steps_of_epochs(assert_silent: Any, run: Any) -> None:
    at = np.arange(800)
    loss = 2.4 * (1 - 0.12 * (at // 200)) + 0.12 * (at % 200) / 200 * (at >= 200) + 2 * np.exp(-at / 15)
    assert_silent(run(train_loss=loss + np.random.default_rng(0).normal(0, 0.03, 800)))


def test_gradient_norms_that_a_loss_scaler_makes_infinite(assert_silent: Any, run: Any) -> None:
    grad = norms(400)
    grad[[0, 1, 2, 3, 4, 5, 6, 7, 120, 300]] = math.inf
    grad[200] = math.nan
    assert_silent(run(train_loss=decay(400), grad_norm=grad, loss_scale=[1024.0] * 400))


def test_a_ramp_of_the_batch_size(assert_silent: Any, run: Any) -> None:
    rng = np.random.default_rng(5)
    loss = decay(900, noise=0.0) + rng.normal(0, 1, 900) * np.repeat([0.3, 0.1, 0.03], 300)
    assert_silent(run(train_loss=loss))


@pytest.mark.parametrize("level", [0.3, 0.9, 1.6, 2.4])
@pytest.mark.parametrize("noise", [0.03, 0.1, 0.3])
def test_a_fine_tune_that_starts_low_and_saturates(assert_silent: Any, run: Any, level: float, noise: float) -> None:
    rng = np.random.default_rng(int(100 * level + 10 * noise))
    loss = level * (1 + 0.1 * np.exp(-np.arange(400) / 20)) * (1 + noise * rng.normal(0, 1, 400).clip(-2.5, 4))
    events = run(range(10, 4010, 10), loss=loss, grad_norm=norms(400, level=3), learning_rate=np.linspace(2e-5, 0, 400))
    assert_silent(events, config={"vocab_size": 32_000, "max_steps": 4000})


def test_noisy_validation(assert_silent: Any, run: Any) -> None:
    rng = np.random.default_rng(8)
    val = 2.2 + 2 * np.exp(-np.arange(60) / 8) + rng.normal(0, 0.08, 60)
    assert_silent(run(range(0, 600, 10), train_loss=decay(60, floor=1.8), val_loss=val), "overfitting")


@pytest.mark.parametrize("seed", [13, 23, 42, 45])
def test_validation_that_wobbles_at_rest_for_long(findings: Any, run: Any, seed: int) -> None:
    """Of a hundred and fifty evaluations some climb by luck; without spending the doubt, these seeds of fifty were called sick."""
    luck, at = np.random.default_rng(seed), np.arange(150)
    train = 0.3 - 0.03 * at / 150 + 0.15 * np.exp(-at / 8) + luck.normal(0, 0.03, 150)
    val = 0.285 + 0.35 * np.exp(-at / 5) + luck.normal(0, 0.008, 150)
    found = findings(run(range(50, 7550, 50), train_loss=train, val_loss=val))
    assert "overfitting" not in {finding.rule for finding in found}


def test_grokking_is_overfitting_now_and_over_when_it_groks(findings: Any, run: Any) -> None:
    train = np.concatenate([np.linspace(4.6, 0.05, 20), np.full(40, 0.04), np.full(20, 0.02)])
    val = np.concatenate(
        [np.linspace(4.7, 4.4, 6), np.linspace(4.5, 9, 30), np.linspace(8.5, 0.1, 30), np.full(14, 0.05)]
    )
    (overfit,) = (f for f in findings(run(train_loss=train, val_loss=val)) if f.rule == "overfitting")
    assert overfit.status == "resolved"
    assert overfit.severity == "info"


def test_policy_gradient_losses_near_and_below_zero(assert_silent: Any, run: Any) -> None:
    loss = np.random.default_rng(2).normal(0, 0.03, 400)
    loss[:6] = 0.0
    assert_silent(run(loss=loss, grad_norm=norms(400, level=0.3), reward=np.linspace(0, 1, 400)))


@pytest.mark.parametrize("first", [12.0, 16.0, 22.0])
def test_first_losses_above_the_uniform_loss(assert_silent: Any, run: Any, first: float) -> None:
    loss = decay(300)
    loss[:4] = np.linspace(first, loss[4], 4)
    assert_silent(run(train_loss=loss), config={"vocab_size": 50_257})


@pytest.mark.parametrize("keep", [0.9, 0.98])
def test_a_moving_average_is_logged(assert_silent: Any, run: Any, keep: float) -> None:
    loss = decay(800, noise=0.3)
    for at in range(1, loss.size):
        loss[at] = keep * loss[at - 1] + (1 - keep) * loss[at]
    assert_silent(run(train_loss=loss))


def test_evaluations_only(assert_silent: Any, run: Any) -> None:
    assert_silent(run(range(0, 4000, 100), eval_loss=1.8 + 2 * np.exp(-np.arange(40) / 6)))


@pytest.mark.parametrize("value", [0.5, 2.0, 2.75])
def test_constant_series(assert_silent: Any, run: Any, value: float) -> None:
    assert_silent(run(train_loss=[value] * 300, grad_norm=[1.0] * 300, val_loss=[value] * 300))


def test_a_constant_zero_gradient_norm_that_nobody_measured(assert_silent: Any, run: Any) -> None:
    assert_silent(run(train_loss=decay(200), grad_norm=[0.0] * 200))


@pytest.mark.parametrize("n", range(1, 8))
def test_very_short_runs(assert_silent: Any, run: Any, n: int) -> None:
    assert_silent(run(train_loss=decay(n), val_loss=decay(n, seed=4), grad_norm=norms(n)))


@pytest.mark.parametrize("n", range(3, 21))
@pytest.mark.parametrize("seed", range(3))
def test_one_point_an_epoch(assert_silent: Any, run: Any, n: int, seed: int) -> None:
    rng = np.random.default_rng([n, seed])
    train = 0.8 + 2 * np.exp(-np.arange(n) / 3) * (1 + rng.normal(0, 0.02, n))
    val = 1.0 + 2 * np.exp(-np.arange(n) / 3) + rng.normal(0, 0.01, n)
    assert_silent(run(train_loss=train, val_loss=val))


def test_losses_that_shrink_until_they_are_printed_as_zero(assert_silent: Any, run: Any) -> None:
    loss = np.round(3 * np.exp(-np.arange(100) / 8), 4)
    assert (loss[-10:] == 0).all()
    assert_silent(run(train_loss=loss))


def test_validation_at_another_scale(assert_silent: Any, run: Any) -> None:
    assert_silent(run(train_loss=decay(40), val_loss=16 * decay(40, seed=2)))


def test_a_table_with_nan_between_evaluations(assert_silent: Any, run: Any) -> None:
    val = np.full(300, math.nan)
    val[9::10] = decay(300, noise=0.0)[9::10]
    assert_silent(run(train_loss=decay(300), val_loss=val))


def test_a_table_with_nan_in_the_training_column_of_evaluation_rows(assert_silent: Any) -> None:
    events = [{"step": step, "loss": 4 / (1 + step / 9), "eval_loss": math.nan} for step in range(50)]
    events[10::10] = [{"step": step, "loss": math.nan, "eval_loss": 4 / (1 + step / 9)} for step in range(10, 50, 10)]
    assert_silent(events)


def test_a_summary_line_with_the_mean_of_the_run_at_the_end(assert_silent: Any, run: Any) -> None:
    assert_silent([*run(loss=decay(40)), {"step": 39, "train_loss": 9.9, "train_runtime": 12.0}])


def test_norms_of_zero_among_others_are_batches_without_a_signal(
    assert_silent: Any, assert_finds: Any, run: Any
) -> None:
    losses = [1.3 + 0.02 * (n % 3) for n in range(120)]
    no_advantage = [0.0 if n % 4 else 1.5 for n in range(120)]
    assert_silent(run(train_loss=losses, grad_norm=no_advantage), "vanishing-gradients")
    hardly_any = [0.0 if n % 20 else 1.5 for n in range(120)]
    assert_finds(run(train_loss=losses, grad_norm=hardly_any), "vanishing-gradients")


def test_a_norm_that_was_0_from_the_start_has_not_shrunk(findings: Any, run: Any) -> None:
    thrown_up = [12.4, 12.5, 14.0, 40.0, 30.0, 20.0, 15.0, 12.0]
    assert "vanishing-gradients" not in {
        found.rule for found in findings(run(train_loss=thrown_up, grad_norm=[0.0] * 8), None)
    }
