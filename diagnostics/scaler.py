"""What an fp16 loss scaler is doing: the steps that it skips one after the other now, and how far the scale came down. Pure.

A scaler multiplies the loss so that small gradients stay above zero in 16 bits. A step whose gradients overflow is skipped
and the scale halved; after a thousand steps or so without one it is doubled. Knows no rule.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from diagnostics.history import Floats, Ints
from diagnostics.series import SeriesView
from diagnostics.view import RunView

ROWS_BETWEEN = 1
"""Logged losses between two overflows that are in a row: of a skipped step the loss may be logged as of any other."""

LOWEST = 2.0**-149
"""The smallest number above zero of 32 bits: a scale without a floor that is halved there becomes zero, and stays it."""


class Fall(NamedTuple):
    """Steps that are skipped one after the other, up to now."""

    skipped: int
    first_step: int
    last_step: int
    high: float
    """The scale before the first of them."""
    low: float
    """The scale now."""
    held: int
    """The last of them, which left the scale as it was: it is at its floor."""
    losses_before: int
    """Logged losses before the first of them, as far as they are remembered."""


def read_fall(view: RunView) -> Fall | None:
    """The overflows in a row that go on at this moment; None when there are none."""
    scale = view.get("loss_scale")
    if scale is None:
        return None
    steps, values = scale.steps, scale.values
    rises = np.flatnonzero(np.diff(values) > 0) + 1
    risen = int(rises[-1]) if rises.size else 0  # what came before is another story
    skipped = view.get("skipped_steps")
    most = values.size - risen - (risen > 0)  # each came with a value of the scale
    at, counts = _overflows(skipped, steps[risen:], values[risen:], most)
    if not at.size:
        return None
    rows = view.series["train_loss"].raw_steps if "train_loss" in view.series else steps[:0]
    later = rows if skipped is not None else steps
    if values[-1] > 0 and np.count_nonzero(later > at[-1]) > ROWS_BETWEEN:
        return None  # the steps since then were not skipped
    begun = _begun(at, counts, rows)
    first, many = int(at[begun]), round(float(counts[begun:].sum()))
    before = values[risen:][steps[risen:] < first]
    moved = np.flatnonzero(values != values[-1])
    return Fall(
        skipped=many,
        first_step=first,
        last_step=int(at[-1]),
        high=float(before[-1] if before.size else values[risen]),
        low=float(values[-1]),
        held=min(many, values.size - 2 - int(moved[-1] if moved.size else -1)) if skipped is not None else 0,
        losses_before=int(np.count_nonzero(rows < first)),
    )


def _overflows(skipped: SeriesView | None, steps: Ints, values: Floats, most: int) -> tuple[Ints, Floats]:
    """(steps, how many were skipped) of the overflows since the scale rose last; by the scale alone where none are counted."""
    if skipped is None:
        fell = np.flatnonzero(values[1:] < values[:-1]) + 1
        kept = np.maximum(values, LOWEST)
        return steps[fell], np.maximum(1.0, np.round(np.log2(kept[fell - 1] / kept[fell])))
    told = np.diff(skipped.values, prepend=0.0 if skipped.count <= skipped.values.size else skipped.values[0])
    rose = np.flatnonzero(told > 0)
    rose = rose[skipped.steps[rose] >= steps[0]]
    rose = rose[rose >= skipped.values.size - most]
    return skipped.steps[rose], told[rose]


def _begun(at: Ints, counts: Floats, rows: Ints) -> int:
    """The first of the overflows in a row: since then at least as many steps were skipped as passed."""
    told = np.searchsorted(rows, at, side="right")
    apart = (np.diff(told) > ROWS_BETWEEN) & (np.diff(at) > counts[1:])
    together = at[-1] - at <= np.cumsum(counts[::-1])[::-1]
    together[: int(np.flatnonzero(apart)[-1]) + 1 if apart.any() else 0] = False
    return int(together.argmax())  # the last one is together with itself
