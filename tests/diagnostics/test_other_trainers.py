"""What other trainers' healthy runs look like and are not called sick for, each beside the sick one that it resembles."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from diagnostics import Engine

LUCK = np.random.default_rng(5)


def loud(found: list[Any], rule: str) -> bool:
    return any(finding.rule == rule and finding.severity != "info" for finding in found)


@pytest.mark.parametrize(
    ("classes", "first", "speaks"), [(5, 2.02, False), (5, 2.6, True), (65, 4.7, False), (65, 5.6, True)]
)
def test_a_first_loss_above_that_of_few_classes(
    findings: Any, run: Any, classes: int, first: float, speaks: bool
) -> None:
    """Usual random weights cost some tenths of a nat above ln k: much of ln 5, little of ln 65."""
    losses = first - 0.02 * np.arange(12)
    rows = run(range(0, 48, 4), loss=losses, lr=[1e-3] * 12)
    assert loud(findings(rows, {"vocab_size": classes}), "initial-loss") == speaks


@pytest.mark.parametrize(("scale", "speaks"), [(1.0, False), (10.0, True)])
def test_a_rise_of_next_to_nothing(findings: Any, scale: float, speaks: bool) -> None:
    """Preferences that are told apart all but wholly: a loss of 0.035 that becomes 0.05 has lost an answer or two."""
    val = scale * np.array([0.27, 0.14, 0.099, 0.074, 0.066, 0.049, 0.035, 0.046, 0.050])
    train = scale * np.geomspace(0.5, 0.008, 90)
    rows: list[dict[str, Any]] = [{"step": at, "loss": float(loss)} for at, loss in enumerate(train)]
    for at, loss in enumerate(val, 1):
        rows[10 * at - 1]["eval_loss"] = float(loss)
    assert loud(findings(rows), "overfitting") == speaks


@pytest.mark.parametrize(("end", "speaks"), [(2.7, False), (0.4, True)])
def test_validation_on_another_text_is_not_overfitted(findings: Any, end: float, speaks: bool) -> None:
    """It never cost less than knowing nothing. But where the run knows its own text by heart, that is why."""
    train = end + (4.6 - end) * np.exp(-np.arange(700) / 60) + LUCK.normal(0, 0.03, 700)
    rows: list[dict[str, Any]] = [{"step": at, "ce": float(loss), "lr": 2e-3} for at, loss in enumerate(train)]
    for at, loss in enumerate((4.80, 4.91, 5.02, 5.11, 5.18, 5.25, 5.31, 5.36, 5.40), 1):
        rows[70 * at]["val_ce"] = loss
    assert loud(findings(rows), "overfitting") == speaks


def test_sums_over_texts_of_all_lengths_begin_at_no_loss_of_knowing_nothing(findings: Any, run: Any) -> None:
    losses = 13 * LUCK.lognormal(0, 0.5, 150)
    rows = run(range(7, 8 * 150, 8), loss=losses)
    engine = Engine()
    engine.observe_all(rows)
    assert loud(findings(rows), "learning-rate-too-low") is False
    assert loud(findings(rows), "loss-not-decreasing") is False


@pytest.mark.parametrize(("peak", "speaks"), [(1e-5, True), (1e-3, False)])
def test_a_rate_of_next_to_nothing_from_the_start_of_characters(
    findings: Any, run: Any, peak: float, speaks: bool
) -> None:
    """A scheduler that is stepped once an epoch stays at the first step of its warm-up; no vocabulary is told."""
    steps = np.arange(0, 800, 5)
    losses = 4.5 - 0.19 * (steps / 800) + LUCK.normal(0, 0.01, steps.size)
    rows = run(steps.tolist(), loss=losses, lr=(peak * (1 + steps // 200) / 4).tolist())
    assert loud(findings(rows), "learning-rate-too-low") == speaks


@pytest.mark.parametrize(("val", "speaks"), [((6.07, 5.59, 5.31, 5.16), False), ((6.60, 6.59, 6.58, 6.58), True)])
def test_a_small_fine_tune_of_few_steps_that_falls(
    findings: Any, run: Any, val: tuple[float, ...], speaks: bool
) -> None:
    """A hundred steps at 2e-5 that move no weight far, and a loss of single batches that hides whether it falls."""
    losses = np.linspace(6.6, 5.6, 10) if not speaks else np.full(10, 6.6) + LUCK.normal(0, 0.02, 10)
    rows = run(range(10, 110, 10), loss=losses, lr=np.linspace(1.8e-5, 0, 10))
    for at, value in enumerate(val, 1):
        rows[2 * at]["eval_loss"] = value
    assert loud(findings(rows, {"max_steps": 100}), "learning-rate-too-low") == speaks


@pytest.mark.parametrize(("factor", "speaks"), [(2.1, True), (1.2, False)])
def test_a_warm_up_that_destroys_what_was_known(findings: Any, run: Any, factor: float, speaks: bool) -> None:
    """A warm-up to a rate that is too high for what was trained before: both losses double, and stay up."""
    at = np.arange(60)
    losses = np.where(at < 12, 0.15, 0.15 * factor) + LUCK.normal(0, 0.008, 60)
    rows = run((25 * at + 25).tolist(), loss=losses, lr=np.minimum(1e-4, 5e-6 * (at + 1)))
    for number, value in enumerate((0.22, *[0.2 * factor] * 5)):
        rows[10 * number + 9]["eval_loss"] = value
    assert loud(findings(rows), "divergence") == speaks
