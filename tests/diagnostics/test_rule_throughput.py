"""`slow-training` and `data-starved`: runs that lose their speed, and healthy ones whose timing jumps about."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

TOKENS = 8192


def timed(seconds: np.ndarray, tokens: float | np.ndarray = TOKENS) -> dict[str, np.ndarray]:
    """Throughput and step time of steps that take so long."""
    return {"tokens_per_second": tokens / seconds, "step_seconds": seconds}


def steady(n: int, level: float = 0.1, seed: int = 0) -> np.ndarray:
    """Step times with the jitter of a machine."""
    return np.asarray(level * np.exp(np.random.default_rng(seed).normal(0, 0.08, n)))


@pytest.mark.parametrize("at", [200, 1500])
def test_a_step_that_takes_six_times_as_long(assert_finds: Any, run: Any, at: int) -> None:
    seconds = steady(at + 200)
    seconds[at:] *= 6
    finding = assert_finds(run(**timed(seconds)), "slow-training")
    assert str(finding.severity) == "warning"
    assert at + 60 <= finding.detected_step <= at + 140
    assert abs(finding.first_step - at) <= 60


def test_steps_that_grow_longer_and_longer(assert_finds: Any, run: Any) -> None:
    assert_finds(run(**timed(steady(900) + 0.002 * np.arange(900))), "slow-training")


def test_few_points_tell_a_quarter_but_no_half(assert_finds: Any, assert_silent: Any, run: Any) -> None:
    for factor, check in ((5.0, assert_finds), (2.5, assert_silent)):
        seconds = steady(100)
        seconds[50:] *= factor
        check(run(range(1, 1001, 10), tokens_per_second=TOKENS / seconds), "slow-training")


def test_half_the_speed_is_a_note(findings: Any, run: Any) -> None:
    seconds = steady(600)
    seconds[300:] *= 2
    found = [f for f in findings(run(**timed(seconds))) if f.rule == "slow-training"]
    assert [str(f.severity) for f in found] == ["info"]


def test_throughput_alone_is_enough(assert_finds: Any, run: Any) -> None:
    speed = TOKENS / steady(500)
    speed[250:] /= 5
    assert_finds(run(**{"throughput(tps)": speed}), "slow-training")


def test_it_is_over_when_the_speed_is_back(findings: Any, run: Any) -> None:
    seconds = steady(900)
    seconds[300:500] *= 5
    (found,) = (f for f in findings(run(**timed(seconds))) if f.rule == "slow-training")
    assert (found.status, str(found.severity)) == ("resolved", "info")


@pytest.mark.parametrize("every", [5, 50])
def test_evaluations_that_take_sixty_steps_are_silent(assert_silent: Any, run: Any, every: int) -> None:
    seconds = steady(800)
    seconds[every::every] *= 60
    assert_silent(run(**timed(seconds)), "slow-training", "data-starved")


def test_a_batch_that_becomes_smaller_is_silent(assert_silent: Any, run: Any) -> None:
    batch = np.where(np.arange(800) < 400, 64.0, 8.0)
    seconds = 0.02 + steady(800) * batch / 64
    assert_silent(run(**timed(seconds, 128 * batch)), "slow-training")


def test_a_ramp_of_the_batch_is_never_more_than_a_note(assert_silent: Any, run: Any) -> None:
    batch = np.repeat([8.0, 16.0, 32.0, 64.0], 200)
    assert_silent(run(**timed(steady(800) * batch / 8, 128 * batch)), "slow-training")
    assert_silent(run(step_seconds=steady(800) * batch / 8))


def test_the_first_steps_are_no_measure(assert_silent: Any, run: Any) -> None:
    seconds = steady(500)
    seconds[:8] /= 50
    assert_silent(run(**timed(seconds)), "slow-training")


@pytest.mark.parametrize("factor", [1.3, 2.5])
def test_a_machine_that_is_shared_for_a_while_is_no_alarm(assert_silent: Any, run: Any, factor: float) -> None:
    seconds = steady(800)
    seconds[200:600] *= factor
    assert_silent(run(**timed(seconds)))


@pytest.mark.parametrize("inside", [True, False])
def test_steps_that_wait_for_their_data(assert_finds: Any, run: Any, inside: bool) -> None:
    wait, work = steady(200, 0.3), steady(200, 0.1, seed=1)
    finding = assert_finds(run(data_seconds=wait, step_seconds=wait + work if inside else work), "data-starved")
    assert str(finding.severity) == "warning"
    assert finding.detected_step <= 80


def test_a_third_of_a_step_is_a_note(findings: Any, run: Any) -> None:
    found = findings(run(data_seconds=steady(200, 0.1), step_seconds=steady(200, 0.28, seed=1)))
    assert [str(f.severity) for f in found if f.rule == "data-starved"] == ["info"]


def test_a_loader_that_starves_explains_the_slow_steps(findings: Any, run: Any) -> None:
    wait = np.where(np.arange(600) < 300, 0.001, 0.9)
    found = findings(run(data_seconds=wait, **timed(steady(600) + wait)))
    assert found[0].rule == "data-starved"
    assert next(f for f in found if f.rule == "slow-training").because


@pytest.mark.parametrize("share", [0.0, 0.02, 0.2])
def test_a_loader_that_keeps_up_is_silent(assert_silent: Any, run: Any, share: float) -> None:
    assert_silent(run(data_seconds=share * steady(300), step_seconds=steady(300, seed=1)), "data-starved")


def test_steps_of_milliseconds_are_silent(assert_silent: Any, run: Any) -> None:
    assert_silent(run(data_seconds=steady(300, 0.002), step_seconds=steady(300, 0.003)), "data-starved")


def test_a_slow_first_batch_and_epoch_borders_are_silent(assert_silent: Any, run: Any) -> None:
    wait = steady(300, 0.002)
    wait[:15] = 5.0
    wait[100::100] = 20.0
    assert_silent(run(data_seconds=wait, step_seconds=steady(300) + wait), "data-starved")


def test_a_busy_device_is_not_starved(assert_silent: Any, run: Any) -> None:
    events = run(data_seconds=steady(200, 0.3), step_seconds=steady(200, 0.4), gpu_utilization=[97.0] * 200)
    assert_silent(events, "data-starved")
