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


def test_harder_text_is_no_divergence_while_validation_is_at_its_best(findings: Any, run: Any) -> None:
    def spoke(harder: float, worse: float) -> bool:
        events = story(run, stepped(harder), stepped(worse), every=5)[:240]
        return "divergence" in [finding.rule for finding in findings(events, CONFIG)]

    assert not spoke(0.9, 0.0)
    assert spoke(0.9, 0.9)
    assert spoke(2.5, 0.0), "no text is harder by half"
