"""`loss-spike` where less than the usual rise is enough: all that was learned is lost, an evaluation agrees, or points come in pairs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

AT = np.arange(200)
NOISE = 0.03 * np.random.default_rng(7).standard_normal(200)
LITTLE = 2.60 - 0.0015 * np.minimum(AT, 120)
"""A text of which hardly a fourteenth can be learned."""
MUCH = 2.4 + 2.6 * np.exp(-AT / 15)


def hit(levels: Any, by: float, points: int, at: int = 120) -> Any:
    return levels + NOISE + np.where((at <= AT) & (at + points > AT), by, 0.0)


def evaluated(rows: list[dict[str, Any]], levels: dict[int, float]) -> list[dict[str, Any]]:
    return [{**row, **({"val_loss": levels[step]} if step in levels else {})} for step, row in enumerate(rows)]


def test_a_run_that_is_back_where_it_began_has_lost_all_though_it_is_a_tenth(assert_finds: Any, run: Any) -> None:
    finding = assert_finds(run(train_loss=hit(LITTLE, 0.26, 12))[:132], "loss-spike")
    assert finding.first_step == 120
    assert finding.detected_step <= 126


@pytest.mark.parametrize(
    "levels",
    [LITTLE + 0.14 * np.exp(-AT / 3), np.where(AT < 100, 2.6, 2.56)],
    ids=["half of it", "nothing was learned"],
)
def test_less_than_all_or_what_was_hardly_learned_stays_unsaid(findings: Any, run: Any, levels: Any) -> None:
    by = 0.26 if levels[0] > 2.7 else 0.12
    assert "loss-spike" not in [finding.rule for finding in findings(run(train_loss=hit(levels, by, 12))[:132])]


def test_an_evaluation_at_its_best_denies_it(findings: Any, run: Any) -> None:
    rows = evaluated(run(train_loss=hit(LITTLE, 0.26, 12))[:132], {0: 2.6, 60: 2.52, 110: 2.44, 121: 2.42})
    assert "loss-spike" not in [finding.rule for finding in findings(rows)]


@pytest.mark.parametrize(("evaluation", "told"), [(2.62, True), (2.47, False)])
def test_an_eighth_is_enough_where_an_evaluation_rose_with_it(
    findings: Any, run: Any, evaluation: float, told: bool
) -> None:
    rows = evaluated(run(train_loss=hit(MUCH, 0.29, 12))[:132], {0: 5.0, 60: 2.5, 100: 2.45, 128: evaluation})
    loud = [finding.rule for finding in findings(rows) if finding.severity != "info"]
    assert ("loss-spike" in loud) == told


def test_validation_that_has_long_stood_high_is_no_witness(findings: Any, run: Any) -> None:
    high = {0: 5.0, 40: 2.5, 60: 2.6, 80: 2.65, 100: 2.7, 128: 2.7}
    rows = evaluated(run(train_loss=hit(MUCH, 0.29, 12))[:132], high)
    assert "loss-spike" not in [finding.rule for finding in findings(rows) if finding.severity != "info"]


def test_a_restart_of_the_rate_lifts_both(findings: Any, run: Any) -> None:
    rate = np.where(AT < 120, 1e-3 * (1 + np.cos(np.pi * AT / 120)), 2e-3) + 1e-6
    rows = run(train_loss=hit(MUCH, 0.29, 12), lr=rate)[:132]
    assert "loss-spike" not in [finding.rule for finding in findings(evaluated(rows, {0: 5.0, 60: 2.5, 128: 2.62}))]


@pytest.mark.parametrize(("over", "told"), [(116, True), (140, False)])
def test_a_warm_up_that_is_long_over_is_no_restart(findings: Any, run: Any, over: int, told: bool) -> None:
    """It lies within the points that the level is taken from, but lifts nothing any more once it has been over for a while."""
    rows = run(train_loss=hit(MUCH, 0.29, 12), lr=1e-3 * np.minimum(1.0, (AT + 1) / over))[:132]
    loud = [
        found.rule
        for found in findings(evaluated(rows, {0: 5.0, 60: 2.5, 100: 2.45, 128: 2.62}))
        if found.severity != "info"
    ]
    assert ("loss-spike" in loud) == told


def test_pairs_of_points_that_come_again_are_no_outliers(assert_finds: Any, findings: Any, run: Any) -> None:
    twice = hit(MUCH, 2.0, 2) + np.where((AT >= 150) & (AT < 152), 2.0, 0.0)
    assert assert_finds(run(train_loss=twice)[:155], "loss-spike").detected_step == 151
    once = [finding.rule for finding in findings(run(train_loss=hit(MUCH, 2.0, 2))[:155])]
    assert "loss-spike" not in once
    singles = hit(MUCH, 0.0, 0) + np.where((AT > 60) & (AT % 7 == 0), 2.0, 0.0)
    singles[[121, 151]] += 2.0  # beside others by chance
    alone = [finding.rule for finding in findings(run(train_loss=singles)[:155]) if finding.severity != "info"]
    assert "loss-spike" not in alone


def test_losses_near_zero_double_without_a_word(assert_silent: Any, run: Any) -> None:
    """A policy's loss, or that of short completions known by heart: pairs of points many times the level are nothing there."""
    losses = 0.004 + np.abs(np.random.default_rng(2).normal(0, 0.0005, 200))
    for at in (80, 81, 140, 141):
        losses[at] = 0.03
    assert_silent(run(train_loss=losses), "loss-spike")
