"""The textbook's own curves, in every form in which they may come: few points, any steps, any names."""

from __future__ import annotations

import math
from typing import Any

import pytest

HEALTHY = (
    [4.2, 3.8, 3.3, 2.9, 2.5, 2.2, 1.9, 1.7, 1.6, 1.5],
    [4.3, 3.9, 3.5, 3.1, 2.7, 2.5, 2.3, 2.2, 2.1, 2.1],
)
OVERFIT = (
    [4.2, 3.5, 2.8, 2.1, 1.5, 1.0, 0.6, 0.3, 0.15, 0.05],
    [4.3, 3.6, 3.0, 2.7, 2.6, 2.7, 2.9, 3.2, 3.5, 3.9],
)
BLOWN = [4.2, 5.1, 3.8, 6.2, 4.5, 7.8, 5.2, math.inf, math.nan, math.nan]
SLOW_STEPS, SLOW = [1, 10, 100, 500, 1000, 5000], [8.52, 8.51, 8.49, 8.47, 8.45, 8.40]
STEPS = [range(10), range(1, 11), range(0, 1000, 100), range(100, 1100, 100), range(0, 50_000, 5000)]
NAMES = [
    ("train_loss", "val_loss"),
    ("train/loss", "val/loss"),
    ("loss", "eval_loss"),
    ("Train Loss", "Validation Loss"),
]

each_steps = pytest.mark.parametrize("steps", STEPS, ids=str)
each_name = pytest.mark.parametrize("names", NAMES, ids=str)


@each_steps
@each_name
def test_healthy_pair_gives_no_finding(findings: Any, run: Any, steps: range, names: tuple[str, str]) -> None:
    assert findings(run(steps, **dict(zip(names, HEALTHY, strict=True)))) == []


@each_steps
@pytest.mark.parametrize("which", [0, 1])
def test_each_healthy_curve_alone_gives_no_finding(findings: Any, run: Any, steps: range, which: int) -> None:
    for name in ("train_loss", "val_loss", "loss"):
        assert findings(run(steps, **{name: HEALTHY[which]})) == []


@each_steps
@pytest.mark.parametrize("vocab", [50, 65, 75, 100, 5000, 50257])
def test_healthy_pair_stays_healthy_whatever_the_config_says(findings: Any, run: Any, steps: range, vocab: int) -> None:
    events = run(steps, train_loss=HEALTHY[0], val_loss=HEALTHY[1])
    assert findings(events, {"vocab_size": vocab, "max_steps": max(steps), "learning_rate": 3e-4}) == []


@each_steps
@each_name
def test_overfitting_pair(assert_finds: Any, findings: Any, run: Any, steps: range, names: tuple[str, str]) -> None:
    events = run(steps, **dict(zip(names, OVERFIT, strict=True)))
    finding = assert_finds(events, "overfitting")
    assert [f.rule for f in findings(events) if f.severity != "info"] == ["overfitting"]
    assert steps[6] <= finding.detected_step <= steps[8], "within four evaluations of the minimum at the fifth"
    assert finding.first_step == steps[5]
    assert f"{steps[4]:,}" in finding.title, "the best checkpoint is named"


def test_overfitting_pair_written_as_two_events_a_step(assert_finds: Any) -> None:
    events: list[dict[str, Any]] = []
    for step, (train, val) in enumerate(zip(*OVERFIT, strict=True)):
        events += [{"loss": train, "step": step}, {"eval_loss": val, "step": step}]
    assert_finds(events, "overfitting")


@each_steps
def test_validation_alone_that_climbs_for_long_is_overfitting(assert_finds: Any, run: Any, steps: range) -> None:
    assert assert_finds(run(steps, val_loss=OVERFIT[1]), "overfitting").confidence < 0.9


@each_steps
@pytest.mark.parametrize("name", ["train_loss", "loss", "train/loss"])
def test_blown_up_loss_is_non_finite_with_the_rate_as_first_cause(
    findings: Any, run: Any, steps: range, name: str
) -> None:
    first = findings(run(steps, **{name: BLOWN}))[0]
    assert (first.rule, str(first.severity)) == ("non-finite-loss", "critical")
    assert first.because is None
    assert first.detected_step == first.first_step == steps[7]
    assert "learning rate" in first.causes[0].cause
    assert first.remedies[0].patch == {"learning_rate": "×0.1"}


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_every_kind_of_non_finite_is_found_at_once(assert_finds: Any, run: Any, bad: float) -> None:
    finding = assert_finds(run(train_loss=[3.0, 2.9, bad]), "non-finite-loss")
    assert finding.detected_step == 2


def test_swings_alone_are_the_learning_rate(assert_finds: Any, run: Any) -> None:
    assert_finds(run(train_loss=BLOWN[:7]), "learning-rate-too-high", "divergence")


@pytest.mark.parametrize("name", ["train_loss", "loss", "val_loss"])
@pytest.mark.parametrize(
    "config", [{"vocab_size": 5000}, {"model": {"vocab_size": 5000}}, {"vocab": "5000"}, {}], ids=str
)
def test_slow_exercise(assert_finds: Any, run: Any, config: dict[str, Any], name: str) -> None:
    events = run(SLOW_STEPS, **{name: SLOW})
    finding = assert_finds(events, "learning-rate-too-low", "loss-not-decreasing", config=config)
    assert "too low" in finding.causes[0].cause


def test_slow_exercise_with_more_points(assert_finds: Any, run: Any) -> None:
    steps = list(range(0, 5001, 50))
    losses = [8.52 - 0.12 * step / 5000 for step in steps]
    assert_finds(run(steps, train_loss=losses), "learning-rate-too-low", config={"vocab_size": 5000})


@pytest.mark.parametrize(
    "norms",
    [
        [10, 100, 1000],
        [1, 10, 100, 1000],
        [0.8, 1.1, 0.9, 10, 100, 1000],
        [2, 10, 50, 250, 1250],
        [1.0] * 30 + [10, 100, 1000],
    ],
    ids=str,
)
def test_exploding_gradients(assert_finds: Any, run: Any, norms: list[float]) -> None:
    assert_finds(run(grad_norm=norms), "exploding-gradients")
    assert_finds(run(grad_norm=norms, train_loss=[3.0 - 0.02 * at for at in range(len(norms))]), "exploding-gradients")


@pytest.mark.parametrize("count", [3, 4, 5, 6, 8])
@pytest.mark.parametrize(
    "losses", [[4.2] * 8, [4.2, 4.19, 4.21, 4.2, 4.19, 4.2, 4.21, 4.2], [2.5, 2.49, 2.5, 2.51, 2.5, 2.5, 2.5, 2.5]]
)
def test_vanishing_gradients(assert_finds: Any, run: Any, losses: list[float], count: int) -> None:
    norms = [0.1 / 10**at for at in range(count)]
    assert_finds(run(train_loss=losses[:count], grad_norm=norms), "vanishing-gradients")


def test_shrinking_gradients_of_a_run_that_learns_are_fine(findings: Any, run: Any) -> None:
    events = run(train_loss=[4.2, 3.0, 1.8, 0.8, 0.2], grad_norm=[0.1, 0.01, 0.001, 0.0001, 0.00001])
    assert [finding.rule for finding in findings(events)] == []
