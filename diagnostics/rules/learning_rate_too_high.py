"""The rule `learning-rate-too-high`: swings without progress, or a level that settled high at once."""

from __future__ import annotations

import numpy as np

from diagnostics import say, stats
from diagnostics.finding import Cause, Evidence, Remedy, Severity, Sighting
from diagnostics.progress import Progress, read_progress
from diagnostics.reach import commonest_loss, few_tokens
from diagnostics.rule import Life, rule
from diagnostics.series import SeriesView
from diagnostics.view import RunView

WARMED = 100
"""Steps of a declared warm-up from which on its want is no cause."""

LANGUAGE = 3.0
"""Nats above which a first loss is that of a language model which knows little."""

RESTS, FEW_OR_FAR = 0.015, 10_000
"""A share of the level that is no gain; and points times steps that show a rest: 50 points in 200 steps, or 10 in 1,000."""

STUCK_BYTES = 0.4
"""Share of ln V that the commonest bytes alone give: most of the 256 never occur."""

STUCK_UNHEARD = 0.3
"""The same under ten times a rate that is far too high, if the optimizer is said to be Adam: nothing that was tuned is given that."""

FAR, LITTLE = 5.0, 0.35
"""A sum of the rates of all steps (five thousand of them at 0.001), and a share of the loss of knowing nothing. With Adam a
weight moves by about the rate a step. How often each token occurs is worth 20 to 30 %; runs that learn had gained 42 % at
such a sum, the slowest of them, under whatever rate. Where how often they occur is known exactly, hardly more than that is
asked for: of small models at usual rates all were a fifth below that at a sum of 2."""

FARTHER, HALF = 20.0, 0.5
"""The same of an optimizer that is said to be Adam or its kin, so that the sum is known to mean what it does. Four times as far is
what no run needs for a half of it: at a sum of 5 the slowest had gained 55 %, under rates of 0.008 and less; nobody who tunes
goes beyond with more."""


SWINGS, FAR_ABOVE = 7, 1.5
"""Points that swing up and down in turn, at least, and times the first loss that the last high of ever wider swings stands at."""


NOWHERE = 1e-4
"""A sum of rates with which no weight has gone anywhere: a first step at the usual rates goes further, one of a warm-up does not."""


@rule(
    "learning-rate-too-high",
    needs=(("train_loss",),),
    helps=("learning_rate", "grad_norm"),
    blind="swings of the loss cannot be seen",
    severity=Severity.WARNING,
    life=Life(close_after_points=20, resolved=Severity.WARNING),
)
def learning_rate_too_high(
    view: RunView, *, swing: float = 0.2, stuck: float = 0.6, bearable: float = 0.01
) -> Sighting | None:
    """Wild swings without progress, or a loss that settled high at once.

    ## What it means
    Each step overshoots. The loss is thrown up and down, or comes to rest where only the commonest tokens are known.

    ## Why it matters
    At best the run stays far from what the model can do; at worst the next swing ends in infinity.

    ## How it is detected
    One of these. Seven points and more: the loss swings by more than `swing` of its size from point to point, strictly up
    and down in turn, each high above the one before and the last half above the first loss, and its lows rise. At once: the first losses of a run from scratch rise by a fifth above the
    very first, under three times `bearable`. From the start: it rose far above its first value and has not come back
    below it for 30 points, unless validation is at its best and as low as that, or the
    rates of the steps until it rose sum up to less than 0.0001. From scratch: it lies flat above `stuck` of ln V after 200 steps (or a fifth of the plan)
    although the rate is still up, and that rate is above `bearable` (from three times that on, above 0.4 of ln V, and
    also without a vocabulary if the first loss was above 3 nats; there validation that has gained nothing since its first
    evaluation counts as flat too; from ten times that on, if config or name of the rate say Adam, above 0.3 of ln V, and above 0.4 wherever the loss began). Or: the rates of all steps sum up to 5, the peak is
    above `bearable`, and less than 35 % of ln V was gained, whether it lies flat or falls with the rate (less than half of it at a
    sum of 20, where config or name of the rate say Adam or one of its kin and the vocabulary is above 30); or, where the run told
    how often its tokens occur (`data`), the loss is above 0.93 of their entropy. A declared SGD,
    Adagrad, Adafactor or Muon is not held against `bearable`: their rates are of another kind.

    ## Likely causes
    - Learning rate too high for this model and batch size.
    - No warm-up, so that Adam's first steps are too large.
    - No gradient clipping.

    ## What to do
    - A tenth of the learning rate; from there upwards by factors of three.
    - Warm up over a few hundred steps; clip at 1.0.

    ## When it is wrong
    Batches of one sequence are noisy, but their swings do not grow. Periodic saw-teeth come from the order of the data.

    ## Options
    - `swing` (0.2): median step from point to point ÷ median loss.
    - `stuck` (0.6): share of ln V.
    - `bearable` (0.01): a peak rate far above what Adam bears; small models still learn at 0.005.

    ## Example
    Fires:
        train/loss: 4.2 5.1 3.8 6.2 4.5 7.8 5.2
    Silent:
        train/loss: 2.1 1.4 2.6 1.9 1.2 2.4 1.6 2.2 1.3 1.9

    ## References
    - Smith & Topin, Super-Convergence, 2018. Cohen et al., Edge of Stability, 2021.
    """
    train = view.train
    if train is None or train.size < 6:
        return None
    if _growing_swings(train, swing):
        sentence = f"The loss swings between {say.number(float(train.values.min()))} and {say.number(float(train.values.max()))}, ever wider."
        return _sighting(view, train, sentence, float(train.values.max()), train.start, "the loss swings ever wider")
    thrown = _thrown_up(view, train, bearable)
    if thrown is not None:
        sentence = f"The first losses rose from {say.number(train.start)} to {say.number(thrown)}, under a rate of {say.number(view.known_rate or 0)}."
        return _sighting(view, train, sentence, thrown, 1.2 * train.start, "the first steps threw the loss up")
    risen = _risen_from_start(view, train)
    if risen is not None and not _validation_falls(view, train.start):
        sentence = f"The level is {say.number(train.level)}, above the first loss of {say.number(train.start)}, for 30 points and more."
        return _sighting(
            view, train, sentence, train.level, risen, f"loss rose from {say.number(train.start)} at once and stays up"
        )
    limit = _far_for_little(view, bearable)
    if limit is not None:
        sentence = (
            f"The rates of all steps sum up to {say.number(view.rate_sum or 0)}, and the loss is still {say.number(train.level)}; "
            f"runs that learn are below {say.number(limit)} long before that."
        )
        return _sighting(
            view, train, sentence, train.level, limit, f"much movement, little gain: {say.number(train.level)}"
        )
    limit = _settled_high(view, stuck, bearable)
    if limit is None:
        return None
    sentence = f"The loss lies flat at {say.number(train.level)} although the rate is up; from scratch it should be below {say.number(limit)} by now."
    return _sighting(view, train, sentence, train.level, limit, f"loss settled high, at {say.number(train.level)}")


def _growing_swings(train: SeriesView, swing: float) -> bool:
    """Whether few points swing in turn, each high above the one before it, to half above the first loss and more.

    Noise of single batches swings as wide, and in turn as well now and then; that its highs climb one by one, and its lows
    with them, is rare: less than one run in two hundred whose first losses jump about by a fifth to two fifths.
    """
    values = train.values
    if train.size > 24 or values.size < SWINGS:
        return False
    steps = np.diff(values)
    half = values.size // 2
    early, late = values[:half], values[half:]
    highs = values[1:-1][(steps[:-1] > 0) & (steps[1:] < 0)]
    return bool(
        stats.median(np.abs(steps)) > swing * stats.median(values)
        and bool((np.sign(steps[1:]) != np.sign(steps[:-1])).all())
        and bool((np.diff(highs) > 0).all())
        and late.max() > max(1.2 * early.max(), FAR_ABOVE * values[0])
        and late.min() > early.min()
        and stats.median(late) > 1.15 * stats.median(early)
        and stats.median(np.abs(steps[half:])) > 1.5 * stats.median(np.abs(steps[:half]))
        and stats.median(values) > 2.0
    )


def _thrown_up(view: RunView, train: SeriesView, bearable: float) -> float | None:
    """The level of the first losses after the very first, where they stand far above it under a rate that nothing bears."""
    values = train.first_points[1]
    uniform = view.uniform_loss
    if uniform is None or not 12 <= train.size <= 60 or view.other_rates or (view.known_rate or 0) < 3 * bearable:
        return None
    early = stats.median(values[2:12])
    return early if early > 1.2 * max(uniform, float(values[0])) else None


def _risen_from_start(view: RunView, train: SeriesView) -> float | None:
    """The limit when the loss jumped above its first value within the first points and never came back below it."""
    if train.size < 30 or train.start <= 1.0:
        return None
    steps, values = train.first_points
    limit = train.start + max(0.1 * train.start, 0.3, 4 * train.noise)
    moved = view.rate_sum_until(int(steps[int((values > limit).argmax())]))
    if moved is not None and moved < NOWHERE:
        return None  # no step had moved the weights when it rose: the very first batch was an easy one
    low = train.best.value
    early = stats.median(values[5:30])
    if (
        early > limit
        and low >= 0.98 * train.start
        and train.level > train.start + max(0.05 * train.start, 2 * train.noise)
    ):
        return limit
    return None


def _validation_falls(view: RunView, start: float) -> bool:
    """Whether validation is at its best, and that as low as the first training loss: then that one was easy text."""
    val = view.val
    return val is not None and val.size >= 3 and val.last <= val.lowest.value < min(val.start, 1.05 * start)


def _far_for_little(view: RunView, bearable: float) -> float | None:
    """The limit above which the loss still is although the weights have been moved so far that any run has learned by then.

    It may fall all the while: it follows a rate that is being decayed, from a level that it rested at while the rate was up.
    """
    seen, moved = read_progress(view), view.rate_sum
    if seen is None or not seen.uniform or moved is None or moved < FAR or view.step_size < bearable:
        return None
    rate = view.rate
    if seen.warm_steps < 100 or (rate is not None and rate.last > 1.001 * rate.near(view.step // 2)):
        return None  # while it rises it may be the beginning of a multiplier of the rate
    asked = HALF if moved >= FARTHER and view.adam and not few_tokens(view) else LITTLE
    if seen.fall < asked:
        return (1 - asked) * seen.reference
    commonest = commonest_loss(view)
    return commonest if commonest is not None and seen.series.level > commonest else None


def _settled_high(view: RunView, stuck: float, bearable: float) -> float | None:
    """The limit when a run from scratch lies flat near what the commonest tokens alone give."""
    seen = read_progress(view)
    rate = view.step_size
    if seen is None or rate <= bearable:
        return None
    absurd = rate >= 3 * bearable
    limit = _limit(view, seen, stuck, absurd, rate >= 10 * bearable)
    if limit is None or seen.series.level < limit:
        return None
    points, steps = seen.warm_points, seen.warm_steps
    if points < 10 or (points < 50 and points * steps < FEW_OR_FAR):
        return None
    up = view.rate_share >= 0.3 or (view.rate is not None and view.rate.last >= 3 * bearable)
    if not up or (steps < 200 and (view.progress or 0) < 0.2):
        return None
    gain, trend = seen.series.flatness(0.6)  # one that rises is not settled, but no better for it
    return limit if (gain < RESTS and trend > -3) or (absurd and _validation_rests(view)) else None


def _limit(view: RunView, seen: Progress, stuck: float, absurd: bool, unheard: bool) -> float | None:
    """Above which a loss has settled high; None where it is not known how high it began, or what the rate means."""
    if seen.uniform:
        return (STUCK_UNHEARD if unheard and view.adam else STUCK_BYTES if absurd else stuck) * seen.reference
    declared = view.facts.uniform_loss
    if unheard and declared is not None and view.rate is not None and view.adam:
        return STUCK_BYTES * declared  # wherever it was when the log begins: what is tuned is below that by far
    return stuck * seen.reference if absurd and seen.series.start >= LANGUAGE else None


def _validation_rests(view: RunView) -> bool:
    """Whether validation, less noisy than the loss of single batches, gained nothing from its first evaluation on."""
    val = view.val
    if val is None or val.size < 4 or int(val.first_points[0][0]) > view.step / 2:
        return False
    return val.level > (1 - RESTS) * float(val.first_points[1][0])


def _sighting(view: RunView, train: SeriesView, sentence: str, observed: float, limit: float, words: str) -> Sighting:
    first = int(train.first_points[0][0])
    rate = view.known_rate
    at = f"; the peak is {rate:g}" if rate is not None else ""
    grad = view.get("grad_norm")
    warm, clipped = (view.facts.warmup_steps or 0) >= WARMED, bool(view.facts.grad_clip)
    cold = Cause("no warm-up", "Adam's first steps are too large while its averages are empty")
    bare = Cause("no gradient clipping", "single batches throw the weights far")
    evidence = [
        Evidence(series=train.name, window=(first, train.last_step), observed=observed, limit=limit, sentence=sentence)
    ]
    if grad is not None and grad.level > 10:
        sentence = f"The gradient norm stands at {say.number(grad.level)}; 0.5 to 5 is usual."
        window = (int(grad.steps[0]), grad.last_step)
        evidence.append(Evidence(series=grad.name, window=window, observed=grad.level, limit=10.0, sentence=sentence))
    return Sighting(
        severity=Severity.WARNING,
        title=f"Learning rate too high: {words}",
        first_step=first,
        evidence=tuple(evidence),
        causes=(
            Cause("learning rate too high", f"steps overshoot{at}"),
            *(() if warm else (cold,)),
            *(() if clipped else (bare,)),
        ),
        remedies=(
            Remedy("Take a tenth of the learning rate.", {"learning_rate": "×0.1"}),
            Remedy("Warm up over some hundred steps.", {"warmup_steps": 200}),
            Remedy("Clip gradients at a norm of 1.0.", {"grad_clip": 1.0}),
        ),
        confidence=0.8,
    )
