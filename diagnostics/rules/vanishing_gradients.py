"""The rule `vanishing-gradients`: gradients that have all but disappeared while there is still everything to learn."""

from __future__ import annotations

import numpy as np

from diagnostics import say, stats
from diagnostics.finding import Cause, Evidence, Remedy, Severity, Sighting
from diagnostics.rule import Life, rule
from diagnostics.series import SeriesView
from diagnostics.view import RunView

DEAD_POINTS = 20
"""Points in a row with a gradient of exactly 0 that are no accident; and so many before a single one, none of them 0."""

WAKING, ASLEEP = 3, 0.5
"""Points after a single 0 that stay below this share of the norm before it, or below all of the twenty norms before: of what
is like those, three in a row are so once in 1,771 times. A block that was left out of one step alone, as layer drop does, is
back at once; weights that became 0 begin anew."""

ALL_ZERO, ALL_ZERO_SKIPPED = 12, 4
"""Norms, all there are, that are exactly zero by no rounding; and where the rate is zero as well."""
REAL, UNMOVED = 0.5, 0.01
"""Nats above which a loss is not one that is zero by construction, and the share that it may have lost of its first value."""

NEARLY_ALL = 0.9
"""Share of the last norms that must be tiny."""


@rule(
    "vanishing-gradients",
    needs=(("grad_norm",), ("train_loss", "val_loss")),
    helps=("grad_norm_first", "grad_norm_last"),
    blind="vanishing gradients cannot be told from a finished run",
    clock="grad_norm",
    severity=Severity.WARNING,
    life=Life(close_after_points=20),
)
def vanishing_gradients(
    view: RunView, *, tiny: float = 1e-6, points: int = 50, decay: float = 50.0, ratio: float = 1e-3, fall: float = 0.03
) -> Sighting | None:
    """The gradients shrink to nothing although the loss does not fall.

    ## What it means
    No signal reaches the weights: the model cannot learn, whatever the rate.

    ## Why it matters
    The run stands still, and waiting does not help.

    ## How it is detected
    The loss has fallen by less than `fall` and is not falling now, and one of: nine in ten of the last `points` norms are
    below `tiny`; the first block's norm is below `ratio` of the last block's; the norms shrink step by step, at least
    threefold each time, by a factor of `decay` over all, to below 0.005 (this needs three points only). Or every norm so far is exactly 0,
    12 and more (four, where the rate is 0 too), and a loss above half a nat stands within a hundredth of where it began. Whether the loss
    falls or not, in a run from scratch, while the last block's norm is not 0: the first block's is exactly 0 for 20
    points; or for one point after 20 that were not, and for the next three less than half of what it was, or less than
    the least of those 20.

    ## Likely causes
    - A deep model without residual paths or normalisation; saturated activations.
    - Frozen weights: nothing requires gradients.
    - Bad initialisation: too small.
    - A block that dies in mid-run: its weights were overwritten, by a faulty load or merge, a pruning mask, a bad memory.

    ## What to do
    - Check residual connections and norms; use pre-norm and scaled initialisation.
    - Check that parameters require gradients.

    ## When it is wrong
    A model that has learned its data has small gradients too, but its loss has fallen. Some loggers write a constant 0
    for "not measured"; while the loss falls that is left alone. Batches without a signal (all of their tokens masked, or no
    advantage among the answers) have a norm of 0 in runs that learn from the others.

    ## Options
    - `tiny` (1e-6): norm.
    - `points` (50): last norms.
    - `decay` (50): shrinking over all with few points.
    - `ratio` (1e-3): first block ÷ last block.
    - `fall` (0.03): share of the first loss.

    ## Example
    Fires:
        train/loss: 4.2 4.19 4.2 4.18 4.2
        train/grad_norm: 0.1 0.01 0.001 0.0001 0.00001
    Silent:
        train/loss: 4.2 3.1 2.0 0.9 0.1
        train/grad_norm: 0.1 0.05 0.01 0.002 0.0001

    ## References
    - Glorot & Bengio, Understanding the difficulty of training deep feedforward networks, 2010.
    """
    grad, loss = view.get("grad_norm"), view.train or view.val
    if grad is None or loss is None or grad.size < 3 or loss.size < 3:
        return None
    dead = _dead_block(view)
    if dead is None and _nothing_arrives(view, grad, loss):
        words = f"The gradient norm is exactly 0 at each of {grad.size:,} points."
        return _sighting(view, grad, loss, int(grad.first_points[0][0]), 0.0, tiny, words)
    if dead is not None or _falls(loss, fall):
        return dead
    recent = grad.values[-points:]
    now = stats.median(recent)
    # Norms of 0 among others are batches without a signal (all of it masked, no advantage), not a model without one.
    if grad.size >= points and recent.min() < tiny and np.quantile(recent, NEARLY_ALL) < tiny:
        return _sighting(
            view, grad, loss, int(grad.steps[-recent.size]), now, tiny, f"The gradient norm is {say.number(now)}."
        )
    first, last = view.get("grad_norm_first"), view.get("grad_norm_last")
    if first is not None and last is not None and min(first.size, last.size) >= points and last.level > 0:
        share = first.level / last.level
        if share < ratio:
            sentence = f"The first block's gradients are {say.number(share)} of the last block's."
            return _sighting(view, first, loss, int(first.steps[-points]), share, ratio, sentence)
    start = _shrinking(grad.values, decay)
    if start is None:
        return None
    from_norm, to_norm = float(grad.values[start]), float(grad.values[-1])
    sentence = f"The gradient norm shrank from {say.number(from_norm)} to {say.number(to_norm)}."
    return _sighting(view, grad, loss, int(grad.steps[start]), to_norm, from_norm / decay, sentence)


def _nothing_arrives(view: RunView, grad: SeriesView, loss: SeriesView) -> bool:
    """Whether the norm has been exactly zero from the first point on, and the loss, a real one, stands where it began.

    A handful of points are enough where the rate is logged as zero too: every update is skipped.
    """
    skipped = view.get("learning_rate") is not None and view.rate is None
    if grad.size < (ALL_ZERO_SKIPPED if skipped else ALL_ZERO) or grad.highest > 0 or grad.lowest.value < 0:
        return False
    return loss.level > REAL and min(loss.level, loss.last) > (1 - UNMOVED) * loss.start


def _dead_block(view: RunView) -> Sighting | None:
    """A first block whose gradient is exactly zero while the last one's is not: it takes no part, the others learn.

    In a fine-tune that is how frozen layers look, so only runs from scratch are judged.
    """
    first, last = view.get("grad_norm_first"), view.get("grad_norm_last")
    if first is None or last is None or min(first.size, last.size) < DEAD_POINTS or view.uniform_loss is None:
        return None
    if not first.values[-DEAD_POINTS:].any() and last.values[-DEAD_POINTS:].all():
        at = int(first.steps[-DEAD_POINTS])
        words = f"is exactly 0 for {DEAD_POINTS} points, the last block's {say.number(last.level)}"
        return _dead_sighting(first, at, words, "is exactly zero since step {since}: it learns nothing")
    struck = _struck(first, last)
    if struck is None:
        return None
    before, at, after = struck
    words = f"was exactly 0 at step {say.step(at)}, {say.number(before)} before and at most {say.number(after)} in the next {WAKING} points"
    return _dead_sighting(first, at, words, "was exactly zero at step {since}: its weights begin anew")


def _struck(first: SeriesView, last: SeriesView) -> tuple[float, int, float] | None:
    """(norm before, step, highest norm in the points after) where the gradient was exactly zero once, among the last points."""
    values = first.values
    zeros = np.flatnonzero(values[-DEAD_POINTS:] == 0)
    if not zeros.size:
        return None
    at = max(0, values.size - DEAD_POINTS) + int(zeros[0])
    before, after = values[max(0, at - DEAD_POINTS) : at], values[at + 1 : at + 1 + WAKING]
    if before.size < DEAD_POINTS or after.size < WAKING or not before.all():
        return None
    step, top, usual = int(first.steps[at]), float(after.max()), stats.median(before)
    others = last.values[last.steps == step]
    alive = others.size > 0 and bool(others[-1] > 0)
    return (usual, step, top) if alive and top < max(ASLEEP * usual, float(before.min())) else None


def _dead_sighting(first: SeriesView, at: int, words: str, title: str) -> Sighting:
    evidence = Evidence(
        series=first.name,
        window=(at, first.last_step),
        observed=0.0,
        limit=None,
        sentence=f"The first block's gradient {words}.",
    )
    return Sighting(
        severity=Severity.WARNING,
        title=f"The first block's gradient {title}",
        first_step=at,
        evidence=(evidence,),
        causes=(
            Cause("dead layer", "weights of exactly 0 in two layers after each other keep each other's gradient at 0"),
            Cause("frozen weights", "its parameters do not require gradients"),
            Cause("a detached graph", "a detach() or no_grad() cuts the block off"),
        ),
        remedies=(
            Remedy("Look at the first block's weights: all zero, or not requiring gradients?"),
            Remedy("Initialise at most one of two layers that follow each other with zeros."),
        ),
        confidence=0.9,
    )


def _falls(loss: SeriesView, fall: float) -> bool:
    """Whether the loss has fallen by the share, or comes down now."""
    if loss.start <= 0:
        return True
    if min(loss.level, loss.last) < (1 - fall) * loss.start:
        return True
    return loss.size >= 10 and stats.mann_kendall(loss.curve) < -3


def _shrinking(values: np.ndarray, decay: float) -> int | None:
    """Index in the last points from which the norms shrink at least threefold each time, by `decay` over all."""
    end = values.size - 1
    start = end
    while start > max(0, end - 30) and values[start] <= values[start - 1] / 3 and values[start - 1] > 0:
        start -= 1
    if end - start < 2 or values[end] > 0.005:
        # Three points fit by chance; many points shrink more slowly: compare the beginning with the end instead.
        return _slow_shrinking(values, decay)
    return start if values[start] >= decay * values[end] else None


def _slow_shrinking(values: np.ndarray, decay: float) -> int | None:
    if values.size < 12 or values[-5:].max() > 0.005:
        return None
    early = stats.median(values[:3])
    return (
        0 if early >= decay * max(stats.median(values[-5:]), 1e-300) and stats.mann_kendall(values[-60:]) < -3 else None
    )


def _sighting(
    view: RunView, grad: SeriesView, loss: SeriesView, first: int, observed: float, limit: float, sentence: str
) -> Sighting:
    seen = Evidence(series=grad.name, window=(first, grad.last_step), observed=observed, limit=limit, sentence=sentence)
    words = f"The loss has not fallen: {say.number(loss.start)} at the start, {say.number(loss.level)} now."
    flat = Evidence(
        series=loss.name, window=(first, loss.last_step), observed=loss.level, limit=loss.start, sentence=words
    )
    zero = observed == 0.0
    deep = Cause("deep model without residual paths or norms", "the signal is lost on its way to the first blocks")
    frozen = Cause(
        "frozen weights", "the norm is exactly zero: nothing requires gradients" if zero else "check requires_grad"
    )
    skipped = Cause(
        "every update is skipped", "a loss scaler that finds an overflow in each step leaves norm and rate at zero"
    )
    small = Cause("bad initialisation or saturated activations", "gradients shrink from layer to layer")
    return Sighting(
        severity=Severity.WARNING,
        title=f"Vanishing gradients since step {{since}}: {say.number(observed)}, and the loss does not fall",
        first_step=first,
        evidence=(seen, flat),
        causes=(frozen, skipped, deep, small) if zero else (deep, small, frozen),
        remedies=(
            Remedy("Use pre-norm, residual connections and a scaled initialisation."),
            Remedy("Check that every parameter requires gradients and is given to the optimizer."),
            Remedy("Raise the learning rate if it is far below 1e-4.", {"learning_rate": "×10"}),
        ),
        confidence=0.9,
    )
