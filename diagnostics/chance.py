"""A classifier that answers no better than by chance, told by two numbers that agree: its loss and its accuracy. Pure; knows no rule.

A loss of ln k alone may be that of anything; with one answer in k right beside it, it is that of a model that says the same
of every input. Both are asked for over two thirds of the run, as every fine-tune begins there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from diagnostics import stats
from diagnostics.series import SeriesView
from diagnostics.view import RunView

CLASSES = 10
"""The most classes that are told by a loss: ln of 10 and of 11 are too near to each other to be told apart."""

NEAR, LIKE = 0.02, 0.06
"""Share by which a loss that is ln k may lie off it; and how far above 1 ÷ k the accuracy of some hundred answers may lie."""

EPOCHS, SHARE = 8, 1 / 3
"""Epochs, or a share of the plan, by which a model that learns has left it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Chance:
    """What a classifier at chance looks like."""

    loss: SeriesView
    accuracy: SeriesView
    classes: int
    since: int
    """The first step of what was judged."""
    answers: float
    """Mean accuracy there."""


def at_chance(view: RunView) -> Chance | None:
    """Whether loss and accuracy have both been those of chance for most of a run that should have learned by now."""
    loss, accuracy = view.train, view.get("accuracy")
    if loss is None or accuracy is None or not _had_time(view) or not 0 < loss.level <= math.log(CLASSES + 1):
        return None
    classes = round(math.exp(loss.level))
    if not 2 <= classes <= CLASSES or loss.values.size < loss.size:
        return None
    uniform, since = math.log(classes), int(loss.steps[loss.steps.size // 3])
    lasting = stats.median(loss.since(since)[1])
    if max(abs(loss.level / uniform - 1), abs(lasting / uniform - 1)) > NEAR or loss.best.value < (1 - NEAR) * uniform:
        return None
    answers = accuracy.since(since)[1]
    if not answers.size:
        return None
    if float((answers - 1 / classes).max()) > LIKE:
        return None  # below chance it may be by any luck, and of a model that says the same of every input it often is
    return Chance(loss=loss, accuracy=accuracy, classes=classes, since=since, answers=float(answers.mean()))


def _had_time(view: RunView) -> bool:
    """Whether a third of the plan or some epochs are done, with the rate past its warm-up."""
    if view.warm_steps <= 0:
        return False
    return (view.progress or 0.0) >= SHARE if view.progress is not None else (view.passes or 0.0) >= EPOCHS
