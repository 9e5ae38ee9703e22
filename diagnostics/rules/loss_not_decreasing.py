"""The rule `loss-not-decreasing`: flat from the start."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from diagnostics import say, stats
from diagnostics.chance import Chance, at_chance, rests_at_chance
from diagnostics.finding import Cause, Evidence, Remedy, Severity, Sighting
from diagnostics.progress import Progress, read_progress, unmoved_since
from diagnostics.reach import GAINED, HELD, SUMS_FEW, asked_early, asked_gain, barely_moved, falls_short, few_tokens
from diagnostics.rule import Life, rule
from diagnostics.series import SeriesView
from diagnostics.view import FIRST_STEPS, RunView

UNTRAINED, FEWEST = 8.0, 8
"""A loss in nats that no language model has which learned anything; and points that show it to rest where they hardly differ."""

LANGUAGE_FROM_SCRATCH = 3.3
"""Nats. A flat loss below it may be a fine-tune that had nothing left to learn; above it nobody is finished."""

MOVED, NEARLY_ALL, LASTING = 0.3, 0.85, 300
"""A sum of the rates of all steps (three hundred at 0.001) with which weights have been moved far, and so many steps: where the loss
then stands where it began, and did so over this share of the curve, nothing of it was learning, also if it was lower for a moment."""

STEADY = -4.0
"""A Mann–Kendall z of a curve that comes down by no chance."""

FAR_TOO_HIGH = 0.01
"""A peak rate that holds a loss up by itself: no model bears it with Adam."""

TINY_RATE = 1e-5
"""A peak rate that explains a slow fall by itself."""


@rule(
    "loss-not-decreasing",
    needs=(("train_loss", "val_loss"),),
    helps=("learning_rate", "grad_norm", "accuracy", "update_ratio"),
    blind="whether it falls cannot be seen",
    severity=Severity.WARNING,
    life=Life(open_after_looks=2, close_after_share=0.1),
)
def loss_not_decreasing(
    view: RunView, *, fall: float = 0.02, points: int = 200, stuck: float = 0.01, stuck_points: int = 30
) -> Sighting | None:
    """The loss is flat from the very start: nothing is being learned.

    ## What it means
    The model's guesses are no better than at its first step.

    ## Why it matters
    Something is broken or switched off. More steps of the same will not help.

    ## How it is detected
    From scratch: the level is within `stuck` of the loss of knowing nothing (ln of the vocabulary) for `stuck_points`
    logged points after the warm-up (four times as many in vocabularies of up to 30); that is critical. Or less was gained than the sum of the rates of all steps, which
    says how far the weights can have moved, gives every model that learns: 4.6 % of ln of the vocabulary at a sum of
    0.1 (a hundred steps at 0.001; half of that before a hundred steps). Where the plan is short that is asked from a
    sixteenth of it on: 1 % at a sum of 0.01, 3 % at 0.03, with two standard errors to spare, unless validation has
    fallen or the loss gathers way. Otherwise: after `points` logged points, or a tenth of the
    planned steps (three tenths, where few points were logged; eight are enough at 8 nats and more, if they differ by less than a quarter of `fall`), the level is less than `fall` below the start, there is no falling trend, validation has not fallen
    either, and the rate is at least half of its peak. Or: once the rates of 300 steps and more sum up to 0.3, the loss stands where the very first one was (3.3 nats and more), and has
    moved by less than half of `fall` over 85 % of the curve, whatever it did before. Or: the first four evaluations and all later ones gave the same
    validation loss to the last digit, whatever the noise of the training loss: no weight was changed (critical). Or the first
    measured steps changed the weights by far less than all of them move at that rate, as `update-ratio` says, and less than
    4 % was gained: that needs one measurement. Or, of a
    classifier that logs its `accuracy`: after a third of the plan (eight epochs, where there is none) the loss has been
    within 2 % of ln k, and the accuracy within 0.06 of 1 ÷ k, for two thirds of the run; or, whatever else is logged, a loss that
    was ln k (k up to 4, and validation with it) to half a hundredth all the time. Where the loss is low already, so that the run may simply have
    had nothing to learn, or where the log begins in the middle of a run, it is only info.

    ## Likely causes
    - Learning rate far too low, or zero (a schedule that never starts).
    - Frozen weights: parameters do not require gradients, or the optimizer got the wrong ones.
    - A bug in the data: labels not shifted or shuffled against their inputs, a broken tokenizer map.

    ## What to do
    - Multiply the rate by 10; print it at the first steps.
    - Check that every parameter has a gradient after backward().
    - Decode one batch and read it, inputs beside labels; try to overfit that one batch.

    ## When it is wrong
    Long warm-ups: log the rate, so that they can be waited for. Policy-gradient losses do not fall at all.

    ## Options
    - `fall` (0.02): share of the start that counts as a fall.
    - `points` (200): logged points to wait for when the plan is unknown.
    - `stuck` (0.01): share of ln V that counts as knowing nothing.
    - `stuck_points` (30): logged points after the warm-up.

    ## Example
    Fires:
        config: vocab_size=65
        train/loss: 4.17 4.19 4.18 4.17 4.16 4.18 4.17 4.17 4.18 4.19 4.17 4.16*30
    Silent:
        config: vocab_size=65
        train/loss: 4.17 4.1 4.0 3.8 3.6 3.4 3.3 3.2 3.1 3.0 2.9 2.8*30

    ## References
    - Karpathy, A Recipe for Training Neural Networks, 2019 (verify loss at init, overfit one batch).
    """
    seen = read_progress(view)
    if seen is None or seen.series.level <= 0:
        return None
    chance = at_chance(view) or rests_at_chance(view)
    if chance is not None:
        return _chance_sighting(view, seen, chance)
    unmoved = unmoved_since(view)
    if unmoved is not None and view.val is not None and unmoved <= int(view.val.first_points[0][0]):
        return _unmoved_sighting(view, view.val, seen)
    times = barely_moved(view, seen)
    if times is not None and seen.series.level <= 1.1 * seen.reference:
        return _held_sighting(view, seen, times)
    if 2 * seen.series.level_error > fall * seen.reference:
        return _flat_through_noise(view, seen, fall)  # too noisy still to tell so small a fall from none by levels
    asked = asked_gain(view, seen)
    if asked and seen.fall < asked and not _fell(seen, asked) and not _validation_fell(view, asked):
        return _sighting(view, seen, Severity.CRITICAL if seen.fall < stuck else Severity.WARNING, asked)
    early = asked_early(view, seen)
    if early and falls_short(seen, early) and not _validation_fell(view, early):
        return _sighting(view, seen, Severity.WARNING, early)
    if _back_where_it_began(view, seen, fall) and not _validation_fell(view, fall):
        return _sighting(view, seen, Severity.WARNING, fall)
    if seen.series.level > 1.1 * seen.reference or seen.series.best.value < (1 - 2 * fall) * seen.reference:
        return None  # it has risen, or had fallen before: not flat from the start, other rules speak
    if seen.falling and (view.known_rate or 1) < TINY_RATE and (seen.warm_steps >= 200 or (view.progress or 0) >= 0.1):
        return None  # it does fall, and the rate says why so slowly: learning-rate-too-low speaks
    patience = 4 if few_tokens(view) or _falls_steadily(view, seen, stuck) else 1
    if seen.uniform and seen.fall < stuck and seen.warm_points >= patience * stuck_points and not _gains(seen, stuck):
        return _sighting(view, seen, Severity.CRITICAL, stuck)
    late = seen.warm_points >= points or (view.progress or 0) >= 0.1
    unknown = view.known_rate is None and view.began_untrained and seen.warm_points >= stuck_points
    sparse = (seen.uniform and seen.warm_steps >= 500) or (unknown and seen.warm_steps >= 250)
    # A loss that stands to a few thousandths needs fewer points; so high up nothing that was learned does.
    still = seen.series.start >= UNTRAINED and float(np.ptp(seen.series.values)) < fall / 4 * seen.reference
    half = (view.progress or 0) >= 0.3 and seen.warm_points >= (FEWEST if still else stuck_points / 2)
    if not (sparse or half or (late and seen.warm_points >= stuck_points)):
        return None
    if seen.fall >= fall or seen.falling or (view.rate_share < 0.5 and not still) or _validation_fell(view, fall):
        return None
    if seen.uniform and few_tokens(view) and (view.rate_sum or SUMS_FEW[0]) < SUMS_FEW[0]:
        return None  # such a text is worth next to nothing until more than how often each token occurs is learned
    grave = seen.uniform or (seen.series.start >= LANGUAGE_FROM_SCRATCH and not _begins_late(view, seen))
    return _sighting(view, seen, Severity.WARNING if grave else Severity.INFO, fall)


def _back_where_it_began(view: RunView, seen: Progress, fall: float) -> bool:
    """Whether a loss that was lower in its first steps has rested since where the very first one was, under a rate that moves."""
    steps, values = seen.series.first_points
    first = float(values[0])
    if int(steps[0]) > FIRST_STEPS or first < LANGUAGE_FROM_SCRATCH or view.facts.from_scratch is False:
        return False
    if (view.rate_sum or 0.0) < MOVED or seen.warm_steps < LASTING or seen.warm_points < 50:
        return False
    gain, _trend = seen.series.flatness(NEARLY_ALL)
    return abs(gain) < fall / 2 and 1 - fall < seen.series.level / first < 1 + fall


def _flat_through_noise(view: RunView, seen: Progress, fall: float) -> Sighting | None:
    """The same of a loss that swings: its halves, each all points together, where the rate was up and much is to gain."""
    values = seen.series.values
    long = view.progress >= 0.3 if view.progress is not None else values.size >= 250
    plain = seen.series.size == values.size and values.size >= 200 and long
    if not plain or seen.falling or view.rate_share < 0.5 or seen.series.start < LANGUAGE_FROM_SCRATCH:
        return None
    half = values.size // 2
    early, late = stats.median(values[:half]), stats.median(values[half:])
    error = 1.8 * seen.series.noise / math.sqrt(half)
    if late + error < (1 - fall / 2) * early or late > 1.1 * early or error > fall * early:
        return None
    return None if _validation_fell(view, 2 * fall) else _sighting(view, seen, Severity.WARNING, fall)


def _fell(seen: Progress, asked: float) -> bool:
    """Whether it had gained as much before, or has risen: not flat from the start, other rules speak."""
    return seen.series.level > 1.1 * seen.reference or seen.series.best.value < (1 - 1.5 * asked) * seen.reference


def _begins_late(view: RunView, seen: Progress) -> bool:
    """Whether the log begins in the middle of a run, by its steps or its epochs: how it fell at the start is not in it."""
    if view.begins_in_a_later_epoch:
        return True
    first = int(seen.series.first_points[0][0])
    return seen.series.size >= 30 and first > 0.2 * seen.series.last_step


def _gains(seen: Progress, stuck: float) -> bool:
    """Whether the second half of the curve falls faster than the stuck band is wide: slow to start, but started."""
    gain, trend = seen.series.flatness(0.5)
    return gain > stuck / 2 and trend < -2


def _falls_steadily(view: RunView, seen: Progress, stuck: float) -> bool:
    """Whether both losses come down, half of the band already: then it is slow, and all of it takes more than a few dozen points."""
    val = view.val
    shared = val is None or val is seen.series or val.size < 3 or val.trend < (STEADY if val.size >= 10 else 0.0)
    return seen.fall >= stuck / 2 and seen.series.size >= 10 and seen.series.trend < STEADY and shared


def _validation_fell(view: RunView, fall: float) -> bool:
    val = view.val
    if val is None or val.size < 2 or val is (view.train or val):
        return False
    return val.level < (1 - fall) * val.start


def _unmoved_sighting(view: RunView, val: SeriesView, seen: Progress) -> Sighting:
    first = int(val.first_points[0][0])
    sentence = f"All {val.size} evaluations give {val.last:.6g}, to the last digit: no weight has been changed."
    evidence = Evidence(
        series=val.name, window=(first, val.last_step), observed=val.last, limit=None, sentence=sentence
    )
    return replace(
        _sighting(view, seen, Severity.CRITICAL, 0.0),
        title="No weight has changed: every validation loss is the same to the last digit",
        first_step=first,
        evidence=(evidence,),
    )


def _held_sighting(view: RunView, seen: Progress, times: float) -> Sighting:
    ratio = view.series["update_ratio"]
    at = int(ratio.first_points[0][0])
    sentence = (
        f"From step {say.step(at)} on the weights were changed by {say.number(times)} times the learning rate; 10 to 30 times is "
        "what they are changed by where all of them are trained."
    )
    evidence = Evidence(series=ratio.name, window=(at, ratio.last_step), observed=times, limit=HELD, sentence=sentence)
    flat = _sighting(view, seen, Severity.WARNING, GAINED)
    frozen = Cause("most weights do not move", "they are frozen, or were never given to the optimizer")
    others = tuple(cause for cause in flat.causes if cause.cause != "frozen weights")
    return replace(flat, evidence=(*flat.evidence, evidence), causes=(frozen, *others))


def _chance_sighting(view: RunView, seen: Progress, chance: Chance) -> Sighting:
    nothing = f"ln {chance.classes} is {say.number(math.log(chance.classes))}"
    loss = f"The level is {say.number(chance.loss.level)}, and was so for most of the run; {nothing}."
    told = [(chance.loss, chance.loss.level, math.log(chance.classes), loss)]
    if chance.accuracy is not None:
        answers = f"{say.percent(chance.answers)} of the answers are right, as one in {chance.classes} is by chance."
        told.append((chance.accuracy, chance.answers, 1 / chance.classes, answers))
    evidence = tuple(
        Evidence(
            series=series.name, window=(chance.since, series.last_step), observed=observed, limit=limit, sentence=words
        )
        for series, observed, limit, words in told
    )
    return replace(
        _sighting(view, seen, Severity.WARNING, 0.0),
        title=f"Nothing is learned: {'the answers are those' if chance.accuracy else 'the loss is that'} of chance among {chance.classes} classes",
        first_step=chance.since,
        evidence=evidence,
    )


def _sighting(view: RunView, seen: Progress, severity: Severity, limit: float) -> Sighting:
    series = seen.series
    first = int(series.first_points[0][0])
    nothing = f", where knowing nothing, ln of the vocabulary, is {say.number(seen.reference)}" if seen.uniform else ""
    sentence = (
        f"The level is {say.number(series.level)} after {say.step(view.step)} steps; it began at "
        f"{say.number(seen.began)}{nothing}: {say.percent(max(seen.fall, 0.0))} gained."
    )
    evidence = Evidence(
        series=series.name,
        window=(first, series.last_step),
        observed=series.level,
        limit=(1 - limit) * seen.reference,
        sentence=sentence,
    )
    return Sighting(
        severity=severity,
        title=f"Loss is not decreasing: {say.number(series.level)} after {say.step(view.step)} steps",
        first_step=first,
        evidence=(evidence,),
        causes=_causes(view),
        remedies=(
            _other_rate(view),
            Remedy("Check that every parameter requires gradients and is given to the optimizer."),
            Remedy("Decode one batch and read inputs beside labels; then try to overfit that one batch."),
        ),
        confidence={Severity.CRITICAL: 0.95, Severity.WARNING: 0.85, Severity.INFO: 0.5}[severity],
    )


def _other_rate(view: RunView) -> Remedy:
    if (view.known_rate or 0) >= FAR_TOO_HIGH:
        return Remedy("Take a tenth of the learning rate.", {"learning_rate": "×0.1"})
    return Remedy("Multiply the learning rate by 10, and print it at the first steps.", {"learning_rate": "×10"})


def _causes(view: RunView) -> tuple[Cause, ...]:
    grad, rate = view.get("grad_norm"), view.known_rate
    low = Cause(
        "learning rate too low", f"its peak is {rate:g}" if rate is not None else "a rate near zero looks exactly so"
    )
    frozen = Cause("frozen weights", "parameters that do not require gradients, or an optimizer that was given others")
    data = Cause("a bug in the data", "labels that do not belong to their inputs teach nothing")
    if grad is not None and grad.level < 1e-4:
        frozen = Cause("frozen weights", f"the gradient norm is {say.number(grad.level)}")
        return (frozen, data, low)
    if rate is not None and rate >= FAR_TOO_HIGH:
        return (Cause("learning rate too high", f"a rate of {rate:g} throws every step too far"), data, frozen)
    if rate is not None and rate >= 1e-4:
        return (data, frozen, Cause("learning rate too high", f"a rate of {rate:g} can hold the loss at its start too"))
    return (low, frozen, data)
