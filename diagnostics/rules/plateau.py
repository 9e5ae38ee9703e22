"""The rule `plateau`: it fell, then stopped improving."""

from __future__ import annotations

import math

from diagnostics import say, stats
from diagnostics.finding import Cause, Evidence, Remedy, Severity, Sighting
from diagnostics.progress import Progress, read_progress, settled, unmoved_since
from diagnostics.reach import commonest_loss, few_tokens
from diagnostics.rule import Life, rule
from diagnostics.series import SeriesView
from diagnostics.view import BOLD, CHARACTERS, FIRST_STEPS, RunView

MOVED = 0.85
"""Sum of the rates of all steps after which no healthy run from scratch was seen to rest at the commonest tokens."""
LONGER = ((0.7, 400), (0.5, 500))
"""The same where the rest is also long in steps: those that rest until 0.75 do so at a high rate, within 300 steps."""

CREEP, CREEPING, CREPT_UP = 0.04, ((0.5, 400), (0.3, 600)), 0.68
"""A fall over three fifths of a run that is too little, two standard errors added; the sum of its rates and its steps from which
on; and the share of the loss it began with that it is above. Of 49 runs that learned and were above 0.6 of it by then the slowest
fell by 4.5 %, and above this share by 5 %, also while their rate decayed to nothing."""

BINDS = 5.0
"""A weight decay with which weights of a usual size, a fifth and less, are hardly allowed: AdamW keeps them below 1 ÷ weight decay."""

HALFWAY, HELD = 0.5, 0.6
"""Of the plan, and of ln V: where a loss above that is high, if such a weight decay is declared."""

HIGHER, UNHEARD_STEPS = 0.72, 600
"""A share of the first loss, where neither rate nor vocabulary is known; and steps after which falling as little is enough there."""

NEARLY_ALL, TAIL_STEPS, TAIL_MOVED, ABOVE, TAIL, CLIMBS = 0.85, 400, 0.4, 0.6, 0.03, -0.02
"""Learning has a tail: runs that learn and are above such a share of the loss they began with had gained at least 3 % over so
much of the curve, and mostly twice that, once there are so many steps whose rates, where they are known, sum up to so much.
Text in an order that gets harder rests as well, but climbs by more than the last of these."""

FIRST_LOSSES = 3.6
"""Nats that the first three losses must not lie below, where the very first one, above 3.9, tells of a start from nothing."""


FIRST_LOGGED = 50
"""Steps by which models of characters have come below where they began."""


@rule(
    "plateau",
    needs=(("train_loss",),),
    helps=("learning_rate", "val_loss"),
    blind="a plateau cannot be seen",
    severity=Severity.INFO,
    life=Life(open_after_looks=3, close_after_points=100, close_after_share=0.2),
)
def plateau(
    view: RunView, *, fall: float = 0.005, share: float = 0.4, high: float = 0.66, rate_share: float = 0.3
) -> Sighting | None:
    """The loss fell and then stopped improving, although the rate is still up.

    ## What it means
    The run has learned what it can with these settings, or has got stuck before that.

    ## Why it matters
    Steps on a plateau cost the same and bring nothing. At a low loss that is the end of a good run; at a high one
    something holds it back.

    ## How it is detected
    Over the last `share` of the history the loss fell by less than `fall`, without a falling trend, after it had fallen
    before, while the rate is at least `rate_share` of its peak. It is info: many healthy fine-tunes end so. It is a
    warning when a run from scratch lies flat above `high` of ln V after 1,000 steps, or once the rates of its steps sum
    up to 0.85 (850 steps at 0.001; 0.7 once there are 400 steps, 0.5 once there are 500), which no working run does, whatever the rate is by then (without a vocabulary, of a log that begins within 50 steps). So is one that is above 0.68 of ln V (of the first loss where no
    vocabulary is known, if that was 3.9 nats and more at a rate of 0.001 and more) once the rates of 400 steps sum up to 0.5, or of 600 to 0.3, and fell over the last three
    fifths of them by less than 4 %, two standard errors added, and validation too: what learns and is as high falls by more. Where the run told how often its tokens occur (`data`), their
    entropy is the measure in place of `high`. Or, after 400 steps whose rates sum up to 0.4: it is above 0.6 of ln V (of the first loss
    as above) and has gained less than 3 %, two standard errors added, over
    85 % of the curve: learning has a tail, a rest since the first steps has none. With no word of rate or vocabulary a run that began at 3.9 nats and more
    counts as one from scratch, and 0.72 of its first loss is the measure, in both, after 400 and 600 steps. With a declared weight decay of 5 and more, which AdamW's
    weights do not outgrow, above 0.6 of ln V at half of the plan is enough. It is a warning too when four evaluations in a row give the same validation
    loss to the last digit, over a quarter of the run, while training goes on between them: the weights are not changed any more.

    ## Likely causes
    - Capacity reached: the model is too small for the data, or the data is exhausted.
    - The rate is too high for fine detail: decay it.
    - High up: labels that carry no information, a broken tokenizer map, a rate far too high, most of the model frozen,
      a weight decay that pulls the weights back as fast as they learn.

    ## What to do
    - Decay the rate (warm-up and cosine), or stop here.
    - A larger model; more, and more varied, data.

    ## When it is wrong
    Stair-steps at epoch borders rest between their steps. Grokking rests for very long.

    ## Options
    - `fall` (0.005): share of the level.
    - `share` (0.4): part of the history that is judged.
    - `high` (0.66): share of ln V above which it is a warning.
    - `rate_share` (0.3): rate now ÷ peak.

    ## Example
    Fires:
        train/loss: 4.2 3.6 3.2 2.9 2.7 2.6 2.55 2.52 2.5 2.49 2.51*60
    Silent:
        train/loss: 4.2 3.8 3.3 2.9 2.5 2.2 1.9 1.7 1.6 1.5

    ## References
    - Loshchilov & Hutter, SGDR, 2017.
    """
    train = view.train
    if train is None or train.size < 10 or train.level <= 0.05:
        return None
    unmoved = unmoved_since(view)
    if unmoved is not None and unmoved > int(train.first_points[0][0]):
        return _unmoved_sighting(view, unmoved)
    grave = _stuck_early(view, train, high)
    if view.rate_share < rate_share and not grave:
        return None
    start = max(train.start, view.uniform_loss or train.start)
    if train.level > 0.95 * start and not grave:
        return None
    if train.size < 60 and not _clearly_flat(train):
        return None
    gain, trend = train.flatness(share)
    if not grave and (gain >= fall or trend < -2 or gain < -0.1):
        return None
    return _sighting(view, train, gain, fall, share, Severity.WARNING if grave else Severity.INFO)


def _stuck_early(view: RunView, train: SeriesView, high: float) -> bool:
    """Whether a run from scratch rests where it knows how common each token is, and no more, for longer than any rests there.

    Every small model does for some hundred steps: until the rates of its steps sum up to 0.5 to 0.75, where they are known.
    """
    seen = read_progress(view)
    if seen is None or seen.warm_points < 60:
        return False
    if _held_back(view, seen) or _has_no_tail(view, seen) or _creeps(view, seen):
        return True
    if not settled(train):
        return False
    curve = train.curve
    # Of the whole rest, for bad batches lift the last points.
    level = stats.median(curve[-max(3, round(0.4 * curve.size)) :])
    moved = view.rate_sum
    enough = moved >= MOVED if moved is not None else seen.warm_steps >= 1000
    commonest = commonest_loss(view)
    if commonest is not None:
        return enough and seen.warm_steps >= 300 and level > commonest
    enough = enough or _long(view, seen)
    if few_tokens(view):
        return False  # made-up languages of a dozen tokens may have no more to tell than how often each of them occurs
    if seen.uniform:
        return level > high * seen.reference and (enough or seen.warm_steps >= 1000) and seen.warm_steps >= 300
    if view.known_rate is None and view.began_untrained:
        return enough and level > HIGHER * train.start
    # Without a vocabulary: begun where characters begin, at a rate that no fine-tune is given.
    # A log that begins later does not say where the run began: so high a loss may be that of pieces of words, well learned.
    early = int(train.first_points[0][0]) <= FIRST_LOGGED
    scratch = (
        view.facts.from_scratch is not False and early and train.start >= CHARACTERS and (view.known_rate or 0) >= BOLD
    )
    return scratch and enough and level > 1.03 * high * train.start


def _held_back(view: RunView, seen: Progress) -> bool:
    """Whether half of the plan is done under a declared weight decay that allows no weight, and the loss is still high up."""
    if not _bound(view) or view.other_rates or not seen.uniform:
        return False
    return (view.progress or 0) >= HALFWAY and seen.series.level > HELD * seen.reference


def _creeps(view: RunView, seen: Progress) -> bool:
    """Whether it does fall there, as surely as noise lets it be seen, but over most of a long run by next to nothing."""
    moved, steps, share = view.rate_sum or 0.0, seen.warm_steps, CREPT_UP
    if few_tokens(view) or not _begun_from_nothing(view, seen):
        return False
    if view.known_rate is None and not seen.uniform:
        share, enough = HIGHER, steps >= UNHEARD_STEPS
    else:
        enough = any(moved >= least and steps >= long for least, long in CREEPING)
    if not enough or seen.series.level <= share * _reference(seen):
        return False
    val = view.val
    if val is not None and val.size >= 5 and val.flatness(0.6)[0] >= CREEP:
        return False  # what is harder to foretell is not what was learned less
    return _gains_next_to_nothing(seen, 0.6, CREEP)


def _has_no_tail(view: RunView, seen: Progress) -> bool:
    """Whether it has rested, high up, since the first part of a long run: what learns falls on, ever slower."""
    moved, share = view.rate_sum, ABOVE
    if seen.warm_steps < TAIL_STEPS or few_tokens(view) or not _begun_from_nothing(view, seen):
        return False
    if view.known_rate is None:
        share = HIGHER
    elif moved is None or moved < TAIL_MOVED:
        return False
    return seen.series.level > share * _reference(seen) and _gains_next_to_nothing(seen, NEARLY_ALL, TAIL)


def _reference(seen: Progress) -> float:
    return seen.reference if seen.uniform else seen.series.start


def _begun_from_nothing(view: RunView, seen: Progress) -> bool:
    """Whether the run is seen to have begun knowing nothing, by a vocabulary, by a rate that only such are given, or by neither."""
    rate = view.known_rate
    if rate is None:
        return view.began_untrained
    return seen.uniform or (rate >= BOLD and _began_from_nothing(view))


def _began_from_nothing(view: RunView) -> bool:
    """Whether the very first losses are those of models of some dozens of characters, also where the next ones fall at once."""
    if view.train is None or view.facts.from_scratch is False or view.facts.uniform_loss is not None:
        return False
    steps, values = view.train.first_points
    return int(steps[0]) <= FIRST_STEPS and float(values[0]) >= CHARACTERS and view.train.start >= FIRST_LOSSES


def _gains_next_to_nothing(seen: Progress, share: float, asked: float) -> bool:
    """Whether it falls over that share of the curve by less than is asked, however sure, and does not climb."""
    gain, _trend = seen.series.flatness(share)
    part = seen.series.curve[-max(3, round(share * seen.series.curve.size)) :]
    # The standard error of what falls along a line is sqrt(12 / n) times that of its points.
    error = stats.line_error(part) / stats.median(part) * math.sqrt(12 / part.size)
    return gain > CLIMBS and gain + 2 * error < asked


def _long(view: RunView, seen: Progress) -> bool:
    """Whether the steps are many, and their rates sum up to enough, for no run that learns to rest still."""
    moved = view.rate_sum or 0.0
    return any(moved >= least and seen.warm_steps >= steps for least, steps in LONGER)


def _unmoved_sighting(view: RunView, since: int) -> Sighting:
    val = view.val
    assert val is not None
    sentence = f"Every evaluation since step {say.step(since)} gives {val.last:.6g}, to the last digit: the weights are not being changed."
    evidence = Evidence(
        series=val.name, window=(since, val.last_step), observed=val.last, limit=None, sentence=sentence
    )
    return Sighting(
        severity=Severity.WARNING,
        title="The weights have not changed since step {since}: the validation loss is the same to the last digit",
        first_step=since,
        evidence=(evidence,),
        causes=(
            Cause("learning rate at nothing", "a schedule that has ended long before the run"),
            Cause("steps are skipped", "a loss scaler that meets an overflow at each step changes nothing"),
            Cause("frozen weights", "parameters that stopped requiring gradients, or an optimizer of other weights"),
        ),
        remedies=(
            Remedy("Print the learning rate, and whether the optimizer's step is taken."),
            Remedy("Stop here if this is the planned end: more steps bring nothing."),
        ),
        confidence=0.95,
    )


def _clearly_flat(train: SeriesView) -> bool:
    """Whether the second half of a short curve has nothing of a fall left in it."""
    half = train.values[-(train.size // 2) :]
    return bool(float(half.max() - half.min()) <= 0.02 * abs(train.level))


def _sighting(
    view: RunView, train: SeriesView, gain: float, limit: float, share: float, severity: Severity
) -> Sighting:
    rows, _ = train.blocks
    first = int(rows[int((1 - share) * (len(rows) - 1)), 0])
    uniform = view.uniform_loss
    part = f", {say.percent(train.level / uniform)} of the loss of knowing nothing" if uniform is not None else ""
    sentence = f"The loss fell by {say.percent(max(gain, 0.0))} since step {say.step(first)}; the level is {say.number(train.level)}{part}."
    evidence = Evidence(
        series=train.name,
        window=(first, train.last_step),
        observed=gain,
        limit=limit if gain < limit else None,
        sentence=sentence,
    )
    grave = severity is Severity.WARNING
    return Sighting(
        severity=severity,
        title=f"Plateau since step {{since}} at {say.number(train.level)}",
        first_step=first,
        evidence=(evidence,),
        causes=_causes(view, grave),
        remedies=(
            *((Remedy("Take a usual weight decay.", {"weight_decay": 0.1}),) if grave and _bound(view) else ()),
            Remedy("Decay the rate: warm-up and cosine to a floor.", {"min_learning_rate": "×0.1"}),
            Remedy("Try a larger model, or more varied data."),
        ),
        confidence=0.8 if grave else 0.6,
    )


def _bound(view: RunView) -> bool:
    return (view.facts.weight_decay or 0) >= BINDS


def _causes(view: RunView, grave: bool) -> tuple[Cause, ...]:
    usual = (
        Cause("learning rate too high for fine detail", "it has not been decayed to its floor"),
        Cause("capacity or data exhausted", "a larger model or more data would show"),
    )
    if not grave:
        return usual
    stuck = Cause("stuck early", "only the commonest tokens are known: look at labels, tokenizer and rate")
    if not _bound(view):
        return (stuck, *usual)
    decay = view.facts.weight_decay or 0
    held = Cause("weight decay far too strong", f"with {decay:g} AdamW lets no weight grow beyond {1 / decay:g}")
    return (held, stuck, *usual)
