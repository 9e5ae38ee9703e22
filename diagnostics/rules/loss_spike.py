"""The rule `loss-spike`: a rise far outside the noise that lasts several points."""

from __future__ import annotations

import numpy as np

from diagnostics import say, stats
from diagnostics.finding import Cause, Evidence, Remedy, Severity, Sighting
from diagnostics.history import Floats
from diagnostics.rule import Life, rule
from diagnostics.series import SeriesView
from diagnostics.view import RunView

BASE, BASE_REACH, RECENT = 50, 600, 10
"""Points of a baseline window, how far back baselines are looked for, and points that are tested."""

NEWEST, FEWEST, FALLING = 15, 3, -3.0
"""Points that are the level of a falling loss, points at the end that are never among them (others of a spike are too few to
move a median), and the Mann–Kendall z of a window from which on it falls."""

SET_ASIDE = 6
"""Baselines for each of which the lowest one is passed over as an easy pocket; a shorter history has none to compare with."""

FIRM = 0.8
"""Share of a grave rise that one must be which is beyond doubt: in text that is read in its order chapters differ by a fifth."""

YOUNG = 6
"""Hot points of the last ten that are enough where the run has hardly come down: its first noise says little of what is usual."""

LOW, LOW_FLOOR = 0.1, 0.3
"""A loss below which shares of it say nothing, and the nats that it must rise there."""

SIGMAS, SHARE = 8.0, 0.15
"""Defaults of the options. By as many times as they are made stricter, more is asked for where there are witnesses, too."""

MANY, CLEARLY = 5, 6.0
"""Points of the last ten, and times the noise that they stand above the level, where something else than their height says that
they are no data: they lie where the run began, or an evaluation rose with them."""

LEARNED = 4.0
"""Times the noise by which the level had come down from where the run began. All of that is lost where the loss is back there,
however few per cent it is."""

WITNESSED, WITNESS = 0.06, 0.04
"""Shares that the loss and an evaluation must rise together. Of a thousand healthy runs none had both at half of the noise."""

RISING = 1.1
"""A rate ÷ that of twenty points before that still rises."""

HALF, PAIRS_REACH = 0.5, 120
"""Share of the level that each of two points running must rise, and points among which that must happen twice."""


@rule(
    "loss-spike",
    needs=(("train_loss",),),
    helps=("grad_norm",),
    blind="spikes cannot be seen",
    severity=Severity.WARNING,
    life=Life(close_after_points=RECENT, recurring_after=3),
)
def loss_spike(
    view: RunView,
    *,
    sigmas: float = SIGMAS,
    rise: float = SHARE,
    hot: int = 3,
    grave_rise: float = 0.3,
    lasting: int = 20,
) -> Sighting | None:
    """The loss jumped far above its recent level for several points.

    ## What it means
    Something hit the optimizer: a few very bad batches, or a step that was too large. Often the loss comes back.

    ## Why it matters
    A spike that returns costs some steps; repeated ones say that the run lives at the edge; one that does not return is
    a divergence.

    ## How it is detected
    At least `hot` of the last 10 points lie above the best recent level (the lowest median of 50 points among the last
    600, so that the spike is never its own baseline; in a short history that falls, the median of the 15 before, and six
    points are asked for while it still holds those that the run came down from) by more than `sigmas` of the noise and by more than `rise` of it.
    The noise is that from point to point, or that about a line through the baseline if it is larger. It is a warning
    when the hot points are `grave_rise` above (four fifths of that, where several in a row leave no doubt), when the gradient norm jumped too, when an evaluation shows it (half of
    `rise` above the lowest), or when it has lasted `lasting` points; else info. It is a warning too when five of the last 10 points
    stand six times the noise above the level, and where the run began (four times the noise above the level and more): all that was
    learned is lost again, whatever share that is. Or 6 % above it, where an evaluation since then stands 4 % above the one before and the lowest. Or when two points running stand half of the level above it,
    as they did once before among the last 120, and most jumps were no single points; all of these times as much as `sigmas` or `rise` were raised. Once over, it is info and says how long it took, unless it is the third. Single points
    are data, not illness, and stay silent.

    ## Likely causes
    - Bad batches: corrupt or very unusual text.
    - Learning rate too high for this phase.
    - Adam's second moment too slow (beta2 0.999) for sudden gradients.

    ## What to do
    - Wait some points: it may recover by itself.
    - Clip gradients at 1.0; look at the batches of those steps; lower the rate if it happens again.

    ## When it is wrong
    A switch to other data lifts the level. So does a warm restart: while the logged rate is being raised, twice the rise
    is asked for. Pockets of hard text in a fixed order look like spikes that
    come back every epoch.

    ## Options
    - `sigmas` (8): times the point-to-point noise.
    - `rise` (0.15): share of the level.
    - `hot` (3): points of the last 10.
    - `grave_rise` (0.3): share of the level that is a warning at once.
    - `lasting` (20): hot points that are a warning.

    ## Example
    Fires:
        train/loss: 3.0 2.9 2.85 2.8 2.78*30 4.9 5.6 5.1 4.6
    Silent:
        train/loss: 3.0 2.9 2.85 2.8 2.78*30 5.4 2.77*15

    ## References
    - Takase et al., Spike No More, 2023. OLMo 2, 2024 (spike score).
    """
    train = view.train
    if train is None or train.size < 30:
        return None
    found = _baseline(train.values)
    if found is None or found[0] <= 0:
        return None
    base, level_of, usual_of = found
    earlier = int(train.steps[max(0, train.steps.size - RECENT - BASE)])
    asked = rise * (2 if view.rate_raised_since(earlier) else 1)
    # Near zero a share of the level is nothing: what is learned by heart jumps by its own size at every hard sentence.
    least = max(asked * base, LOW_FLOOR if base <= LOW else 0.0)
    limit = None
    if base > LOW and not _restarted(view, train, earlier):
        strict = max(sigmas / SIGMAS, rise / SHARE)
        limit = _witnessed(view, train, base, level_of, base + least, strict)
        limit = limit or _in_pairs(train, base, level_of, strict)
    if limit is not None:
        start = _onset(train.values > limit)
        agrees = _gradient_jumped(view, int(train.steps[start]))
        return _sighting(view, train, start, base, limit, float(train.values[start:].max()), agrees, Severity.WARNING)
    if int((train.values[-RECENT:] > base + least).sum()) < min(hot, RECENT):
        return None  # whatever the noise is
    noise = _calm_noise(train, level_of, base + least)
    limit = base + max(sigmas * noise, least)
    if int((train.values[-RECENT:] > limit).sum()) < min(hot, RECENT):
        return None
    is_hot = train.values > limit
    # Where single points have always jumped so high, that many more of the last ten must.
    needed = hot + 3 * RECENT * _usual(is_hot[usual_of:-RECENT])
    fall = _initial_fall(train, is_hot) if usual_of == 0 else 0
    if fall:
        needed = min(needed, max(YOUNG, hot + 3 * RECENT * _usual(is_hot[fall:-RECENT])))
    if int(is_hot[-RECENT:].sum()) < min(needed, RECENT):
        return None
    start = _onset(is_hot)
    spike = train.values[start:][is_hot[start:]]
    agrees = _gradient_jumped(view, int(train.steps[start]))
    grave = stats.median(spike) > (1 + grave_rise) * base or agrees or spike.size >= lasting
    grave = grave or _surely(train.values[-RECENT:] / base - 1, noise / base, (sigmas, grave_rise), hot)
    grave = grave or _validation_jumped(view, int(train.steps[start]), rise / 2)
    return _sighting(
        view, train, start, base, limit, float(spike.max()), agrees, Severity.WARNING if grave else Severity.INFO
    )


def _witnessed(
    view: RunView, train: SeriesView, base: float, level_of: slice, high: float, strict: float
) -> float | None:
    """The limit that many of the last points have passed, where more than their height tells that they are no data.

    Either an evaluation rose with them, above the one before as above the lowest. Or they lie where the run began and had surely
    come down from: a share of the loss says little where most of it cannot be learned. An evaluation at its best denies that.
    """
    recent, rose = train.values[-RECENT:], _validation_rose(view, int(train.steps[-RECENT]))
    least = base * (1 + WITNESSED * strict) if rose else max(base, train.start)
    if least <= base or int((recent > least).sum()) < MANY:
        return None
    noise = _calm_noise(train, level_of, least if rose else high)
    limit = max(least, base + CLEARLY * strict * noise)
    if int((recent > limit).sum()) < MANY:
        return None
    if rose:
        return limit
    denied = _validation_at_its_best(view, int(train.steps[_onset(train.values > limit)]))
    return limit if least - base >= LEARNED * strict * noise and not denied else None


def _surely(rises: Floats, noise: float, usual: tuple[float, float], hot: int) -> bool:
    """Whether points in a row rise on average by little less than what is grave, and so surely that it makes up for that.

    What m points rise on average is surer than one by sqrt(m). Its standard errors times its share are asked to be what they
    are where `hot` points stand just where a spike begins, and is grave. For finding a spike that would not do: points of a
    hard passage rise together.
    """
    sigmas, grave = usual
    sums = np.cumsum(np.append(0.0, rises))
    for first in range(rises.size - hot + 1):
        ends = np.arange(first + hot, rises.size + 1)
        mean = (sums[ends] - sums[first]) / (ends - first)
        errors = mean * np.sqrt(ends - first) / noise
        if ((mean >= FIRM * grave) & (errors * mean >= sigmas * grave * hot**0.5)).any():
            return True
    return False


def _initial_fall(train: SeriesView, is_hot: np.ndarray) -> int:
    """Points that a run began with and came down from: so high it was once, and is not from time to time."""
    return int(is_hot.argmin()) if train.size <= train.values.size else 0


def _usual(is_hot: np.ndarray) -> float:
    """The share of earlier points that were so high; a spike, several in a row after calm ones, counts as one jump."""
    calm = np.flatnonzero(~is_hot)
    start = int(calm[0]) if calm.size else is_hot.size
    jumps = is_hot[1:] & ~is_hot[:-1]
    return float(start + jumps.sum()) / max(1, is_hot.size)


def _baseline(values: Floats) -> tuple[float, slice, int] | None:
    """The lowest median of 50 points (fewer while there are few) among the last 600, the newest ten left out.

    Of many such the fourth lowest: text in a fixed order has easy pockets. While there are few, a loss that falls has come
    further than the middle of its window: there the newest points alone count. With it the second half of its window, and the index of its first point.
    """
    first = max(0, values.size - BASE_REACH)
    past = values[first:-RECENT]
    width = min(BASE, past.size)
    if width < NEWEST:
        return None
    stride = max(1, width // 2)
    last_first = stats.windows_of(past, width)[::-1][::stride]
    medians = stats.medians(last_first)
    at = int(np.argsort(medians, kind="stable")[min(3, medians.size // SET_ASIDE)])
    newest = min(stats.median(past[-NEWEST:]), stats.median(values[-NEWEST - FEWEST : -FEWEST]))
    end = first + past.size
    level = float(medians[at])
    if medians.size < SET_ASIDE and newest < level and stats.mann_kendall(past[-width:]) < FALLING:
        level = newest
    else:
        end -= at * stride
    return level, slice(end - width + width // 2, end), end - width


def _calm_noise(train: SeriesView, level_of: slice, high: float) -> float:
    """The noise without the tested points: from point to point, and about a line through the baseline's second half.

    The latter is the larger one where text in a fixed order makes neighbours alike: there the level itself wanders. What
    stands as high as a spike is left out of it.
    """
    calm, base = train.values[-256:-RECENT], train.values[level_of]
    return max(stats.noise(calm), stats.line_spread(base[base <= high]), 5e-4 * abs(stats.median(calm)))


def _onset(is_hot: np.ndarray) -> int:
    """Index of the first hot point after the last stretch of ten calm ones."""
    marks = np.flatnonzero(is_hot)
    breaks = np.flatnonzero(np.diff(marks) > RECENT)
    return int(marks[breaks[-1] + 1]) if breaks.size else int(marks[0])


def _gradient_jumped(view: RunView, step: int) -> bool:
    grad = view.get("grad_norm")
    if grad is None or grad.size < 30:
        return False
    during = grad.steps >= step
    return (
        bool(during.any())
        and bool((~during).sum() >= 10)
        and (stats.median(grad.values[during]) > 4 * stats.median(grad.values[~during][-200:]))
    )


def _validation_jumped(view: RunView, step: int, rise: float) -> bool:
    """Whether the newest evaluation came with the spike and stands as much above the lowest one."""
    val = view.val
    return val is not None and val.size >= 3 and int(val.steps[-1]) > step and val.last > (1 + rise) * val.lowest.value


def _validation_at_its_best(view: RunView, step: int) -> bool:
    """Whether an evaluation since a step is the lowest: then the text has become harder, not the model worse."""
    val = view.val
    return val is not None and val.size >= 3 and val.lowest.step > step


def _in_pairs(train: SeriesView, base: float, level_of: slice, strict: float) -> float | None:
    """The limit that two points running have passed, and two before them: single outliers of data do not come in pairs.

    Where most jumps are of one point a pair is chance, as it is among the points that a run came down from.
    """
    high = base * (1 + HALF * strict)
    if not _pairs(train.values[-RECENT:] > high).size:
        return None
    limit = max(high, base + SIGMAS * strict * _calm_noise(train, level_of, high))
    is_hot = train.values > limit
    recent = is_hot[max(int(is_hot.argmin()), is_hot.size - PAIRS_REACH) :]
    pairs = _pairs(recent)
    if not pairs.size or pairs[-1] < recent.size - RECENT:
        return None
    bursts = 1 + int((np.diff(pairs) > RECENT // 2).sum())
    jumps = int((recent[1:] & ~recent[:-1]).sum())
    return limit if bursts >= 2 and 2 * bursts >= jumps else None


def _pairs(is_hot: np.ndarray) -> np.ndarray:
    """Where two in a row are hot."""
    return np.flatnonzero(is_hot[1:] & is_hot[:-1])


def _restarted(view: RunView, train: SeriesView, step: int) -> bool:
    """Whether the rate is half above its lowest since a step: a warm restart lifts both losses.

    A warm-up that has been over for some time is none: before it the rate had not been higher.
    """
    rate = view.rate
    if rate is None or not (recent := rate.since(step)[1]).size or not recent[-1] > 1.5 * recent.min():
        return False
    before = rate.values[: rate.values.size - recent.size + int(recent.argmin())]
    risen_again = bool(before.size and before.max() > 1.5 * recent.min())
    return risen_again or rate.last > RISING * rate.near(int(train.steps[-2 * RECENT]))


def _validation_rose(view: RunView, step: int) -> bool:
    """Whether the newest evaluation stands clearly above the lowest one, and above the last one up to a step."""
    val = view.val
    if val is None or val.size < 3 or int(val.steps[-1]) <= step:
        return False
    before = val.values[val.steps <= step]
    high = (1 + WITNESS) * max(val.lowest.value, float(before[-1]) if before.size else 0.0)
    return val.last > high > 0


def _sighting(
    view: RunView,
    train: SeriesView,
    start: int,
    base: float,
    limit: float,
    peak: float,
    agrees: bool,
    severity: Severity,
) -> Sighting:
    first = int(train.steps[start])
    sentence = (
        f"The loss rose from {say.number(base)} to {say.number(peak)}, {say.percent(peak / base - 1)} above its level."
    )
    evidence = [
        Evidence(series=train.name, window=(first, train.last_step), observed=peak, limit=limit, sentence=sentence)
    ]
    grad = view.get("grad_norm")
    if agrees and grad is not None:
        _steps, values = grad.since(first - 1)
        top = float(values.max())
        words = f"The gradient norm rose to {say.number(top)} at the same time."
        evidence.append(
            Evidence(series=grad.name, window=(first, grad.last_step), observed=top, limit=None, sentence=words)
        )
    checkpoint = view.checkpoint_before(first)
    return Sighting(
        severity=severity,
        title=f"Loss spike at step {{since}}: {say.number(base)} → {say.number(peak)}",
        first_step=first,
        evidence=tuple(evidence),
        causes=(
            Cause("bad batches", "corrupt or very unusual text in the batches of these steps"),
            Cause(
                "learning rate too high", "the gradient norm jumped with the loss" if agrees else "if it happens again"
            ),
        ),
        remedies=(
            Remedy("Clip gradients at a norm of 1.0.", {"grad_clip": 1.0}, checkpoint),
            Remedy(
                "If it does not recover, resume from before it with a lower rate.",
                {"learning_rate": "×0.5"},
                checkpoint,
            ),
            Remedy("Look at the batches of these steps for outliers."),
        ),
        confidence=0.9 if agrees else 0.75,
    )
