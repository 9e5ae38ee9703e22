"""Whether a run has lost again what it had learned: training and validation loss stand above where they were. Pure.

Either series alone may rise for reasons of its own: hard text, a lucky lowest evaluation, overfitting. What both tell
needs a smaller rise. Knows no rule.
"""

from __future__ import annotations

import numpy as np

from diagnostics import following, stats, swings
from diagnostics.history import Floats
from diagnostics.series import Best, SeriesView
from diagnostics.view import RunView

CREEP, BOTH = 0.06, 0.04
"""Shares of the best level that the training loss must have climbed, and the validation loss, when both climb."""

STEP, SURE, RISE = 0.02, 3.0, 0.03
"""Share that the mean training loss since the lowest evaluation stands above the one before, and in standard errors; and
what validation stays above it, as it is asked for of overfitting."""

LASTING, AGAIN = 3, 2
"""Last evaluations that must stand high: one or two a hard chapter lifts as well. Where both losses are back at what knowing
the frequencies alone costs two are enough."""

MANY = 30
"""Evaluations from which on the lowest is lucky by two standard deviations; among few their noise cannot be told from a curve."""

APART, CLEAR = 0.05, 4.0
"""The same where the last two evaluations stand so much above it: then the step may be anywhere, if it is so many standard
errors. Hard passages of text in its order lift evaluations too, by 4.4 % at most; elsewhere healthy runs came to 2.7 errors."""

GAINED, LEFT, SURELY, CONFIRMS = 0.25, 0.2, 6.0, 0.2
"""Share of its start that a loss must have gained before it can be lost; what may be left of it; standard errors of the rise,
and the share by which the last evaluations stand above the lowest."""

BEFORE, LEAST, AT_MOST, LAST = 50, 4, 100, 15
"""Training losses before the lowest evaluation that are a mean; those since then, at least and at most; and those that tell
where it stands now."""

STAYED, LIKELY = 6, 1.5
"""Last evaluations that all stand `APART` above the lowest, by no noise of theirs; and the standard errors of the training loss that are
enough beside them: it must only not have fallen, as it does where a text is learned by heart."""

WRECKED = 0.5
"""Share above its best, of both losses, that no warm-up or restart of the rate excuses."""

CLIMBED = 0.25
"""Share of the first of few training losses by which all later ones stand above it."""

SHORTER = (20, 10, 5)
"""The last so many before it, where the loss was still falling: older ones are no measure of it. Each has its chance to be
lucky: `CLEAR` errors are asked for."""

FREQUENCIES, MORE = 0.98, 0.965
"""Shares of the unigram entropy: no less is lost context, so much less was knowing some."""


def crept_up(view: RunView, train: SeriesView, best: Best) -> float | None:
    """The limit that a climb has passed, or a step up, which validation shares: neither series alone would be enough."""
    val = view.val
    if val is None or val.size < 4 or train.size < 30 or view.rate_raised_since(best.step):
        return None
    # Both must tell of the same time: what validation found after the best training loss was not lost before it.
    then = max(best.value, train.near(val.lowest.step)) if val.lowest.step > best.step else best.value
    limit = then + max(CREEP * abs(then), 0.15, 5 * train.level_error)
    together = float(val.values[-2:].min()) > _bar(val, BOTH)
    if train.level <= limit or not together:
        return None
    k = train.window
    stays = stats.median(train.values[-2 * k : -k]) > limit and stats.median(train.values[-3 * k : -2 * k]) > limit
    since = train.curve[int(train.curve.argmin()) :]
    return limit if stays or (since.size >= 8 and stats.mann_kendall(since) > 3) else None


def all_lost(view: RunView, train: SeriesView, best: Best) -> float | None:
    """The level that was passed by a loss which has given back what it had gained since its start, as validation confirms.

    A classifier that falls back to answering by chance climbs by a third of a nat: too little to be told by its size.
    """
    val, gained = view.val, train.start - best.value
    if val is None or val.size < LEAST or train.size < 30 or best.value <= 0 or gained < GAINED * train.start:
        return None
    limit = max(train.start - LEFT * gained, best.value + SURELY * train.noise / train.window**0.5)
    k = train.window
    low = min(stats.median(train.values[-k:]), stats.median(train.values[-2 * k : -k]))
    since = val.since(val.lowest.step)[1]
    agrees = since.size >= AGAIN and float(since[-AGAIN:].min()) > (1 + CONFIRMS) * val.lowest.value
    return limit if low > limit and agrees and not view.rate_raised_since(best.step) else None


def stepped_up(view: RunView, train: SeriesView) -> tuple[float, float, int] | None:
    """(mean before, mean since, step of the lowest evaluation) where validation stays above it and training surely rose.

    All training losses since count: noise hides from the last ten of them a step that it does not hide from fifty.
    """
    val = view.val
    if val is None or val.size < LEAST:
        return None
    _lowest, at = val.lowest
    _steps, evaluations = val.since(at)
    _steps, after = train.since(at)
    # Validation is asked first: it denies nearly every look, and costs least.
    asked = AGAIN if _only_frequencies(view, val, train) else LASTING
    if evaluations.size < asked or not float(evaluations[-asked:].min()) > _bar(val, RISE):
        return None
    before, after = train.values[: train.values.size - after.size][-BEFORE:], after[-AT_MOST:]
    if after.size < LEAST:
        return None
    if _wrecked(val, evaluations, before, after):
        return stats.median(before), stats.median(after), at
    if before.size < LAST or _rate_raised(view, at, before.size):
        return None
    stayed = evaluations.size >= STAYED and float(evaluations[-STAYED:].min()) > _bar(val, APART)
    for many, sure in ((BEFORE, SURE), *((many, CLEAR) for many in SHORTER)):
        part, sure = before[-many:], LIKELY if stayed else sure
        then, now, risen = _risen(part, after)
        error = _noise(train, part) * (1 / after.size + 1 / part.size) ** 0.5
        if risen >= max(STEP * abs(then), sure * error) and not _usual(train, then, risen):
            return then, now, at
    return None


def stepped_between(view: RunView, train: SeriesView) -> tuple[float, float, int] | None:
    """(mean before, mean since, step) where evaluations are so rare that the lowest one came long before the step.

    The losses themselves say where it is: of all splits of the last ones the likeliest.
    """
    val = view.val
    if val is None or val.size < LEAST:
        return None
    lowest, at = val.lowest
    if lowest <= 0 or not float(val.values[-AGAIN:].min()) > _bar(val, APART):
        return None
    values = train.values[-2 * AT_MOST :]
    split = _likeliest(values)
    if split is None:
        return None
    step = int(train.steps[train.values.size - values.size + split - 1])
    before, after = values[max(0, split - BEFORE) : split], values[split:]
    then, now, risen = _risen(before, after)
    spread = stats.mad_sigma(np.concatenate((before - stats.median(before), after - stats.median(after))))
    error = max(_noise(train, before), spread) * (1 / after.size + 1 / before.size) ** 0.5
    if risen < max(RISE * abs(then), CLEAR * error) or _rate_raised(view, step, before.size):
        return None
    if _usual(train, then, risen):
        return None
    _steps, since = val.since(step)
    return (then, now, step) if at <= step and since.size >= AGAIN else None


def lost_between_few(view: RunView, train: SeriesView) -> tuple[float, float, int] | None:
    """(lowest evaluation, the best of the last ones, its step) where the training loss is logged so rarely that it has hardly a course.

    Every evaluation has stood far above the lowest for long, and every training loss far above the first.
    """
    val = view.val
    if val is None or not 2 <= train.size < LAST:
        return None
    lowest, at = val.lowest
    _steps, since = val.since(at)
    if lowest <= 0 or since.size < STAYED:
        return None
    high = float(since[-STAYED:].min())
    climbed = float(train.values[1:].min()) > (1 + CLIMBED) * float(train.values[0]) > 0
    return (lowest, high, at) if climbed and high > (1 + CONFIRMS) * lowest else None


def _risen(before: Floats, after: Floats) -> tuple[float, float, float]:
    """(mean before, mean after, rise): a few wild losses lift a mean, and no median."""
    then, now = float(before.mean()), float(after.mean())
    return then, now, min(now - then, 2 * (stats.median(after) - stats.median(before)))


def _usual(train: SeriesView, then: float, risen: float) -> bool:
    """Whether the run has come back from as large a rise before."""
    return risen < swings.came_back_from(swings.levels_of(train)[0], train.level_error, then, risen)


def _bar(val: SeriesView, share: float) -> float:
    """What stands that share above the lowest evaluation, and above what luck makes of the lowest of many noisy ones."""
    lowest, at = val.lowest
    lucky = following.luck(val, lowest, at) if val.size >= MANY and lowest > 0 else 0.0
    return lowest * (1 + share + lucky)


def _noise(train: SeriesView, before: Floats) -> float:
    """Noise of single losses, with what a median of differences does not tell: one batch in five may be of another task."""
    return max(train.noise, float(np.std(np.diff(before))) / 2**0.5)


def _likeliest(values: Floats) -> int | None:
    """The index at which the mean of what follows stands most surely above that of the `BEFORE` values before."""
    until = np.arange(LAST, values.size - LAST + 1)
    if not until.size:
        return None
    sums = np.concatenate(([0.0], np.cumsum(values)))
    since, begin = values.size - until, np.maximum(0, until - BEFORE)
    rises = (sums[-1] - sums[until]) / since - (sums[until] - sums[begin]) / (until - begin)
    return int(until[int((rises / np.sqrt(1 / since + 1 / (until - begin))).argmax())])


def _wrecked(val: SeriesView, evaluations: Floats, before: Floats, after: Floats) -> bool:
    """Whether both losses are half above where they were for some evaluations: no rate that bears fruit does that by rising."""
    if evaluations.size < LASTING or before.size < LEAST:
        return False
    high = float(evaluations[-LASTING:].min()) > (1 + WRECKED) * val.lowest.value > 0
    return high and stats.median(after) > (1 + WRECKED) * stats.median(before)


def _rate_raised(view: RunView, step: int, points: int) -> bool:
    """Whether the mean rate since a step is half above that of the points before: a warm restart lifts the loss too."""
    if view.rate is None:
        return False
    since = view.rate.steps > step
    before = view.rate.values[~since][-points:]
    return bool(before.size and since.any() and view.rate.values[since].mean() > 1.5 * before.mean())


def _only_frequencies(view: RunView, val: SeriesView, train: SeriesView) -> bool:
    """Whether both losses stand where only how often each token occurs is known, and validation had known more."""
    unigram = view.data.unigram_entropy if view.data is not None else None
    if unigram is None or view.uniform_loss is None or val.lowest.value > MORE * unigram:
        return False
    return min(float(val.values[-AGAIN:].min()), float(train.values[-LAST:].mean())) >= FREQUENCIES * unigram
