"""Signs for logs of which little is known (losses alone, no plan, no vocabulary), each beside a run that looks like it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

STEPS = np.arange(1200)
NOISE = 0.03 * np.random.default_rng(7).standard_normal(1200)
AT_THE_COMMONEST = 3.3 + 0.87 * np.exp(-STEPS / 15) + NOISE
"""Begins at ln of 65 and comes to rest where only the frequencies of characters are known."""
LEARNED = 1.9 + 2.27 * np.exp(-STEPS / 150) + NOISE
SCRATCH = {"vocab_size": 65, "max_steps": 1200}
FINETUNE = {**SCRATCH, "model_name_or_path": "some/model"}


def with_validation(rows: list[dict[str, Any]], values: Any, every: int) -> list[dict[str, Any]]:
    """The rows, every so many of them with the next of the validation losses."""
    return [{**row, **({"val_loss": values[at // every]} if at % every == 0 else {})} for at, row in enumerate(rows)]


# -- a rest that no working run has -------------------------------------------------------------------------------------


def test_a_rest_over_half_the_way_is_told_though_the_rate_has_decayed(
    assert_finds: Any, assert_silent: Any, run: Any
) -> None:
    cosine = 1e-3 * (1 + np.cos(np.pi * STEPS[:600] / 600))
    config = {**SCRATCH, "max_steps": 600}
    assert_finds(run(train_loss=AT_THE_COMMONEST[:600], lr=cosine), "plateau", config=config)
    assert_silent(run(train_loss=LEARNED[:600], lr=cosine), "plateau", config=config)
    assert_silent(run(train_loss=AT_THE_COMMONEST[:600], lr=0.3 * cosine), config=config)  # has not moved as far yet


def test_a_rest_that_creeps_is_one(assert_finds: Any, assert_silent: Any, run: Any) -> None:
    creeps = 5.25 + np.exp(-STEPS / 15) - 0.03 * STEPS / 700 + NOISE / 10
    learns = creeps - 0.4 * STEPS / 700
    config = {"vocab_size": 512, "max_steps": 1500}
    assert_finds(run(train_loss=creeps[:900], lr=np.full(900, 7e-4)), "plateau", config=config)
    assert_silent(run(train_loss=learns[:900], lr=np.full(900, 7e-4)), config=config)


def test_with_losses_alone_a_thousand_steps_at_rest_are_enough(assert_finds: Any, assert_silent: Any, run: Any) -> None:
    assert_finds(run(train_loss=AT_THE_COMMONEST), "plateau")
    assert_silent(run(train_loss=AT_THE_COMMONEST), config=FINETUNE)
    middle = run(train_loss=AT_THE_COMMONEST, steps=(5000 + 10 * STEPS).tolist())
    assert_silent(middle)  # where it began is not in the log


def test_with_losses_alone_a_fall_slower_than_any_is_told(assert_finds: Any, assert_silent: Any, run: Any) -> None:
    crawl = 4.17 * (1 - 0.02 * STEPS[:500] / 500) + NOISE[:500]
    assert_finds(run(train_loss=crawl), "learning-rate-too-low")
    assert_silent(run(train_loss=crawl), config=FINETUNE)
    assert_silent(run(train_loss=crawl - 1.2))  # begins where a fine-tune may
    assert_silent(run(train_loss=LEARNED[:500]))


def test_with_losses_alone_a_flat_start_is_told_after_250_steps(
    assert_finds: Any, assert_silent: Any, run: Any
) -> None:
    flat = run(train_loss=4.17 + NOISE[:60], steps=(5 * STEPS[:60]).tolist())
    assert_finds(flat, "loss-not-decreasing")
    assert_silent(run(train_loss=2.9 + NOISE[:60], steps=(5 * STEPS[:60]).tolist()))


def test_a_flat_loss_that_swings_needs_no_plan_to_be_told(assert_finds: Any, assert_silent: Any, run: Any) -> None:
    swings = 12 * NOISE[:300]
    decaying = 5e-7 * (1 - STEPS[:300] / 600)
    assert_finds(run(train_loss=5.2 + swings, lr=decaying), "loss-not-decreasing")
    learns = 5.2 - 0.6 * STEPS[:300] / 300 + swings
    assert_silent(run(train_loss=learns, lr=decaying), "loss-not-decreasing")
    assert_silent(run(train_loss=2.4 + swings, lr=decaying))  # may have nothing left to learn


# -- far moved, little gained -------------------------------------------------------------------------------------------


def test_much_movement_with_little_gain_under_a_rate_that_is_decayed(
    assert_finds: Any, assert_silent: Any, run: Any
) -> None:
    cosine = 0.03 * (1 + np.cos(np.pi * STEPS[:800] / 800))
    follows = 4.3 + 0.8 * cosine / 0.06 + NOISE[:800]
    config = {"vocab_size": 512, "max_steps": 800}
    assert_finds(run(train_loss=[6.2, 6.1, 5.9, *follows[3:]], lr=cosine), "learning-rate-too-high", config=config)
    learned = 2.2 + 4.0 * np.exp(-STEPS[:800] / 40) + NOISE[:800]
    assert_silent(run(train_loss=learned, lr=cosine), "learning-rate-too-high", config=config)


@pytest.mark.parametrize("optimizer", ["sgd", "SGD (momentum 0.9)", "prodigy", "adagrad"])
def test_rates_of_another_kind_are_no_large_ones(
    assert_finds: Any, assert_silent: Any, run: Any, optimizer: str
) -> None:
    slow = 2.8 + 1.37 * np.exp(-STEPS / 60) + 0.1 * np.exp(-STEPS / 600) + NOISE
    rate = np.full(1200, 0.5)
    assert_silent(run(train_loss=slow, lr=rate), "learning-rate-too-high", config={**SCRATCH, "optimizer": optimizer})
    assert_finds(run(train_loss=slow, lr=rate), "learning-rate-too-high", config={**SCRATCH, "optimizer": "adamw"})


def test_a_multiplier_of_the_rate_is_no_rate_unless_it_is_declared(
    assert_finds: Any, assert_silent: Any, run: Any
) -> None:
    slow = 2.8 + 1.37 * np.exp(-STEPS / 60) + 0.1 * np.exp(-STEPS / 600) + NOISE
    multiplier = np.minimum(1.0, STEPS / 300) + 0.0
    events = run(train_loss=slow, lr=multiplier)
    assert_silent(events, "learning-rate-too-high", config=SCRATCH)
    assert_silent(events, "learning-rate-too-high", config={**SCRATCH, "learning_rate": 0.02})
    assert_finds(events, "learning-rate-too-high", config={**SCRATCH, "learning_rate": 1.0})


# -- weights that do not change -----------------------------------------------------------------------------------------


def test_validation_losses_equal_to_the_last_digit_say_that_nothing_is_trained(
    assert_finds: Any, assert_silent: Any, run: Any
) -> None:
    noisy = run(train_loss=3.4 - STEPS[:400] / 500 + 5 * NOISE[:400])
    told = assert_finds(with_validation(noisy, [3.976213] * 8, 50), "loss-not-decreasing", config=FINETUNE)
    assert "last digit" in told.title
    assert_silent(with_validation(noisy, 3.976213 + 1e-5 * np.arange(8), 50), "loss-not-decreasing", config=FINETUNE)
    assert_silent(with_validation(noisy, [3.98] * 8, 50), "loss-not-decreasing", config=FINETUNE)  # printed so
    assert_silent(with_validation(noisy, [3.9765625] * 8, 50), "loss-not-decreasing", config=FINETUNE)  # half precision
    assert_silent(with_validation(noisy, [3.976213] * 400, 1), "loss-not-decreasing", config=FINETUNE)  # filled forward


def test_weights_that_stop_changing_later_are_told_without_a_rate(
    assert_finds: Any, assert_silent: Any, run: Any
) -> None:
    falling = (2.0 + 1.5 * np.exp(-np.arange(12) / 3)).tolist()
    stopped = [*falling[:5], *[falling[5] + 1e-7] * 7]
    rows = run(train_loss=np.maximum(LEARNED[:600], LEARNED[250]))
    assert "not changed" in assert_finds(with_validation(rows, stopped, 50), "plateau").title
    assert_silent(with_validation(run(train_loss=LEARNED[:600]), falling, 50))
    at_the_end = [*np.repeat(falling[:10], 3)[:26], *[falling[10] + 1e-7] * 4]  # a decay to nothing rests at last
    assert_silent(with_validation(run(train_loss=LEARNED[:600]), at_the_end, 20))


# -- what the config says of itself -------------------------------------------------------------------------------------


def test_a_warmup_longer_than_the_run(assert_finds: Any, assert_silent: Any, run: Any) -> None:
    config = {"vocab_size": 512, "max_steps": 800, "learning_rate": 2e-3, "warmup_steps": 80_000}
    rate = 2e-3 * (STEPS[:400] + 1) / 80_000
    loss = 6.4 - 2e-3 * STEPS[:400] + NOISE[:400]
    assert (
        "longer than the run"
        in assert_finds(run(train_loss=loss, lr=rate), "learning-rate-schedule", config=config).title
    )
    assert_silent(run(train_loss=loss, lr=np.full(400, 2e-3)), "learning-rate-schedule", config=config)  # not followed


def test_both_losses_at_nothing_at_once_are_copied_and_later_are_a_puzzle_solved(
    assert_finds: Any, assert_silent: Any, run: Any
) -> None:
    copied = np.maximum(4.17 * np.exp(-STEPS[:400] / 30), 0.02)
    rows = run(train_loss=copied, lr=np.full(400, 1e-3))
    config = {"vocab_size": 65, "max_steps": 2000}
    assert_finds(with_validation(rows, copied[::50].tolist(), 50), "suspicious-loss", config=config)
    solved = np.maximum(4.17 * np.exp(-STEPS / 200), 0.02)
    rows = run(train_loss=solved, lr=np.full(1200, 3e-3))
    assert_silent(with_validation(rows, solved[::50].tolist(), 50), "suspicious-loss", config=config)
