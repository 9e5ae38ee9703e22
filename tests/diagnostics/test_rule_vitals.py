"""`update-ratio` and `gpu-memory-pressure`: what they see, and what is usual."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest


@pytest.mark.parametrize("level", [0.2, 1.0, 3e-6, 1e-9])
def test_a_ratio_far_from_a_thousandth_is_a_note(findings: Any, run: Any, level: float) -> None:
    found = findings(run(update_ratio=[level] * 30))
    assert [(f.rule, str(f.severity)) for f in found] == [("update-ratio", "info")]


@pytest.mark.parametrize("level", [5e-5, 5e-4, 1e-3, 0.02])
def test_usual_ratios_are_silent(assert_silent: Any, run: Any, level: float) -> None:
    noise = np.exp(np.random.default_rng(0).normal(0, 0.4, 100))
    assert_silent(run(update_ratio=level * noise), "update-ratio")


def test_the_first_large_steps_are_silent(assert_silent: Any, run: Any) -> None:
    assert_silent(run(update_ratio=[0.4, 0.3, 0.2, 0.1] + [0.01] * 40), "update-ratio")


def test_the_end_of_a_decay_is_silent(assert_silent: Any, run: Any) -> None:
    rate = np.concatenate([np.full(50, 1e-3), np.full(50, 1e-7)])
    assert_silent(run(update_ratio=rate, lr=rate), "update-ratio")


FLAT, RATE = 4.15 + 0.01 * np.random.default_rng(3).standard_normal(80), np.full(80, 2e-3)
MODEL = {"vocab_size": 65, "max_steps": 800, "learning_rate": 2e-3}


def moved(run: Any, times: float, loss: Any = FLAT, rate: Any = RATE, first: int = 20) -> list[dict[str, Any]]:
    """A run whose update ratio is measured at every 20th step, so many times the rate."""
    rows = run(train_loss=loss, lr=rate)
    ratio = [
        {"update_ratio": float(times * rate[at])} if at >= first and at % 20 == 0 else {} for at in range(len(rows))
    ]
    return [{**row, **more} for row, more in zip(rows, ratio, strict=True)]


def test_weights_that_hardly_move_with_a_loss_that_gains_nothing_are_not_trained(assert_finds: Any, run: Any) -> None:
    finding = assert_finds(moved(run, 3.0), "update-ratio", config=MODEL)
    assert finding.detected_step <= 42
    assert finding.causes[0].cause == "most of the model is not trained"


def test_weights_that_move_as_a_whole_or_a_loss_that_falls_are_silent(findings: Any, run: Any) -> None:
    def spoke(events: list[dict[str, Any]], config: Any = MODEL) -> bool:
        return "update-ratio" in [f.rule for f in findings(events, config) if f.severity != "info"]

    falls = 4.17 - 0.01 * np.arange(80)
    assert not spoke(moved(run, 15.0))
    assert not spoke(moved(run, 3.0, falls)), "large weights move by less of their size"
    assert not spoke(moved(run, 3.0, FLAT + 2.0 * np.exp(-np.arange(80) / 9))), "weights that began far too large"
    assert not spoke(moved(run, 3.0, FLAT / 2)), "a fine-tune may have nothing to learn"
    assert not spoke(moved(run, 3.0, rate=np.full(80, 0.1)), {**MODEL, "learning_rate": 0.1}), "too high, or no Adam"
    assert not spoke(moved(run, 3.0), {**MODEL, "optimizer": "sgd"})


def test_memory_that_grows_until_it_is_nearly_full(assert_finds: Any, run: Any) -> None:
    used = np.linspace(10, 23, 600)
    finding = assert_finds(run(gpu_memory_gib=used, gpu_memory_total_gib=[24.0] * 600), "gpu-memory-pressure")
    assert str(finding.severity) == "warning"
    assert "kept" in finding.causes[0].cause
    assert used[finding.detected_step] < 22


def test_memory_that_is_full_and_steady_is_a_note(findings: Any, run: Any) -> None:
    found = findings(run(gpu_memory_gib=[23.5] * 400, gpu_memory_total_gib=[24.0] * 400))
    assert [str(f.severity) for f in found] == ["info"]


@pytest.mark.parametrize("level", [4.0, 20.0, 22.5])
def test_memory_that_is_steady_is_silent(assert_silent: Any, run: Any, level: float) -> None:
    used = level + np.random.default_rng(1).uniform(0, 0.2, 600)
    assert_silent(run(gpu_memory_gib=used, gpu_memory_total_gib=[24.0] * 600), "gpu-memory-pressure")


def test_a_peak_that_grows_at_the_start_alone_is_silent(assert_silent: Any, run: Any) -> None:
    used = np.concatenate([np.linspace(5, 22, 60), np.full(540, 22.0)])
    assert_silent(run(gpu_memory_gib=used, gpu_memory_total_gib=[24.0] * 600), "gpu-memory-pressure")


def test_growth_far_from_the_limit_is_silent(assert_silent: Any, run: Any) -> None:
    assert_silent(run(gpu_memory_gib=np.linspace(2, 12, 600), gpu_memory_total_gib=[24.0] * 600), "gpu-memory-pressure")


def test_small_weights_that_grow_at_once_are_no_frozen_ones(findings: Any, run: Any) -> None:
    """Of a dozen tokens it is worth next to nothing how often each occurs: the ratio alone tells, and falls as weights grow."""
    rate = np.full(80, 5e-3)
    digits = {"vocab_size": 13, "max_steps": 800, "learning_rate": 5e-3}
    loss = 2.56 + 0.01 * np.random.default_rng(3).standard_normal(80)

    def spoke(times: float) -> bool:
        return bool(
            {"update-ratio", "loss-not-decreasing"}
            & {f.rule for f in findings(moved(run, times, loss, rate)[:60], digits)}
        )

    assert not spoke(3.8)
    assert spoke(1.7)
