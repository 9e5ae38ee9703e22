"""`learning-rate-schedule` speaks of rates that are not what was declared, and knows the schedules that people use."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

RULE = "learning-rate-schedule"
CONFIG = {"max_steps": 1000, "learning_rate": 1e-3, "warmup_steps": 50}
AT = np.arange(1000)
WARM = np.minimum(1, (AT + 1) / 50)


def cosine(horizon: int, floor: float = 0.1) -> np.ndarray:
    """Warm-up and cosine decay to a floor, laid over `horizon` steps."""
    share = np.minimum(1, AT / horizon)
    return np.asarray(1e-3 * WARM * (floor + (1 - floor) * 0.5 * (1 + np.cos(np.pi * share))))


def learned(rate: np.ndarray) -> np.ndarray:
    """A loss that falls with the rate that was spent, and stands where there is none."""
    noise = np.random.default_rng(0).normal(0, 0.02, rate.size)
    return np.asarray(2 + 3.5 * (1 + np.cumsum(rate) / 0.02) ** -0.6 + noise)


def test_a_rate_that_collapses_is_known_in_time(assert_finds: Any, run: Any) -> None:
    rate = cosine(1000)
    rate[300:] = 0.0
    finding = assert_finds(run(train_loss=learned(rate), lr=rate), RULE, config=CONFIG)
    assert (finding.first_step, str(finding.severity)) == (300, "warning")
    assert finding.detected_step <= 400


@pytest.mark.parametrize("horizon", [100, 250])
def test_a_horizon_far_too_short(assert_finds: Any, run: Any, horizon: int) -> None:
    rate = cosine(horizon)
    finding = assert_finds(run(train_loss=learned(rate), lr=rate), RULE, config=CONFIG)
    assert abs(finding.first_step - horizon) <= 10
    assert finding.detected_step <= horizon + 400


def test_a_declared_warm_up_that_did_not_happen(assert_finds: Any, run: Any) -> None:
    rate = cosine(1000) / WARM
    finding = assert_finds(run(train_loss=learned(rate), lr=rate), RULE, config=CONFIG)
    assert "No warm-up" in finding.title
    assert finding.detected_step <= 60


def test_a_warm_up_that_does_not_end(assert_finds: Any, run: Any) -> None:
    rate = 1e-3 * (AT + 1) / 50_000
    assert "still rises" in assert_finds(run(train_loss=learned(rate), lr=rate), RULE, config=CONFIG).title


def test_a_rate_that_still_rises_without_a_declared_warm_up_is_a_note(findings: Any, run: Any) -> None:
    rate = 1e-3 * (AT + 1) / 1000
    found = [f for f in findings(run(train_loss=learned(rate), lr=rate), {"max_steps": 1000}) if f.rule == RULE]
    assert [str(f.severity) for f in found] == ["info"]


def test_a_rate_far_from_the_declared_one_is_a_note(findings: Any, run: Any) -> None:
    rate = 30 * cosine(1000)
    found = [f for f in findings(run(train_loss=learned(rate), lr=rate), CONFIG) if f.rule == RULE]
    assert [str(f.severity) for f in found] == ["info"]


RESTARTS = 1e-3 * WARM * (0.5 * (1 + np.cos(np.pi * (AT % 250) / 250)) + 1e-6)
HEALTHY = {
    "cosine": cosine(1000),
    "cosine to nothing": cosine(1000, floor=0.0),
    "linear to nothing": 1e-3 * WARM * (1 - AT / 1000),
    "constant": 1e-3 * WARM,
    "warm-up, stable, decay": 1e-3 * WARM * np.minimum(1, (1000 - AT) / 150),
    "warm restarts": RESTARTS,
    "one step down by ten": 1e-3 * WARM * np.where(AT < 300, 1, 0.1),
    "three steps down by ten": 1e-3 * WARM * 10.0 ** -(AT // 330),
    "exponential": 1e-3 * WARM * 0.997**AT,
    "inverse square root": 1e-3 * WARM * np.sqrt(50 / np.maximum(50, AT)),
}


@pytest.mark.parametrize("name", HEALTHY)
@pytest.mark.parametrize("every", [1, 5])
def test_schedules_that_people_use_are_silent(assert_silent: Any, run: Any, name: str, every: int) -> None:
    rate = HEALTHY[name]
    events = run(AT[::every], train_loss=learned(rate)[::every], lr=rate[::every])
    assert_silent(events, RULE, config=CONFIG)


@pytest.mark.parametrize("config", [{}, {"learning_rate": 1e-3}, {"max_steps": 100_000}])
def test_without_a_plan_that_it_belies_nothing_is_claimed(assert_silent: Any, run: Any, config: Any) -> None:
    rate = cosine(1000, floor=0.0)
    assert_silent(run(train_loss=learned(rate), lr=rate), RULE, config=config)


def test_a_fine_tune_that_starts_at_its_peak_is_silent(assert_silent: Any, run: Any) -> None:
    rate = 2e-5 * (1 - AT / 1000)
    assert_silent(run(train_loss=learned(rate), lr=rate), RULE, config={"max_steps": 1000, "learning_rate": 2e-5})


def test_rates_printed_with_four_decimals_are_silent(assert_silent: Any, run: Any) -> None:
    rate = cosine(1000) / 10
    loss = learned(10 * rate)
    assert_silent(run(train_loss=loss, lr=np.round(rate, 4)), RULE, config={"max_steps": 1000})


def test_a_logged_multiplier_is_not_a_rate(assert_silent: Any, run: Any) -> None:
    rate = WARM * 1.0
    assert_silent(run(train_loss=learned(1e-3 * rate), lr=rate), RULE, config=CONFIG)
