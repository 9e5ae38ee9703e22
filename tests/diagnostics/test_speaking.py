"""Sick runs: each illness in several forms, found in time, with the right name first."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest


def decay(n: int, noise: float = 0.03, seed: int = 0) -> np.ndarray:
    """A healthy loss: power law to a floor, with noise."""
    return np.asarray(2 + 8 * (1 + np.arange(n) / 20) ** -0.7 + np.random.default_rng(seed).normal(0, noise, n))


@pytest.mark.parametrize("at", [50, 300, 800])
def test_a_divergence_is_known_within_thirty_points(findings: Any, run: Any, at: int) -> None:
    loss = decay(1000)
    loss[at:] = np.minimum(9.0, loss[at:] + 0.5 * np.arange(1000 - at))
    found = findings(run(train_loss=loss))
    assert found[0].rule == "divergence"
    assert min(f.detected_step for f in found if f.rule in ("divergence", "loss-spike")) <= at + 30


def test_a_spike_that_recovers_says_after_how_many_steps_and_is_info(findings: Any, run: Any) -> None:
    loss = decay(700)
    loss[400:412] += 4
    found = findings(run(train_loss=loss))
    (spike,) = (f for f in found if f.rule == "loss-spike")
    assert (spike.status, str(spike.severity)) == ("resolved", "info")
    assert "over after" in spike.title
    assert 400 <= spike.first_step <= 402 <= spike.detected_step <= 405


def test_a_third_spike_stays_a_warning(assert_finds: Any, run: Any) -> None:
    loss = decay(900)
    for at in (300, 500, 700):
        loss[at : at + 12] += 4
    finding = assert_finds(run(train_loss=loss), "loss-spike")
    assert (finding.occurrences, finding.status) == (3, "resolved")


@pytest.mark.parametrize("grad", [math.nan, math.inf, 0.0])
def test_zeros_with_sick_gradients_are_a_hidden_nan(assert_finds: Any, run: Any, grad: float) -> None:
    assert_finds(run(train_loss=[0.0] * 10, grad_norm=[grad] * 10), "masked-non-finite")


def test_a_frozen_loss_with_gradients_that_are_never_finite(assert_finds: Any, run: Any) -> None:
    assert_finds(run(train_loss=[2.31] * 60, grad_norm=[1.0] * 20 + [math.nan] * 40), "masked-non-finite")


@pytest.mark.parametrize(("vocab", "start"), [(65, 4.17), (256, 5.55), (50257, 10.82)])
@pytest.mark.parametrize("every", [1, 10])
def test_stuck_at_the_uniform_loss_within_a_tenth_of_the_plan(
    assert_finds: Any, run: Any, vocab: int, start: float, every: int
) -> None:
    loss = start + np.random.default_rng(1).normal(0, 0.01, 500)
    config = {"vocab_size": vocab, "max_steps": 500 * every, "learning_rate": 3e-4}
    finding = assert_finds(run(range(0, 500 * every, every), train_loss=loss), "loss-not-decreasing", config=config)
    assert finding.severity == "critical"
    assert finding.detected_step <= 50 * every


def test_settled_high_with_a_high_rate(findings: Any, run: Any) -> None:
    loss = 3.3 + 0.87 * np.exp(-np.arange(600) / 10) + np.random.default_rng(2).normal(0, 0.03, 600)
    found = findings(run(train_loss=loss, lr=[0.03] * 600), {"vocab_size": 65})
    assert found[0].rule == "learning-rate-too-high"
    plateau = next(f for f in found if f.rule == "plateau")
    assert plateau.because is not None
    assert "learning-rate-too-high" in plateau.because


def test_noisy_evaluations_that_climb_in_a_clear_trend(assert_finds: Any, run: Any) -> None:
    rng = np.random.default_rng(3)
    val = np.concatenate([np.linspace(4.0, 2.1, 15), 2.1 + 0.025 * np.arange(20)]) + rng.normal(0, 0.03, 35)
    finding = assert_finds(run(range(0, 3500, 100), train_loss=np.linspace(4, 0.9, 35), val_loss=val), "overfitting")
    assert finding.detected_step <= 2500


def test_validation_that_becomes_nan_while_training_looks_well(assert_finds: Any, run: Any) -> None:
    finding = assert_finds(run(train_loss=decay(10), val_loss=[3.0, 2.9, 2.8, math.nan, math.nan]), "non-finite-loss")
    assert finding.title.startswith("Validation loss is NaN")


def test_a_slowly_vanishing_gradient(assert_finds: Any, run: Any) -> None:
    norms = 0.3 * np.exp(-np.arange(120) / 15)
    loss = 4.17 + np.random.default_rng(4).normal(0, 0.005, 120)
    assert_finds(run(train_loss=loss, grad_norm=norms), "vanishing-gradients")


def test_a_first_block_that_gets_no_gradient(assert_finds: Any, run: Any) -> None:
    loss = 4.17 + np.random.default_rng(4).normal(0, 0.005, 80)
    events = run(train_loss=loss, grad_norm=[0.4] * 80)
    for event in events:
        event["train/grad_norm_first"], event["train/grad_norm_last"] = 1e-6, 0.3
    assert_finds(events, "vanishing-gradients")


def test_a_level_of_gradients_that_rises_tenfold(assert_finds: Any, run: Any) -> None:
    norms = np.exp(np.random.default_rng(5).normal(0, 0.3, 400))
    norms[300:] *= 40
    finding = assert_finds(run(train_loss=decay(400), grad_norm=norms), "exploding-gradients", info=True)
    assert 300 <= finding.detected_step <= 330


def test_overfitting_names_the_checkpoint_to_keep(assert_finds: Any, run: Any) -> None:
    val = [4.3, 3.6, 3.0, 2.7, 2.6, 2.7, 2.9, 3.2, 3.5, 3.9]
    events = run(train_loss=[4.2, 3.5, 2.8, 2.1, 1.5, 1.0, 0.6, 0.3, 0.15, 0.05], val_loss=val)
    events.insert(4, {"type": "checkpoint", "step": 3, "path": "x"})
    assert assert_finds(events, "overfitting").remedies[0].checkpoint == 3
