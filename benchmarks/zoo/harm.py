"""Whether an illness harmed a run: how the run went, held against its healthy twin. Pure; knows no rule and no finding.

The twin has the same settings, text and seeds, so that both see the same batches in the same order and differ by the illness
alone. What counts as harm is settled by family, before any rule is asked:

- `end`: train or validation loss ends more than the margin above the twin's, or validation loss ends well above its own best.
  For what is wrong from the first step.
- `course`: that, or three logged points running, or two evaluations, lie more than the margin above the twin's after the
  onset, however the run ended. For what begins in the middle of a run: what recovers has been an illness too.
- `low`: train or validation loss ends more than the margin *below* the twin's: it is too good to be true.
- `injury`: the injury itself. For what does not show in the loss: samples, speed, a schedule that trains at no rate for most
  of the plan.

A loss that is not finite is harm always; there, and where the injury itself counts, no twin is needed. A sick run without harm is *harmless*: neither to be found nor healthy.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.zoo.spec import Case

MARGIN = 0.05
"""Of the twin's own final loss. Most pairs of healthy runs that differ by their seed alone end closer to each other than this."""
RUNNING = 3
EVALUATIONS = 2
LAST = 0.1
"""Share of the plan at its end whose mean is the final training loss."""
SPOILED = 1.05
"""A validation loss that ends this many times above its best is not that of a healthy run."""

Events = Iterable[Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How one run went."""

    train: float
    """Mean of the logged training loss over the last tenth of the plan."""
    first: float
    """Validation loss before the first step; NaN where none was logged."""
    best: float
    """Lowest validation loss."""
    last: float
    """Validation loss at the end."""
    finite: bool
    """Whether every logged loss was."""

    def to_mapping(self) -> dict[str, Any]:
        """Plain JSON values; NaN where a loss was not logged or is not finite."""
        return {name: value if isinstance(value, bool) else _short(value) for name, value in asdict(self).items()}


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """A sick run beside its twin: how both ended, and the largest excess of the sick one on the way."""

    own: Outcome
    twin: Outcome | None
    """None where none was needed."""
    excess: float
    """The most by which three logged points running, or two evaluations, lay above the twin's after the onset."""

    def to_mapping(self) -> dict[str, Any]:
        """Plain JSON values."""
        twin = self.twin.to_mapping() if self.twin else None
        return {"own": self.own.to_mapping(), "twin": twin, "excess": _short(self.excess)}


def outcome(events: Events) -> Outcome:
    """How the run of these events went. What a rewind took back does not count."""
    train, val = curves(events)
    end = max([*train, *val], default=0)
    tail = [loss for step, loss in train.items() if step > (1.0 - LAST) * end]
    evaluations = list(val.values())
    finite = all(math.isfinite(loss) for loss in (*train.values(), *evaluations))
    sound = [loss for loss in evaluations if math.isfinite(loss)]
    return Outcome(
        train=statistics.fmean(tail) if tail else math.nan,
        first=evaluations[0] if evaluations else math.nan,
        best=min(sound, default=math.nan),
        last=evaluations[-1] if evaluations else math.nan,
        finite=finite,
    )


def needs_twin(case: Case, own: Outcome) -> bool:
    """Whether harm can be told only beside a twin."""
    return own.finite and case.harm != "injury"


def compare(case: Case, own: Sequence[Mapping[str, Any]], twin: Sequence[Mapping[str, Any]] | None) -> Pair:
    """Both runs, step by step."""
    if twin is None:
        return Pair(own=outcome(own), twin=None, excess=math.nan)
    excess = -math.inf
    for mine, other, length in zip(curves(own), curves(twin), (RUNNING, EVALUATIONS), strict=True):
        above = [loss - other[step] for step, loss in mine.items() if step >= case.onset and step in other]
        windows = (min(above[at : at + length]) for at in range(len(above) - length + 1))
        excess = max(excess, *windows, -math.inf)
    return Pair(own=outcome(own), twin=outcome(twin), excess=excess)


def harmed(case: Case, pair: Pair) -> bool:
    """Whether the case's illness did harm, by the measure of its family."""
    own, twin = pair.own, pair.twin
    if twin is None or not needs_twin(case, own):
        return True
    ends = ((own.train, twin.train), (own.last, twin.last))
    if case.harm == "low":
        return any(mine < other * (1.0 - MARGIN) for mine, other in ends)
    above = any(mine > other * (1.0 + MARGIN) for mine, other in ends)
    return above or spoiled(own) or (case.harm == "course" and pair.excess > MARGIN * twin.train)


def spoiled(own: Outcome) -> bool:
    """Whether a run that was planned as healthy went bad of itself: its validation loss ends well above its best."""
    return not own.finite or own.last > SPOILED * own.best


def curves(events: Events) -> tuple[dict[int, float], dict[int, float]]:
    """Training and validation loss by step, as they stood when the run had ended."""
    series: tuple[dict[int, float], dict[int, float]] = ({}, {})
    for event in events:
        if event.get("type") == "rewind":
            for losses in series:
                for step in [step for step in losses if step > event["step"]]:
                    del losses[step]
        for name, losses in zip(("train/loss", "val/loss"), series, strict=True):
            if name in event:
                losses[int(event["step"])] = float(event[name])
    return series


def read_outcome(values: Mapping[str, Any]) -> Outcome:
    """An outcome as `to_mapping` gave it."""
    numbers = {name: float(values[name]) for name in ("train", "first", "best", "last")}
    return Outcome(**numbers, finite=bool(values["finite"]))


def read_pair(values: Mapping[str, Any]) -> Pair:
    """A pair as `to_mapping` gave it."""
    own, twin = read_outcome(values["own"]), read_outcome(values["twin"]) if values["twin"] else None
    return Pair(own=own, twin=twin, excess=float(values["excess"]))


def _short(value: float) -> float | str:
    return float(f"{value:.5g}") if math.isfinite(value) else str(value)
