"""Classifiers that answer by chance: loss and accuracy must both say so, and for long enough."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

RULE = "loss-not-decreasing"
LUCK = np.random.default_rng(4)


def classified(
    run: Any, loss: np.ndarray, accuracy: list[float], plan_share: float = 0.5
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Rows every ten steps with evaluations evenly between them, and the config of a plan of which so much is done."""
    rows = run(range(10, 10 * len(loss) + 10, 10), loss=loss)
    every = len(loss) // len(accuracy)
    for at, value in enumerate(accuracy):
        rows[(at + 1) * every - 1]["eval_accuracy"] = value
    return rows, {"max_steps": round(10 * len(loss) / plan_share)}


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_a_classifier_at_chance(assert_finds: Any, run: Any, classes: int) -> None:
    loss = math.log(classes) * (1.005 + 0.04 * np.exp(-np.arange(60) / 5)) + LUCK.normal(0, 0.01, 60)
    events, config = classified(run, loss, [1 / classes + 0.02, 1 / classes - 0.01, 1 / classes])
    finding = assert_finds(events, RULE, config=config)
    assert f"among {classes} classes" in finding.title
    assert [evidence.series for evidence in finding.evidence] == ["loss", "eval_accuracy"]
    assert finding.detected_step <= 450


def test_answers_below_chance_are_no_better(assert_finds: Any, run: Any) -> None:
    loss = math.log(4) * (1.003 + 0.02 * np.exp(-np.arange(60) / 5)) + LUCK.normal(0, 0.003, 60)
    events, config = classified(run, loss, [0.1875, 0.1667, 0.1667])  # the same answer to some dozens of questions
    assert "among 4 classes" in assert_finds(events, RULE, config=config).title


def test_epochs_at_chance_without_a_plan(assert_finds: Any, assert_silent: Any, run: Any) -> None:
    loss = [0.74, 0.699, 0.703, 0.698, 0.7, 0.702, 0.703, 0.699, 0.703, 0.705, 0.697]
    answers = [0.53, 0.47, 0.47, 0.53, 0.53, 0.47, 0.47, 0.53, 0.47, 0.47, 0.53]
    epochs = run(range(1, 12), train_loss=loss, test_acc=answers, epoch=np.arange(1.0, 12.0))
    assert assert_finds(epochs, RULE).detected_step <= 10
    assert_silent(epochs[:6])


def test_what_is_not_at_chance_is_silent(assert_silent: Any, run: Any) -> None:
    flat = 0.70 + LUCK.normal(0, 0.005, 60)
    for accuracy in ([0.8, 0.8, 0.8], [0.5, 0.58, 0.64]):  # a language model's own rest; one that begins to learn
        events, config = classified(run, flat, accuracy)
        assert_silent(events, config=config)
    falls = np.linspace(0.72, 0.60, 60)
    events, config = classified(run, falls, [0.5, 0.52, 0.53])
    assert_silent(events, config=config)
    events, config = classified(run, flat, [0.5, 0.5, 0.5], plan_share=0.25)  # early: every classifier begins there
    assert_silent(events, config=config)
    events, config = classified(run, 0.80 + LUCK.normal(0, 0.005, 60), [0.5, 0.5, 0.5])
    assert_silent(events, config=config)


def test_a_loss_that_was_that_of_chance_all_the_time_needs_no_accuracy(
    assert_finds: Any, assert_silent: Any, run: Any
) -> None:
    steps, swings = range(10, 610, 10), LUCK.normal(0, 0.004, 60)
    for level, plan in ((math.log(2), 900), (math.log(4), 900)):
        finding = assert_finds(run(steps, loss=level + swings), RULE, config={"max_steps": plan})
        assert "the loss is that of chance" in finding.title and finding.detected_step <= 330
    assert_silent(run(steps, loss=0.72 + swings), config={"max_steps": 900})  # a fine-tune that has nothing to learn
    noisy = math.log(4) + LUCK.normal(0, 0.1, 60)
    assert_silent(run(steps, loss=noisy), config={"max_steps": 900})  # may lie a hundredth off
    leaves = math.log(4) + swings - np.linspace(-0.02, 0.1, 60).clip(0)
    assert_silent(run(steps, loss=leaves), config={"max_steps": 900})
    assert_silent(run(steps, loss=math.log(4) + swings), config={"max_steps": 9000})  # early
    # A fine-tune with nothing left to learn may lie near the logarithm of one number or another; its validation says so.
    assert_silent(run(steps, loss=math.log(6) + swings), config={"max_steps": 900})
    moves = run(steps, loss=math.log(4) + swings, val_loss=np.linspace(1.386, 1.36, 60))
    assert_silent(moves, config={"max_steps": 900})


def test_single_answers_of_small_evaluations_are_lucky(assert_finds: Any, run: Any) -> None:
    loss = math.log(4) + np.random.default_rng(5).normal(0, 0.02, 300)
    rows = run(range(300), loss=loss)
    for at, value in enumerate([0.29, 0.125, 0.21, 0.25, 0.29, 0.17, 0.29, 0.375, 0.25]):
        rows[30 * at + 29]["eval_acc"] = value
    assert "among 4 classes" in assert_finds(rows + run(range(300, 450), loss=loss[:150]), RULE).title


@pytest.mark.parametrize(
    ("val", "speaks"), [((0.696, 0.702, 0.698, 0.694, 0.697), True), ((0.696, 0.690, 0.686, 0.688, 0.69), False)]
)
def test_two_answers_of_which_no_evaluation_found_the_right_one(
    assert_finds: Any, assert_silent: Any, run: Any, val: tuple[float, ...], speaks: bool
) -> None:
    """The training loss comes down by a hundredth, by what is learned by heart; validation says that it is nothing."""
    loss = np.linspace(0.6935, 0.6872, 140) + LUCK.normal(0, 0.001, 140)
    rows = [{"loss": float(value), "epoch": round(at / 28, 2)} for at, value in enumerate(loss)]
    for at, value in enumerate(val, 1):
        rows[28 * at - 1]["eval_loss"] = value
    if speaks:
        assert "the loss is that of chance among 2 classes" in assert_finds(rows, RULE).title
    else:
        assert_silent(rows)
