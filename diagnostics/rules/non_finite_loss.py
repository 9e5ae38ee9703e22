"""The rule `non-finite-loss`: NaN or ±Inf in the training or validation loss."""

from __future__ import annotations

import numpy as np

from diagnostics import say, stats
from diagnostics.finding import Cause, Evidence, Remedy, Severity, Sighting
from diagnostics.rule import Life, rule
from diagnostics.series import SeriesView
from diagnostics.view import RunView

RATE = "learning rate too high"
MEMORY = 50
"""Logged points after which a NaN that did not come back is called over."""

UNSPACED = 20
"""Evaluations without a finite one after which a column that was never seen to have a spacing is spoken of."""


ALONE = 4
"""Evaluations, none of them finite, that are enough in a log of nothing but evaluations."""


@rule(
    "non-finite-loss",
    needs=(("train_loss", "val_loss"),),
    helps=("grad_norm", "learning_rate"),
    blind="a loss that is NaN or infinite cannot be seen",
    severity=Severity.CRITICAL,
    life=Life(close_after_points=MEMORY, resolved=Severity.WARNING),
)
def non_finite_loss(view: RunView, *, evaluations: int = 2) -> Sighting | None:
    """The loss became NaN or infinite.

    ## What it means
    A NaN or an infinity came out of the forward pass. Once it has reached the weights, every later step computes with
    it: the model is lost, whatever the curve shows afterwards.

    ## Why it matters
    Nothing trained from here on is of any use, and the hours go on being paid for. It is the one illness that never
    heals by waiting.

    ## How it is detected
    One NaN or ±Inf in the training loss is enough. In the validation loss one evaluation gives a warning and
    `evaluations` in a row are critical; NaN that merely fill the rows between evaluations of a table are told apart by
    their spacing and ignored. A column with a NaN in every row that has hardly held a number yet is only info. A log of
    evaluations alone of which none is finite speaks at the fourth.

    ## Likely causes
    - Learning rate too high: the loss swung or climbed, or gradients grew, before the end.
    - Numerical overflow: 16-bit floats end at 65,504 (fp16); infinity comes first, NaN follows.
    - log(0) or a division by zero in the loss: the curve was smooth until the very step.
    - A bad batch: an empty sequence, all labels masked, corrupt data.

    ## What to do
    - Stop, and resume from the last checkpoint before it with a tenth of the learning rate.
    - Clip gradients at 1.0; use bf16, or fp16 with a loss scaler.
    - If the curve was smooth until then, look at the batch of that very step and for log(0) in the loss.

    ## When it is wrong
    A single NaN that a logger wrote for "no value here" looks the same. It is called over, and a warning, after 50
    finite points.

    ## Options
    - `evaluations` (2): validation losses in a row that must be non-finite to be critical.

    ## Example
    Fires:
        train/loss: 4.2 5.1 3.8 6.2 4.5 7.8 5.2 inf nan nan
    Silent:
        train/loss: 4.2 5.1 3.8 6.2 4.5 4.1 4.0 3.9 3.8 3.7

    ## References
    - Micikevicius et al., Mixed Precision Training, 2018 (loss scaling).
    """
    train, val = view.series.get("train_loss"), view.series.get("val_loss")
    if train is not None and not np.isfinite(train.raw_values[-MEMORY:]).all():
        return _sighting(view, train, Severity.CRITICAL, "Training loss")
    grave = _bad_evaluations(val, train, evaluations) if val is not None else None
    return _sighting(view, val, grave, "Validation loss") if val is not None and grave is not None else None


def _bad_evaluations(val: SeriesView, train: SeriesView | None, evaluations: int) -> Severity | None:
    """How grave the non-finite evaluations at the end are; None when they can be empty cells between two evaluations.

    A column that is written in every row and has held one value at most tells no spacing: that is only info.
    """
    trailing = val.nonfinite.trailing
    if not trailing:
        return None
    grave = Severity.CRITICAL if trailing >= evaluations else Severity.WARNING
    finite = np.flatnonzero(np.isfinite(val.raw_values))
    if finite.size < 2 and train is not None and 2 * val.count > train.count:
        return Severity.INFO if trailing >= UNSPACED else None
    if not finite.size:
        return grave if train is not None or trailing >= ALONE else None
    gap = int(np.diff(finite).max()) if finite.size > 1 else int(finite[0]) + 1
    return grave if gap == 1 or trailing > 3 * gap else None


def _sighting(view: RunView, series: SeriesView, severity: Severity, words: str) -> Sighting:
    note = series.nonfinite
    first = note.first_step
    kind = say.number(note.first_value)
    checkpoint = view.good_checkpoint(first - 1)
    seen = Evidence(
        series=series.name,
        window=(first, max(first, note.last_step)),
        observed=note.first_value,
        limit=None,
        sentence=f"{kind} at step {say.step(first)}; {note.count:,} of {series.count:,} points are not finite.",
    )
    before, shape = _before(series, first)
    return Sighting(
        severity=severity,
        title=f"{words} is {kind} since step {{since}}",
        first_step=first,
        evidence=(seen, *before, *_gradients(view, first)),
        causes=_causes(view, shape, note.first_value, series.count == note.count),
        remedies=_remedies(checkpoint, shape),
        confidence=1.0 if severity is Severity.CRITICAL else 0.8,
    )


def _prior(series: SeriesView, step: int) -> tuple[np.ndarray, np.ndarray]:
    """The finite points before a step: from the tail, or the beginning when that is where it was."""
    for steps, values in ((series.steps, series.values), series.first_points):
        kept = steps < step
        if kept.any():
            return steps[kept][-20:], values[kept][-20:]
    return np.zeros(0, dtype=np.int64), np.zeros(0)


def _before(series: SeriesView, step: int) -> tuple[tuple[Evidence, ...], str]:
    """How the curve behaved just before: `swings`, `climbs`, `smooth` or `none`, and the evidence for it."""
    steps, values = _prior(series, step)
    if values.size < 3:
        return (), "none"
    low, level = float(values.min()), abs(stats.median(values))
    swing = stats.median(np.abs(np.diff(values))) / level if level else 0.0
    rise = float(values[-3:].max()) - low
    if swing > 0.12:
        shape, sentence = "swings", f"Before it the loss swung by {say.percent(swing)} from point to point."
    elif rise > max(0.25 * abs(low), 6 * stats.noise(values)):
        shape, sentence = "climbs", f"Before it the loss had climbed by {say.number(rise)} from its low."
    else:
        shape, sentence = "smooth", "The curve was smooth until the very step."
    window = (int(steps[0]), int(steps[-1]))
    return (
        Evidence(series=series.name, window=window, observed=float(values[-1]), limit=low, sentence=sentence),
    ), shape


def _gradients(view: RunView, step: int) -> tuple[Evidence, ...]:
    grad = view.get("grad_norm")
    if grad is None:
        return ()
    steps, values = _prior(grad, step + 1)
    if values.size < 3 or float(values[-1]) < 5 * stats.median(values[:-1]):
        return ()
    sentence = f"The gradient norm was {say.number(float(values[-1]))} just before, {say.number(stats.median(values[:-1]))} usually."
    window = (int(steps[0]), int(steps[-1]))
    return (
        Evidence(
            series=grad.name,
            window=window,
            observed=float(values[-1]),
            limit=5 * stats.median(values[:-1]),
            sentence=sentence,
        ),
    )


def _causes(view: RunView, shape: str, first_value: float, from_start: bool) -> tuple[Cause, ...]:
    rate = view.known_rate
    at = f" (it was {rate:g})" if rate is not None else ""
    high = Cause(
        RATE, f"the loss {shape} before it ends{at}" if shape in ("swings", "climbs") else f"the commonest cause{at}"
    )
    overflow = Cause(
        "numerical overflow",
        "infinity came first, as when a 16-bit float overflows"
        if np.isinf(first_value)
        else "a 16-bit float may have overflowed",
    )
    zero = Cause("log(0) or a division by zero in the loss", "the curve was smooth until the very step")
    batch = Cause("a bad batch", "an empty sequence, all labels masked, or corrupt data give NaN in one step")
    if from_start:
        return (
            Cause("bug in data or loss", "no finite loss was ever logged: inputs, labels or the first forward pass are broken"),
            zero, overflow, high,
        )  # fmt: skip
    if rate is not None and rate >= 0.01:
        return (high, overflow, batch, zero)
    return (zero, batch, overflow, high) if shape == "smooth" else (high, overflow, batch, zero)


def _remedies(checkpoint: int | None, shape: str) -> tuple[Remedy, ...]:
    where = f"resume from the checkpoint at step {checkpoint:,}" if checkpoint is not None else "start again"
    lower = Remedy(f"Stop and {where} with a tenth of the learning rate.", {"learning_rate": "×0.1"}, checkpoint)
    clip = Remedy("Clip gradients at a norm of 1.0.", {"grad_clip": 1.0}, checkpoint)
    look = Remedy("Look at the batch of that step and for log(0) or a division by zero in the loss.", None, checkpoint)
    precise = Remedy("Train in bf16 or fp32 instead of fp16.", {"precision": "fp32"}, checkpoint)
    return (look, precise, lower, clip) if shape == "smooth" else (lower, clip, precise, look)
