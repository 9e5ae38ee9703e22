"""What the engine says about a recorded run, judged against the run's label. Pure: events and a case in, a mark out.

The engine is asked after every event, as someone who watches the page would see it: what was said once counts, also when it
was taken back later. Nothing here knows how a rule decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.zoo.spec import Case
from diagnostics import Engine, Finding, Severity


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """How a run was judged."""

    case: Case
    said: Mapping[str, int]
    """Rules that stood at warning or critical and unexplained at some moment → the logged points by then, from the onset
    (negative: before it)."""
    primary: str
    """The rule to act on first when the run had ended; empty: none."""

    @property
    def right(self) -> tuple[str, ...]:
        """Rules that were right, the earliest first. What was said before a late illness began is not: it was a guess."""
        found = [rule for rule, delay in self.said.items() if rule in self.case.expected and delay >= 0]
        return tuple(sorted(found, key=lambda rule: self.said[rule]))

    @property
    def found(self) -> bool:
        """Whether a sick run was seen to be sick for a right reason."""
        return bool(self.right)

    @property
    def alarmed(self) -> bool:
        """Whether a healthy run was called sick."""
        return not self.case.sick and bool(self.said)

    @property
    def delay(self) -> int | None:
        """Logged points from the onset to the first right word; None when there was none."""
        return self.said[self.right[0]] if self.right else None


def judge(case: Case, events: Iterable[Mapping[str, Any]]) -> Mark:
    """Run the engine over a case's events. What the trainer could not declare to it, it is not told."""
    engine = Engine()
    said: dict[str, int] = {}
    points, findings = 0, list[Finding]()
    for event in events:
        engine.observe(event)
        if "train/loss" in event and int(event["step"]) >= case.onset:
            points += 1
        if event.get("type") != "metrics":
            continue
        findings = engine.findings()
        for finding in filter(_speaks, findings):
            # A run that is sick from its start may be told from its data, before its first point.
            said.setdefault(finding.rule, points if points or not case.onset else -1)
    findings = engine.findings()
    primary = next((finding.rule for finding in findings if _speaks(finding)), "")
    return Mark(case=case, said=said, primary=primary)


def _speaks(finding: Finding) -> bool:
    return finding.because is None and finding.severity.rank >= Severity.WARNING.rank
