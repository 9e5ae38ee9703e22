"""The rule `non-finite-gradient`: gradients that are NaN or infinite again and again while the loss still looks finite."""

from __future__ import annotations

import math

import numpy as np

from diagnostics import say, stats
from diagnostics.finding import Cause, Evidence, Remedy, Severity, Sighting
from diagnostics.rule import Life, rule
from diagnostics.scaler import Fall, read_fall
from diagnostics.series import SeriesView
from diagnostics.view import RunView

SEARCH_ENDS = 20
"""Points in which a loss scaler may still be searching: it starts far too high and halves at each overflow."""
SEARCH_LENGTH = 30
"""The longest search that is believed: 2^30 is above every trainer's first scale but a few."""

FIRST_SCALE = 128
"""The lowest scale that a trainer begins its search at by default."""
UNSCALED = 16.0
"""A scale that helps no more: what overflows even there is beyond 2,000 where healthy gradients are below 1."""
UNSCALED_SUM = UNSCALED / 2**15
"""The same where the loss is summed over the tokens of a GPU, up to some 30,000, as fairseq does: one of its healthy runs fell to
2^-8 in its first 500 steps."""
OF_MEANS = 2**12
"""Who begins the search at this scale or above scales the mean over the tokens; fairseq begins at 128."""
NEVER_FOUND = 16, 1.0
"""(steps, scale): a search for the scale of a mean that has found nothing; most begin at 2^16, and DeepSpeed ends there."""

NOTHING_LEARNED = 6.0
"""Nats of loss that no language model rests at once it has learned: norms that were never finite are then believed sooner."""


@rule(
    "non-finite-gradient",
    needs=(("grad_norm", "loss_scale"),),
    helps=("train_loss", "skipped_steps"),
    blind="gradients that are NaN or infinite cannot be seen",
    clock="grad_norm",
    severity=Severity.CRITICAL,
    life=Life(close_after_points=40, resolved=Severity.WARNING),
)
def non_finite_gradient(view: RunView, *, in_a_row: int = 5, of_twenty: int = 5) -> Sighting | None:
    """The gradients are NaN or infinite again and again.

    ## What it means
    Something in the backward pass overflows or divides by zero. Such a step either ruins the weights or is skipped, and
    a run whose steps are all skipped learns nothing.

    ## Why it matters
    The loss often looks calm until the step at which the weights become NaN too, and where steps are skipped it never
    says anything: the machine computes and the model stays as it is.

    ## How it is detected
    The last `in_a_row` gradient norms are all NaN or infinite, or `of_twenty` of the last 20, and the loss has not
    improved since the first of them. In the first 20 points a loss scaler searches for its factor and overflows on
    purpose, so there 30 in a row are asked for. If the loss improves all the same it is a warning where steps are lost
    now and then, and silent where no norm was ever finite: then it was not measured. A log whose first epoch shows that it
    begins in the middle of a run has no search in it; norms that are never finite are believed there if the loss rests
    above 6 nats.

    The loss scale of fp16 tells the same where no norm does: `in_a_row` steps or more were skipped one after the other,
    as many at least as were not, and the scale has come down to 16 or less, where gradients are as good as unscaled. A
    search at the start may go lower: it is over when 16 steps were skipped and the scale is 1 or less. fairseq sums the
    loss over thousands of tokens, so its scale rests healthily below 1: a scale that was below 16 before, or began below
    4,096, must come down to 16 ÷ 2^15, or be at its floor, where `in_a_row` overflows leave it as it is.

    ## Likely causes
    - Overflow in fp16: a loss scale that is too large or never adapts, or weights that no scale helps any more.
    - Learning rate too high: activations grow until the backward pass overflows.
    - sqrt(0), log(0) or 0 ÷ 0 in the model or the loss: finite forwards, NaN backwards.

    ## What to do
    - Train in bf16 or fp32; with fp16 use a dynamic loss scale.
    - Resume from the last checkpoint before it with a lower rate and clipping.
    - Turn on anomaly detection (`torch.autograd.detect_anomaly`) for a few steps: it names the operation.

    ## When it is wrong
    Single non-finite norms and skipped steps are a loss scaler at work and stay silent. Tables that hold a norm only in every k-th row are
    told by their even spacing.

    ## Options
    - `in_a_row` (5): non-finite norms at the end.
    - `of_twenty` (5): non-finite norms among the last 20.

    ## Example
    Fires:
        train/loss: 4.2 4.0 3.9 3.8 3.8*26 3.8*6
        train/grad_norm: 1.2 1.1 1.0*28 inf nan nan nan nan nan
    Silent:
        train/loss: 4.2 4.0 3.9 3.8 3.7 3.6 3.5 3.4 3.3 3.2 3.1 3.0 2.9 2.8 2.7 2.6 2.5 2.4 2.3 2.2 2.1 2.0 1.9 1.8
        train/grad_norm: inf inf inf inf inf inf inf inf 1.1 1.0 1.2 1.1 1.0 1.1 1.2 1.0 inf 1.1 1.0 1.1 1.2 1.0 1.1 1.0

    ## References
    - Micikevicius et al., Mixed Precision Training, 2018 (loss scaling).
    """
    return _of_norms(view, in_a_row, of_twenty) or _of_scale(view, in_a_row)


def _of_norms(view: RunView, in_a_row: int, of_twenty: int) -> Sighting | None:
    """What the gradient norms tell."""
    grad = view.series.get("grad_norm")
    if grad is None:
        return None
    bad = ~np.isfinite(grad.raw_values)
    if not bad[-20:].any():
        return None
    found = _streak(view, grad, bad, in_a_row) or _crowd(grad, bad, of_twenty)
    if found is None:
        return None
    first, count, of = found
    improved = _improved(view, first if count == of else int(grad.raw_steps[-min(2 * of, grad.raw_steps.size)]))
    never = grad.size == 0
    if improved and (never or count == of):
        return None  # weights that get better were not moved by NaN, nor left alone: the norm is not what is measured
    return _sighting(view, grad, first, count, of, improved)


def _of_scale(view: RunView, in_a_row: int) -> Sighting | None:
    """What the loss scale tells: steps that are skipped one after the other although the scale is as low as it can help."""
    fall, scale = view.once(read_fall), view.get("loss_scale")
    if fall is None or scale is None:
        return None
    least, low = _believed(fall, in_a_row)
    if fall.skipped < least or fall.low > low or _improved(view, fall.first_step):
        return None
    first, now = fall.first_step, say.number(fall.low)
    observed = Evidence(
        series=scale.name,
        window=(first, max(first, fall.last_step)),
        observed=fall.low,
        limit=low,
        sentence=f"{fall.skipped:,} steps were skipped one after the other since step {say.step(first)}; the loss scale went "
        f"from {say.number(fall.high)} to {now}.",
    )
    return Sighting(
        severity=Severity.CRITICAL,
        title=f"Gradients overflow since step {{since}}: {fall.skipped:,} steps skipped in a row, the loss scale is down to {now}",
        first_step=first,
        evidence=(observed, *_loss_evidence(view, first)),
        causes=(
            Cause("NaN or infinity in the model or the loss", "no loss scale helps where it comes before the scaling"),
            Cause("learning rate too high", "activations and gradients grow until 16 bits cannot hold them"),
            Cause("overflow in 16-bit floats", f"at a loss scale of {now} gradients are as good as unscaled"),
        ),
        remedies=_remedies(view.good_checkpoint(first - 1)),
        confidence=0.9,
    )


def _believed(fall: Fall, in_a_row: int) -> tuple[int, float]:
    """(skipped steps, loss scale) from which on it is no search any more."""
    searching = fall.losses_before < SEARCH_ENDS and fall.high >= FIRST_SCALE
    if fall.held >= in_a_row:
        return in_a_row, UNSCALED
    if fall.high < UNSCALED or (searching and fall.high < OF_MEANS):
        return in_a_row, UNSCALED_SUM
    return NEVER_FOUND if searching else (in_a_row, UNSCALED)


def _streak(view: RunView, grad: SeriesView, bad: np.ndarray, least: int) -> tuple[int, int, int] | None:
    """(first step, non-finite norms, out of) when the last norms are all non-finite, for long enough to mean it."""
    run = grad.nonfinite.trailing
    finite = np.flatnonzero(~bad)
    gap = int(np.diff(finite).max()) if finite.size > 1 else 1
    early = grad.count - run < SEARCH_ENDS and not _begins_late(view, never=not grad.size)
    if run < max(SEARCH_LENGTH if early else least, 3 * gap if gap > 1 and _even(finite) else 0):
        return None
    return int(grad.raw_steps[-min(run, grad.raw_steps.size)]), run, run


def _begins_late(view: RunView, *, never: bool) -> bool:
    """Whether an epoch that does not begin at its beginning says that a loss scaler's search came before the log."""
    epoch, loss = view.get("epoch"), view.train
    if epoch is None or epoch.size < 3 or (never and (loss is None or loss.level < NOTHING_LEARNED)):
        return False
    first, passed = float(epoch.first_points[1][0]), epoch.last - float(epoch.first_points[1][0])
    return first * (epoch.size - 1) > SEARCH_LENGTH * passed > 0


def _crowd(grad: SeriesView, bad: np.ndarray, least: int) -> tuple[int, int, int] | None:
    """The same when many of the last 20 norms are non-finite, after the search of a loss scaler is over."""
    if grad.count < 2 * SEARCH_ENDS or not grad.size:
        return None
    searched = grad.raw_steps <= grad.first_points[0][0]  # before the first finite norm the scaler was searching
    finite, recent = np.flatnonzero(~bad[-60:]), np.flatnonzero((bad & ~searched)[-20:])
    if recent.size < least:
        return None
    if finite.size < 3 or _even(finite) or grad.nonfinite.trailing == recent.size:
        return None
    return int(grad.raw_steps[-20:][recent[0]]), int(recent.size), 20


def _even(finite: np.ndarray) -> bool:
    """Whether finite norms stand in every k-th row, k > 1: the other cells of a table are empty, not NaN."""
    gaps = np.diff(finite)
    return gaps.size >= 1 and int(gaps.min()) == int(gaps.max()) > 1


def _improved(view: RunView, step: int) -> bool:
    """Whether the loss got clearly better since a step."""
    loss = view.train
    if loss is None or loss.nonfinite.trailing:
        return False
    before, (_, after) = loss.near(step), loss.since(step)
    if after.size < 5:
        return False
    now = stats.median(after[-max(3, after.size // 4) :])
    margin = max(3 * loss.noise / math.sqrt(min(after.size, 20)), 2e-3 * abs(before))
    return now < before - margin


def _sighting(view: RunView, grad: SeriesView, first: int, count: int, of: int, improved: bool) -> Sighting:
    last = float(grad.raw_values[~np.isfinite(grad.raw_values)][-1])
    kind = say.number(last)
    words = f"{count:,} gradient norms in a row" if count == of else f"{count} of the last {of} gradient norms"
    observed = Evidence(
        series=grad.name,
        window=(first, grad.last_step),
        observed=last,
        limit=None,
        sentence=f"{words} are not finite since step {say.step(first)} (the last one is {kind}).",
    )
    scale = view.get("loss_scale")
    return Sighting(
        severity=Severity.WARNING if improved else Severity.CRITICAL,
        title=f"Gradients are {kind} since step {{since}}: {count:,} of the last {of:,}",
        first_step=first,
        evidence=(observed, *_loss_evidence(view, first)),
        causes=_causes(
            scale.last if scale is not None else None, infinite_first=bool(np.isinf(grad.nonfinite.first_value))
        ),
        remedies=_remedies(view.good_checkpoint(first - 1)),
        confidence=0.8 if improved else 0.95,
    )


def _remedies(checkpoint: int | None) -> tuple[Remedy, ...]:
    return (
        Remedy("Train in bf16 or fp32 instead of fp16.", {"precision": "fp32"}, checkpoint),
        Remedy("Lower the learning rate and clip gradients.", {"learning_rate": "×0.3", "grad_clip": 1.0}, checkpoint),
        Remedy("Run a few steps under torch.autograd.detect_anomaly: it names the operation that gives NaN."),
    )


def _loss_evidence(view: RunView, first: int) -> tuple[Evidence, ...]:
    loss = view.train
    if loss is None:
        return ()
    before = loss.near(first)
    sentence = f"The loss was {say.number(before)} then and is {say.number(loss.level)} now."
    window = (first, max(first, loss.last_step))
    return (Evidence(series=loss.name, window=window, observed=loss.level, limit=before, sentence=sentence),)


def _causes(scale: float | None, *, infinite_first: bool) -> tuple[Cause, ...]:
    why = (
        f"the loss scale is {scale:g} and does not come down to where gradients fit"
        if scale is not None
        else "infinity came first, as when a 16-bit float overflows"
        if infinite_first
        else "a 16-bit float ends at 65,504"
    )
    overflow = Cause("overflow in 16-bit floats", why)
    operation = Cause("sqrt(0), log(0) or 0 ÷ 0 in the model or loss", "its value is finite and its derivative is not")
    high = Cause("learning rate too high", "activations grow until the backward pass overflows")
    return (overflow, high, operation) if scale is not None or infinite_first else (operation, overflow, high)
