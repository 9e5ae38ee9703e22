"""The rule `overfitting`: validation turned and climbs while the training loss goes on falling."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

from diagnostics import following, say, stats, swings
from diagnostics.finding import Cause, Evidence, Remedy, Severity, Sighting
from diagnostics.history import Floats
from diagnostics.rule import Life, rule
from diagnostics.series import SeriesView
from diagnostics.view import RunView

CHANCE, FEW = 0.05, 10
"""How often, over all evaluations so far, noise may make a climb: a Mann–Kendall z of 2.6, seven evaluations with hardly a
step down, while they are `FEW`, and 3.3 of a hundred, each of which may begin one."""

CLIMB = 4
"""Evaluations, each above the one before, that are a climb even where noise from before the turn hides it."""

BY_HEART, FAR_UP = 0.3, 1.5
"""Training loss ÷ validation loss that only learning by heart leaves between them, and nats of validation loss it counts from."""

BEHIND = 0.5
"""Training loss ÷ validation loss below which two evaluations that climb need be less steep to be no luck."""

NEARLY_NOTHING, LOST = 0.1, 0.01
"""Share of its first value below which validation has little left to lose; and the share of its gain that is worth a word."""

SMOOTHED = 3
"""Evaluations that are a level where it is asked what validation came back from."""

WORN_OUT = 16.0
"""Readings of a text after which one more teaches nothing that carries over."""

SETTLED = 5
"""Evaluations since the best that are judged together where single ones are too noisy."""

TOO_LITTLE = Cause(
    "too little data for the size of the model", "the training loss is less than half of the validation loss"
)
TURNED = Cause("too little data for the size of the model", "validation turned while training fell")
RESTS = Cause("too little data for the size of the model", "what training still gains does not carry over")
OTHER_CAUSES = (
    Cause("too many epochs", "text seen again and again is learned by heart"),
    Cause("no regularisation", "dropout and weight decay hold memorising back"),
)
ALONE = Cause("learning rate too high", "validation alone cannot tell it from overfitting: log the training loss")

TINY_LOSS, FEW_NATS = 0.05, 0.015
"""A validation loss so small that its share says little; and the rise, in nats, that is none there."""

NEVER, SOMETHING = 0.98, 0.5
"""Shares of the first training loss: that no evaluation was below, and above which the run does not know its text by heart."""


@rule(
    "overfitting",
    needs=(("val_loss",),),
    helps=("train_loss", "epoch"),
    blind="overfitting cannot be seen",
    clock="val_loss",
    severity=Severity.WARNING,
    life=Life(close_after_points=3),
)
def overfitting(
    view: RunView,
    *,
    rise: float = 0.03,
    clear_rise: float = 0.06,
    slight_rise: float = 0.02,
    readings: float = 4.0,
    evaluations: int = 3,
    critical_rise: float = 0.1,
) -> Sighting | None:
    """Validation loss climbs while training loss falls: the model learns its training text by heart.

    ## What it means
    The model still gets better on the text it sees and worse on text it does not. What it learns now does not carry over.

    ## Why it matters
    The best model is already behind you: each further step makes it worse and costs the same.

    ## How it is detected
    Validation stands more than `rise` and three times its own noise (4.5 times where it is noisy) above its best for `evaluations`
    evaluations in a row (two, if by more than `clear_rise`; twice the noise is enough once six evaluations climb in a
    clear trend, or four climb one after the other until the last one stands that far above), and the training loss is lower than it was at that best. Evaluations that jump about are judged
    together: five or more since the best, all above it, whose median is higher than `clear_rise` and noise explain.
    A training loss that has fallen by a tenth since, and lies a fifth below validation, bears witness: then three times
    the noise is enough, and of few evaluations two that climb steeply (18 %, or 12 % where the training loss is below half of
    validation). Without it a rise that is less than half more than
    one from which validation came back before, and has not lasted three times as long, is none.
    Sooner, as a warning: three evaluations since the lowest one are not lower, stand more than `slight_rise` above it, and
    above those that were as low but for noise, by their median or by the last two, and the training loss lies 15 % below them. It has surely fallen over the last 5 to
    16 evaluations, and validation surely by less than half of that (and less than a fifth, as shares): t-tests whose
    doubt, 5 %, is spent over all evaluations so far. From scratch, on a text that was read `readings` times, four
    evaluations anywhere above are enough, they need not climb, and the doubt is 10 %; before a text was read once, none are. It stays until there is a new best.
    Or, in a run from scratch that has read its text 16 times and more, validation only rests: over the last 12 or 16
    evaluations training fell, and validation by less than a fifth of that, by the same tests.
    Or, in a run from scratch whose evaluations were too rare to see it turn: the training loss is below three tenths of
    a validation loss of 1.5 nats and more. Where the rate was raised anew since the best, twice the rise is asked for, and no early word is said. Where validation
    came below a tenth of its first value, the rise has to be worth a hundredth of what it had gained.
    Four evaluations more than `critical_rise` above are critical. Without a training loss, four evaluations
    `clear_rise` above are asked for. Scale does not matter: each series is held against itself.

    ## Likely causes
    - Too little data for the size of the model, or too many epochs.
    - No regularisation: dropout 0, weight decay too small.
    - Validation text unlike the training text.

    ## What to do
    - Keep the checkpoint at the best validation loss; stop there the next time (early stopping).
    - More data, or fewer epochs; dropout 0.1 to 0.2; a smaller model.

    ## When it is wrong
    Grokking: validation gets worse for long and then good, so this says "overfitting now", never "for ever"; it resolves
    when validation returns to its best. With very few evaluation batches log more of them. The early word comes three or
    four evaluations after the lowest one at the soonest; it comes before it where validation has rested and then finds a
    new best after all, above all when the rate decays. Text read in an order that gets easier looks the same, unless the
    run tells how much text it has. Noise of a hundredth hides a validation that still falls by a third of what training
    does: one such run in ten with 40 evaluations, one in six with 150, was called overfitting in simulations. Validation that
    turns within the first four evaluations, or rises by less than two hundredths in a fine-tune or where nothing is known of the text, is told later or not at all.

    ## Options
    - `rise` (0.03): share above the best, for `evaluations` evaluations.
    - `clear_rise` (0.06): share above the best, for two evaluations.
    - `slight_rise` (0.02): share above the best that is told early, when training has left validation behind.
    - `readings` (4): how often the text was read, from scratch, for a rise of any size to be told early.
    - `evaluations` (3): evaluations in a row.
    - `critical_rise` (0.1): share above the best that is critical after four evaluations.

    ## Example
    Fires:
        train/loss: 4.2 3.5 2.8 2.1 1.5 1.0 0.6 0.3 0.15 0.05
        val/loss: 4.3 3.6 3.0 2.7 2.6 2.7 2.9 3.2 3.5 3.9
    Silent:
        train/loss: 4.2 3.8 3.3 2.9 2.5 2.2 1.9 1.7 1.6 1.5
        val/loss: 4.3 3.9 3.5 3.1 2.7 2.5 2.3 2.2 2.1 2.1

    ## References
    - Prechelt, Early Stopping – but when?, 1998. Power et al., Grokking, 2022. Muennighoff et al., Scaling Data-Constrained
      Language Models, 2023: up to four readings of a text teach nearly as much as new text.
    """
    val = view.val
    if val is None or val.size < 2:
        return None
    if val.size < 3:
        return _by_heart(view, val)
    sigma = _noise(val)
    best_value, best_step = _best(val, sigma)
    _steps, values = val.since(best_step)
    if values.size < 2 or best_value <= 0:
        return _early(view, val, slight_rise, readings) or _by_heart(view, val)
    above = values / best_value - 1
    train = view.train
    if train is not None and _is_of_other_text(view, val, train):
        return None
    parted = train is not None and _parted(train, val, best_step)
    # The best of many noisy evaluations was lucky itself, by more the more there are. A training loss that has gone far
    # below says the same independently.
    margin = (3.0 if parted or _is_calm(val, sigma) else 4.5) * sigma / best_value
    # A rate that was raised anew lifts validation for a while, and what has come to nearly nothing swings by its own size.
    doubled = 2 if view.rate_raised_since(best_step) else 1
    rise, clear_rise = (max(share * doubled, _worth(val, best_value)) for share in (rise, clear_rise))
    limit, clear = max(rise, margin), max(clear_rise, margin)
    steady = max(rise, 2 * sigma / best_value)
    trending = (
        values.size >= 6
        and stats.mann_kendall(values[-32:]) > -ndtri(CHANCE / max(FEW, val.size))
        and bool((above[-evaluations:] > steady).all())
    )
    long = trending or (values.size >= evaluations and bool((above[-evaluations:] > limit).all()))
    climbing = values.size >= CLIMB and bool((np.diff(values[-CLIMB:]) > 0).all()) and bool(above[-2] > steady)
    long = long or (climbing and above[-1] > max(2 * rise, margin)) or _stays_above(val, train, sigma, clear_rise)
    short = bool((above[-2:] > clear).all()) or _turned_at_once(above, clear_rise, train, val.last, best_step)
    if train is None:
        if not (values.size >= 4 and (above[-4:] > clear).all()):
            return None
    elif not (long or short) or not _still_learning(train, best_step):
        return _early(view, val, slight_rise, readings) or _by_heart(view, val)
    if not parted and _came_back(val, sigma, best_value):
        return _by_heart(view, val)
    grave = values.size >= 4 and bool((above[-4:] > max(critical_rise, clear)).all())
    return _sighting(view, val, train, limit * best_value, Severity.CRITICAL if grave else Severity.WARNING)


def _early(view: RunView, val: SeriesView, slight_rise: float, readings: float) -> Sighting | None:
    """Told before validation stands clearly above its best, by its no longer following the training loss.

    What has been read once cannot be learned by heart: there a part goes beyond validation that is easier. Of a text read
    again and again from scratch no rise is too small; a model that came with a language of its own may rest there.
    """
    train, seen = view.train, view.readings
    if train is None or (seen is not None and seen < 1):
        return None
    low, at = val.lowest
    if view.rate_raised_since(at) or (low > 0 and _worth(val, low) > slight_rise):
        return None
    often = seen is not None and seen >= readings and view.uniform_loss is not None
    if following.turned(train, val, slight_rise, often=often) and _fell_on(train, at):
        return _sighting(view, val, train, 0.0, Severity.WARNING)
    worn_out = often and seen is not None and seen >= WORN_OUT
    return _resting_sighting(view, val, train) if worn_out and following.rests(train, val) else None


def _by_heart(view: RunView, val: SeriesView) -> Sighting | None:
    """A training loss far below validation in a run from scratch: what rare evaluations show of a turn they missed."""
    train, uniform = view.train, view.uniform_loss
    if train is None or uniform is None or train.size < 20:
        return None
    alike = 0.85 < val.values[0] / uniform < 1.2  # both are on one scale: at the first step neither knew anything
    if (
        not alike
        or not FAR_UP <= val.last < 0.8 * uniform
        or train.level > BY_HEART * val.last
        or val.last_step < train.last_step // 2
    ):
        return None
    return _gap_sighting(train, val)


def _parted(train: SeriesView, val: SeriesView, best_step: int) -> bool:
    """Whether the training loss has fallen by a tenth since the best validation and lies a fifth below validation."""
    return train.level < min(0.9 * train.near(best_step), 0.8 * val.level)


def _came_back(val: SeriesView, sigma: float, best: float) -> bool:
    """Whether validation has come back from as much before, or nearly."""
    levels, risen = stats.sliding_median(val.values, SMOOTHED), val.last - best
    return risen < swings.USUAL * swings.came_back_from(levels, 1.25 * sigma / SMOOTHED**0.5, best, risen)


def _turned_at_once(above: Floats, rise: float, train: SeriesView | None, last: float, best_step: int) -> bool:
    """Whether of few evaluations the last two climb steeply while the training loss falls by a third.

    They are too few to know their noise, and too steep to need it: the less so the further training has left them behind.
    """
    if above.size > 5 or train is None or not train.level < 0.67 * train.near(best_step):
        return False
    steep = (2 if train.level < BEHIND * last else 3) * rise
    return bool(above[-1] > above[-2] > rise and above[-1] > steep)


def _stays_above(val: SeriesView, train: SeriesView | None, sigma: float, rise: float) -> bool:
    """Whether all evaluations since the best lie above it, and their median by more than `rise` and luck.

    Single evaluations that swing by a third say nothing; eight of them together do, the sooner if the training loss
    shows that the text is known by heart.
    """
    best, at = stats.lowest_median(val.values, 3)
    after = val.values[at + 3 :]
    if after.size < SETTLED or train is None:
        return False
    level = stats.median(after)
    by_heart = train.level < 0.1 * min(level, train.near(int(val.steps[at + 1])))
    error = (1.25 if by_heart else 2.5) * sigma * float(np.sqrt(1 / 3 + 1 / after.size))
    return bool(after.min() > best and level > best * (1 + rise) + error)


def _worth(val: SeriesView, best: float) -> float:
    """The rise, as a share of the best, that is a hundredth of all that validation gained, where that is nearly all it had.

    A task that is learned wholly leaves next to nothing: twice that is nothing still. Nor is a rise of so few nats.
    """
    worth = LOST * (val.start / best - 1) if best < NEARLY_NOTHING * val.start else 0.0
    return max(worth, FEW_NATS / best) if best < TINY_LOSS else worth


def _is_of_other_text(view: RunView, val: SeriesView, train: SeriesView) -> bool:
    """Whether validation never cost less than knowing nothing, of a run that has learned something of its own text only.

    What is learned by heart leaves validation behind after they have come down together, or is known wholly.
    """
    never = val.lowest.value >= NEVER * train.start
    return never and view.began_untrained and train.level > SOMETHING * train.start


def _noise(val: SeriesView) -> float:
    """Noise of the evaluations; second differences too, because a steep fall before the turn passes for noise in the first."""
    recent = val.values[-64:]
    bend = stats.mad_sigma(np.diff(recent, 2)) / np.sqrt(6) if recent.size >= 4 else 0.0
    return max(min(val.noise, float(bend)), 5e-4 * abs(val.last))


def _is_calm(val: SeriesView, sigma: float) -> bool:
    """Whether evaluations are so few or so steady that the lowest one is the best one."""
    return val.size < 12 or sigma <= 0.01 * abs(stats.median(val.values[-32:]))


def _best(val: SeriesView, sigma: float) -> tuple[float, int]:
    """The best validation loss and its step: smoothed where evaluations are many and noisy, else the lowest."""
    if val.size > 64 and (val.size > val.values.size or not _is_calm(val, sigma)):
        return val.best
    if _is_calm(val, sigma):
        at = int(np.argmin(val.values))
        return float(val.values[at]), int(val.steps[at])
    best, at = stats.lowest_median(val.values, 3)
    return best, int(val.steps[at + 1])


def _still_learning(train: SeriesView, best_step: int) -> bool:
    """Whether the training loss is lower now than it was at the best validation."""
    before = train.values[train.steps <= best_step][-train.window :]
    # At a restart of the rate the best evaluation stands at a cliff: what came before counts, not the middle of both sides.
    then, now = min(train.near(best_step), stats.median(before) if before.size else np.inf), train.level
    _steps, values = train.since(best_step)
    if values.size >= 3:
        now = stats.median(values[-max(3, train.window) :])
    error = train.noise * 2 / np.sqrt(max(1, min(train.window, values.size)))
    return now < then - max(0.005 * abs(then), error if train.size >= 30 else 0.0)


def _fell_on(train: SeriesView, lowest_step: int) -> bool:
    """Whether the training loss since the lowest evaluation lies below that of as many points before.

    That it surely falls has been shown over longer windows; here it only must not have turned since.
    """
    _steps, after = train.since(lowest_step)
    before = train.values[train.steps <= lowest_step][-after.size :]
    return bool(after.size and before.size) and stats.median(after) < stats.median(before)


def _resting_sighting(view: RunView, val: SeriesView, train: SeriesView) -> Sighting:
    """Told before validation turns, or where it never does: what is learned from here on is the text alone."""
    count = min(following.LONG_WINDOWS[0], val.steps.size - 1)
    first, then, now = int(val.steps[-count]), float(val.values[-count]), val.last
    before = train.near(first)
    sentence = (
        f"Since step {say.step(first)} the training loss went from {say.number(before)} to {say.number(train.level)}, "
        f"validation from {say.number(then)} to {say.number(now)}; the text has been read {say.number(view.readings or 0)} times."
    )
    evidence = Evidence(series=val.name, window=(first, val.last_step), observed=now, limit=None, sentence=sentence)
    return Sighting(
        severity=Severity.WARNING,
        title=f"Overfitting: validation rests at {say.number(now)} while the training loss falls on, to {say.number(train.level)}",
        first_step=first,
        evidence=(evidence,),
        causes=(TOO_LITTLE, *OTHER_CAUSES) if train.level < 0.5 * now else (RESTS, *OTHER_CAUSES),
        remedies=_more_data(),
        confidence=0.8,
    )


def _gap_sighting(train: SeriesView, val: SeriesView) -> Sighting:
    """Told by the gap: where validation turned is not known."""
    best_step = val.lowest.step
    sentence = f"The training loss is {say.number(train.level)}, {say.percent(train.level / val.last)} of the validation loss, {say.number(val.last)}."
    evidence = Evidence(
        series=val.name,
        window=(best_step, val.last_step),
        observed=val.last,
        limit=train.level / BY_HEART,
        sentence=sentence,
    )
    return Sighting(
        severity=Severity.WARNING,
        title=f"Overfitting: training loss {say.number(train.level)}, validation {say.number(val.last)}",
        first_step=best_step,
        evidence=(evidence,),
        causes=(TOO_LITTLE, *OTHER_CAUSES),
        remedies=(
            Remedy("Evaluate more often, so that the best checkpoint is not missed.", {"eval_interval": "×0.2"}),
            *_more_data(),
        ),
        confidence=0.85,
    )


def _more_data() -> tuple[Remedy, ...]:
    return (
        Remedy("Use dropout.", {"dropout": 0.1}),
        Remedy("Train on more data, for fewer epochs.", {"max_steps": "×0.5"}),
    )


def _sighting(view: RunView, val: SeriesView, train: SeriesView | None, margin: float, severity: Severity) -> Sighting:
    """Judged on smoothed values, told by the lowest evaluation: that is where the best checkpoint is."""
    best, best_step = val.lowest
    steps, values = val.since(best_step)
    now = float(values[-1])
    window = (best_step, val.last_step)
    sentence = (
        f"Validation rose from {say.number(best)} at step {say.step(best_step)} to {say.number(now)}, "
        f"{say.percent(now / best - 1)} above its best, over {steps.size} evaluations."
    )
    evidence = [Evidence(series=val.name, window=window, observed=now, limit=best + margin, sentence=sentence)]
    if train is not None:
        # Told early the level still reaches back to where validation was best: then the last loss says how it went on.
        then, now = train.near(best_step), min(train.level, train.last)
        words = f"Meanwhile the training loss fell from {say.number(then)} to {say.number(now)}."
        evidence.append(Evidence(series=train.name, window=window, observed=now, limit=then, sentence=words))
    gap = train is not None and train.level < 0.5 * best
    checkpoint = view.checkpoint_before(best_step)
    keep = f"the checkpoint at step {checkpoint:,}" if checkpoint is not None else f"the model of step {best_step:,}"
    return Sighting(
        severity=severity,
        title=f"Overfitting since step {{since}}; best validation {say.number(best)} at step {say.step(best_step)}",
        first_step=int(steps[0]),
        evidence=tuple(evidence),
        causes=(
            TOO_LITTLE if gap else TURNED,
            *(() if train is not None else (ALONE,)),
            *OTHER_CAUSES,
        ),
        remedies=(
            Remedy(f"Keep {keep}, and stop there.", {"early_stopping_patience": 3}, checkpoint),
            *_more_data(),
        ),
        confidence=0.9 if train is not None else 0.6,
    )
