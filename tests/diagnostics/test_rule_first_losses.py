"""`initial-loss` and `suspicious-loss`: losses that text does not allow, and healthy ones that look like them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

SCRATCH = {"vocab_size": 256, "init_from": "scratch"}


def decay(n: int, start: float, floor: float, scale: float = 20.0) -> np.ndarray:
    """A loss that comes down from `start` to `floor`."""
    return np.asarray(floor + (start - floor) * np.exp(-np.arange(n) / scale))


@pytest.mark.parametrize(("vocab", "first"), [(65, 7.0), (256, 22.0), (50257, 20.0)])
def test_a_first_loss_far_above_is_a_note(assert_finds: Any, run: Any, vocab: int, first: float) -> None:
    finding = assert_finds(
        run(train_loss=decay(60, first, 2.0)), "initial-loss", config={"vocab_size": vocab}, info=True
    )
    assert str(finding.severity) == "info"
    assert finding.detected_step == 0


def test_a_sum_over_micro_batches_is_named(assert_finds: Any, run: Any) -> None:
    loss = 8 * decay(60, math.log(256), 2.0)
    finding = assert_finds(run(train_loss=loss), "initial-loss", config=SCRATCH, info=True)
    assert "sum" in finding.causes[0].cause


def test_a_first_loss_far_below_is_a_note_where_weights_are_random(assert_finds: Any, run: Any) -> None:
    finding = assert_finds(run(train_loss=decay(60, 1.2, 0.9)), "initial-loss", config=SCRATCH, info=True)
    assert "answers" in finding.causes[0].cause


@pytest.mark.parametrize("share", [0.8, 1.0, 1.2, 1.45])
def test_first_losses_about_the_uniform_one_are_silent(assert_silent: Any, run: Any, share: float) -> None:
    assert_silent(run(train_loss=decay(60, share * math.log(256), 2.0)), "initial-loss", config=SCRATCH)


@pytest.mark.parametrize(
    "config", [{}, {"vocab_size": 256}, {"vocab_size": 256, "resume": "run:last"}, {"model_name_or_path": "gpt2"}]
)
def test_low_first_losses_of_weights_that_may_be_trained_are_silent(assert_silent: Any, run: Any, config: Any) -> None:
    assert_silent(run(train_loss=decay(60, 1.5, 1.2)), "initial-loss", config=config)


def test_a_first_loss_logged_late_is_silent(assert_silent: Any, run: Any) -> None:
    assert_silent(run(range(100, 6100, 100), train_loss=decay(60, 2.6, 2.0)), "initial-loss", config=SCRATCH)


def test_a_loss_of_nothing_within_the_first_pass(assert_finds: Any, run: Any) -> None:
    loss, epoch = decay(300, 5.55, 0.01, 15), np.linspace(0, 0.2, 300)
    finding = assert_finds(run(train_loss=loss, epoch=epoch), "suspicious-loss", config=SCRATCH)
    assert str(finding.severity) == "critical"
    assert finding.detected_step <= 90
    assert finding.causes[0].cause == "labels not shifted"


def test_it_explains_a_validation_loss_that_climbs_meanwhile(findings: Any, run: Any) -> None:
    loss, val = decay(300, 5.55, 0.01, 15), 4.6 + 0.01 * np.arange(300)
    found = findings(run(train_loss=loss, val_loss=val, epoch=np.linspace(0, 0.2, 300)), SCRATCH)
    assert found[0].rule == "suspicious-loss"
    assert next(f for f in found if f.rule == "overfitting").because


def test_a_validation_loss_of_nothing_without_epochs(assert_finds: Any, run: Any) -> None:
    loss = decay(300, 9.0, 0.02, 30)
    assert_finds(run(train_loss=loss, val_loss=loss), "suspicious-loss", config={"vocab_size": 8192})


def test_learning_by_heart_is_not_called_suspicious(findings: Any, run: Any) -> None:
    loss, epoch = decay(400, 5.5, 0.02, 30), np.linspace(0, 60, 400)
    val = 3.0 + 0.01 * np.arange(400)
    found = findings(run(train_loss=loss, val_loss=val, epoch=epoch), SCRATCH)
    assert "suspicious-loss" not in {f.rule for f in found}
    assert "overfitting" in {f.rule for f in found}


@pytest.mark.parametrize("floor", [0.5, 0.7, 1.2])
def test_good_models_are_silent(assert_silent: Any, run: Any, floor: float) -> None:
    loss = decay(400, 5.5, floor, 40)
    events = run(train_loss=loss, val_loss=loss + 0.02, epoch=np.linspace(0, 0.2, 400))
    assert_silent(events, "suspicious-loss", config=SCRATCH)


@pytest.mark.parametrize("start", [0.69, 1.4, 2.5])
def test_classifiers_and_fine_tunes_that_get_near_zero_are_silent(assert_silent: Any, run: Any, start: float) -> None:
    loss = decay(400, start, 0.01, 10)
    events = run(loss=loss, eval_loss=loss + 0.01, epoch=np.linspace(0, 0.2, 400))
    assert_silent(events, "suspicious-loss", config={"vocab_size": 32_000})


def test_a_puzzle_that_is_solved_is_silent(assert_silent: Any, run: Any) -> None:
    loss = decay(800, 4.73, 0.0001, 60) + 1e-4
    events = run(train_loss=loss, val_loss=loss * 1.2)
    assert_silent(events, "suspicious-loss", config={"vocab_size": 113, "init_from": "scratch"})


def test_policy_losses_near_zero_are_silent(assert_silent: Any, run: Any) -> None:
    loss = np.random.default_rng(3).normal(0, 0.01, 300)
    assert_silent(run(loss=loss, epoch=np.linspace(0, 0.1, 300)), "suspicious-loss", config={"vocab_size": 32_000})


def test_a_run_that_breaks_at_an_evaluation_within_its_first_pass_is_not_suspicious(findings: Any, run: Any) -> None:
    loss, val = decay(400, 4.6, 2.6), np.full(400, np.nan)
    val[::50] = loss[::50]
    val[200], loss[201:] = 11.0, 3.3 + 17 * np.exp(-np.arange(199) / 4)
    val[250::50] = loss[250::50]
    events = [
        {name: value for name, value in event.items() if value == value}
        for event in run(train_loss=loss, val_loss=val, epoch=np.linspace(0, 0.8, 400))
    ]
    found = {f.rule for f in findings(events, {"vocab_size": 100, "init_from": "scratch"})}
    assert "suspicious-loss" not in found and "divergence" in found


def test_a_loss_that_comes_down_from_a_blow_up_is_not_suspicious(findings: Any, run: Any) -> None:
    loss, val = decay(400, 4.6, 2.6), np.full(400, np.nan)
    loss[190:] = 5.0 + 130 * np.exp(-np.arange(210) / 20)
    val[::40] = loss[::40]
    events = [
        {name: value for name, value in event.items() if value == value}
        for event in run(train_loss=loss, val_loss=val, epoch=np.linspace(0, 0.8, 400))
    ]
    found = {f.rule for f in findings(events, {"vocab_size": 100, "init_from": "scratch"})}
    assert "suspicious-loss" not in found and "divergence" in found
