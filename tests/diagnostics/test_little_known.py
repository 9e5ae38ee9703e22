"""Logs of which little is known (no vocabulary, no plan, few rows): what an onlooker can be sure of, each beside a run that looks like it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

STEPS = np.arange(900)
NOISE = 0.03 * np.random.default_rng(11).standard_normal(900)
COSINE = 0.5 * (1 + np.cos(np.pi * STEPS / 900))


def evaluated(rows: list[dict[str, Any]], values: Any, every: int) -> list[dict[str, Any]]:
    """The rows, every so many of them with the next of the validation losses."""
    return [{**row, **({"val_loss": float(values[at // every])} if at % every == 0 else {})} for at, row in enumerate(rows)]  # fmt: skip


# -- a rest without a tail ----------------------------------------------------------------------------------------------


def rests(share: float, length: int = 480, start: float = 4.2, climb: float = 0.0) -> Any:
    """A loss that is at a share of its first value within thirty steps, and moves by `climb` of it over the rest."""
    at = STEPS[:length]
    level = share * start * (1 + climb * at / length)
    return level + (1 - share) * start * np.exp(-at / 7) + NOISE[:length]


@pytest.mark.parametrize(("climb", "speaks"), [(0.0, True), (-0.07, False), (0.05, False)])
def test_a_rest_since_the_first_steps_has_no_tail(findings: Any, run: Any, climb: float, speaks: bool) -> None:
    """Seven per cent are a slow tail; five upwards are text that gets harder."""
    rows = run(train_loss=rests(0.64, climb=climb), lr=1.2e-3 * COSINE[:480])
    found = [f for f in findings(rows) if f.rule == "plateau" and str(f.severity) == "warning"]
    assert bool(found) is speaks


def test_a_rest_says_nothing_of_fine_tunes_and_few_tokens(assert_silent: Any, run: Any) -> None:
    assert_silent(run(train_loss=rests(0.64), lr=np.full(480, 2e-4)))  # a rate that fine-tunes are given
    assert_silent(run(train_loss=rests(0.64, start=3.4), lr=np.full(480, 2e-3)))  # begins where one may
    assert_silent(run(train_loss=rests(0.55), lr=np.full(480, 2e-3)))  # has learned more than frequencies
    assert_silent(run(train_loss=rests(0.9, start=2.2), lr=np.full(480, 1e-3)), config={"vocab_size": 9})
    assert_silent(run(train_loss=rests(0.64), lr=np.full(480, 2e-3)), config={"model_name_or_path": "some/model"})


def test_a_rest_is_told_by_losses_alone_where_it_is_higher(assert_finds: Any, assert_silent: Any, run: Any) -> None:
    assert assert_finds(run(train_loss=rests(0.78)), "plateau").detected_step <= 450
    assert_silent(run(train_loss=rests(0.66)))
    assert_silent(run(train_loss=rests(0.78, length=380)))


def creeps(share: float, falls: float, late: float = 0.0) -> Any:
    """A loss that rests at a share of its first value by step 200, falls by `falls` of it over the last 420 of 700 steps, and
    by `late` in a bend of its own before them."""
    at = STEPS[:700]
    level = share * 4.2 * (1 - falls * (at - 280) / 420) + late * 4.2 / (1 + np.exp((at - 250) / 8))
    return level + (1 - share - late) * 4.2 * np.exp(-at / 7) + NOISE[:700]


@pytest.mark.parametrize(("share", "falls", "speaks"), [(0.74, 0.02, True), (0.74, 0.07, False), (0.62, 0.02, False)])
def test_a_creep_after_a_second_bend(findings: Any, run: Any, share: float, falls: float, speaks: bool) -> None:
    """By losses alone, and by a rate that only runs from scratch are given: which then needs not lie as high."""
    for rate in (None, np.full(700, 1.2e-3)):
        rows = run(train_loss=creeps(share, falls, 0.08), **({} if rate is None else {"lr": rate}))
        assert bool([f for f in findings(rows) if f.rule == "plateau" and str(f.severity) == "warning"]) is speaks


def test_a_creep_is_none_where_validation_falls_or_it_climbs(assert_finds: Any, assert_silent: Any, run: Any) -> None:
    config = {"vocab_size": 66, "max_steps": 1500}
    rows = run(train_loss=creeps(0.74, 0.02, 0.08), lr=np.full(700, 6e-4))
    assert_finds(evaluated(rows, np.linspace(3.4, 3.2, 10), 70), "plateau", config=config)
    assert_silent(evaluated(rows, np.linspace(3.7, 3.1, 10), 70), config=config)
    assert_silent(run(train_loss=creeps(0.74, -0.06, 0.08), lr=np.full(700, 6e-4)), config=config)
    assert_silent(rows[:560], config=config)  # 0.3 is not reached by then, nor 600 steps


# -- nothing gained at all ----------------------------------------------------------------------------------------------


def test_a_loss_that_is_back_where_it_began(assert_finds: Any, assert_silent: Any, run: Any) -> None:
    """A weight decay that pulls all weights to nothing after the first steps."""

    def story(level: float, rate: float) -> list[dict[str, Any]]:
        dip = 0.25 * np.exp(-(((STEPS[:600:5] - 15) / 12) ** 2))
        loss = np.where(STEPS[:600:5] == 0, 3.46, level - dip) + NOISE[:120] / 5
        return run(STEPS[:600:5].tolist(), train_loss=loss, lr=rate * COSINE[:600:5])

    assert 300 <= assert_finds(story(3.44, 2e-3), "loss-not-decreasing").detected_step <= 400
    assert_silent(story(3.30, 2e-3), "loss-not-decreasing")
    assert_silent(story(3.44, 3e-4), "loss-not-decreasing")  # has not moved as far


def test_a_gentle_rate_that_gains_nothing(assert_finds: Any, assert_silent: Any, run: Any) -> None:
    flat, falls = 4.2 - 0.04 * STEPS / 900 + NOISE, 4.2 - 0.4 * STEPS / 900 + NOISE
    decays = 2.5e-6 * COSINE
    assert 300 <= assert_finds(run(train_loss=flat, lr=decays), "learning-rate-too-low").detected_step <= 330
    assert_silent(run(train_loss=falls, lr=decays))
    assert_silent(run(train_loss=flat - 1.2, lr=decays))  # may have nothing left to learn
    assert_silent(run(train_loss=flat[:400], lr=1e-5 * (STEPS[:400] + 1) / 1000))  # a warm-up
    assert_silent(run(**{"train_loss": flat[:450], "lr-SGD": decays[:450]}), "learning-rate-too-low")
    late = run((5000 + STEPS[:450]).tolist(), train_loss=flat[:450], lr=decays[:450])
    assert_silent(late, "learning-rate-too-low")  # how it began is not in the log


def test_a_gentle_rate_with_a_plan_is_told_at_three_tenths(assert_finds: Any, assert_silent: Any, run: Any) -> None:
    rows = run((STEPS[:90] * 5).tolist(), train_loss=3.95 - 0.08 * STEPS[:90] / 90, lr=2e-6 * COSINE[::10])
    assert assert_finds(rows, "learning-rate-too-low", config={"max_steps": 450}).detected_step <= 160
    assert_silent(rows, "learning-rate-too-low", config={"max_steps": 100_000})  # may yet get somewhere


# -- a schedule that never gets anywhere --------------------------------------------------------------------------------


@pytest.mark.parametrize(("level", "until", "speaks"), [(3.6, 900, True), (2.4, 900, False), (3.6, 600, False)])
def test_a_rise_through_most_of_the_plan(findings: Any, run: Any, level: float, until: int, speaks: bool) -> None:
    rate = 2e-5 * (STEPS + 1) / 900
    loss = level + 0.4 * (1 - STEPS / 900) + NOISE / 3
    rows = run(STEPS[:until:5].tolist(), train_loss=loss[:until:5], lr=rate[:until:5])
    found = [f for f in findings(rows, {"max_steps": 900}) if f.rule == "learning-rate-schedule"]
    assert [str(f.severity) for f in found] == ["warning" if speaks else "info"]


# -- a rate that nothing bears ------------------------------------------------------------------------------------------


def test_a_rate_that_adam_never_has(assert_finds: Any, assert_silent: Any, run: Any) -> None:
    rows = run(train_loss=rests(0.38, start=6.0), lr=np.full(480, 0.3))
    config = {"vocab_size": 400, "max_steps": 700}
    assert_finds(rows, "learning-rate-too-high", config={**config, "optimizer": "AdamW"})
    for other in ({}, {"optimizer": "sgd"}, {"optimizer": "adafactor"}):
        assert_silent(rows, "learning-rate-too-high", config={**config, **other})
    low = run(train_loss=rests(0.27, start=6.0), lr=np.full(480, 0.3))
    assert_silent(low, "learning-rate-too-high", config={**config, "optimizer": "AdamW"})


# -- a spike among few rows ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hot", "speaks"), [((3.8, 2.9, 2.7, 2.6, 2.6, 2.5), True), ((3.8, 2.9, 2.7, 2.6, 2.5), False)]
)
def test_the_fall_of_a_young_run_is_no_jump_of_its_loss(
    findings: Any, run: Any, hot: tuple[float, ...], speaks: bool
) -> None:
    loss = 0.62 + 3.6 * np.exp(-np.arange(30) / 2.2) + NOISE[:30] / 3
    rows = run((25 * STEPS[:38]).tolist(), train_loss=[*loss, *hot, *np.full(8 - len(hot), 0.63)])
    assert any(f.rule == "loss-spike" for f in findings(rows)) is speaks


# -- answers that are shown ---------------------------------------------------------------------------------------------


def test_an_answer_that_is_shown_to_some_dozens_of_characters(findings: Any, run: Any) -> None:
    """Copied after two hundred steps at 0.003; a puzzle of as many tokens is solved much later."""

    def story(scale: float) -> set[str]:
        loss = np.maximum(4.0 * np.exp(-STEPS / scale), 0.08)
        rows = evaluated(run(train_loss=loss, lr=np.full(900, 3e-3)), loss[::60], 60)
        return {f.rule for f in findings(rows, {"vocab_size": 53, "max_steps": 3000})}

    assert "suspicious-loss" in story(65)
    assert "suspicious-loss" not in story(160)


SHOWN = 0.12 + 2.1 / (1 + np.exp((STEPS - 400) / 20)) + 1.5 * np.exp(-STEPS / 25)
"""Comes to rest where text does, and then gives way at once."""


def test_an_answer_that_is_found_late_is_told_by_losses_alone(findings: Any, run: Any) -> None:
    def said(train: Any, val: Any, **config: Any) -> bool:
        rows = evaluated(run(train_loss=train[:700]), val[:700:100], 100)
        return "suspicious-loss" in {f.rule for f in findings(rows, config)}

    assert said(SHOWN, SHOWN)
    assert not said(SHOWN, SHOWN, model_name_or_path="some/model")
    assert not said(SHOWN, SHOWN, vocab_size=31)  # a puzzle of letters
    assert not said(SHOWN / 10, SHOWN)  # learned by heart first, as when validation follows late
    form = np.maximum(3.7 * np.exp(-STEPS / 90), 0.02)
    assert not said(form, form)  # answers of a fixed form: it fell from the first step on
    begins_low = np.minimum(SHOWN, 3.0)
    assert not said(begins_low, begins_low)
