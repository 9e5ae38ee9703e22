"""`overfitting` where validation rests: its lowest evaluation is lucky, and it wanders; validation that really turns is told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

EVERY, EVALUATIONS = 10, 40
AT = np.arange(EVERY * EVALUATIONS)
TRAIN = 0.48 - 0.16 * AT / AT.size + 1.5 * np.exp(-AT / 25)
RESTS = 0.45 + 1.4 * np.exp(-np.arange(EVALUATIONS) / 2)


def story(run: Any, val: Any, seed: int, noise: float = 0.01) -> list[dict[str, Any]]:
    """A training loss that goes on falling by a third, and these evaluations, each with its noise."""
    luck = np.random.default_rng(seed)
    rows = run(loss=TRAIN * luck.normal(1, 0.05, AT.size))
    for row, value in zip(rows[EVERY - 1 :: EVERY], val * luck.normal(1, noise, len(val)), strict=True):
        row["eval_loss"] = float(value)
    return rows


def told(findings: Any, events: Any) -> bool:
    return any(finding.rule == "overfitting" for finding in findings(events))


def test_the_lowest_of_many_evaluations_at_rest_is_lucky(findings: Any, run: Any) -> None:
    """By two hundredths, where each has one of noise: fourteen of these twenty were called overfitting for it."""
    assert sum(told(findings, story(run, RESTS, seed)) for seed in range(20)) <= 2


@pytest.mark.parametrize("seed", range(6))
def test_what_climbs_in_the_same_noise_is_told(assert_finds: Any, run: Any, seed: int) -> None:
    climbs = RESTS * (1 + 0.006 * np.clip(np.arange(EVALUATIONS) - 20, 0, None))
    assert assert_finds(story(run, climbs, seed), "overfitting").detected_step <= EVERY * 33


def wander(*tops: tuple[int, float]) -> Any:
    """Validation that rises and comes back: (evaluation, share) of each top; six evaluations up, six down."""
    at = np.arange(EVALUATIONS)
    return RESTS * (1 + sum(share * np.clip(1 - abs(at - top) / 6, 0, 1) for top, share in tops))


def test_a_climb_like_one_that_came_back_before_is_waited_on(findings: Any, run: Any) -> None:
    falls = np.linspace(0.50, 0.40, AT.size)

    def speaks(*tops: tuple[int, float]) -> bool:
        events = story(run, wander(*tops), 1, noise=0.003)
        for row, level in zip(events, falls * np.random.default_rng(2).normal(1, 0.03, AT.size), strict=True):
            row["loss"] = float(level)
        found = findings(events[: EVERY * 37])
        return any(finding.rule == "overfitting" and finding.status == "open" for finding in found)

    assert speaks((35, 0.07))
    assert not speaks((20, 0.08), (35, 0.07))
    assert speaks((20, 0.03), (35, 0.12))
