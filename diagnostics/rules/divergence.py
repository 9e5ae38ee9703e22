"""The rule `divergence`: the loss has left its best level behind and does not come back."""

from __future__ import annotations

import numpy as np

from diagnostics import say, stats, swings, unlearning
from diagnostics.finding import Cause, Evidence, Remedy, Severity, Sighting
from diagnostics.rule import Life, rule
from diagnostics.series import Best, SeriesView
from diagnostics.view import RunView

WORSE, WORSE_OF, WORSE_LEAST = 1.2, 10, 7
"""Times the loss of knowing nothing that the median of so many last losses, and so many of them, must stand above."""

UNBEARABLE, THROWN = 0.03, 1.25
"""A rate that no model bears with Adam, and how far above its best its losses must stand for that to have shown."""

NEAR, FAR, GROWN = 0.01, 0.03, 2.0
"""Shares of its lowest within which validation is still at its best, and where noise may have lifted it; and times that a
gradient norm grows where more than the text has changed."""

PARTS = 20
"""Parts of a long history of which a best level has to fill more than two."""


@rule(
    "divergence",
    needs=(("train_loss",),),
    helps=("grad_norm", "learning_rate", "val_loss"),
    blind="divergence cannot be seen",
    severity=Severity.CRITICAL,
    life=Life(close_after_points=30, resolved=Severity.WARNING),
)
def divergence(view: RunView, *, rise: float = 0.2, sigmas: float = 9.0, floor: float = 0.3) -> Sighting | None:
    """The training loss climbed away from its best level and stays there.

    ## What it means
    The optimizer has been thrown out of the region it was learning in. Unlike a spike, the loss does not return within
    a few points.

    ## Why it matters
    The steps since the best level are lost, and mostly all later ones too.

    ## How it is detected
    Two whole windows in a row (each 2 % of the history, 10 to 100 points) lie above the best smoothed level (of a long
    history: that of more than two twentieths of it, so that an easy pocket of text is not the measure) by more
    than `rise` of it, by more than `floor` nats, and by more than `sigmas` standard errors of the window. Where the lowest
    evaluation came after that level and one of the last two is still as low, but for noise, it is measured from where
    the loss stood at that evaluation, unless the gradient norm has doubled. With fewer
    than 30 points: the last four all do, and the rise is at least a quarter. A run whose first points all climb to
    twice the first loss has diverged at once, and so has one from scratch whose last 10 losses stand a fifth above the
    loss of knowing nothing. Under a rate of 0.03 and more a quarter above the best is enough of few points, if the
    gradient norm has grown fourfold. Where training and validation loss climb together, or have stepped up together, 6 % (from where it stood at the best evaluation, if that came later) and 4 % are enough; 2 % of the
    mean of all training losses since the lowest evaluation, if that is three standard errors (four above the last 5, 10 or 20 losses before it, where
    older ones still fell; one and a half, where the last six evaluations stay 5 % above) and the last three evaluations stay 3 % above (two, where both losses are back at the unigram entropy of the text); or 3 % of the mean before the likeliest step among the
    last 200 losses, if that is four standard errors and two evaluations since then stand 5 % above the lowest. A loss that had gained a quarter and is
    back where it began is enough, whatever its size, if the last two evaluations stand a fifth above the lowest. A rise that is less than half more
    than one from which the run came back before, and has not lasted three times as long, is none, nor is the end of an easy
    passage: a level that the loss fell to within two windows, faster than it fell before, and left soon; nor ten points of a
    kind that had come singly every ten points all along. All that unless validation stands a tenth above its best, or the gradient norm has grown fivefold. Severity is critical when the rise exceeds half of the best level, or
    when validation or gradients agree.

    Where both losses stay half above what they were at the best evaluation a rate that still rises is no excuse. Where fewer than 15 training losses are logged: the last six evaluations stand a fifth above the lowest, and each training loss a quarter
    above the first.

    ## Likely causes
    - Learning rate too high, the more so if it was still rising.
    - No gradient clipping.
    - A resume that lost the optimizer's state; a change of data.

    ## What to do
    - Resume from the last checkpoint at the best level with a lower rate (× 0.3 to × 0.1).
    - Clip gradients at 1.0; lengthen the warm-up.

    ## When it is wrong
    A switch to harder data or to a harder objective lifts the loss for good; where validation is evaluated after it and still
    at its best that is left alone. In text that is read in its order the first hard passage may look the same, as long as
    the run has come back from none. A warm restart of the schedule lifts it for a while: when the
    logged rate has jumped up since the best level, twice the rise is asked for.

    ## Options
    - `rise` (0.2): share of the best level.
    - `sigmas` (9): standard errors of a window. The best of many windows is itself lucky, hence so many.
    - `floor` (0.3): nats.

    ## Example
    Fires:
        train/loss: 4.2 3.5 3.0 2.8 2.6 2.5 2.9 3.6 4.4 5.1 5.9 6.3
    Silent:
        train/loss: 4.2 3.5 3.0 2.8 2.6 2.5 5.2 2.6 2.4 2.4 2.3 2.3

    ## References
    - Chowdhery et al., PaLM, 2022 (spikes, and restarting before them).
    """
    train = view.train
    if train is None:
        return None
    rarely = unlearning.lost_between_few(view, train)
    if rarely is not None:
        lowest, high, step = rarely
        sentence = (
            f"Validation was {say.number(lowest)} at step {say.step(step)} and has not been below {say.number(high)} for "
            f"{unlearning.STAYED} evaluations; the training loss rose from {say.number(train.start)} to {say.number(train.last)}."
        )
        return _sighting(view, train, step, train.last, train.start, sentence, Severity.WARNING)
    if train.size < 5:
        return None
    at_once = _diverged_at_once(train)
    if at_once is not None:
        limit, observed = at_once
        first = int(train.first_points[0][0])
        sentence = f"The loss went from {say.number(train.start)} to {say.number(observed)} at once."
        return _sighting(view, train, first, observed, limit, sentence, Severity.CRITICAL)
    worse = _worse_than_nothing(view, train)
    if worse is not None:
        limit, observed, first = worse
        sentence = f"The loss stands at {say.number(observed)}; knowing nothing costs {say.number(limit / WORSE)}."
        return _sighting(view, train, first, observed, limit, sentence, Severity.CRITICAL)
    best = _best(train)
    thrown = _thrown_off(view, train)
    if thrown is not None:
        limit, observed, first = thrown
        sentence = (
            f"The level rose from {say.number(limit / THROWN)} to {say.number(observed)} and the gradient norm with it, "
            f"under a rate of {say.number(view.known_rate or 0)}."
        )
        return _sighting(view, train, first, observed, limit, sentence, Severity.WARNING)
    lost = unlearning.all_lost(view, train, best)
    if lost is not None:
        sentence = f"The level is {say.number(train.level)}: all that was gained from {say.number(train.start)} to {say.number(best.value)} is lost, and validation says so too."
        return _sighting(
            view, train, _onset(train, best.step, lost), train.level, lost, sentence, Severity.CRITICAL, best.value
        )
    creeping = unlearning.crept_up(view, train, best)
    if creeping is not None:
        sentence = (
            f"The level rose from {say.number(best.value)} near step {say.step(best.step)} to {say.number(train.level)}, "
            "and validation with it."
        )
        return _sighting(view, train, best.step, train.level, creeping, sentence, Severity.WARNING)
    stepped = unlearning.stepped_up(view, train)
    if stepped is not None:
        then, now, step = stepped
        sentence = f"The mean loss rose from {say.number(then)} to {say.number(now)} after step {say.step(step)}, where validation was at its best, and validation with it."
        return _sighting(view, train, step, now, then, sentence, Severity.WARNING)
    between = unlearning.stepped_between(view, train)
    if between is not None:
        then, now, step = between
        sentence = f"The mean loss rose from {say.number(then)} to {say.number(now)} at step {say.step(step)}, and two evaluations since then show it."
        return _sighting(view, train, step, now, then, sentence, Severity.WARNING)
    asked = max(
        rise * (2 if view.rate_raised_since(best.step) else 1) * abs(best.value),
        floor,
        min(0.15 * (train.start - best.value), 0.6 * abs(best.value)),
    )
    observed, limit = _levels(train, _learned(view, train, best), asked, sigmas)
    if not observed > limit:
        return None
    agrees = _agrees(view, best.step)
    if not agrees and _swings(train, best.value, observed - best.value):
        return None
    grave = observed > best.value + 0.5 * abs(best.value) or agrees
    sentence = (
        f"The level is {say.number(observed)}; the best was {say.number(best.value)} near step {say.step(best.step)}."
    )
    severity = Severity.CRITICAL if grave else Severity.WARNING
    return _sighting(view, train, _onset(train, best.step, limit), observed, limit, sentence, severity, best.value)


def _best(train: SeriesView) -> Best:
    """The best level, which must have lasted: text in a fixed order has easy pockets that the loss only visits.

    Of twentieths of the history up to the lowest window, the third lowest where that is higher.
    """
    best = train.best
    rows, _ = train.blocks
    until = rows[rows[:, 0] <= best.step]
    if len(until) < PARTS * 5:
        return best
    parts = np.sort(stats.block_means(until[:, 3], PARTS))
    return Best(max(best.value, float(parts[2])), best.step)


def _diverged_at_once(train: SeriesView) -> tuple[float, float] | None:
    """(limit, level) when the first losses all climb far above the very first one."""
    values = train.first_points[1]
    first = float(values[0])
    if train.size > 40 or first <= 0.5:
        return None
    # Below 3 nats one lucky batch can be half of the true level, hardly a quarter of it.
    limit = max(2 * first, first + 2.0) if first >= 3.0 else max(4 * first, first + 5.0)
    recent = values[-5:]
    if int((recent > limit).sum()) >= 4:
        return limit, stats.median(recent)
    return None


def _worse_than_nothing(view: RunView, train: SeriesView) -> tuple[float, float, int] | None:
    """(limit, level, first step) when a run that began at the loss of knowing nothing has come to stand far above it."""
    uniform = view.uniform_loss
    if uniform is None or train.size < WORSE_OF:
        return None
    limit = WORSE * max(uniform, train.start)
    recent = train.values[-WORSE_OF:]
    above = recent > limit
    if not stats.median(recent) > limit or int(above.sum()) < WORSE_LEAST:
        return None
    return limit, stats.median(recent), int(train.steps[-WORSE_OF:][int(above.argmax())])


def _thrown_off(view: RunView, train: SeriesView) -> tuple[float, float, int] | None:
    """(limit, level, first step) of few points that a rate nobody bears threw up, gradients with them.

    Their swings are the illness, and no noise to measure a rise by.
    """
    grad = view.get("grad_norm")
    if grad is None or (view.known_rate or 0) < UNBEARABLE or not 10 <= train.size < 60:
        return None
    smooth = stats.sliding_median(train.values, 3)
    at = int(np.argmin(smooth))
    limit, recent = THROWN * float(smooth[at]), train.values[-5:]
    level = stats.median(recent)
    if limit <= 0 or at >= smooth.size - 5 or level <= limit or int((recent > 0.96 * limit).sum()) < 4:
        return None
    grown = stats.median(grad.values[-5:]) > 4 * grad.near(int(train.steps[at + 1]))
    return (limit, level, int(train.steps[-5])) if grown else None


def _levels(train: SeriesView, best: float, asked: float, sigmas: float) -> tuple[float, float]:
    """(how high even the lower of the last windows stands, how high it may stand)."""
    if train.size < 30:
        if train.size < 8 or (train.size < 15 and best >= train.start):
            return -np.inf, np.inf  # a first loss that was never beaten was luck: `_diverged_at_once` judges that
        rising = float((np.diff(train.values[-5:]) > 0).mean()) >= 0.75
        # Second differences see a bent curve's noise, but by luck too little of it; a clean climb is no noise itself.
        judged = train.values[:-4] if rising else train.values
        sigma = max(train.noise, stats.mad_sigma(np.diff(judged)) / np.sqrt(2))
        if not rising:  # among few points the lowest one is luck
            best = max(best, float(stats.sliding_median(train.values, 3).min()))
        limit = best + max(asked, 0.25 * abs(best), (4 if rising else 6) * sigma)
        return float(train.values[-4:].min()), limit
    k = train.window
    limit = best + max(asked, sigmas * train.noise / np.sqrt(k))
    return min(stats.median(train.values[-k:]), stats.median(train.values[-2 * k : -k])), limit


def _swings(train: SeriesView, base: float, rise: float) -> bool:
    """Whether a rise is what this text does: hardly more than one that the run came back from, or the end of an easy passage."""
    back = swings.came_back_from(swings.levels_of(train)[0], train.level_error, base, rise)
    return rise < swings.USUAL * back or swings.was_visited(train) or swings.takes_turns(train, base, rise)


def _learned(view: RunView, train: SeriesView, best: Best) -> float:
    """The level that a rise is measured from: the best, or where the loss stood when validation was at its best, if that came later.

    What validation found after the best training loss was not lost before it: text or objective have become harder since.
    """
    val, grad = view.val, view.get("grad_norm")
    if val is None or val.size < 3 or val.lowest.step <= best.step:
        return best.value
    lifted = min(max(NEAR * val.lowest.value, 2 * val.noise), FAR * val.lowest.value)
    if float(val.values[-2:].min()) > val.lowest.value + lifted:
        return best.value
    if grad is not None and grad.level > GROWN * grad.near(best.step):
        return best.value
    before = train.values[train.steps <= val.lowest.step][-max(3, train.window // 2) :]
    return max(best.value, stats.median(before))


def _agrees(view: RunView, best_step: int) -> bool:
    """Whether validation or gradients tell the same story, independently of the training loss."""
    val, grad = view.val, view.get("grad_norm")
    if val is not None and val.size >= 3 and val.last > 1.1 * val.best.value and val.best.step < val.steps[-1]:
        return True
    return grad is not None and grad.size >= 10 and grad.level > 5 * grad.near(best_step)


def _onset(train: SeriesView, best_step: int, limit: float) -> int:
    """The first step after the best level from which the smoothed loss stayed above the limit."""
    steps, values = train.since(best_step)
    if steps.size < 3:
        return int(train.steps[-1])
    calm = np.flatnonzero(stats.sliding_median(values, 3) <= limit)
    return int(steps[min(calm[-1] + 1, steps.size - 1)]) if calm.size else int(steps[0])


def _sighting(
    view: RunView,
    train: SeriesView,
    first: int,
    observed: float,
    limit: float,
    sentence: str,
    severity: Severity,
    best: float | None = None,
) -> Sighting:
    checkpoint = view.good_checkpoint(first)
    best = train.best.value if best is None else best
    evidence = [
        Evidence(series=train.name, window=(first, train.last_step), observed=observed, limit=limit, sentence=sentence)
    ]
    rate = view.known_rate
    rising = (
        view.rate is not None
        and view.rate_share > 0.98
        and view.rate.size > 1
        and view.rate.last > view.rate.near(first)
    )
    why = "it was still rising" if rising else "the usual reason" + (f"; the peak is {rate:g}" if rate else "")
    # a third of a rate that nothing bears is one as well
    factor = "×0.1" if view.step_size >= UNBEARABLE else "×0.3"
    way = "Start again" if checkpoint is None else "Resume from the last good checkpoint"
    lower = Remedy(f"{way} with a lower learning rate.", {"learning_rate": factor}, checkpoint)
    clip = Remedy("Clip gradients at a norm of 1.0.", {"grad_clip": 1.0}, checkpoint)
    return Sighting(
        severity=severity,
        title=f"Diverged since step {{since}}: loss {say.number(observed)}, best was {say.number(best)}",
        first_step=first,
        evidence=tuple(evidence),
        causes=(
            Cause("learning rate too high", why),
            Cause("no gradient clipping", "one bad step is enough to throw the weights far off")
            if not view.facts.grad_clip
            else Cause("numerical trouble", "16-bit rounding in attention or the loss can end so"),
            Cause("change of data or lost optimizer state", "look for a resume or a new data shard at the onset"),
        ),
        remedies=(lower, clip, Remedy("Lengthen the warm-up.", {"warmup_steps": "×2"}, checkpoint)),
        confidence=0.95 if severity is Severity.CRITICAL else 0.8,
    )
