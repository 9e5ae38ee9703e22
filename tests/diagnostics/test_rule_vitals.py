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
