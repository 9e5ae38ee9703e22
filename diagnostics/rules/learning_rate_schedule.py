"""The rule `learning-rate-schedule`: a logged rate that is not the schedule which the config declares."""

from __future__ import annotations

import numpy as np

from diagnostics import say, stats
from diagnostics.finding import Cause, Evidence, Remedy, Severity, Sighting
from diagnostics.reach import IN_STEPS
from diagnostics.rule import Life, rule
from diagnostics.series import SeriesView
from diagnostics.view import RunView

LEAST_POINTS = 5
OFF_POINTS, OFF_FROM = 50, 0.2
"""Points at a rate of exactly 0, and the share of its peak that the rate had just before: decays end lower."""

JUMP_POINTS = 10
"""Points before a jump in which the rate must not have risen."""
MOST, MUCH_LEFT = 0.7, 3.3
"""Of the plan: no schedule that people use rises for longer, triangles for a half; and nats above which the loss has much to gain."""
FLOOR = 0.2
"""Rate ÷ peak below which a constant rate is the end of a decay, not a stable phase."""


@rule(
    "learning-rate-schedule",
    needs=(("learning_rate",),),
    helps=("train_loss",),
    blind="the schedule cannot be held against what was declared",
    clock="learning_rate",
    severity=Severity.WARNING,
    life=Life(open_after_looks=2, close_after_points=30),
)
def learning_rate_schedule(
    view: RunView,
    *,
    nothing: float = 1e-3,
    end: float = 0.8,
    held: float = 0.35,
    rising: float = 0.3,
    factor: float = 5.0,
) -> Sighting | None:
    """The learning rate does not follow the schedule that the config declares.

    ## What it means
    The scheduler counts something else than was thought (epochs, micro-batches, another number of steps), is stepped
    twice or never, or the rate of the config does not reach the optimizer.

    ## Why it matters
    A rate of nothing teaches nothing, a warm-up that is missing or never ends wastes the run, and the loss alone does
    not say why.

    ## How it is detected
    Warning: the rate is below `nothing` of its peak for more than 20 points before `end` of the planned steps and the
    loss stands; or (without a plan too) it went to exactly 0 at once, from a fifth of its peak or more; or it came down to a constant floor in the first third of the plan and stays there for `held` of
    it; or it is thrown `factor` times above its old peak and the loss rises with it, that of training or of validation; or a declared warm-up did not happen, or is twice as long as the plan and more, and the rate still rises after `rising` of it; or the rate still rises after twice the declared warm-up and `rising` of
    the plan, or, without one, after 0.7 of the plan while the loss is above 3.3. Info: it still rises after `rising` of the plan without a declared warm-up; or its peak is `factor` times
    above or below the declared one.

    ## Likely causes
    - Horizon or warm-up counted in the wrong unit: epochs, micro-batches, steps of all devices.
    - The scheduler is stepped in each micro-batch, or never.
    - The rate was replaced after the schedule was made, or a checkpoint brought its own.

    ## What to do
    - Print the rate of the first 100 steps and of the last, before training.
    - Give the schedule the number of optimizer steps, and step it once after each.

    ## When it is wrong
    A plan that is only an upper bound makes every schedule look early. Warm restarts and warm-up, stable, decay are
    known and silent. A rate that a person changes while the run goes on differs from the declared one on purpose.

    ## Options
    - `nothing` (1e-3): rate ÷ peak that teaches nothing.
    - `end` (0.8): share of the plan from which on it may be nothing.
    - `held` (0.35): share of the plan at a constant floor.
    - `rising` (0.3): share of the plan after which it should not rise any more.
    - `factor` (5): logged peak ÷ declared rate, or the other way round; a rate ÷ its old peak.

    ## Example
    Fires:
        config: max_steps=400 learning_rate=0.001
        train/learning_rate: 0.0002 0.0004 0.0006 0.0008 0.001*36 0.0*60
        train/loss: 5.5 4.8 4.2 3.9 3.6*36 3.5*60
    Silent:
        config: max_steps=100 learning_rate=0.001
        train/learning_rate: 0.0002 0.0004 0.0006 0.0008 0.001*76 0.0008 0.0006 0.0004 0.0002 0.0*16
        train/loss: 5.5 4.8 4.2 3.9 3.6*76 3.5*20

    ## References
    - Goyal et al., Accurate, Large Minibatch SGD, 2017 (warm-up).
    - Hu et al., MiniCPM, 2024 (warm-up, stable, decay).
    """
    rate = view.rate
    if rate is None or rate.size < LEAST_POINTS:
        return None
    return (
        _collapsed(view, rate, nothing, end)
        or _switched_off(view, rate)
        or _at_the_floor(view, rate, held)
        or _no_warmup(view, rate)
        or _jumped(view, rate, factor)
        or _warmup_beyond(view, rate, rising)
        or _still_rising(view, rate, rising)
        or _off_declared(view, rate, factor)
    )


def _low_since(rate: SeriesView, limit: float) -> tuple[int, int]:
    """(first step, points) of the stretch at the end in which every rate is at most `limit`, over the whole history."""
    rows, _ = rate.blocks
    high = np.flatnonzero(rows[:, 5] > limit)
    start = int(high[-1]) + 1 if high.size else 0
    return (int(rows[start, 0]), int(rows[start:, 2].sum())) if start < len(rows) else (rate.last_step, 0)


def _collapsed(view: RunView, rate: SeriesView, nothing: float, end: float) -> Sighting | None:
    """A rate of nothing, after its peak, long before the end, with a loss that stands (a printed 0.0000 still teaches)."""
    planned, peak = view.facts.planned_steps, rate.highest
    since, points = _low_since(rate, nothing * peak)
    if planned is None or points <= max(20, 0.05 * rate.size) or since >= end * planned or points == rate.size:
        return None
    if not _stands(view, since) or _printed_away(rate, since):
        return None
    sentence = (
        f"The rate is {say.number(rate.last)} since step {say.step(since)}, {say.percent(since / planned)} of the "
        f"planned {say.step(planned)} steps; its peak was {say.number(peak)}."
    )
    title = f"Learning rate decayed to nothing at {say.percent(since / planned)} of the plan (step {{since}})"
    return _sighting(rate, Severity.WARNING, title, since, (rate.last, nothing * peak), sentence, horizon=True)


def _switched_off(view: RunView, rate: SeriesView) -> Sighting | None:
    """A rate of exactly 0 that came at once, from near its peak: no schedule ends so, whatever the plan."""
    since, points = _low_since(rate, 0.0)
    if points < OFF_POINTS or points < 0.1 * rate.size or points == rate.size or not _stands(view, since):
        return None
    rows, _ = rate.blocks
    before = float(rows[rows[:, 0] < since][-1, 5])
    if before < OFF_FROM * rate.highest or _printed_away(rate, since):
        return None
    sentence = f"The rate went from {say.number(before)} to exactly 0 at step {say.step(since)} and stays there; the loss stands since."
    title = "The learning rate is exactly 0 since step {since}"
    return _sighting(rate, Severity.WARNING, title, since, (0.0, before), sentence, horizon=True)


def _printed_away(rate: SeriesView, since: int) -> bool:
    """Whether a rate of exactly 0 is a small one that was printed with too few decimals: 0.0001, then 0.0000."""
    before = rate.values[rate.steps < since]
    if rate.last != 0 or not before.size:
        return False
    digits = next((d for d in range(1, 8) if np.array_equal(np.round(before, d), before)), None)
    return digits is not None and float(before[-1]) <= 2 * 10.0**-digits


def _stands(view: RunView, since: int) -> bool:
    """Whether the loss does not fall after a step; without ten points of it nothing is claimed."""
    loss = view.train
    if loss is None:
        return False
    rows, _ = loss.blocks
    after = stats.block_means(rows[rows[:, 0] > since][:, 3], 64)
    if after.size < 10:
        return False
    gain = stats.median(after[: after.size // 3]) - stats.median(after[-(after.size // 3) :])
    return stats.mann_kendall(after) > -3 or gain < 0.01 * abs(stats.median(after))


def _at_the_floor(view: RunView, rate: SeriesView, held: float) -> Sighting | None:
    """A decay that ended in the first third of the plan, and a constant floor ever since."""
    planned, peak = view.facts.planned_steps, rate.highest
    if planned is None or not 0 < rate.last < FLOOR * peak or rate.size < 40:
        return None
    since, points = _low_since(rate, 1.001 * rate.last)
    if points <= 20 or since > 0.33 * planned or view.step - since < held * planned:
        return None
    rows, _ = rate.blocks
    before, floor = rows[rows[:, 0] < since], rows[rows[:, 0] >= since]
    if float(floor[:, 4].min()) < 0.999 * rate.last:
        return None
    if len(before) < 3 or float(before[-1, 4]) > 2 * rate.last:
        return None  # one step down by a large factor is a step decay, not a decay laid over too few steps
    sentence = (
        f"The rate came down from {say.number(peak)} to {say.number(rate.last)} by step {say.step(since)}, "
        f"{say.percent(since / planned)} of the planned {say.step(planned)}, and stands since."
    )
    title = f"The schedule ended at {say.percent(since / planned)} of the plan (step {{since}}): the rest trains at the floor"
    return _sighting(rate, Severity.WARNING, title, since, (rate.last, FLOOR * peak), sentence, horizon=True)


def _no_warmup(view: RunView, rate: SeriesView) -> Sighting | None:
    """A declared warm-up of which the first logged rates know nothing."""
    declared, planned = view.facts.warmup_steps, view.facts.planned_steps
    steps, values = rate.first_points
    if declared is None or declared < IN_STEPS or (planned is not None and declared >= planned):
        return None
    inside = values[steps <= declared // 2]
    if inside.size < LEAST_POINTS or int(steps[0]) > declared // 10 or view.step < declared:
        return None
    if float(inside.min()) < 0.8 * rate.highest:
        return None
    sentence = (
        f"The rate is {say.number(float(values[0]))} at step {say.step(int(steps[0]))} already; "
        f"{say.step(declared)} steps of warm-up are declared."
    )
    title = f"No warm-up: the rate starts at its peak, {say.number(float(values[0]))}"
    seen = (float(values[0]), rate.highest * max(1, int(steps[0])) / declared)
    return _sighting(rate, Severity.WARNING, title, int(steps[0]), seen, sentence, horizon=False)


def _jumped(view: RunView, rate: SeriesView, factor: float) -> Sighting | None:
    """A rate thrown far above its old peak from one point to the next, after that peak was over."""
    steps, values = rate.steps, rate.values
    if values.size < 2 * JUMP_POINTS:
        return None
    ratio = values[1:] / np.maximum(values[:-1], 1e-300)
    at = int(ratio[JUMP_POINTS - 1 :].argmax()) + JUMP_POINTS
    old = float(values[:at].max()) if rate.size <= values.size else _peak_before(rate, int(steps[at]))
    if not old > 0 or values[at] < factor * old or values[at - 1] > values[at - JUMP_POINTS]:
        return None  # a restart goes back to the old peak, and a warm-up in large steps has been rising all along
    worse = _rose(view, int(steps[at]))
    sentence = (
        f"From step {say.step(int(steps[at - 1]))} to {say.step(int(steps[at]))} the rate went from "
        f"{say.number(float(values[at - 1]))} to {say.number(float(values[at]))}; it had never been above {say.number(old)}."
    )
    title = f"The learning rate jumped to {say.number(float(values[at]))} at step {{since}}, {values[at] / old:,.0f} times its old peak"
    severity = Severity.WARNING if worse else Severity.INFO
    return _sighting(rate, severity, title, int(steps[at]), (float(values[at]), factor * old), sentence, horizon=False)


def _peak_before(rate: SeriesView, step: int) -> float:
    rows, _ = rate.blocks
    return float(rows[rows[:, 1] < step][:, 5].max(initial=0.0)) or float("inf")


def _rose(view: RunView, step: int) -> bool:
    """Whether the loss stands clearly above where it was before the step."""
    train = view.train
    if train is None:
        return False
    _steps, after = train.since(step - 1)
    before = train.values[train.steps < step]
    if after.size < 5 or before.size < 5:
        return False
    then = stats.median(before[-20:])
    margin = max(0.05 * abs(then), 2 * train.noise / float(np.sqrt(min(after.size, 20))))
    return stats.median(after[-20:]) > then + margin or _validation_rose(view, step)


def _validation_rose(view: RunView, step: int) -> bool:
    """Whether two evaluations and all later ones since the step stand a twentieth above the lowest one before it."""
    val = view.val
    if val is None:
        return False
    before, after = val.values[val.steps < step], val.values[val.steps >= step]
    return bool(before.size and after.size >= 2 and after.min() > 1.05 * before.min() > 0)


def _warmup_beyond(view: RunView, rate: SeriesView, rising: float) -> Sighting | None:
    """A declared warm-up twice as long as the plan and more, which the logged rate follows: it will never be over."""
    planned, declared, peak = view.facts.planned_steps, view.facts.warmup_steps, view.facts.peak_rate
    if planned is None or declared is None or declared < 2 * planned or not rising * planned < view.step <= planned:
        return None
    rows, _ = rate.blocks
    if rate.size < 20 or not bool((np.diff(rows[:, 3]) > 0).all()) or (peak is not None and rate.last > 0.5 * peak):
        return None
    sentence = (
        f"{say.step(declared)} steps of warm-up are declared in a plan of {say.step(planned)}; after {say.step(view.step)} of them "
        f"the rate is {say.number(rate.last)}" + (f" of {say.number(peak)}." if peak is not None else ".")
    )
    title = f"The warm-up is longer than the run: {say.step(declared)} steps of {say.step(planned)}"
    first = int(rows[0, 0])
    return _sighting(rate, Severity.WARNING, title, first, (rate.last, peak), sentence, horizon=False)


def _still_rising(view: RunView, rate: SeriesView, rising: float) -> Sighting | None:
    """A rate that rises from the start on and has not reached its peak when it should have."""
    planned, declared = view.facts.planned_steps, view.facts.warmup_steps
    if planned is None or not rising * planned < view.step <= planned or rate.size < 20:
        return None
    rows, _ = rate.blocks
    means = rows[:, 3]
    if not bool((np.diff(means) > 0).all()) or rate.last < 1.05 * rate.near(int(0.8 * view.step)):
        return None
    beyond = declared is not None and declared >= IN_STEPS and view.step > 2 * declared
    if declared is not None and not beyond:
        return None
    words = f"; {say.step(declared)} steps of warm-up are declared" if declared is not None else ""
    sentence = f"The rate rises from the start on and is {say.number(rate.last)} at step {say.step(view.step)}{words}."
    title = f"The learning rate still rises after {say.percent(view.step / planned)} of the plan"
    train = view.train
    spent = view.step >= MOST * planned and train is not None and train.level > MUCH_LEFT
    severity = Severity.WARNING if beyond or spent else Severity.INFO
    first = int(rows[0, 0]) if not beyond else declared or 0
    return _sighting(rate, severity, title, first, (rate.last, view.facts.peak_rate), sentence, horizon=False)


def _off_declared(view: RunView, rate: SeriesView, factor: float) -> Sighting | None:
    """A peak far from the declared rate. A logged 1.0 is a multiplier, as some trainers log it."""
    declared, peak = view.facts.peak_rate, rate.highest
    if declared is None or peak == 1.0:
        return None
    if rate.size < 20 or rate.last > 1.001 * rate.near(view.step // 2):
        return None  # the warm-up is not over: the peak is still to come
    low = peak * factor <= declared and (view.progress or 0) >= 0.5
    if not low and peak < factor * declared:
        return None
    sentence = f"The highest logged rate is {say.number(peak)}; {say.number(declared)} is declared."
    title = f"Logged learning rate {say.number(peak)} where {say.number(declared)} is declared"
    first = int(rate.first_points[0][0])
    return _sighting(rate, Severity.INFO, title, first, (peak, declared), sentence, horizon=False)


def _sighting(
    rate: SeriesView,
    severity: Severity,
    title: str,
    first: int,
    seen: tuple[float, float | None],
    sentence: str,
    *,
    horizon: bool,
) -> Sighting:
    unit = Cause(
        f"{'horizon' if horizon else 'warm-up'} counted in the wrong unit",
        "epochs, micro-batches or the steps of all devices instead of optimizer steps",
    )
    stepped = Cause("the scheduler is stepped too often or never", "it belongs after each optimizer step, once")
    replaced = Cause("the optimizer has another rate", "set after the schedule was made, or brought by a checkpoint")
    window = (first, max(first, rate.last_step))
    return Sighting(
        severity=severity,
        title=title,
        first_step=first,
        evidence=(Evidence(series=rate.name, window=window, observed=seen[0], limit=seen[1], sentence=sentence),),
        causes=(unit, stepped, replaced) if horizon else (replaced, unit, stepped),
        remedies=(
            Remedy("Give the schedule the number of optimizer steps, and step it once after each."),
            Remedy("Print the rate of the first 100 steps and of the last, before training."),
        ),
        confidence=0.85 if severity is Severity.WARNING else 0.5,
    )
