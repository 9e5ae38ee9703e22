"""The rule `masked-non-finite`: a logged loss that is finite only because something hides the NaN."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from diagnostics import say, stats
from diagnostics.finding import Cause, Evidence, Remedy, Severity, Sighting
from diagnostics.rule import Life, rule
from diagnostics.series import SeriesView
from diagnostics.view import RunView

NOW_AND_THEN = 0.1
"""Share of zeros before those that are judged which may be hidden NaNs as well; more are the loss's own."""

FIRST, REAL = 10, 0.5
"""Losses that are the first ones of a log, and nats that none of them falls from to zero within a step."""

LONG_RUN = 30
"""Exact zeros in a row that no rounding explains, unless the loss had come down to the last digit before."""


@rule(
    "masked-non-finite",
    needs=(("train_loss",),),
    helps=("grad_norm",),
    blind="a hidden NaN cannot be seen",
    severity=Severity.CRITICAL,
    life=Life(resolved=None),
)
def masked_non_finite(view: RunView, *, zeros: int = 3, gradients: int = 20, frozen: int = 12) -> Sighting | None:
    """The logged loss is exactly 0.0 or frozen while training computes with NaN.

    ## What it means
    Some trainers replace NaN by zero or by an average before they log. The curve then says 0.0, or stands still, while
    the weights are already lost. A cross-entropy of exactly zero does not happen.

    ## Why it matters
    It looks like perfect success. A public run trained 16,255 steps, 16 node-hours, on a NaN that came at step 1.

    ## How it is detected
    The last `zeros` losses (one less where no gradient norm is finite there, or where fewer than ten losses, all above half
    a nat, came before) are exactly 0.0, and one of: they dropped there at once from a real loss (above 0.05, or far
    above the smallest number that this log prints); the gradient norm is NaN, infinite or zero; the run began so and no
    gradient norm says otherwise. Zeros that were seen now and then before, up to a tenth, are no reason against it. Or: the last `gradients` gradient norms are all NaN or infinite while the loss is
    logged as a finite number. Or, as a warning: the last `frozen` losses are the same to the last digit, after a loss
    that moved at every point, while the rate is not zero.

    ## Likely causes
    - A NaN hidden by the logger (Hugging Face: `logging_nan_inf_filter`, on by default).
    - All labels of every batch masked, so that the loss is the mean of nothing.

    ## What to do
    - Turn the filter off and look at the first bad step.
    - Print the labels of one batch: are any of them not masked?
    - Then treat it as a NaN: lower the rate, clip, bf16 instead of fp16.

    ## When it is wrong
    A loss that shrinks until it is printed as 0.0000 (memorising, grokking) comes down gradually and is left alone.
    Policy-gradient losses are zero at the start by construction; their gradients are not, so log `train/grad_norm`.
    A loss printed with few digits may stand still by rounding; only one that moved by many of its last digits counts.

    ## Options
    - `zeros` (3): exact zeros in a row.
    - `gradients` (20): non-finite gradient norms in a row.
    - `frozen` (12): equal losses in a row.

    ## Example
    Fires:
        train/loss: 2.31 2.28 2.30 0.0 0.0 0.0 0.0
        train/grad_norm: 1.1 1.2 1.1 nan nan nan nan
    Silent:
        train/loss: 0.31 0.02 0.0031 0.0004 0.0001 0.0 0.0 0.0 0.0
        train/grad_norm: 0.5 0.1 0.02 0.01 0.004 0.002 0.002 0.001 0.001

    ## References
    - Hugging Face `TrainingArguments.logging_nan_inf_filter`.
    """
    train = view.series["train_loss"]
    grad = view.series.get("grad_norm")
    steps, values = train.raw_steps, train.raw_values
    run = _trailing(values == 0.0)
    if (run >= zeros or _at_once(values, grad, run, zeros)) and _suspicious(view, train, grad, run):
        first = int(steps[values.size - run])
        sentence = f"{run:,} losses in a row are exactly 0.0, which a cross-entropy never is."
        return _sighting(
            train, first, 0.0, sentence, grad, "Loss is exactly 0.0 since step {since}: a NaN is being hidden"
        )
    if grad is not None and np.isfinite(values[-1]):
        bad = _trailing(~np.isfinite(grad.raw_values))
        if bad >= gradients:
            first = int(grad.raw_steps[grad.raw_values.size - bad])
            sentence = f"The loss is logged as {say.number(float(values[-1]))} while no gradient is finite."
            title = "Gradients are not finite since step {since}, yet a finite loss is logged"
            return _sighting(train, first, float(values[-1]), sentence, grad, title)
    return _frozen(view, train, grad, frozen)


def _at_once(values: np.ndarray, grad: SeriesView | None, run: int, zeros: int) -> bool:
    """Whether one zero less is enough: no gradient is finite there, or the first losses of all are followed by them."""
    if run < max(1, zeros - 1):
        return False
    if grad is not None and grad.raw_values.size >= run:
        return not np.isfinite(grad.raw_values[-run:]).any()
    before = values[: values.size - run]
    return 0 < before.size < FIRST and bool((before > REAL).all())


def _frozen(view: RunView, train: SeriesView, grad: SeriesView | None, points: int) -> Sighting | None:
    """A loss that stands still to the last digit although it had moved at every point before."""
    steps, values = train.raw_steps, train.raw_values
    last = float(values[-1])
    if values.size < 2 * points or not abs(last) > 0.05 or view.rate_share == 0:
        return None
    run = _trailing(values == last)
    before = values[: values.size - run][-points:]
    if run < points or before.size < points or not np.isfinite(before).all():
        return None
    moves = np.abs(np.diff(before))
    if (moves == 0).mean() > 0.1 or stats.median(moves) < max(0.002 * abs(last), 20 * _resolution(before)):
        return None
    first = int(steps[values.size - run])
    sentence = f"{run:,} losses in a row are exactly {say.number(last)}; before, each point differed from the last."
    title = (
        f"Loss frozen at exactly {say.number(last)} since step {{since}}: nothing is being computed or a NaN is hidden"
    )
    seen = _sighting(train, first, last, sentence, grad, title)
    return replace(seen, severity=Severity.WARNING, confidence=0.85)


def _resolution(values: np.ndarray) -> float:
    """The smallest step of printed values: 1e-4 where all have at most four decimals; 0 where they are not rounded."""
    for digits in range(1, 7):
        if np.array_equal(np.round(values, digits), values):
            return float(10.0**-digits)
    return 0.0


def _trailing(flags: np.ndarray) -> int:
    """How many of the last entries are all true."""
    false = np.flatnonzero(~flags)
    return int(flags.size - 1 - false[-1]) if false.size else int(flags.size)


def _suspicious(view: RunView, train: SeriesView, grad: SeriesView | None, run: int) -> bool:
    """Whether zeros are a hidden NaN rather than a small loss rounded, or a loss that is zero by construction."""
    before = train.raw_values[: train.raw_values.size - run]
    before = before[np.isfinite(before)]
    if grad is not None and grad.raw_values.size:
        recent = grad.raw_values[-min(run, 3) :]
        if not np.isfinite(recent).all():
            return True
        if (before < 0).any() or (before == 0).sum() > 0.02 * before.size:
            return (
                False  # it was below zero, or zero and back again: a policy-gradient loss, zero where all did as well
            )
        if not recent.any():
            return True
        if run == train.raw_values.size:
            return False  # real gradients from the start: a policy-gradient loss
    if (before < 0).any():
        return False
    if before.size >= 10 and 0 < (before == 0).mean() <= NOW_AND_THEN:
        before = before[before != 0]  # it has been hidden now and then before
    if before.size:
        smallest, printed = float(np.abs(before[-20:]).min()), _resolution(before)
        if before.size >= 10 and printed > 0 and smallest > (50 if run < LONG_RUN else 2) * printed:
            return True
        return bool(np.abs(before[-3:]).min() > 0.05)
    return train.count == run


def _sighting(
    train: SeriesView, first: int, observed: float, sentence: str, grad: SeriesView | None, title: str
) -> Sighting:
    evidence = [
        Evidence(series=train.name, window=(first, train.last_step), observed=observed, limit=None, sentence=sentence)
    ]
    if grad is not None and grad.nonfinite.trailing:
        note = grad.nonfinite
        words = f"{note.trailing:,} gradient norms in a row are not finite."
        window = (note.first_step, note.last_step)
        evidence.append(
            Evidence(series=grad.name, window=window, observed=float(grad.raw_values[-1]), limit=None, sentence=words)
        )
    return Sighting(
        severity=Severity.CRITICAL,
        title=title,
        first_step=first,
        evidence=tuple(evidence),
        causes=(
            Cause("a NaN hidden by the logger", "some trainers log 0.0 or an old average in place of NaN, by default"),
            Cause("all labels masked", "the mean over no tokens is NaN, and is logged as 0.0"),
            Cause("learning rate too high or fp16 overflow", "the usual reasons for the NaN itself"),
        ),
        remedies=(
            Remedy("Turn the NaN filter off (Hugging Face: logging_nan_inf_filter=False) and find the first bad step."),
            Remedy("Print the labels of one batch and check that not all are masked."),
            Remedy(
                "Resume before it with a tenth of the rate and clipping.", {"learning_rate": "×0.1", "grad_clip": 1.0}
            ),
        ),
        confidence=0.95,
    )
