"""The life of a finding: a pure merge of what was seen at one look into what was known before.

A finding opens once, is updated while it is seen, and resolves after a hold without a sighting, so that it does not flap.
Time is counted in looks and in logged points; there is no clock. Severity only rises while a finding is open.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from diagnostics.finding import Finding, Severity, Sighting, worst
from diagnostics.rule import Rule

EARLIER = "; in an earlier run of the same log"
RETURNS = 3
"""How often the hold doubles: what comes and goes with every bad stretch of the data is one illness, not a dozen."""
PAST = 16
"""Times of an illness that are remembered."""
FEW_POINTS, FEW_CLOSE = 50, 3
"""While a run has few points it also has few to close a finding with."""


@dataclass(frozen=True, slots=True)
class Moment:
    """When a look happened: the newest step, and how many points the rule's clock series has."""

    step: int
    points: int


@dataclass(frozen=True, slots=True)
class Track:
    """What the engine remembers of one (rule, subject) between looks."""

    finding: Finding | None = None
    looks: int = 0
    """Consecutive looks that saw it before it opened."""
    seen_points: int = 0
    """The clock's points when it was last seen."""
    past: tuple[tuple[int, int], ...] = ()
    """From which step to which it was seen, each time before; of those times the last ones."""

    @property
    def sick(self) -> tuple[tuple[int, float], ...]:
        """From which step to which the model was ill: a checkpoint from then is none to resume from."""
        if self.finding is None or self.finding.status != "open":
            return self.past
        return (*self.past, (self.finding.first_step + 1, math.inf))


def merge(track: Track, rule: Rule, sighting: Sighting | None, now: Moment) -> Track:
    """The track after a look that saw `sighting`, or nothing."""
    finding = track.finding
    if sighting is None:
        return _absent(track, rule, now)
    if finding is not None and finding.status == "open":
        seen = replace(track, finding=_updated(finding, sighting, now), seen_points=now.points)
        return _resolved(seen, rule, now) if sighting.over else seen
    looks = track.looks + 1
    if looks < rule.life.open_after_looks:
        return replace(track, looks=looks)
    opened = _opened(rule, sighting, now) if finding is None else _reopened(finding, rule, sighting, now)
    fresh = replace(track, finding=opened, looks=0, seen_points=now.points)
    return _resolved(fresh, rule, now) if sighting.over else fresh


def rewound(track: Track, step: int) -> Track:
    """The track after the run went back to `step`: an illness that began later belongs to a past that was given up."""
    finding = track.finding
    past = tuple((first, min(last, step)) for first, last in track.past if first <= step)
    if finding is None or finding.first_step <= step:
        return replace(track, looks=0, seen_points=0, past=past)
    over = replace(
        finding,
        status="resolved",
        severity=Severity.INFO,
        resolved_step=finding.resolved_step or step,
        title=f"{_bare(finding.title)}; left behind when the run went back to step {step:,}",
    )
    return Track(over, past=past)


def of_earlier_run(track: Track) -> Track:
    """The track after another run began in the same log: what was found stays as grave as it was, and is over."""
    finding = track.finding
    if finding is None:
        return Track()
    title = f"{_bare(finding.title)}{EARLIER}"
    over = replace(finding, status="resolved", resolved_step=finding.resolved_step or finding.last_step, title=title)
    return Track(over)


def _absent(track: Track, rule: Rule, now: Moment) -> Track:
    finding = track.finding
    if finding is None or finding.status != "open":
        return replace(track, looks=0)
    if rule.life.resolved is None or now.points - track.seen_points < _hold(rule, finding, now):
        return track
    return _resolved(track, rule, now)


def _resolved(track: Track, rule: Rule, now: Moment) -> Track:
    finding = track.finding
    if finding is None or rule.life.resolved is None:
        return track
    lasting = _recurs(rule, finding.occurrences)
    severity = finding.severity if lasting else min(finding.severity, rule.life.resolved, key=lambda s: s.rank)
    farewell = rule.life.farewell.replace("{steps}", f"{max(0, finding.last_step - finding.first_step):,}")
    again = f", {finding.occurrences} times so far" if finding.occurrences > 1 else ""
    over = replace(
        finding,
        status="resolved",
        severity=severity,
        resolved_step=now.step,
        title=f"{_bare(finding.title)}; {farewell}{again}",
    )
    past = (*track.past, (finding.first_step, finding.last_step))[-PAST:]
    return Track(over, 0, track.seen_points, past)


def _hold(rule: Rule, finding: Finding, now: Moment) -> float:
    """Points without a sighting after which it is over: twice as many each time that it came back (where returns are
    counted: from there on that they are enough)."""
    again = finding.occurrences - (rule.life.recurring_after or 1)
    points: int = rule.life.close_after_points << min(max(0, again), RETURNS)
    if now.points < FEW_POINTS:
        points = min(FEW_CLOSE, points)
    return max(points, rule.life.close_after_share * now.points * finding.occurrences)


def _opened(rule: Rule, sighting: Sighting, now: Moment) -> Finding:
    return _with_title(
        Finding(
            rule=rule.id,
            subject=sighting.subject,
            status="open",
            severity=sighting.severity,
            title=sighting.title,
            first_step=sighting.first_step,
            detected_step=now.step,
            last_step=now.step,
            resolved_step=None,
            occurrences=1,
            evidence=sighting.evidence,
            causes=sighting.causes,
            remedies=sighting.remedies,
            confidence=sighting.confidence,
        )
    )


def _recurs(rule: Rule, times: int) -> bool:
    return rule.life.recurring_after is not None and times >= rule.life.recurring_after


def _updated(finding: Finding, sighting: Sighting, now: Moment) -> Finding:
    return _with_title(
        replace(
            finding,
            severity=worst(finding.severity, sighting.severity),
            title=sighting.title,
            first_step=min(finding.first_step, sighting.first_step),
            last_step=now.step,
            evidence=sighting.evidence,
            causes=sighting.causes,
            remedies=sighting.remedies,
            confidence=max(finding.confidence, sighting.confidence),
        )
    )


def _reopened(finding: Finding, rule: Rule, sighting: Sighting, now: Moment) -> Finding:
    times = finding.occurrences + 1
    severity = sighting.severity
    if _recurs(rule, times):
        severity = worst(severity, Severity.WARNING)
    fresh = _opened(rule, sighting, now)
    return replace(fresh, detected_step=finding.detected_step, occurrences=times, severity=severity)


def _with_title(finding: Finding) -> Finding:
    return replace(finding, title=finding.title.replace("{since}", f"{finding.first_step:,}"))


def _bare(title: str) -> str:
    return title.split("; over")[0].split("; left behind when ")[0].removesuffix(EARLIER)
