"""Whether a relaunch cured a finding: fixed, not fixed, too early, or never to be known."""

from __future__ import annotations

from typing import Any

import pytest

from dashboard.outcomes import Status, judge
from dashboard.records import FindingRecord, Run, State


def _finding(rule: str = "divergence", run_id: str = "parent", **more: Any) -> FindingRecord:
    fields: dict[str, Any] = {"run_id": run_id, "rule": rule, "subject": "", "status": "open", "severity": "critical", "title": f"{rule} seen",
              "first_step": 100, "detected_step": 120, "last_step": 400, "opened_at": 0.0, "resolved_at": None,
              "body": {"status": "open"}}  # fmt: skip
    return FindingRecord(**(fields | more))


def _child(last_step: int | None, state: State = State.RUNNING, verdict: str = "healthy") -> Run:
    return Run(id="child", project="p", name="n", state=state, created_at=0.0, last_step=last_step, verdict=verdict)


@pytest.mark.parametrize(
    ("child", "status", "said"),
    [
        (_child(121), Status.FIXED, "fixed by run child: it is well at step 121 without it"),
        (_child(120), Status.WAITING, "run child is not far enough yet: step 120, this was seen at step 120"),
        (_child(None, State.QUEUED, "unknown"), Status.WAITING, "not far enough yet: step 0"),
        (_child(80, State.FINISHED), Status.FIXED, "fixed by run child: it finished at step 80 without it"),
        (_child(500, State.FINISHED, "unknown"), Status.WAITING, "not far enough yet"),  # the rules have not looked yet
        (_child(80, State.CRASHED), Status.UNKNOWN, "cannot tell: it ended at step 80 (crashed)"),
        (_child(None, State.CANCELLED), Status.UNKNOWN, "it ended before its first step (cancelled)"),
        (_child(300, State.STOPPED), Status.FIXED, "fixed by run child"),
    ],
)  # fmt: skip
def test_a_child_without_findings(child: Run, status: Status, said: str) -> None:
    found = judge(_finding(), child, [])
    assert (found.status, found.run_id) == (status, "child")
    assert said in found.sentence


def test_an_illness_that_came_back_is_waited_for_until_it_did() -> None:
    again = _finding(first_step=100, detected_step=10)
    early = judge(again, _child(50), [])
    assert early.status is Status.WAITING and early.sentence.endswith("this was seen at step 100")
    assert judge(again, _child(101), []).status is Status.FIXED


@pytest.mark.parametrize("last_step", [30, 500])
def test_the_same_illness_is_not_fixed_however_early(last_step: int) -> None:
    found = judge(_finding(), _child(last_step), [_finding(run_id="child", title="Diverged since step 20")])
    assert (found.status, found.sentence) == (Status.NOT_FIXED, "not fixed by run child: Diverged since step 20")


def test_the_same_rule_about_another_series_or_explained_by_another_is_the_same_illness() -> None:
    assert judge(_finding(), _child(500), [_finding(subject="val/loss")]).status is Status.NOT_FIXED
    explained = _finding(body={"status": "open", "because": "non-finite-loss explains it"})
    assert judge(_finding(), _child(500), [explained]).status is Status.NOT_FIXED


def test_anything_critical_is_no_cure() -> None:
    found = judge(_finding("overfitting", severity="warning"), _child(500), [_finding("non-finite-loss")])
    assert (found.status, found.sentence) == (Status.NOT_FIXED, "not fixed by run child: non-finite-loss seen")


def test_a_lesser_finding_of_its_own_is_said() -> None:
    found = judge(_finding(), _child(500), [_finding("plateau", severity="warning")])
    assert found.status is Status.FIXED and found.sentence.endswith("but has a finding of its own: plateau seen")


def test_what_the_illness_explained_in_the_parent_is_no_cure_in_the_child() -> None:
    rate = _finding("learning-rate-too-high", severity="warning")
    found = judge(_finding(), _child(500), [rate], {"learning-rate-too-high"})
    assert (found.status, found.sentence) == (Status.NOT_FIXED, "not fixed by run child: learning-rate-too-high seen")
    mild = _finding("plateau", severity="info")
    assert judge(_finding(), _child(500), [mild], {"plateau"}).status is Status.FIXED
    other = _finding(
        "slow-training", severity="warning", body={"status": "open", "because": "data-starved explains it"}
    )
    assert judge(_finding(), _child(500), [other], {"slow-training"}).status is Status.FIXED, "of another cause"


def test_an_illness_that_came_and_went_by_itself_is_not_fixed() -> None:
    gone = _finding(status="resolved", severity="warning", body={"status": "resolved"})
    assert judge(_finding(), _child(500), [gone]).status is Status.NOT_FIXED


@pytest.mark.parametrize(
    "forgiven",
    [
        _finding(severity="info"),  # it recovered
        _finding(status="muted"),  # a person said that it is none
        _finding(status="resolved"),  # the rules took it back, or a person resolved it
    ],
)
def test_what_does_not_count_against_a_fix(forgiven: FindingRecord) -> None:
    assert judge(_finding(), _child(500), [forgiven]).status is Status.FIXED


def test_a_mild_finding_is_not_fixed_by_one_as_mild() -> None:
    mild = _finding("loss-spike", severity="info")
    assert judge(mild, _child(500), [mild]).status is Status.NOT_FIXED
