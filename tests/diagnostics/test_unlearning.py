"""`divergence` where a run loses again what it had learned: by both losses together, and what looks like it and is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

STEPS = np.arange(400)
CONFIG = {"vocab_size": 65, "max_steps": 400, "learning_rate": 1e-3}
NOISE = 0.1 * np.random.default_rng(8).standard_normal(400)
LEARNING = 2.9 + 1.3 * np.exp(-STEPS / 40) - 0.0001 * STEPS
DATA = {"type": "data", "step": 0, "train_tokens": 1e6, "planned_tokens": 1e5, "unigram_entropy": 3.05}


def story(run: Any, train: Any, val: Any, every: int = 20, **more: Any) -> list[dict[str, Any]]:
    """A noisy training loss of these levels, evaluated now and then."""
    rows = run(train_loss=train + NOISE, **more)
    return [{**row, **({"val_loss": float(val[at])} if at % every == 0 else {})} for at, row in enumerate(rows)]


def stepped(by: float, at: int = 200) -> Any:
    """The levels of a run that loses so much at a step."""
    return LEARNING + np.where(at < STEPS, by, 0.0)


@pytest.mark.parametrize("by", [0.11, 0.16])
def test_a_step_up_that_noise_hides_is_seen_by_both_losses(assert_finds: Any, run: Any, by: float) -> None:
    up = stepped(by)
    finding = assert_finds(story(run, up, up), "divergence", config=CONFIG)
    assert "validation with it" in finding.evidence[0].sentence
    assert 240 <= finding.detected_step <= 280
    assert finding.first_step == 200


def test_a_loss_that_was_still_falling_is_measured_from_where_it_stood(assert_finds: Any, run: Any) -> None:
    """Twenty points in all before the step, most of them far above it: only the last few say where the loss was."""
    falling = 2.4 + 2.8 * np.exp(-STEPS / 40) + np.where(STEPS > 100, 0.3, 0.0)
    logged = slice(0, 400, 5)
    rows = run(STEPS[logged].tolist(), train_loss=falling[logged] + 0.2 * NOISE[logged])
    events = [{**row, **({"val_loss": float(falling[row["step"]])} if row["step"] % 25 == 0 else {})} for row in rows]
    assert assert_finds(events, "divergence", config=CONFIG).detected_step <= 200


def test_a_loss_that_falls_by_chance_before_it_rests_is_none(assert_silent: Any, run: Any) -> None:
    """The last five losses before the lowest evaluation lie low by luck, and validation stays up: overfitting at most."""
    falling = 2.4 + 2.8 * np.exp(-STEPS / 40) - np.where((STEPS > 80) & (STEPS <= 100), 0.08, 0.0)
    logged = slice(0, 400, 5)
    rows = run(STEPS[logged].tolist(), train_loss=falling[logged] + NOISE[logged])
    evaluated = falling + np.where(STEPS > 100, 0.15, 0.0)
    events = [{**row, **({"val_loss": float(evaluated[row["step"]])} if row["step"] % 25 == 0 else {})} for row in rows]
    assert_silent(events, "divergence", config=CONFIG)


def test_six_evaluations_that_stay_up_need_little_of_the_training_loss(
    assert_finds: Any, findings: Any, run: Any
) -> None:
    """Validation steps up by a sixteenth and stays; the training loss, noisy and still falling before, has risen at least."""
    evaluated = 2.5 + 2.0 * np.exp(-STEPS / 30) + np.where(STEPS > 100, 0.25, 0.0)
    rose = 2.9 + 1.6 * np.exp(-STEPS / 30) + np.where(STEPS > 100, 0.25, 0.0)
    learned = 2.9 + 1.6 * np.exp(-STEPS / 30) - np.where(STEPS > 100, 0.002 * (STEPS - 100), 0.0)
    for train, speaks in ((rose, True), (learned, False)):
        rows = run(STEPS[::5].tolist(), train_loss=train[::5] + NOISE[::5])
        events = [
            {**row, **({"val_loss": float(evaluated[row["step"]])} if row["step"] % 20 == 0 else {})} for row in rows
        ]
        assert any(found.rule == "divergence" for found in findings(events, CONFIG)) == speaks


def test_a_step_of_a_fiftieth_is_left_alone(assert_silent: Any, run: Any) -> None:
    assert_silent(story(run, stepped(0.06), stepped(0.06)), "divergence", config=CONFIG)


def test_either_of_them_alone_is_no_divergence(assert_silent: Any, run: Any) -> None:
    assert_silent(story(run, stepped(0.16), LEARNING), "divergence", config=CONFIG)
    assert_silent(story(run, LEARNING, stepped(0.16)), "divergence", config=CONFIG)


def test_one_hard_chapter_lifts_both_for_a_while(assert_silent: Any, run: Any) -> None:
    chapter = LEARNING + np.where((STEPS > 200) & (STEPS <= 240), 0.16, 0.0)
    assert_silent(story(run, chapter, chapter), "divergence", config=CONFIG)


def test_what_an_easy_passage_gave_before_the_best_evaluation_was_not_lost_with_it(
    assert_finds: Any, assert_silent: Any, run: Any
) -> None:
    """Text in its order: long after an easy passage validation finds its best, and then stands a twentieth above it."""
    passage = np.where((STEPS > 60) & (STEPS <= 90), 0.55, 0.0)
    evaluated = LEARNING * np.where(STEPS > 200, 1.05, 1.0)
    assert_silent(story(run, LEARNING - passage, evaluated)[:245], "divergence", config=CONFIG)
    creeps = LEARNING + 0.004 * np.clip(STEPS - 200, 0, None)
    assert (
        "validation with it"
        in assert_finds(story(run, creeps, creeps), "divergence", config=CONFIG).evidence[0].sentence
    )


def test_a_restart_of_the_rate_lifts_both(assert_silent: Any, run: Any) -> None:
    rate = 5e-4 * (1 + np.cos(np.pi * (STEPS % 200) / 200))
    assert_silent(story(run, stepped(0.16), stepped(0.16), lr=rate), "divergence", config=CONFIG)


def test_back_at_the_unigram_entropy_is_told_sooner(assert_finds: Any, run: Any) -> None:
    lost = np.where(STEPS > 200, 3.06, LEARNING)
    known = assert_finds([DATA, *story(run, lost, lost)], "divergence", config=CONFIG)
    unknown = assert_finds(story(run, lost, lost), "divergence", config=CONFIG)
    assert known.detected_step < unknown.detected_step


def judged(findings: Any, run: Any, harder: Any, worse: Any, every: int = 5, until: int = 240, **more: Any) -> bool:
    """Whether a divergence was seen of a training loss that stands so much higher, and a validation loss that does so much."""
    events = story(run, LEARNING + harder, LEARNING + worse, every=every, **more)[:until]
    return "divergence" in [finding.rule for finding in findings(events, CONFIG)]


def after(step: int, by: float) -> Any:
    return np.where(step < STEPS, by, 0.0)


def test_harder_text_is_no_divergence_while_validation_is_at_its_best(findings: Any, run: Any) -> None:
    assert not judged(findings, run, after(200, 0.9), 0.0)
    assert judged(findings, run, after(200, 0.9), after(200, 0.9))
    assert judged(findings, run, after(200, 2.5), 0.0), "worse than knowing nothing"


def test_an_evaluation_from_before_a_rise_does_not_speak_for_it(findings: Any, run: Any) -> None:
    """Evaluated at 190 and 210: what happened at 212 no evaluation has seen."""
    assert judged(findings, run, after(212, 0.9), 0.0, every=30, until=236)
    assert not judged(findings, run, after(200, 0.9), 0.0, every=30, until=236)


@pytest.mark.parametrize("every", [10, 40])
def test_an_objective_that_becomes_harder_step_by_step(findings: Any, run: Any, every: int) -> None:
    """Masks, temperatures, weights of other terms: training climbs by half, and validation, which is always the same, falls."""
    ramp = 1.5 * np.clip((STEPS - 60) / 300, 0, 1)
    falls = -0.001 * STEPS
    assert not judged(findings, run, ramp, falls, every=every, until=400)
    assert judged(findings, run, ramp, 0.5 * ramp, every=every, until=400)


def test_gradients_that_grow_with_the_loss_are_heard_against_validation(findings: Any, run: Any) -> None:
    for grown, spoke in ((1.0, False), (3.0, True)):
        norms = np.where(STEPS > 200, grown, 1.0)
        assert judged(findings, run, after(200, 0.9), 0.0, grad_norm=norms) is spoke


@pytest.mark.parametrize(("by", "rare", "told"), [(0.3, 0.06, True), (0.3, 0.03, False), (0.05, 0.06, False)])
def test_a_step_up_long_after_the_lowest_of_rare_evaluations(
    findings: Any, run: Any, by: float, rare: float, told: bool
) -> None:
    """Two evaluations since the step agree, and single losses have a noise that hides it from a window of ten."""
    noise = 3 * NOISE
    up = LEARNING + noise + np.where(STEPS > 250, by, 0.0)
    lowest = float(LEARNING[150])
    val = {50: 3.4, 100: 3.1, 150: lowest, 200: 1.01 * lowest, 260: (1 + rare) * lowest, 330: (1.01 + rare) * lowest}
    rows = [{**row, **({"val_loss": val[at]} if at in val else {})} for at, row in enumerate(run(train_loss=up)[:340])]
    spoken = [f.evidence[0].sentence for f in findings(rows, CONFIG) if f.rule == "divergence"]
    assert any("two evaluations since then" in sentence for sentence in spoken) == told


def classifier(level: Any, noise: float = 0.04) -> tuple[Any, Any]:
    """Training losses every ten steps that lie at these levels, and what validation says to it every sixth time."""
    return level + np.random.default_rng(3).normal(0, noise, len(level)), [float(value) + 0.08 for value in level[5::6]]


def fine_tune(run: Any, level: Any, val: Any = None) -> list[dict[str, Any]]:
    losses, evaluated = classifier(np.asarray(level))
    rows = run(range(10, 10 * len(losses) + 10, 10), loss=losses)
    for at, value in enumerate(evaluated if val is None else val):
        rows[6 * at + 5]["eval_loss"] = value
    return rows


LEARNED = np.linspace(0.69, 0.36, 30)


def test_a_classifier_that_falls_back_to_chance_has_diverged(assert_finds: Any, run: Any) -> None:
    finding = assert_finds(fine_tune(run, [*LEARNED, *[0.69] * 30]), "divergence")
    assert "all that was gained" in finding.evidence[0].sentence
    assert 280 <= finding.first_step <= 320 and finding.detected_step <= 520


def test_a_classifier_that_lost_half_has_not_lost_all(assert_finds: Any, run: Any) -> None:
    finding = assert_finds(fine_tune(run, [*LEARNED, *[0.53] * 30]), "divergence")
    assert finding.severity == "warning" and "The mean loss rose" in finding.evidence[0].sentence


def test_a_classifier_that_validation_denies_is_left_alone(assert_silent: Any, run: Any) -> None:
    falls = [0.7, 0.65, 0.6, 0.55, 0.5, 0.48, 0.47, 0.46, 0.45, 0.44]
    assert_silent(fine_tune(run, [*LEARNED, *[0.69] * 30], falls), "divergence")


def test_the_lowest_of_many_noisy_evaluations_is_no_best(assert_silent: Any, run: Any) -> None:
    """Epochs of several tasks that are drawn: one in five costs twice as much, and evaluations swing by a tenth."""
    for seed in range(5):
        luck = np.random.default_rng(seed)
        losses = np.where(luck.random(300) < 0.2, 1.9, 1.05) + luck.normal(0, 0.12, 300)
        evaluated = 1.1 + np.abs(luck.normal(0, 0.12, 300))
        assert_silent(run(train_loss=losses, val_loss=evaluated), "divergence")


@pytest.mark.parametrize(
    ("train", "val", "speaks"),
    [
        ((1.24, 2.03), (2.55, 3.62, 3.49, 3.19, 3.96, 3.98, 3.72, 4.46), True),
        ((1.24, 1.20), (2.55, 3.62, 3.49, 3.19, 3.96, 3.98, 3.72, 4.46), False),
        ((1.24, 2.03), (2.55, 2.62, 2.49, 2.39, 2.46, 2.48, 2.52, 2.46), False),
        ((1.24, 2.03), (2.55, 3.62, 3.49, 3.19), False),
    ],
)
def test_a_run_that_logs_its_training_loss_rarely(findings: Any, train: Any, val: Any, speaks: bool) -> None:
    """Every 500 steps, as Hugging Face's trainer does by itself, with an evaluation every 125."""
    rows = [{"step": 125 * at, "eval_loss": value} for at, value in enumerate(val, 1)]
    rows += [{"step": 500 * at, "loss": value} for at, value in enumerate(train, 1)]
    found = findings(sorted(rows, key=lambda row: row["step"]))
    assert any(one.rule == "divergence" and one.severity == "warning" for one in found) == speaks
