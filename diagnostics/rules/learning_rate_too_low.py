"""The rule `learning-rate-too-low`: it falls, but far too slowly for the steps it had."""

from __future__ import annotations

import math

import numpy as np

from diagnostics import say
from diagnostics.finding import Cause, Evidence, Remedy, Severity, Sighting
from diagnostics.progress import Progress, read_progress
from diagnostics.reach import WORTH, decaying_reach, few_tokens, frequencies_worth, planned_reach
from diagnostics.rule import Life, rule
from diagnostics.view import FIRST_STEPS, RunView

STEPS, FALLS = (50.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 20_000.0), (0.01, 0.02, 0.05, 0.08, 0.14, 0.22, 0.28)
"""The least share of the uniform loss that a run which learns at all has gained after so many warm steps.

Knowing only how often each token occurs is worth 20 to 30 %; public runs from scratch had gained 32 % after 200 steps
and 46 % after 5,000, the slowest twentieth of them. This asks for less than half of that.
"""

TINY, TINY_FROM_SCRATCH = 2e-5, 3e-5
"""A peak rate so far below the usual 1e-4 to 1e-3 that twice the gain is asked for before it is called enough. Fine-tunes are
often given 2e-5; from scratch 530 billion parameters were trained with 5e-5, and nothing smaller with less."""

NOTHING, STIRRED = 2e-7, 2e-4
"""A peak rate below those of the most careful tuning of large models; and a sum of the rates of all planned steps that changes
no weight of the usual size, 0.02, by more than a hundredth."""

GENTLE, GENTLE_STIRRED, GENTLE_STEPS, GENTLE_FALL = 1e-5, 1e-3, 300, 0.03
"""A peak rate from which on that sum may be larger, a twentieth of such a weight, if the log shows the run from its first steps on;
the steps that do where no plan is known; and the fall that is too little. What was trained before moves at once with such
rates if there is anything to learn: the slowest seen had gained 19 % with a sum of 0.00013."""

LANGUAGE = 3.3
"""Nats. A flat loss below it may be that of a model with nothing left to learn."""

MOVED = 0.05
"""Sum of the rates of all steps (with SGD: the rate) from which on something else than the rate holds the loss: `loss-not-decreasing` speaks."""

REACH = 0.01
"""Sum of the rates of all planned steps with which no weight gets far: what learns has gained 2 % of ln V by then."""

BEGUN = 0.05
"""Share of the plan from which on that is said: three points, and first losses that do not contradict it."""

WAITED = 0.3
"""Share of the plan that a loss under next to no rate must have stood still for."""

FREQUENCIES, ENOUGH, LATE = 0.25, 500, 0.5
"""What knowing how often each token occurs is worth, as a share of the uniform loss; and the planned steps, and their share,
from which on it is asked whether a plan that sums up to less than `MOVED` ends there. Small models that went beyond had 0.07."""

MOVES = 0.05
"""Share of its start by which a loss has come down that does not stand still, however noisy."""

UNSAID = 500
"""Steps after which a run that began as high as one that knows nothing is held for one, at such a rate, if nothing says so."""

HIGH = 3e-3
"""A peak rate under which a loss that rests is not waiting for a higher one."""


@rule(
    "learning-rate-too-low",
    needs=(("train_loss", "val_loss"),),
    helps=("learning_rate", "update_ratio"),
    blind="how fast it falls cannot be seen",
    severity=Severity.WARNING,
    life=Life(open_after_looks=2, close_after_points=20, close_after_share=0.1),
)
def learning_rate_too_low(
    view: RunView, *, pace: float = 1.0, plan: float = 0.1, update_ratio: float = 1e-5
) -> Sighting | None:
    """The loss does fall, but so slowly that the run will not get anywhere.

    ## What it means
    Each step moves the weights too little. The curve looks calm and healthy, only far too flat.

    ## Why it matters
    It is the quiet way of wasting a run: nothing looks broken, and at the end the model knows next to nothing.

    ## How it is detected
    The run began at the loss of knowing nothing (ln of the vocabulary; without one, a first loss above 6 nats, or, where no rate is known either, above 3.9 in the first
    ten steps; below a rate of 3e-5 that is enough, if 500 steps gained less than half). After
    200 steps since the warm-up, or `plan` of the planned steps, it has gained less than any run that learns: 2 % of
    that loss after 200 steps, 8 % after 1,000, 22 % after 5,000 (times `pace`). Or: it is nearly flat and the median
    update of the weights is below `update_ratio` of their size. Or: the rate is below 3e-5 and, summed up over all
    planned steps, below 0.01, which is as far as Adam can move a weight; that is said after a twentieth of the plan. Or: 30 points above 3.3 nats stand still (where
    they are noisy, four evaluations), and the highest logged rate is 2e-7, or three tenths of the plan are done and its rates sum up to 0.0002 (0.001 where the
    log begins with the run and the peak is 1e-5 at most; 300 steps of that where no plan is known). From scratch twice the
    gain is asked for below 3e-5. Or: half of a plan of 500 steps and more is done, its rates will sum up to less than 0.05 unless they rise again, and at this pace
    less than a quarter of ln V will have been gained by then: hardly more than how often each token occurs is worth.

    ## Likely causes
    - Learning rate too low: 1e-6 where 1e-4 to 3e-4 belongs.
    - A schedule that has decayed, or never rises: horizon or warm-up counted in the wrong unit.
    - Gradients that do not flow to most of the model.

    ## What to do
    - Multiply the learning rate by 10, twice if needed.
    - Check that gradients flow: every parameter's gradient norm above zero.

    ## When it is wrong
    Fine-tunes that start low are never judged by this. Very long warm-ups are waited for when the rate is logged.

    ## Options
    - `pace` (1.0): factor on the gain that is asked for.
    - `plan` (0.1): share of the planned steps after which it may speak, if 50 steps are done (20 at a rate below 3e-5).
    - `update_ratio` (1e-5): weight update ÷ weight.

    ## Example
    Fires:
        config: vocab_size=5000
        step: 1 10 100 500 1000 5000
        train/loss: 8.52 8.51 8.49 8.47 8.45 8.40
    Silent:
        config: vocab_size=5000
        step: 1 10 100 500 1000 5000
        train/loss: 8.52 8.4 7.1 5.9 5.2 4.1

    ## References
    - Smith, Cyclical Learning Rates, 2017 (the range test that finds a rate).
    """
    seen = read_progress(view)
    if seen is None:
        return None
    if _next_to_nothing(view, seen):
        return _sighting(view, seen, 0.02)
    if (reach := _short_reach(view, seen)) is not None:
        return _sighting(view, seen, 0.02, reach)
    if (reach := _ends_at_the_commonest(view, seen)) is not None:
        return _sighting(view, seen, FREQUENCIES, reach)
    if view.rate_share < 0.1 and not seen.uniform:
        return None
    untrained = seen.uniform or (view.began_untrained and seen.warm_steps >= UNSAID)
    small = 0 < (view.known_rate or 0) < (TINY_FROM_SCRATCH if untrained else TINY)
    begun = (view.progress or 0) >= plan and seen.warm_steps >= (20 if small else 50) and seen.warm_points >= 10
    if not small and few_tokens(view) and frequencies_worth(view, seen) < WORTH:
        begun = False  # the first that such a text has to teach is worth next to nothing
    if not (seen.warm_steps >= 200 or begun) or seen.warm_points < 3 or not (seen.falling or small):
        return None
    asked = pace * float(np.interp(math.log(max(seen.warm_steps, 1)), np.log(STEPS), FALLS))
    if small:
        asked *= 2
    ratio = view.get("update_ratio")
    # Weights that do not move at all are not moved slowly: no rate would help frozen ones.
    tiny = ratio is not None and ratio.size >= 20 and 0 < ratio.level < update_ratio and seen.fall < 0.05
    if seen.uniform or (view.known_rate is None and view.began_untrained):
        slow = seen.fall < asked
    elif small and untrained:
        slow = seen.fall < asked / 2  # what came with a language would have moved as far by then
    else:
        slow = seen.series.start >= LANGUAGE and seen.series.size >= 200 and seen.warm_steps >= 500 and seen.fall < 0.02
    if not (slow or tiny) or seen.series.level > 1.1 * seen.reference:
        return None
    if max(view.rate_sum or 0, (view.known_rate or 0) if view.other_rates else 0) >= MOVED and not tiny:
        return None  # the rate is as it should be: something else holds the loss, and loss-not-decreasing says so
    if (view.known_rate or 0) >= HIGH and seen.series.flatness(0.6)[0] < 0.015:
        return None  # it fell and came to rest under a rate that few bear: learning-rate-too-high speaks
    return _sighting(view, seen, asked)


def _next_to_nothing(view: RunView, seen: Progress) -> bool:
    """Whether a loss with much to gain stands still under a rate, or a whole plan of rates, that stirs no weight."""
    reach = planned_reach(view) if (view.progress or 0) >= WAITED else None
    nothing = (view.known_rate or 0) <= NOTHING or (reach is not None and reach <= STIRRED)
    gentle = not nothing and _gentle(view, reach)
    return (
        (view.known_rate or 0) > 0
        and (nothing or gentle)
        and view.rate is not None
        and seen.series.size >= 30
        and seen.series.level > LANGUAGE
        and seen.fall < (GENTLE_FALL if gentle else 0.02)
        and (2 * seen.series.level_error < 0.05 * seen.reference or _validation_stands(view))
    )


def _gentle(view: RunView, reach: float | None) -> bool:
    """Whether the log shows, from the first steps on, a rate that is too low for what has not been trained before."""
    loss, rate = view.train or view.val, view.rate
    if loss is None or rate is None or not 0 < view.step_size <= GENTLE or int(loss.first_points[0][0]) > FIRST_STEPS:
        return False
    if reach is not None or view.progress is not None:
        return reach is not None and reach <= GENTLE_STIRRED
    risen = rate.last > 1.001 * rate.near(view.step // 2)
    return view.step >= GENTLE_STEPS and not risen


def _validation_stands(view: RunView) -> bool:
    """Whether four evaluations and more, less noisy than the loss of single batches, show that nothing is gained."""
    val = view.val
    if val is None or val.size < 4 or val.level <= LANGUAGE:
        return False
    return val.start - val.level + 2 * val.level_error < 0.02 * val.start


def _short_reach(view: RunView, seen: Progress) -> float | None:
    """What the rates of all planned steps sum up to, where that is next to nothing and the first losses agree with it."""
    rate, reach = view.known_rate or 0, planned_reach(view)
    if (
        not seen.uniform
        or reach is None
        or not 0 < rate < TINY_FROM_SCRATCH
        or reach >= REACH
        or (view.progress or 0) < BEGUN
    ):
        return None
    series = seen.series
    gained = (seen.began - series.level - 2 * series.level_error) / seen.reference
    if seen.fall >= MOVES or _validation_moves(view):
        return None  # it is noisy, but falls
    return reach if gained < 0.02 and series.level <= 1.1 * seen.reference else None


def _validation_moves(view: RunView) -> bool:
    """Whether evaluations have come down by more than such a sum of rates would let them."""
    val = view.val
    return val is not None and val.size >= 2 and val.level < (1 - MOVES) * val.start


def _ends_at_the_commonest(view: RunView, seen: Progress) -> float | None:
    """What the rates of all planned steps sum up to, where at this pace they end at hardly more than how often tokens occur.

    What was gained grows at most in proportion to that sum once the loss falls: the commonest tokens come first.
    """
    planned, moved, reach = view.facts.planned_steps or 0, view.rate_sum, decaying_reach(view)
    if not seen.uniform or few_tokens(view) or planned < ENOUGH or not LATE <= (view.progress or 0) <= 1:
        return None
    if not moved or reach is None or reach >= MOVED or seen.series.level > 1.1 * seen.reference:
        return None
    gained = (seen.began - seen.series.level + 2 * seen.series.level_error) / seen.reference
    return reach if gained * reach / moved < FREQUENCIES else None


def _sighting(view: RunView, seen: Progress, asked: float, reach: float | None = None) -> Sighting:
    series = seen.series
    first = int(series.first_points[0][0])
    sentence = (
        f"After {say.step(seen.warm_steps)} steps the loss is {say.number(series.level)}, {say.percent(max(seen.fall, 0))} "
        f"below {say.number(seen.reference)}; a run that learns has gained {say.percent(asked)} by then."
    )
    if reach is not None:
        usual = REACH if asked < FREQUENCIES else 2 * MOVED
        sentence = (
            f"The loss is {say.number(series.level)} after {say.step(view.step)} steps, and the rates of all planned steps "
            f"sum up to {reach:.2g}: no weight can go farther, and a run that learns gains {say.percent(asked)} with {usual:g}."
        )
    evidence = Evidence(
        series=series.name,
        window=(first, series.last_step),
        observed=series.level,
        limit=(1 - asked) * seen.reference,
        sentence=sentence,
    )
    rate = view.known_rate
    why = (
        f"its peak is {rate:g}; from scratch 1e-4 to 3e-4 is usual with Adam"
        if rate is not None
        else "the curve is calm, only flat"
    )
    factor = "×100" if rate is not None and rate <= 3e-6 else "×10"
    return Sighting(
        severity=Severity.WARNING,
        title=f"Learning rate too low: loss fell only {say.percent(max(seen.fall, 0))} in {say.step(view.step)} steps",
        first_step=first,
        evidence=(evidence,),
        causes=(
            Cause("learning rate too low", why),
            Cause("schedule collapsed", "a warm-up or decay counted in the wrong unit leaves the rate near zero"),
            Cause("gradients do not flow", "if a higher rate changes nothing, look at each layer's gradient norm"),
        ),
        remedies=(
            Remedy("Raise the learning rate.", {"learning_rate": factor}),
            Remedy("Check the schedule: print the rate of the first 100 steps."),
        ),
        confidence=0.9,
    )
