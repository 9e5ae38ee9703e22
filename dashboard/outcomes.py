"""Whether a relaunch cured a finding: the parent's finding, the child and the child's findings in, a verdict out. Pure.

Asked again whenever it is shown, so that it is always the verdict of what is known now: a child that falls ill late turns
"fixed" into "not fixed".
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from dashboard.records import FindingRecord, Run, State


class Status(StrEnum):
    """What is known of a fix."""

    FIXED = "fixed"
    NOT_FIXED = "not-fixed"
    WAITING = "waiting"
    """The child has not come as far as the parent had when it was found ill."""
    UNKNOWN = "unknown"
    """The child ended before that, so it never will."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one child says about one finding of its parent."""

    run_id: str
    status: Status
    sentence: str


def judge(
    finding: FindingRecord, child: Run, found: Iterable[FindingRecord], explained: Collection[str] = ()
) -> Outcome:
    """Whether `child`, a relaunch of the finding's run, is rid of it. `found` are the child's own findings, `explained` the
    rules that the finding explained in the parent.

    The same rule again (as grave as a warning, or as the finding itself), what it explained, or anything critical means not
    fixed, however early: who is rid of a divergence and still has the rate that brought it is not cured. Fixed needs as many steps as it took to see the illness in the parent, or a child that finished.
    """
    told = [one for one in found if _counts(one)]
    own = [one for one in told if one.severity != "info" and not one.body.get("because")]
    worse = next((one for one in told if _is_again(finding, one)), None) or next(
        (one for one in own if one.severity == "critical" or one.rule in explained), None
    )
    if worse is not None:
        return Outcome(child.id, Status.NOT_FIXED, f"not fixed by run {child.id}: {worse.title}")
    if child.verdict != "unknown" and _far_enough(finding, child):
        return Outcome(child.id, Status.FIXED, f"fixed by run {child.id}: {_how_far(child)}{_others(told)}")
    return _undecided(finding, child)


def _counts(one: FindingRecord) -> bool:
    """Not what a person has judged to be no illness, nor what the rules took back."""
    if one.status == "muted":
        return False
    return not (one.status == "resolved" and one.body.get("status") == "open")


def _is_again(finding: FindingRecord, one: FindingRecord) -> bool:
    return one.rule == finding.rule and (one.severity != "info" or finding.severity == "info")


def _far_enough(finding: FindingRecord, child: Run) -> bool:
    if child.last_step is None:
        return False
    return child.last_step > _seen(finding) or child.state is State.FINISHED


def _seen(finding: FindingRecord) -> int:
    """The step at which it was seen; of one that came back, the step from which it did."""
    return finding.first_step if finding.came_back else finding.detected_step


def _how_far(child: Run) -> str:
    verb = "it finished at" if child.state is State.FINISHED else "it is well at"
    return f"{verb} step {child.last_step:,}"


def _others(told: Sequence[FindingRecord]) -> str:
    own = [one.title for one in told if one.severity == "warning" and not one.body.get("because")]
    return f", but has a finding of its own: {own[0]}" if own else " without it"


def _undecided(finding: FindingRecord, child: Run) -> Outcome:
    """The child is not past the step at which it was seen in the parent."""
    if child.state.ended and child.state is not State.FINISHED:
        where = "before its first step" if child.last_step is None else f"at step {child.last_step:,}"
        sentence = f"run {child.id} cannot tell: it ended {where} ({child.state.value}), this was seen at step {_seen(finding):,}"
        return Outcome(child.id, Status.UNKNOWN, sentence)
    done = child.last_step or 0
    sentence = f"run {child.id} is not far enough yet: step {done:,}, this was seen at step {_seen(finding):,}"
    return Outcome(child.id, Status.WAITING, sentence)
