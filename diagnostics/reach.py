"""How far the weights can have gone, and what a run from scratch that learns has gained by then. Pure; knows no rule.

With Adam a weight moves by about the rate a step, so the sum of the rates of all steps says how far weights can have gone,
whatever the size of the model. What the loss must have gained by then is asked the same way by the rules on slow and on
stuck losses.
"""

from __future__ import annotations

import math

import numpy as np

from diagnostics import stats
from diagnostics.progress import Progress
from diagnostics.view import RunView

SUMS, GAINS = (0.05, 0.07, 0.1, 0.2, 0.4), (0.012, 0.024, 0.046, 0.058, 0.07)
"""The least share of the uniform loss that a run has gained once the rates of its steps sum up to so much.

Small models from scratch whose loss fell at all had gained 7 % at a sum of 0.1 and 10 % at 0.2, the slowest of
them; models of which only the norms were trained, at most 4 and 5 %.
"""

SUMS_EARLY, GAINS_EARLY = (0.01, 0.03, 0.05, 0.1), (0.01, 0.03, 0.042, 0.05)
"""The same where the plan is short and a good part of it done: what is measured may then exceed the level by two errors.

At the first losses the slowest models gain 1.7 % for each hundredth of the sum, those with frozen weights nothing.
"""
EARLY_SHARE, EARLY_STEPS, EARLY_POINTS = 0.06, 8, 4
"""Share of the plan, steps since the rate was warm, and logged points from which on that is asked."""

ADAM = 0.01
"""A peak rate above this is another optimizer's, or too high: the sum of its rates says nothing of the first steps."""

FEW_TOKENS, SUMS_FEW, GAINS_FEW = 30, (1.0, 2.0), (0.015, 0.05)
"""In vocabularies up to this size how often each token occurs may be worth next to nothing: more patience, less gain."""

FRESH, FRESHLY = 100, 0.1
"""Steps within which the weights are measured first, and a sum of their rates within which one measurement is enough."""

HELD, HELD_AT_ONCE, MEASURED, GAINED = 5.0, 7.0, 2, 0.04
"""Times the rate that each of so many first measured steps changes the weights by at least, where all are trained, and the very
first one while the weights are as they began (12 times was the least of hundreds of runs, 5.2 the most where norms and positions
alone were trained); and the share of the loss of knowing nothing that a model gains which moves as a whole."""

BEGAN, WHOLE = 1 / 30, 0.4
"""The usual size of fresh weights, which grows by the sum of the rates at most; and the share of a rate that a step moves
weights of such a size by at least, where all are trained: 0.51 was the least of 630 healthy runs from scratch at their first
measured step (small weights that grow at once move by ever less of their size), 0.33 the most where few were trained."""

IN_STEPS = 20
"""A declared warm-up shorter than this may be counted in epochs or percent."""

COMMONEST = 0.93
"""Loss ÷ unigram entropy of the training text above which a model knows hardly more than how often each token occurs."""

WORTH = 0.03
"""Share of the uniform loss from which on that is known to be worth enough."""


def times_the_rate(view: RunView, readings: int) -> float | None:
    """The highest of the first ratios of update to weight ÷ the rate of its step; None where these are not known, or Adam's.

    Adam moves a weight that it holds by a quarter of the rate, where gradients are noise, to all of it; weights of the usual
    sizes, 0.02 to 0.1, are so changed by 2.5 to 50 times the rate.
    """
    measured = view.once(_measured)[:readings]
    return max(times for _step, times in measured) if len(measured) == readings else None


def _measured(view: RunView) -> list[tuple[int, float]]:
    """(step, update to weight ÷ the rate of the step) of the first measured ones, `MEASURED` at most, up to one whose rate is not
    known; empty where none is known, or Adam's."""
    ratio, rate = view.get("update_ratio"), view.rate
    if ratio is None or rate is None or not 0 < view.step_size <= ADAM:
        return []
    steps, values = (part[:MEASURED] for part in ratio.first_points)
    if not steps.size or steps[0] > FRESH or values.min() < 0:  # its logarithm, as some log it
        return []
    logged, rates = rate.first_points
    at = np.minimum(np.searchsorted(logged, steps), logged.size - 1)
    known = int(np.append((logged[at] != steps) | (rates[at] == 0), True).argmax())
    return list(zip(steps[:known].tolist(), (values[:known] / rates[at[:known]]).tolist(), strict=True))


def barely_moved(view: RunView, seen: Progress, held: float = HELD) -> float | None:
    """By how many times the rate the first steps changed the weights of a run from scratch, where that is far less than all of
    them move, and next to nothing was gained; else None."""
    series, val = seen.series, view.val
    if not seen.uniform or seen.fall >= GAINED or series.level < (1 - GAINED) * series.start:
        return None  # weights that began far too large had more to lose
    if val is not None and val.level < (1 - GAINED) * seen.reference:
        return None
    measured = [(times, view.rate_sum_until(step) or 0.0) for step, times in view.once(_measured)]
    if len(measured) == MEASURED and all(_held(*one) for one in measured):
        each = max(times for times, _moved in measured)
        if each < held:
            return each
    if not measured or not _held(*measured[0]) or measured[0][1] > FRESHLY:
        return None
    return measured[0][0] if measured[0][0] < HELD_AT_ONCE * held / HELD else None


def _held(times: float, moved: float) -> bool:
    """Whether `times` the rate is less than all weights move by even if they had grown as far as they can: the sum of the rates."""
    return times * (BEGAN + moved) < WHOLE


def few_tokens(view: RunView) -> bool:
    """Whether learning how often each token occurs may be worth next to nothing."""
    return (view.facts.vocab_size or FEW_TOKENS + 1) <= FEW_TOKENS


def asked_gain(view: RunView, seen: Progress) -> float:
    """The share that must have been gained by what the rates of all steps sum up to; 0 while nothing can be asked."""
    moved = view.rate_sum
    if moved is None or not seen.uniform or seen.warm_steps < 40 or seen.warm_points < 20:
        return 0.0
    early = seen.warm_steps < 100  # a smoothed loss lags behind: half is asked for, of what moved twice as far
    if early and moved < 2 * SUMS[0]:
        return 0.0
    sums, gains = (SUMS_FEW, GAINS_FEW) if few_tokens(view) else (SUMS, GAINS)
    asked = float(np.interp(math.log(moved), np.log(sums), gains)) if moved >= sums[0] else 0.0
    return asked / 2 if early else asked


def asked_early(view: RunView, seen: Progress) -> float:
    """The share that a run whose plan is short must have gained in its first part; 0 while nothing can be asked."""
    moved, share, size = view.rate_sum, view.progress, seen.series.size
    if moved is None or share is None or not seen.uniform or not 0 < (view.known_rate or 0) <= ADAM:
        return 0.0
    if share < EARLY_SHARE or seen.warm_steps < EARLY_STEPS or size < EARLY_POINTS or moved < SUMS_EARLY[0]:
        return 0.0
    asked = float(np.interp(moved, SUMS_EARLY, GAINS_EARLY))
    if not few_tokens(view):
        return asked
    worth = frequencies_worth(view, seen)
    return min(asked, worth) if worth >= WORTH else 0.0


def falls_short(seen: Progress, asked: float) -> bool:
    """Whether not even two errors more would be what is asked for, now or before, and it neither rises nor gathers way.

    A smoothed loss lags behind, and the first steps of any are its slowest: one that falls ever faster has begun.
    """
    series, values = seen.series, seen.series.values
    # Second differences of a handful of points are by luck too small: how far they lie from a line is no less.
    error = max(series.level_error, stats.line_error(values[-64:]) / math.sqrt(series.window))
    few = max(1, values.size // 5)
    middle = stats.median(values[max(0, values.size // 2 - few) : values.size // 2 + 1])
    late, early = middle - series.level, seen.began - middle
    gathers = late > 0.35 * asked * seen.reference or (late > 2 * error and late > 1.5 * early)
    gained = seen.fall + 2 * error / seen.reference
    best = series.best.value > (1 - 2 * asked) * seen.began
    return gained < asked and best and series.level <= 1.1 * seen.reference and not gathers


def planned_reach(view: RunView) -> float | None:
    """What the rates of all planned steps will sum up to at most; None where plan or rate are not known.

    The peak is the highest rate so far. While the rate still rises through its declared warm-up, on that line: a rate at a
    thousandth of it is not on its way to the declared peak. Once that warm-up is over, it is not either.
    """
    planned, rate, moved = view.facts.planned_steps, view.known_rate, view.rate_sum
    if not planned or rate is None or moved is None:
        return None
    warmup = view.facts.warmup_steps or 0
    if view.rate is not None and view.step < warmup and view.rate.last >= rate:
        rate *= warmup / max(1, view.step)
    elif view.rate is not None and view.first_warm_step is None and not IN_STEPS <= warmup <= view.step:
        rate = max(rate, view.facts.peak_rate or rate)
    return moved + rate * max(0, planned - view.step)


def decaying_reach(view: RunView) -> float | None:
    """What the rates of all planned steps will sum up to if the rate does not rise any more; None where that is not known."""
    planned, moved = view.facts.planned_steps, view.rate_sum
    if not planned or view.rate is None or moved is None or view.first_warm_step is None:
        return None
    return moved + view.rate.last * max(0, planned - view.step)


def commonest_loss(view: RunView) -> float | None:
    """The loss above which hardly more is known than how often each token occurs; None where the run did not tell how often."""
    unigram = view.data.unigram_entropy if view.data is not None else None
    return COMMONEST * unigram if unigram is not None and view.facts.from_scratch is not False else None


def frequencies_worth(view: RunView, seen: Progress) -> float:
    """What knowing how often each token occurs is worth, as a share of the uniform loss; 0 where that is not known."""
    unigram = view.data.unigram_entropy if view.data is not None else None
    return 0.0 if unigram is None else 1 - unigram / seen.reference
