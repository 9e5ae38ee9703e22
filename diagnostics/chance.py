"""A classifier that answers no better than by chance, told by two numbers that agree: its loss and its accuracy. Pure; knows no rule.

A loss near ln k alone may be that of anything; with one answer in k right beside it, it is that of a model that says the same
of every input. Both are asked for over two thirds of the run, as every fine-tune begins there. A loss that is ln k to a
few thousandths from its first point on needs no accuracy beside it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from diagnostics import stats
from diagnostics.series import SeriesView
from diagnostics.view import RunView

CLASSES = 10
"""The most classes that are told by a loss: ln of 10 and of 11 are too near to each other to be told apart."""

NEAR, ABOVE, LIKE = 0.02, 0.05, 0.06
"""Share by which a loss that is ln k may lie below it, and above it (steps that are too large throw it about); and how far above
1 ÷ k the accuracy of some hundred answers may lie."""

EPOCHS, SHARE, STEPS, POINTS = 8, 1 / 3, 300, 200
"""Epochs, or a share of the plan, by which a model that learns has left it; where neither is known, steps and logged points."""

LONG, LONG_POINTS = 5000, 50
"""Steps, and logged points, that are enough within whatever epoch."""

SOME = 5
"""Evaluations from which on their median counts: single ones of some dozens of answers are far off by luck."""

EXACT, LEAST, FEW = 0.005, 20, 4
"""Share within which a loss is ln k by no accident, if each third of so many points is, and validation; and the most classes that is
said of without an accuracy: a fine-tune that has nothing left to learn lies as near to one of ln 2 to ln 10 by chance, one time in fourteen."""


NEVER_BEATEN, ASKED = 0.002, 4
"""Two answers: share of ln 2 that no evaluation, of so many at least, came below. Then the training loss may have come a little
below it, by what it has learned by heart."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Chance:
    """What a classifier at chance looks like."""

    loss: SeriesView
    classes: int
    since: int
    """The first step of what was judged."""
    accuracy: SeriesView | None = None
    answers: float = 0.0
    """Mean accuracy there."""


def at_chance(view: RunView) -> Chance | None:
    """Whether loss and accuracy have both been those of chance for most of a run that should have learned by now."""
    loss, accuracy = view.train, view.get("accuracy")
    if loss is None or accuracy is None or not _had_time(view):
        return None
    classes = _classes(loss)
    if classes is None:
        return None
    uniform, since = math.log(classes), int(loss.steps[loss.steps.size // 3])
    lasting = loss.since(since)[1]
    if not lasting.size or not all(-NEAR <= at / uniform - 1 <= ABOVE for at in (loss.level, stats.median(lasting))):
        return None
    # The first third does not count: some have learned a little there, and lost it for good.
    if stats.lowest_median(lasting, max(3, loss.window))[0] < (1 - NEAR) * uniform:
        return None
    answers = accuracy.since(since)[1]
    if not answers.size:
        return None
    highest = stats.median(answers) if answers.size >= SOME else float(answers.max())
    if highest - 1 / classes > LIKE:
        return None  # below chance it may be by any luck, and of a model that says the same of every input it often is
    return Chance(loss=loss, accuracy=accuracy, classes=classes, since=since, answers=float(answers.mean()))


def rests_at_chance(view: RunView) -> Chance | None:
    """Whether the loss has been ln k, to a few thousandths, from its first points to its last, in a run that had its time."""
    loss = view.train
    if loss is None or loss.size < LEAST or not (_had_time(view) or _evaluated_enough(view)):
        return None
    if view.uniform_loss is not None:
        return None  # a language of so few tokens may have hardly more to tell
    classes = _classes(loss)
    if classes is None or classes > FEW:
        return None
    uniform = math.log(classes)
    beaten = not _never_beaten(view.val, classes)
    if view.val is not None and beaten and abs(view.val.level - uniform) > EXACT * uniform:
        return None
    for part in np.array_split(loss.values, 3):
        # The median of n normal points is off by 1.25 sigma ÷ √n.
        error = 1.25 * loss.noise / math.sqrt(part.size)
        below = uniform - stats.median(part)
        if max(-below, below if beaten else 0.0) + error > EXACT * uniform or below > NEAR * uniform:
            return None
    return Chance(loss=loss, classes=classes, since=int(loss.steps[0]))


def _evaluated_enough(view: RunView) -> bool:
    """Whether evaluations of two answers have found nothing in half the epochs."""
    return (view.passes or 0) >= EPOCHS / 2 and _never_beaten(view.val, 2)


def _never_beaten(val: SeriesView | None, classes: int) -> bool:
    """Whether evaluations of two answers were those of chance, or a little worse, each time."""
    if val is None or classes != 2 or val.size < ASKED:
        return False
    uniform = math.log(classes)
    return val.lowest.value >= (1 - NEVER_BEATEN) * uniform and val.level <= (1 + ABOVE) * uniform


def _classes(loss: SeriesView) -> int | None:
    """The k whose logarithm is nearest to the level, of a loss of which every point is at hand; None where there is none that can be told."""
    if loss.values.size < loss.size or not 0 < loss.level <= math.log(CLASSES + 1):
        return None
    classes = round(math.exp(loss.level))
    return classes if 2 <= classes <= CLASSES else None


def _had_time(view: RunView) -> bool:
    """Whether a third of the plan or some epochs are done, with the rate past its warm-up."""
    if view.warm_steps <= 0:
        return False
    if view.progress is not None:
        return view.progress >= SHARE
    if view.train is not None and view.warm_steps >= LONG and view.train.size >= LONG_POINTS:
        return True
    if view.passes is not None:
        return view.passes >= EPOCHS
    return view.warm_steps >= STEPS and view.train is not None and view.train.size >= POINTS
