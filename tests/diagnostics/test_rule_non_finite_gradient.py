"""`non-finite-gradient` speaks of gradients that stay NaN or infinite, and lets a loss scaler do its work."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

RULE = "non-finite-gradient"


def falling(n: int) -> np.ndarray:
    """A loss that improves all the time."""
    return np.asarray(2 + 6 * (1 + np.arange(n) / 30) ** -0.6 + np.random.default_rng(0).normal(0, 0.01, n))


def standing(n: int, at: int) -> np.ndarray:
    """A loss that falls until a point and stands from there on."""
    loss = falling(n)
    loss[at:] = loss[at] + np.random.default_rng(1).normal(0, 0.01, n - at)
    return loss


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("at", [40, 300])
def test_five_in_a_row_are_critical_at_the_fifth(assert_finds: Any, run: Any, bad: float, at: int) -> None:
    grad = np.ones(at + 30)
    grad[at:] = bad
    finding = assert_finds(run(train_loss=standing(at + 30, at), grad_norm=grad), RULE)
    assert str(finding.severity) == "critical"
    assert finding.first_step == at
    assert at + 4 <= finding.detected_step <= at + 8
    assert not math.isfinite(finding.evidence[0].observed)


def test_without_a_loss_it_speaks_all_the_same(assert_finds: Any, run: Any) -> None:
    assert_finds(run(grad_norm=[1.0] * 30 + [math.nan] * 6), RULE)


def test_five_of_twenty_with_a_loss_that_stands_are_critical(assert_finds: Any, run: Any) -> None:
    grad = np.ones(200)
    grad[[101, 104, 106, 111, 113, 118, 122, 124, 131, 133]] = math.inf
    finding = assert_finds(run(train_loss=standing(200, 90), grad_norm=grad), RULE)
    assert "5 of the last 20" in finding.title or "of the last 20" in finding.title


def test_skipped_steps_that_cost_but_do_not_stop_the_run_are_a_warning(findings: Any, run: Any) -> None:
    grad = np.ones(600)
    grad[np.isin(np.arange(600) % 7, (0, 2, 5))] = math.inf
    loss = 8 - 0.01 * np.arange(600)
    (found,) = (f for f in findings(run(train_loss=loss, grad_norm=grad)) if f.rule == RULE)
    assert str(found.severity) == "warning"


def test_a_search_that_never_ends_is_told(assert_finds: Any, run: Any) -> None:
    scale = 65536.0 * 0.5 ** np.arange(60)
    events = run(train_loss=[5.5] * 60, grad_norm=[math.inf] * 60, loss_scale=scale)
    finding = assert_finds(events, RULE)
    assert "16-bit" in finding.causes[0].cause


def test_a_nan_loss_and_a_hidden_nan_explain_it(findings: Any, run: Any) -> None:
    grad = [1.0] * 40 + [math.nan] * 20
    for loss in ([3.0] * 40 + [math.nan] * 20, [3.0, 2.9] * 20 + [0.0] * 20):
        found = findings(run(train_loss=loss, grad_norm=grad))
        assert found[0].rule != RULE
        assert next(f for f in found if f.rule == RULE).because


@pytest.mark.parametrize("skipped", [1, 8, 16, 25])
def test_a_loss_scaler_searching_at_the_start_is_silent(findings: Any, run: Any, skipped: int) -> None:
    grad = np.ones(200)
    grad[:skipped] = math.inf
    assert RULE not in {f.rule for f in findings(run(train_loss=falling(200), grad_norm=grad))}


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("every", [7, 50])
def test_a_step_skipped_now_and_then_is_silent(assert_silent: Any, run: Any, bad: float, every: int) -> None:
    grad = np.ones(800)
    grad[every::every] = bad
    assert_silent(run(train_loss=falling(800), grad_norm=grad), RULE)


@pytest.mark.parametrize("every", [2, 4, 10, 50])
def test_a_table_with_a_norm_in_every_kth_row_is_silent(findings: Any, run: Any, every: int) -> None:
    grad = np.full(400, math.nan)
    grad[::every] = 1.0
    assert RULE not in {f.rule for f in findings(run(train_loss=falling(400), grad_norm=grad))}


def test_a_norm_that_was_never_measured_while_the_loss_falls_is_silent(findings: Any, run: Any) -> None:
    found = findings(run(train_loss=falling(300), grad_norm=[math.nan] * 300))
    assert RULE not in {f.rule for f in found}


def test_four_in_a_row_are_silent(assert_silent: Any, run: Any) -> None:
    grad = np.ones(300)
    grad[100:104] = math.inf
    assert_silent(run(train_loss=falling(300), grad_norm=grad), RULE)


@pytest.mark.parametrize(("began", "level", "speaks"), [(1.95, 7.14, True), (0.004, 7.14, False), (1.95, 1.2, False)])
def test_a_few_lines_from_the_middle_of_a_run(
    findings: Any, run: Any, began: float, level: float, speaks: bool
) -> None:
    """There is no search in them; but at a loss that a healthy run may rest at, the norm may never have been measured."""
    loss = level + np.array([0.0, 0.001, 0.012, -0.009, 0.019, 0.028])
    rows = run(loss=loss, grad_norm=[math.nan] * 6, epoch=began + 0.004 * np.arange(6))
    assert (RULE in {f.rule for f in findings(rows)}) is speaks
