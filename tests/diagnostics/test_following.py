"""Overfitting is told within four evaluations after the best one, and runs that look like it at first are left alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from diagnostics import Engine, Finding, Severity, following
from diagnostics.history import History
from diagnostics.series import SeriesView

EVERY = 20
"""Steps between evaluations."""
SCRATCH = {"vocab_size": 64, "max_steps": 1000}
START = np.log(64)


def events(train: np.ndarray, val: np.ndarray, seed: int = 0, jitter: float = 0.03) -> list[dict[str, Any]]:
    """A run that evaluates at step 0 and then at every twentieth; its training loss is logged at every second step."""
    noise = np.random.default_rng(seed + 1000).normal(0, jitter, EVERY * val.size)
    steps = np.arange(EVERY * (val.size - 1) + 1)
    level = np.interp(steps, EVERY * np.arange(val.size), train)
    rows = []
    for step in steps.tolist():
        row = {"type": "metrics", "step": step}
        if step and step % 2 == 0:
            row["train/loss"] = float(level[step] * (1 + noise[step]))
        if step % EVERY == 0:
            row["val/loss"] = float(val[step // EVERY])
        if len(row) > 2:
            rows.append(row)
    return rows


def learned(evaluations: int, floor: float) -> np.ndarray:
    return np.asarray(floor + (START - floor) * np.exp(-np.arange(evaluations) / 3) - 0.02 * np.arange(evaluations))


def turning(evaluations: int, at: int, slope: float) -> np.ndarray:
    """Validation that falls to 2.5 at one evaluation and climbs from there by a share of it each."""
    n = np.arange(evaluations)
    return np.asarray(2.5 * (1 + slope * np.clip(n - at, 0, None)) + (START - 2.5) * np.exp(-n / 2) * (n < at))


def judged(rows: list[dict[str, Any]]) -> tuple[Engine, list[Finding | None]]:
    """The engine, and what it said of overfitting after each evaluation."""
    engine, seen = Engine(SCRATCH), []
    for row in rows:
        engine.observe(row)
        if "val/loss" in row:
            seen.append(next((f for f in engine.findings() if f.rule == "overfitting"), None))
    assert engine.coverage().failed == {}
    return engine, seen


def first_word(seen: list[Finding | None]) -> int | None:
    return next((at for at, finding in enumerate(seen) if finding is not None), None)


@pytest.mark.parametrize("at", [8, 14])
@pytest.mark.parametrize("slope", [0.012, 0.02, 0.03])
@pytest.mark.parametrize("noise", [0.0, 0.003])
def test_a_turn_is_told_within_four_evaluations(at: int, slope: float, noise: float) -> None:
    val = turning(30, at, slope) * (1 + np.random.default_rng(at).normal(0, noise, 30))
    _, seen = judged(events(learned(30, 2.0), val))
    word = first_word(seen)
    assert word is not None
    best = int(np.argmin(val))
    assert best < word <= best + 4
    told = seen[word]
    assert told is not None
    assert told.severity is Severity.WARNING
    assert f"at step {EVERY * best:,}" in told.title
    assert all(finding is not None and finding.status == "open" for finding in seen[word:]), "it does not flap"


def test_what_began_as_a_warning_becomes_critical() -> None:
    _, seen = judged(events(learned(30, 2.0), turning(30, 10, 0.02)))
    last = seen[-1]
    assert last is not None
    assert last.severity is Severity.CRITICAL


def test_it_is_over_when_validation_finds_a_new_best() -> None:
    val = np.concatenate([turning(18, 10, 0.012), np.linspace(2.45, 2.2, 8)])
    _, seen = judged(events(learned(26, 2.0), val))
    assert first_word(seen) in range(13, 15)
    last = seen[-1]
    assert last is not None
    assert (last.status, last.severity, last.occurrences) == ("resolved", Severity.INFO, 1)


@pytest.mark.parametrize("tokens", [400, 3_000])
def test_a_text_read_again_and_again_is_told_of_a_rise_of_any_size(tokens: int) -> None:
    data = {"type": "data", "step": 0, "train_tokens": tokens, "planned_tokens": 100_000, "characters": 50_000}
    rows = events(learned(40, 2.0), turning(40, 12, 0.0008))
    _, seen = judged([data, *rows])
    assert first_word(seen) == 16
    later = first_word(judged(rows)[1])
    assert later is not None
    assert later > 20, "where it is not known how often the text was read, two hundredths are asked for"


@pytest.mark.parametrize("seed", range(8))
def test_a_text_read_often_by_which_validation_still_gains_is_left_alone(seed: int) -> None:
    data = {"type": "data", "step": 0, "train_tokens": 5_000, "planned_tokens": 100_000, "characters": 50_000}
    train = learned(40, 2.0)
    noise = np.random.default_rng(seed).normal(0, 0.006, 40)
    val = 1.35 * train[10] * (train / train[10]) ** 0.5 * (1 + noise)
    assert judged([data, *events(train, val, seed)])[1] == [None] * 40


def test_validation_that_rests_is_told_where_the_text_was_read_often() -> None:
    """It stands a little above its best and comes down slowly with the rate: no climb, and no gain from all that is learned."""
    data = {"type": "data", "step": 0, "train_tokens": 3_000, "planned_tokens": 100_000, "characters": 50_000}
    falls = 2.62 + (START - 2.62) * np.exp(-np.arange(8) / 1.5)
    turns = 2.5 * np.array([1.04, 1.042, 1.026, 1.025, 1.0, 1.011, 1.021, 1.018, 1.015])
    train = 2.4 * np.exp(-0.02 * np.arange(24)) + (START - 2.4) * np.exp(-np.arange(24) / 2)
    rows = events(train, np.concatenate([falls, turns, np.full(7, 2.5 * 1.014)]))
    often, unknown = (judged([*head, *rows])[1] for head in ([data], []))
    assert first_word(often) in range(16, 19)
    assert unknown == [None] * 24


@pytest.mark.parametrize(("since", "word"), [(1.0, 25), (1.08, None)])
def test_a_training_loss_that_falls_slowly_among_noise_is_told_to_fall_by_all_its_points(
    since: float, word: int | None
) -> None:
    """Since the lowest evaluation it fell by less than its noise; what counts is that it did not turn as well."""
    data = {"type": "data", "step": 0, "train_tokens": 6_000, "planned_tokens": 128_000, "characters": 50_000}
    n = np.arange(26)
    train = (2.9 * np.exp(-0.011 * n) + (START - 2.9) * np.exp(-n / 2)) * np.where(n > 21, since, 1.0)
    val = 3.2 * (1 + 0.1 * np.exp(-n / 5)) * (1 + np.random.default_rng(1).normal(0, 0.002, 26))
    val[21] = 0.9985 * val.min()
    assert first_word(judged([data, *events(train, val, 1, jitter=0.035)])[1]) == word


@pytest.mark.parametrize(("tokens", "follows", "told"), [(2_000, 0.1, True), (2_000, 0.4, False), (8_000, 0.1, False)])
def test_validation_that_rests_is_told_of_a_text_that_is_worn_out(tokens: int, follows: float, told: bool) -> None:
    """It never turns: over a dozen evaluations it gains a tenth of what training does, and less often read it may be learning still."""
    data = {"type": "data", "step": 0, "train_tokens": tokens, "planned_tokens": 128_000, "characters": 50_000}
    n = np.arange(40)
    gains = 0.012 * np.clip(n - 10, 0, None)
    train = 2.6 * np.exp(-gains) + (START - 2.6) * np.exp(-n / 2)
    val = 3.2 * np.exp(-follows * gains) + (START - 3.2) * np.exp(-n / 2)
    val *= 1 + np.random.default_rng(3).normal(0, 0.0005, 40)
    val[1:] = np.minimum.accumulate(val[1:])
    engine, words = judged([data, *events(train, val)])
    assert (first_word(words) is not None) == told
    if told:
        assert "rests" in next(finding.title for finding in engine.findings() if finding.rule == "overfitting")


def test_what_is_read_once_cannot_be_learned_by_heart() -> None:
    rows = events(learned(30, 2.0), turning(30, 12, 0.0015))
    assert first_word(judged(rows)[1]) is not None
    data = {"type": "data", "step": 0, "train_tokens": 200_000, "planned_tokens": 100_000, "characters": 900_000}
    assert judged([data, *rows])[1] == [None] * 30


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("follows", [1.0, 0.5])
def test_noisy_validation_that_follows_is_left_alone(seed: int, follows: float) -> None:
    train = learned(40, 2.0)
    noise = np.random.default_rng(seed).normal(0, 0.01, 40)
    val = 1.35 * train[10] * (train / train[10]) ** follows * (1 + noise)
    assert judged(events(train, val, seed))[1] == [None] * 40


@pytest.mark.parametrize("seed", range(6))
def test_validation_at_rest_with_a_training_loss_at_rest_is_left_alone(seed: int) -> None:
    """Far below validation as it lies: validation text is harder, and both have learned what they could."""
    train = np.concatenate([learned(10, 2.0), np.full(30, 1.9)])
    val = np.concatenate([turning(10, 10, 0), np.full(30, 2.5)]) * (
        1 + np.random.default_rng(seed).normal(0, 0.005, 40)
    )
    assert judged(events(train, val, seed))[1] == [None] * 40


@pytest.mark.parametrize("seed", range(6))
def test_validation_that_rests_close_to_training_is_left_alone(seed: int) -> None:
    val = turning(30, 12, 0) * (1 + np.random.default_rng(seed).normal(0, 0.006, 30))
    train = np.concatenate([learned(12, 2.5), np.linspace(2.45, 2.25, 18)])
    assert judged(events(train, val, seed))[1] == [None] * 30


def test_a_warm_restart_that_lifts_both_is_left_alone() -> None:
    train, val = learned(30, 2.0), turning(30, 40, 0.0) - 0.005 * np.arange(30)
    lift = np.where(np.arange(30) >= 15, 0.06 * np.exp(-(np.arange(30) - 15) / 4), 0)
    assert judged(events(train + 3 * lift, val + lift))[1] == [None] * 30


def test_a_restart_that_throws_both_far_up_is_left_alone_while_training_stands_above_where_it_was() -> None:
    train, val = learned(40, 1.6), turning(40, 50, 0.0) - 0.01 * np.arange(40)
    lift = np.where(np.arange(40) > 20, 0.4 * np.exp(-(np.arange(40) - 21) / 3), 0)
    assert judged(events(train + 1.2 * lift, val + lift))[1] == [None] * 40


def test_a_training_loss_on_another_scale_is_left_alone() -> None:
    """A mean against a sum: a validation that goes on falling is far above it, and nothing is wrong."""
    train = learned(30, 2.0)
    assert judged(events(train / 2.5, 1.1 * train))[1] == [None] * 30


@given(arrays(np.float64, st.integers(6, 20), elements=st.floats(-100, 100)), st.integers(5, 6))
def test_slopes_are_scipys(values: np.ndarray, width: int) -> None:
    values = values + np.random.default_rng(0).normal(0, 1, values.size)  # no window is without noise
    for start, t in enumerate(following.slopes(values, width)):
        line = scipy.stats.linregress(np.arange(width), values[start : start + width])
        assert t == pytest.approx(line.slope / line.stderr, rel=1e-6, abs=1e-9)


def test_levels_between_are_medians_and_of_blocks_where_the_points_are_past() -> None:
    history = History()
    for step in range(100):
        history.append(step, float(step % 10))
    view = SeriesView("train/loss", history)
    assert following.levels_between(view, np.array([-1, 9, 19, 99])).tolist() == [4.5, 4.5, 4.5]
    assert np.isnan(following.levels_between(view, np.array([99, 120]))[0]), "no point there"
    for step in range(100, 6000):
        history.append(step, step / 1000)
    early, late = following.levels_between(SeriesView("train/loss", history), np.array([999, 1999, 2999])).tolist()
    assert (early, late) == (pytest.approx(1.5, rel=0.02), pytest.approx(2.5, rel=0.02))


@pytest.mark.parametrize("again", [False, True])
def test_validation_that_a_restart_lifts_must_rise_twice_as_far(
    assert_finds: Any, assert_silent: Any, run: Any, again: bool
) -> None:
    """The same curves are overfitting where the rate goes on as it was."""
    steps = np.arange(1, 301)
    rate = 2e-3 * np.where(again & (steps > 150) & (steps <= 180), 0.1, 1.0)
    val = [2.54, 2.49, 2.44, 2.38, 2.36, 2.26, 2.17, 2.13, 2.06, 2.14, 2.15, 2.16, 2.15, 2.15, 2.14]
    rows = run(steps, train_loss=2.6 - steps / 400, lr=rate)
    for place, value in enumerate(val, 1):
        rows[20 * place - 1]["val_loss"] = value
    if again:
        assert_silent(rows)
    else:
        assert_finds(rows, "overfitting")


@pytest.mark.parametrize(("scale", "speaks"), [(0.02, False), (1.0, True)])
def test_a_task_learned_wholly_has_nothing_left_to_lose(
    assert_finds: Any, assert_silent: Any, run: Any, scale: float, speaks: bool
) -> None:
    steps = np.arange(1, 901)
    train = scale * (0.3 + 0.7 * np.exp(-steps / 300)) + 3.4 * np.exp(-steps / 40)
    rows = run(steps, train_loss=train)
    for place, value in enumerate((1.1, 1.02, 1.0, 1.2, 1.4, 1.5, 1.7, 1.6), 1):
        rows[100 * place - 1]["val_loss"] = scale * value + 3.4 * float(np.exp(-place * 2.5))
    rows[0]["val_loss"] = 3.4
    if speaks:
        assert_finds(rows, "overfitting")
    else:
        assert_silent(rows)
