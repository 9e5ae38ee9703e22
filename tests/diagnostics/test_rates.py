"""Rates far too high, far too low, or of no use because something else holds the weights; each beside a run that looks like it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from diagnostics import RULES, Engine

STEPS = np.arange(1200)
NOISE = 0.03 * np.random.default_rng(8).standard_normal(1200)
SCRATCH = {"vocab_size": 65, "max_steps": 1200}


def evaluated(rows: list[dict[str, Any]], values: Any, every: int) -> list[dict[str, Any]]:
    """The rows, every so many of them, but the first, with the next of the validation losses."""
    at = {every * (place + 1): float(value) for place, value in enumerate(values)}
    return [{**row, **({"val_loss": at[place]} if place in at else {})} for place, row in enumerate(rows)]


# -- a usual rate that does not help: high, and hardly falling ----------------------------------------------------------


def high(falls: float, length: int = 800) -> Any:
    """Where only the commonest tokens are known of 512, falling by a share of it over the last three fifths."""
    return 5.2 + 1.04 * np.exp(-STEPS[:length] / 15) - falls * 5.2 * STEPS[:length] / (0.6 * length) + NOISE[:length]


@pytest.mark.parametrize(("falls", "speaks"), [(0.02, True), (0.08, False)])
def test_a_high_loss_that_falls_by_less_than_any_that_learns(
    assert_finds: Any, assert_silent: Any, run: Any, falls: float, speaks: bool
) -> None:
    cosine = 1e-3 * (1 + np.cos(np.pi * STEPS[:800] / 800))
    config = {"vocab_size": 512, "max_steps": 800}
    rows = run(train_loss=high(falls), lr=cosine)
    if speaks:
        finding = assert_finds(rows, "plateau", config=config)
        assert "of the loss of knowing nothing" in finding.evidence[0].sentence
        assert_silent(run(train_loss=high(falls), lr=0.3 * cosine), config=config)  # has not moved as far yet
    else:
        assert_silent(rows, config=config)


def test_a_weight_decay_that_binds_is_enough_at_half_of_the_plan(
    assert_finds: Any, assert_silent: Any, run: Any
) -> None:
    rows, config = run(train_loss=high(0.08), lr=np.full(800, 1e-4)), {"vocab_size": 512, "max_steps": 800}
    finding = assert_finds(rows, "plateau", config={**config, "weight_decay": 40.0})
    assert 400 <= finding.detected_step <= 450 and "beyond 0.025" in finding.causes[0].why
    for harmless in ({"weight_decay": 0.1}, {"weight_decay": 40.0, "optimizer": "sgd"}):
        assert_silent(rows, config={**config, **harmless})
    learned = run(
        train_loss=0.6 * high(0.08) + 0.4 * high(0.08)[:1] * np.exp(-STEPS[:800] / 100), lr=np.full(800, 1e-4)
    )
    assert_silent(learned, config={**config, "weight_decay": 40.0})


def test_a_weight_decay_that_binds_the_weights_is_named(assert_finds: Any, run: Any) -> None:
    config = {"vocab_size": 512, "max_steps": 800, "weight_decay": 50.0}
    finding = assert_finds(run(train_loss=high(0.02), lr=np.full(800, 1e-3)), "plateau", config=config)
    assert "beyond 0.02" in finding.causes[0].why
    assert finding.remedies[0].patch == {"weight_decay": 0.1}
    usual = assert_finds(
        run(train_loss=high(0.02), lr=np.full(800, 1e-3)), "plateau", config={**config, "weight_decay": 0.1}
    )
    assert "weight decay" not in usual.causes[0].cause


# -- far too high -------------------------------------------------------------------------------------------------------


def test_a_log_with_a_row_every_25_steps_is_not_waited_for_till_1000(assert_finds: Any, run: Any) -> None:
    loss = 3.25 + 0.4 * np.exp(-STEPS[:30] / 2) + NOISE[:30]
    rows = run((25 * STEPS[1:31]).tolist(), train_loss=loss, lr=np.linspace(0.2, 0.07, 30))
    assert assert_finds(rows, "learning-rate-too-high").detected_step <= 600


def test_a_rate_that_has_decayed_is_still_far_too_high(assert_finds: Any, assert_silent: Any, run: Any) -> None:
    falling_late = np.concatenate([np.linspace(3.9, 3.3, 40), np.full(80, 3.3)]) + NOISE[:120]
    still = np.concatenate([np.full(40, 0.6), np.full(80, 0.1)])
    assert_finds(run(train_loss=falling_late, lr=still), "learning-rate-too-high", config={"max_steps": 400})
    assert_silent(run(train_loss=falling_late, lr=still / 50), "learning-rate-too-high", config={"max_steps": 400})


def test_validation_that_rests_shows_what_noise_hides(assert_finds: Any, assert_silent: Any, run: Any) -> None:
    config = {"max_steps": 500, "model_name_or_path": "some/model"}
    noisy = 3.8 - 0.7 * STEPS[:450] / 450 + 4 * NOISE[:450]
    rests, learns = [3.336, 3.394, 3.333, 3.323], [3.33, 3.25, 3.2, 3.16]
    rate = 0.6 * (1 - STEPS[:450] / 500)
    told = evaluated(run(train_loss=noisy, lr=rate), rests, 100)
    assert_finds(told, "learning-rate-too-high", config=config)
    assert_silent(evaluated(run(train_loss=noisy, lr=rate), learns, 100), "learning-rate-too-high", config=config)
    assert_silent(evaluated(run(train_loss=noisy, lr=rate / 600), rests, 100), "learning-rate-too-high", config=config)


def test_the_name_of_a_rate_tells_the_optimizer(assert_finds: Any, assert_silent: Any, run: Any) -> None:
    late = 2.62 + 4 * NOISE[:100]  # the first row stands where the rate has done its harm
    steps = (9 + 10 * STEPS[:100]).tolist()
    rate = np.full(100, 0.12)
    assert_finds(run(steps, **{"train_loss": late, "lr-AdamW": rate}), "learning-rate-too-high", config=SCRATCH)
    for name in ("lr-SGD", "lr"):
        assert_silent(run(steps, **{"train_loss": late, name: rate}), "learning-rate-too-high", config=SCRATCH)
    tuned = run(steps, **{"train_loss": late - 1.2, "lr-AdamW": rate})
    assert_silent(tuned, "learning-rate-too-high", config=SCRATCH)  # 1.4 nats are below what the commonest bytes give


def test_rates_named_after_sgd_are_no_large_ones(assert_finds: Any, assert_silent: Any, run: Any) -> None:
    slow = 2.8 + 1.37 * np.exp(-STEPS / 60) + 0.1 * np.exp(-STEPS / 600) + NOISE
    rate = np.full(1200, 0.5)
    assert_silent(run(**{"train_loss": slow, "lr-SGD": rate}), "learning-rate-too-high", config=SCRATCH)
    assert_finds(run(**{"train_loss": slow, "lr-Adam": rate}), "learning-rate-too-high", config=SCRATCH)


def test_twenty_of_rates_by_adam_are_worth_half_of_the_loss(assert_finds: Any, assert_silent: Any, run: Any) -> None:
    """A recurrent net that bears thirty times its rate: it falls with it, and stays far above what it could do."""
    bears = 2.05 + 2.1 * np.exp(-STEPS[:900] / 20) + 0.7 * np.exp(-STEPS[:900] / 400) + NOISE[:900]
    rate, config = 0.03 * (1 + np.cos(np.pi * STEPS[:900] / 900)), {**SCRATCH, "optimizer": "rmsprop"}
    found = assert_finds(run(train_loss=bears, lr=rate), "learning-rate-too-high", config=config)
    assert "much movement" in found.title and 380 <= found.detected_step <= 600
    thrown = np.concatenate([bears[:1], [7.6, 6.9, 5.0], bears[4:]])  # the very first loss is that of knowing nothing
    assert_finds(run(**{"train_loss": thrown, "lr-NAdam": rate}), "learning-rate-too-high", config=SCRATCH)
    for silent in (run(train_loss=bears, lr=rate), run(train_loss=bears - 0.5, **{"lr-NAdam": rate})):
        assert_silent(silent, "learning-rate-too-high", config=SCRATCH)
    for other in ({**config, "optimizer": "Muon"}, {**config, "vocab_size": 28}):
        low = bears * np.log(other["vocab_size"]) / np.log(65)
        assert_silent(run(train_loss=low, lr=rate), "learning-rate-too-high", config=other)


# -- far too low --------------------------------------------------------------------------------------------------------


def test_a_run_from_scratch_below_all_published_rates_is_asked_for_twice_the_gain(
    assert_finds: Any, assert_silent: Any, run: Any
) -> None:
    slow = 3.74 + 0.4 * np.exp(-STEPS[:600] / 150) + NOISE[:600] / 2
    cosine = 1e-5 * (1 + np.cos(np.pi * STEPS[:600] / 600))
    config = {"vocab_size": 65, "max_steps": 600, "learning_rate": 2e-5}
    assert_finds(run(train_loss=slow, lr=cosine), "learning-rate-too-low", config=config)
    usual = {**config, "learning_rate": 2e-4}
    assert_silent(run(train_loss=slow, lr=10 * cosine), "learning-rate-too-low", config=usual)
    wide = 2.5 + 1.6 * np.exp(-STEPS[:600] / 150) + NOISE[:600] / 2
    assert_silent(run(train_loss=wide, lr=cosine), "learning-rate-too-low", config=config)


def test_a_fine_tune_whose_whole_plan_stirs_no_weight(assert_finds: Any, assert_silent: Any, run: Any) -> None:
    config = {"max_steps": 400, "learning_rate": 3e-7, "model_name_or_path": "some/model"}
    noisy = 3.4 + 8 * NOISE[:300]
    linear = 3e-7 * (1 - STEPS[:300] / 400)
    stands, learns = 3.97 - 0.001 * np.arange(5), 3.97 - 0.05 * np.arange(5)
    rows = evaluated(run(train_loss=noisy, lr=linear), stands, 50)
    assert assert_finds(rows, "learning-rate-too-low", config=config).detected_step <= 250
    assert_silent(evaluated(run(train_loss=noisy, lr=linear), learns, 50), "learning-rate-too-low", config=config)
    assert_silent(evaluated(run(train_loss=noisy, lr=30 * linear), stands, 50), "learning-rate-too-low", config=config)
    low = evaluated(run(train_loss=noisy - 1.5, lr=linear), stands - 1.5, 50)
    assert_silent(low, "learning-rate-too-low", config=config)  # it may have had nothing left to learn


def test_a_plan_that_ends_where_the_commonest_tokens_are_known(assert_finds: Any, assert_silent: Any, run: Any) -> None:
    cosine = 5e-5 * (1 + np.cos(np.pi * STEPS[:800] / 800))
    slow = 3.35 + 0.83 * np.exp(-STEPS[:800] / 220) + NOISE[:800]
    wide = 1.5 + 2.68 * np.exp(-STEPS[:800] / 220) + NOISE[:800]
    config = {"vocab_size": 65, "max_steps": 800}
    finding = assert_finds(run(train_loss=slow, lr=cosine), "learning-rate-too-low", config=config)
    assert 400 <= finding.detected_step <= 640
    assert_silent(run(train_loss=wide, lr=cosine), "learning-rate-too-low", config=config)
    assert_silent(run(train_loss=slow, lr=4 * cosine), "learning-rate-too-low", config=config)  # moves far enough
    assert_silent(run(train_loss=slow[:300], lr=cosine[:300]), "learning-rate-too-low", config=config)  # too early
    trial = {**config, "max_steps": 200}
    assert_silent(run(train_loss=slow[:200], lr=cosine[::4]), "learning-rate-too-low", config=trial)
    assert_silent(run(train_loss=slow, lr=cosine), "learning-rate-too-low", config={**config, "vocab_size": None})


# -- a rate far too high, where it is known exactly what the commonest tokens are worth ---------------------------------

ENTROPY = {"type": "data", "step": 0, "train_tokens": 180_000.0, "unigram_entropy": 3.1}


@pytest.mark.parametrize(
    ("floor", "rate", "data", "speaks"),
    [
        (2.95, 0.15, [ENTROPY], True),
        (2.95, 0.15, [], False),  # 47 % of ln V: of bytes, most of which never occur, that may be much or little
        (2.5, 0.15, [ENTROPY], False),  # it learned from the order of its tokens
        (2.95, 3e-3, [ENTROPY], False),  # it has not gone far yet
    ],
)
def test_much_movement_is_held_against_what_the_commonest_tokens_are_worth(
    findings: Any, run: Any, floor: float, rate: float, data: list[dict[str, Any]], speaks: bool
) -> None:
    steps = np.arange(5, 305, 5)
    loss = floor + (5.54 - floor) * np.exp(-steps / 40) - 1e-4 * steps + 4 * NOISE[:60]
    decays = rate * (0.55 + 0.45 * np.cos(np.pi * steps / 300))
    rows = run(steps.tolist(), train_loss=loss, lr=decays)
    found = findings([*data, *rows], {"vocab_size": 256, "max_steps": 300})
    told = [finding for finding in found if finding.rule == "learning-rate-too-high"]
    assert bool(told) is speaks
    if told:
        assert told[0].detected_step <= 130 and told[0].evidence[0].limit == pytest.approx(0.93 * 3.1)


def test_first_losses_of_single_batches_jump_about_by_a_third(run: Any) -> None:
    """They swing in turn, and wider for a while, by chance: of a hundred such runs nine were said to bear no such rate."""
    rule = [rule for rule in RULES if rule.id == "learning-rate-too-high"]
    told = 0
    for seed in range(100):
        engine = Engine(rules=rule)
        engine.observe_all(run(loss=3.0 * np.exp(np.random.default_rng(seed).normal(0, 0.33, 24))))
        told += bool(engine.findings())
    assert told <= 1


def test_swings_that_grow_one_by_one_are_the_rate(assert_finds: Any, run: Any) -> None:
    swings = [3.1, 3.9, 2.8, 4.6, 3.4, 5.9, 4.2]
    assert assert_finds(run(loss=swings), "learning-rate-too-high").detected_step == 6
