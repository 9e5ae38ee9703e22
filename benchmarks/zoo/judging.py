"""What a judge says about a recorded run, held against the run's label. Pure: events and a case in, a mark out.

The engine is asked after every event, as someone who watches the page would see it: what was said once counts, also when it
was taken back later. Other tools are judged by the same marks: see `benchmarks.zoo.rivals`. Nothing here knows how a rule decides.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from benchmarks.zoo.harm import Outcome, Pair, curves, harmed, spoiled
from benchmarks.zoo.spec import Case
from diagnostics import Engine, Finding, Severity

Label = Literal["sick", "harmless", "healthy", "spoiled"]
NON_FINITE = ("non-finite-loss", "non-finite-gradient", "masked-non-finite")
LOSSES, NUMBERS = ("train/loss", "val/loss"), ("train/loss", "val/loss", "train/grad_norm")
WATCHED = {"non-finite-loss": LOSSES, "non-finite-gradient": NUMBERS, "masked-non-finite": NUMBERS}
"""The series that each of the rules on numbers that are not finite speaks of."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Word:
    """When a rule first spoke, in the units that delays are told in."""

    step: int
    points: int
    """Logged points from the onset; negative: before it. For what is not finite: from the first such number."""
    evaluations: int = 0
    """Evaluations since the one with the lowest validation loss of the whole run; 0: before it."""
    share: float = 0.0
    """Of the planned steps, from the onset."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """How a run was judged."""

    case: Case
    label: Label
    said: Mapping[str, Word]
    """What stood at warning or critical and unexplained at some moment, and since when."""
    first: str = ""
    """What was to be acted on first when a right rule had first spoken; empty: none did."""
    primary: str = ""
    """What was to be acted on first at the last moment at which anything was; empty: never."""
    answers: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """For other tools' words: the rules of ours that each stands for. Empty: the words are our rules."""

    @property
    def right(self) -> tuple[str, ...]:
        """What was rightly said, the earliest first. What was said before a late illness began is not: it was a guess."""
        found = [word for word, when in self.said.items() if self.is_right(word) and when.points >= 0]
        return tuple(sorted(found, key=lambda word: self.said[word].step))

    def is_right(self, word: str) -> bool:
        """Whether this is a right thing to say of the run."""
        return bool(self.answers.get(word, frozenset([word])) & set(self.case.expected))

    @property
    def found(self) -> bool:
        """Whether a sick run was seen to be sick for a right reason."""
        return bool(self.right)

    @property
    def spoke(self) -> bool:
        """Whether anything was said."""
        return bool(self.said)

    @property
    def early(self) -> bool:
        """Whether something was said before a late illness began: an alarm on a run that was still healthy."""
        return any(word.points < 0 for word in self.said.values())

    @property
    def delay(self) -> int | None:
        """Logged points from the onset to the first right word; None when there was none."""
        return self.said[self.right[0]].points if self.right else None


def label_of(case: Case, ended: Pair | Outcome | None) -> Label:
    """Sick and healthy as planned, unless the run itself says otherwise; without a known end, as planned."""
    if isinstance(ended, Pair):
        return "sick" if harmed(case, ended) else "harmless"
    if isinstance(ended, Outcome) and spoiled(ended):
        return "spoiled"
    return "sick" if case.sick else "healthy"


class Clock:
    """Counts, event by event, what delays are told in."""

    def __init__(self, case: Case, events: Sequence[Mapping[str, Any]]) -> None:
        self._case = case
        val = {step: loss for step, loss in curves(events)[1].items() if math.isfinite(loss)}
        self._best = min(val, key=lambda step: val[step]) if val else 0
        self._plan = max((int(event["step"]) for event in events if event.get("type") == "metrics"), default=1)
        self._points = self._evaluations = self._step = 0
        steps = [int(event["step"]) for event in events if "train/loss" in event]
        self._last_well = max((step for step in steps if step < case.onset), default=0)
        self._begun = case.onset == 0
        self._bad = dict.fromkeys(WATCHED, 0)

    def tick(self, event: Mapping[str, Any]) -> None:
        """One event has come."""
        if event.get("type") == "clock":
            # A silence after the last healthy step is the illness already, though no sick step is logged yet.
            self._begun = self._begun or self._step >= self._last_well
        if event.get("type") != "metrics":
            return
        self._step = int(event["step"])
        if "train/loss" in event and self._step >= self._case.onset:
            self._points += 1
        for rule, names in WATCHED.items():
            begun = self._bad[rule] > 0
            if begun or not all(math.isfinite(float(event[name])) for name in names if name in event):
                self._bad[rule] += not begun or "train/loss" in event
        if "val/loss" in event and self._step > self._best:
            self._evaluations += 1

    def word(self, rule: str) -> Word:
        """That it is said now."""
        # A run that is sick from its start may be told from its data, before its first point.
        points = self._points if self._points or self._begun else -1
        if points > 0 and self._bad.get(rule):
            points = min(points, self._bad[rule])
        share = max(0, self._step - self._case.onset) / self._plan
        return Word(step=self._step, points=points, evaluations=self._evaluations, share=share)


def judge(case: Case, events: Iterable[Mapping[str, Any]], ended: Pair | Outcome | None = None) -> Mark:
    """Run the engine over a case's events. What the trainer could not declare to it, it is not told."""
    events = list(events)
    engine, clock, said, first, primary = Engine(), Clock(case, events), dict[str, Word](), "", ""
    for event in events:
        engine.observe(event)
        clock.tick(event)
        speaking = [finding.rule for finding in filter(_speaks, engine.findings())]
        primary = speaking[0] if speaking else primary
        fresh = [rule for rule in speaking if rule not in said]
        said |= {rule: clock.word(rule) for rule in fresh}
        if not first and any(rule in case.expected and said[rule].points >= 0 for rule in fresh):
            first = speaking[0]
    open_now = {finding.rule for finding in engine.findings() if _speaks(finding) and finding.status == "open"}
    said = {rule: word for rule, word in said.items() if rule not in case.tolerated or rule in open_now}
    return Mark(case=case, label=label_of(case, ended), said=said, first=first, primary=primary)


def losses_alone(events: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What a log tells that has two loss columns and nothing else: no config, no rate, no norms, no samples."""
    kept = ("type", "step", *LOSSES)
    bare = [{name: event[name] for name in kept if name in event} for event in events if event.get("type") == "metrics"]
    return [event for event in bare if not event.keys().isdisjoint(LOSSES)]


def _speaks(finding: Finding) -> bool:
    return finding.because is None and finding.severity.rank >= Severity.WARNING.rank
