"""Rises that the text makes: easy passages that end, passages that come again; and the same rises where the text cannot have made them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from diagnostics import Engine

AT = np.arange(600)
LEARNING = 2.6 + 2.9 * np.exp(-AT / 40)
CONFIG = {"vocab_size": 256, "max_steps": 600}


def noisy(level: Any, seed: int = 0, noise: float = 0.08) -> Any:
    return level + np.random.default_rng(seed).normal(0, noise, len(level))


def within(first: int, last: int) -> Any:
    return (first <= AT) & (last > AT)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("first", [90, 150, 300])
def test_the_end_of_an_easy_passage_is_no_divergence(assert_silent: Any, run: Any, first: int, seed: int) -> None:
    passage = np.where(within(first, first + 25), 0.75, 0.0)
    assert_silent(run(train_loss=noisy(LEARNING - passage, seed)), "divergence", config=CONFIG)


@pytest.mark.parametrize("first", [90, 150, 300])
def test_a_rise_to_beyond_where_the_passage_began_is_one(assert_finds: Any, run: Any, first: int) -> None:
    passage = np.where(within(first, first + 25), -0.75, 0.0) + np.where(first + 25 <= AT, 0.8, 0.0)
    finding = assert_finds(run(train_loss=noisy(LEARNING + passage)), "divergence", config=CONFIG)
    assert first + 25 <= finding.detected_step <= first + 60


@pytest.mark.parametrize("first", [90, 150, 300])
def test_what_was_learned_and_is_lost_has_diverged(assert_finds: Any, run: Any, first: int) -> None:
    finding = assert_finds(
        run(train_loss=noisy(LEARNING + np.where(first <= AT, 0.8, 0.0))), "divergence", config=CONFIG
    )
    assert finding.detected_step <= first + 30


def test_a_fall_that_lasted_was_learned(assert_finds: Any, run: Any) -> None:
    """Language models come down from a plateau all of a sudden, too; they may lose that again."""
    found = 3.4 + 2.0 * np.exp(-AT / 10) - np.where(AT >= 100, 0.8, 0.0) + np.where(AT >= 300, 0.8, 0.0)
    assert 300 < assert_finds(run(train_loss=noisy(found)), "divergence", config=CONFIG).detected_step <= 330


def humps(*firsts: int, high: float = 0.55, long: int = 30) -> Any:
    return sum(np.where(within(first, first + long), high, 0.0) for first in firsts)


def told_of(events: Any, since: int) -> bool:
    """Whether a divergence that began since a step stood at any moment."""
    engine, told = Engine(CONFIG), False
    for event in events:
        engine.observe(event)
        told = told or any(
            f.rule == "divergence" and f.status == "open" and f.last_step >= since for f in engine.findings()
        )
    return told


def test_hard_passages_that_come_again_are_told_once_at_most(run: Any) -> None:
    again = noisy(LEARNING + humps(150, 250, 330, 420, 520))
    assert not told_of(run(train_loss=again), since=240)
    stays = noisy(LEARNING + humps(150, 250) + np.where(AT >= 400, 0.55, 0.0))
    assert told_of(run(train_loss=stays), since=400), "it stays where the others came back"
    higher = noisy(LEARNING + humps(150, 250) + humps(400, high=1.2))
    assert told_of(run(train_loss=higher), since=400), "it is twice as high"


def test_both_losses_that_rise_no_more_than_the_text_ever_made_them(findings: Any, run: Any) -> None:
    """Passages of twenty points that differ by a fifth, and a validation loss that follows them by a third."""

    def speaks(swing: float) -> bool:
        level = np.repeat(np.random.default_rng(3).normal(0, swing, 10), 20)[:200]
        train = LEARNING + np.concatenate((level, np.zeros(100), np.full(300, 0.28)))
        val = LEARNING + np.where(AT >= 300, 0.12, 0.0)
        rows = run(train_loss=noisy(train, noise=0.15))[:345]
        events = [{**row, **({"val_loss": float(val[at])} if at % 10 == 0 else {})} for at, row in enumerate(rows)]
        return "divergence" in [finding.rule for finding in findings(events, CONFIG)]

    assert speaks(0.0)
    assert not speaks(0.35)


@pytest.mark.parametrize("seed", range(6))
def test_batches_of_two_tasks_that_take_turns_at_random(findings: Any, run: Any, seed: int) -> None:
    """Some tens of the harder one in a row are chance; where the harder one had never come it is a divergence."""
    luck = np.random.default_rng(seed)
    harder = luck.random(400) < 0.35
    harder[100:120] = True
    loss = np.where(harder, 3.0, 1.0) * (1 + 0.5 * np.exp(-np.arange(400) / 30)) * luck.normal(1, 0.05, 400)
    assert "divergence" not in [finding.rule for finding in findings(run(train_loss=loss))]


def test_a_harder_task_that_never_came_before_is_told(assert_finds: Any, run: Any) -> None:
    loss = np.where(np.arange(150) >= 100, 3.0, 1.0) * np.random.default_rng(0).normal(1, 0.05, 150)
    assert assert_finds(run(train_loss=loss), "divergence").detected_step <= 125
