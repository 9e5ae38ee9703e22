"""What a handful of rows already tells, as they are pasted into a question: and what they do not."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from diagnostics import Engine

LUCK = np.random.default_rng(11)


@pytest.mark.parametrize(
    ("losses", "norms", "speaks"),
    [
        ([0.2051, 0.0, 0.0], [math.nan] * 3, True),
        ([1.9166, 0.0, 0.0], None, True),
        ([1.9166, 0.0], None, False),
        ([1.9166, 0.0, 0.0], [1.2, 0.8, 0.9], False),  # real gradients: a loss of its own kind
        ([0.31, 0.0, 0.0], None, False),  # it may have been small before
        ([*[1.9] * 12, 0.0, 0.0], None, False),  # two batches without a signal in the middle of a run
    ],
)
def test_two_zeros_at_the_start_hide_a_nan(
    findings: Any, run: Any, losses: list[float], norms: list[float] | None, speaks: bool
) -> None:
    series = {"loss": losses} if norms is None else {"loss": losses, "grad_norm": norms}
    assert any(finding.rule == "masked-non-finite" for finding in findings(run(**series))) == speaks


@pytest.mark.parametrize(
    ("points", "norm", "rate", "loss", "speaks"),
    [
        (4, 0.0, 0.0, [12.1034, 12.0582, 12.0021, 12.0653], True),
        (12, 0.0, 1e-4, 11.37, True),
        (11, 0.0, 1e-4, 11.37, False),  # a norm that is not measured is logged as 0 too
        (12, 0.0, 1e-4, np.linspace(11.37, 10.0, 12), False),
        (12, 0.0, 1e-4, 0.002, False),  # a loss that is zero by construction
        (12, 1e-3, 1e-4, 11.37, False),
    ],
)
def test_norms_that_are_all_zero(
    findings: Any, run: Any, points: int, norm: float, rate: float, loss: Any, speaks: bool
) -> None:
    rows = run(
        loss=np.broadcast_to(np.asarray(loss), (points,)), grad_norm=[norm] * points, learning_rate=[rate] * points
    )
    loud = [finding for finding in findings(rows) if finding.rule == "vanishing-gradients"]
    assert bool(loud) == speaks
    assert not loud or "every update is skipped" in [cause.cause for cause in loud[0].causes]


@pytest.mark.parametrize(
    ("train", "val", "speaks"),
    [
        ((0.43, 0.155, 0.089, 0.052), (0.199, 0.154, 0.178, 0.182), True),
        ((0.43, 0.155, 0.150, 0.145), (0.199, 0.154, 0.178, 0.182), False),  # training has not left them behind
        ((0.43, 0.155, 0.089, 0.052), (0.199, 0.154, 0.178, 0.170), False),  # they do not climb on
        ((0.43, 0.155, 0.089, 0.052), (0.199, 0.154, 0.160, 0.165), False),  # by a fourteenth
    ],
)
def test_two_evaluations_that_climb_while_training_halves(
    findings: Any, run: Any, train: tuple[float, ...], val: tuple[float, ...], speaks: bool
) -> None:
    rows = run(range(449, 1797, 449), loss=train, eval_loss=val)
    assert any(finding.rule == "overfitting" for finding in findings(rows)) == speaks


def test_a_loss_that_comes_down_slowly_and_surely_is_not_stuck(assert_finds: Any, findings: Any, run: Any) -> None:
    slow = np.linspace(9.69, 9.60, 36) + LUCK.normal(0, 0.006, 36)
    rows = run(train_loss=slow, val_loss=slow - 0.002, learning_rate=[3e-5] * 36)
    assert not findings(rows, {"vocab_size": 16_000})
    stuck = 9.69 + LUCK.normal(0, 0.006, 36)
    assert_finds(run(train_loss=stuck, val_loss=stuck, learning_rate=[3e-5] * 36), "loss-not-decreasing")


@pytest.mark.parametrize(
    ("rate", "config", "speaks"), [(1e-4, {}, False), (1e-4, {"vocab_size": 50_000}, True), (3e-3, {}, True)]
)
def test_weights_that_cannot_have_gone_so_far_came_with_what_they_know(
    findings: Any, run: Any, rate: float, config: dict[str, Any], speaks: bool
) -> None:
    """A fine-tune that begins in words it does not know is down within twenty steps; from scratch nothing is."""
    losses = [10.9, 3.9, *[0.2] * 20]
    rows = run(range(10, 230, 10), loss=losses, learning_rate=[rate] * 22, epoch=np.linspace(0.01, 0.2, 22))
    assert any(finding.rule == "suspicious-loss" for finding in findings(rows, config)) == speaks


def test_the_next_loss_says_whether_the_first_has_come_down(findings: Any, run: Any) -> None:
    for second, speaks in ((2.65, False), (3.3, True)):
        rows = run(range(10, 60, 10), loss=[3.44, second, second - 0.1, second - 0.2, second - 0.3], lr=[3e-3] * 5)
        told = [finding for finding in findings(rows, {"vocab_size": 15}) if finding.rule == "initial-loss"]
        assert any(finding.severity == "warning" for finding in told) == speaks


def test_what_came_down_from_above_an_alphabet_began_there(findings: Any, run: Any) -> None:
    """Weights far too large: from four times ln V down to the frequencies, where it rests."""
    steps = np.arange(0, 1500, 10)
    losses = 3.25 + 13 * np.exp(-steps / 40) + LUCK.normal(0, 0.02, steps.size)
    rows = run(steps.tolist(), loss=losses, learning_rate=[1e-3] * steps.size)
    config = {"vocab_size": 65, "learning_rate": 1e-3, "max_steps": 1500, "optimizer": "adamw"}
    assert any(found.rule == "plateau" and found.severity == "warning" for found in findings(rows, config))
    view = Engine(config)
    view.observe_all(rows[:6])
    assert not any(found.rule == "divergence" for found in view.findings())


def test_an_alphabet_that_is_answered_at_once(findings: Any, run: Any) -> None:
    """Means of sixty steps: the first one is far below ln V already."""
    losses = [2.32, 0.29, 0.063, 0.024, 0.014, 0.009, 0.005, 0.004, 0.003, 0.003, 0.002, 0.002, 0.0015, 0.0015]
    rows = run(range(60, 900, 60), loss=losses, val_loss=[*losses[1:], 0.001], learning_rate=[4e-3] * 14)
    for config, speaks in (({"vocab_size": 65}, True), ({"vocab_size": 32_000}, False), ({}, False)):
        assert any(found.rule == "suspicious-loss" for found in findings(rows, config)) == speaks


def test_a_classifier_that_had_learned_a_little_and_lost_it(assert_finds: Any, run: Any) -> None:
    losses = [1.25, 1.31, 1.38, *(1.41 + LUCK.normal(0, 0.01, 70))]
    rows = run(range(100, 7400, 100), loss=losses, epoch=np.linspace(0.01, 1, 73))
    for row in rows[-2:]:
        row |= {"eval_loss": 1.39, "eval_accuracy": 0.25}
    assert "among 4 classes" in assert_finds(rows, "loss-not-decreasing").title


@pytest.mark.parametrize(("warm", "speaks"), [(True, False), (False, True)])
def test_a_rise_before_any_step_was_taken_is_not_the_rates(findings: Any, run: Any, warm: bool, speaks: bool) -> None:
    """The first batch alone is an easy one; the rate is still at nothing when the next ones are dearer."""
    losses = [2.0, 2.05, 2.0, *(2.6 + LUCK.normal(0, 0.02, 60))]
    rates = np.minimum(1.0, np.arange(63) / 40) * 2e-6 if warm else np.full(63, 1e-3)
    rows = run(range(1, 64), loss=losses, learning_rate=rates)
    assert any(found.rule == "learning-rate-too-high" for found in findings(rows)) == speaks


def test_pieces_of_words_well_learned_are_no_characters_at_rest(findings: Any, run: Any) -> None:
    """A log that begins at step 250 with 5.2 nats, at a rate that only runs from scratch are given."""
    steps = np.arange(250, 30_000, 250)
    losses = 3.7 + 1.5 * np.exp(-(steps - 250) / 1500) + LUCK.normal(0, 0.06, steps.size)
    for first, speaks in ((250, False), (10, True)):
        rows = run((steps - 250 + first).tolist(), train_loss=losses, learning_rate=[1.2e-3] * steps.size)
        assert any(found.severity == "warning" for found in findings(rows)) == speaks


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_evaluations_alone_of_which_none_is_finite(assert_finds: Any, findings: Any, run: Any, value: float) -> None:
    assert_finds(run(range(1, 5), eval_loss=[value] * 4), "non-finite-loss")
    assert not findings(run(range(1, 4), eval_loss=[value] * 3))
