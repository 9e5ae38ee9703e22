"""The rule `masked-non-finite`: a logged loss that is finite only because something hides the NaN."""

from __future__ import annotations

import numpy as np

from diagnostics import say
from diagnostics.finding import Cause, Evidence, Remedy, Severity, Sighting
from diagnostics.rule import Life, rule
from diagnostics.series import SeriesView
from diagnostics.view import RunView


@rule(
    "masked-non-finite",
    needs=(("train_loss",),),
    helps=("grad_norm",),
    blind="a hidden NaN cannot be seen",
    severity=Severity.CRITICAL,
    life=Life(resolved=None),
)
def masked_non_finite(view: RunView, *, zeros: int = 3, gradients: int = 20) -> Sighting | None:
    """The logged loss is exactly 0.0 or frozen while training computes with NaN.

    ## What it means
    Some trainers replace NaN by zero or by an average before they log. The curve then says 0.0, or stands still, while
    the weights are already lost. A cross-entropy of exactly zero does not happen.

    ## Why it matters
    It looks like perfect success. A public run trained 16,255 steps, 16 node-hours, on a NaN that came at step 1.

    ## How it is detected
    The last `zeros` losses are exactly 0.0, and one of: they dropped there at once from a real loss; the gradient norm
    is NaN, infinite or zero; the run began so and no gradient norm says otherwise. Or: the last `gradients` gradient
    norms are all NaN or infinite while the loss is logged as a finite number.

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

    ## Options
    - `zeros` (3): exact zeros in a row.
    - `gradients` (20): non-finite gradient norms in a row.

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
    if run >= zeros and _suspicious(view, train, grad, run):
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
    return None


def _trailing(flags: np.ndarray) -> int:
    """How many of the last entries are all true."""
    false = np.flatnonzero(~flags)
    return int(flags.size - 1 - false[-1]) if false.size else int(flags.size)


def _suspicious(view: RunView, train: SeriesView, grad: SeriesView | None, run: int) -> bool:
    """Whether zeros are a hidden NaN rather than a small loss rounded, or a loss that is zero by construction."""
    if grad is not None and grad.raw_values.size:
        recent = grad.raw_values[-min(run, 3) :]
        if not np.isfinite(recent).all() or not recent.any():
            return True
        if run == train.raw_values.size:
            return False  # real gradients from the start: a policy-gradient loss
    before = train.raw_values[: train.raw_values.size - run]
    before = before[np.isfinite(before)]
    if before.size:
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
