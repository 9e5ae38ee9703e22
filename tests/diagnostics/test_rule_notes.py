"""`gradient-clip-saturation` and `underfitting`: what they see, and the healthy runs that they leave alone."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

CLIP, UNDER = "gradient-clip-saturation", "underfitting"


def learning(n: int, start: float, floor: float, scale: float = 60.0, seed: int = 0) -> np.ndarray:
    """A loss that comes down to a floor, with noise."""
    noise = np.random.default_rng(seed).normal(0, 0.01, n)
    return np.asarray(floor + (start - floor) * (1 + np.arange(n) / scale) ** -0.7 + noise)


def norms(n: int, level: float) -> np.ndarray:
    """Log-normal gradient norms."""
    return np.asarray(level * np.exp(np.random.default_rng(1).normal(0, 0.3, n)))


def test_clipping_every_step_from_scratch_is_a_note(findings: Any, run: Any) -> None:
    events = run(train_loss=learning(400, math.log(256), 1.5), grad_norm=norms(400, 20))
    found = [f for f in findings(events, {"vocab_size": 256, "grad_clip": 1.0}) if f.rule == CLIP]
    assert [str(f.severity) for f in found] == ["info"]
    assert found[0].evidence[0].limit == 1.0


@pytest.mark.parametrize(
    ("level", "config"),
    [
        (0.8, {"vocab_size": 256, "grad_clip": 1.0}),
        (3.0, {"vocab_size": 256, "grad_clip": 1.0}),
        (20.0, {"vocab_size": 256}),
        (20.0, {"vocab_size": 256, "grad_clip": 0.0}),
        (20.0, {"vocab_size": 256, "grad_clip": 1.0, "model_name_or_path": "gpt2"}),
    ],
)
def test_usual_norms_no_clip_and_fine_tunes_are_silent(assert_silent: Any, run: Any, level: float, config: Any) -> None:
    events = run(train_loss=learning(400, math.log(256), 1.5), grad_norm=norms(400, level))
    assert_silent(events, CLIP, config=config)


def test_an_adapter_that_clips_all_the_time_is_silent(assert_silent: Any, run: Any) -> None:
    events = run(loss=learning(400, 1.8, 1.1), grad_norm=norms(400, 20))
    assert_silent(events, CLIP, config={"vocab_size": 32_000, "max_grad_norm": 0.3})


STEPS = range(0, 6000, 10)
BIG = {"vocab_size": 50_257, "max_steps": 6000}


def pair(floor: float, scale: float, gap: float = 0.01) -> dict[str, np.ndarray]:
    """Both losses of a run that comes down from ln of 50,257 to a floor."""
    train = learning(600, math.log(50_257), floor, scale)
    return {"train_loss": train, "val_loss": train + gap}


def stuck(n: int = 600, level: float = 7.5) -> np.ndarray:
    """A loss that learns how often tokens occur within 300 steps, and nothing else."""
    noise = np.random.default_rng(2).normal(0, 0.01, n)
    return np.asarray(level + (math.log(50_257) - level) * np.exp(-np.arange(n) / 10) + noise)


def test_a_loss_that_stays_at_the_frequencies(assert_finds: Any, run: Any) -> None:
    loss = stuck()
    finding = assert_finds(run(STEPS, train_loss=loss, val_loss=loss + 0.02), UNDER, config=BIG)
    assert finding.detected_step <= 3200, "half of the plan, and soon after"
    assert {e.series for e in finding.evidence} == {"train_loss", "val_loss"}


@pytest.mark.parametrize("config", [{}, {"vocab_size": 256}, {"vocab_size": 50_257, "resume": "run:last"}])
def test_without_a_reference_nothing_is_said(assert_silent: Any, findings: Any, run: Any, config: Any) -> None:
    loss = stuck()
    found = findings(run(STEPS, train_loss=loss, val_loss=loss), config)
    assert UNDER not in {f.rule for f in found}


@pytest.mark.parametrize(("floor", "scale"), [(2.8, 30), (3.5, 60), (4.5, 20), (2.8, 200)])
def test_runs_that_learn_are_silent(assert_silent: Any, run: Any, floor: float, scale: float) -> None:
    assert_silent(run(STEPS, **pair(floor, scale)), UNDER, config=BIG)


def test_a_loss_that_is_still_coming_down_is_silent(assert_silent: Any, run: Any) -> None:
    loss = 10.8 - 3.0 * np.linspace(0, 1, 600) + np.random.default_rng(3).normal(0, 0.01, 600)
    assert_silent(run(STEPS, train_loss=loss, val_loss=loss), UNDER, config=BIG)


def test_a_gap_is_not_underfitting(findings: Any, run: Any) -> None:
    loss = stuck()
    found = findings(run(STEPS, train_loss=loss, val_loss=loss + 1.0), BIG)
    assert UNDER not in {f.rule for f in found}


def test_before_half_of_the_plan_nothing_is_said(findings: Any, run: Any) -> None:
    loss = stuck()
    found = findings(run(STEPS, train_loss=loss, val_loss=loss), {**BIG, "max_steps": 100_000})
    assert UNDER not in {f.rule for f in found}
