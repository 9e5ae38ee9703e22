"""Findings are the engine's, decisions are a person's: saving the one never undoes the other. And commands."""

from __future__ import annotations

from typing import Any

import pytest

from dashboard.errors import Refused, UnknownFinding, UnknownRun
from dashboard.store import Store
from runwell.wire import Batch


def finding(rule: str = "loss-spike", **changes: Any) -> dict[str, Any]:
    return {
        "rule": rule, "subject": "", "status": "open", "severity": "warning", "title": "A spike", "first_step": 5,
        "detected_step": 6, "last_step": 6, "resolved_step": None, "evidence": [{"observed": "NaN"}], "causes": [],
        "remedies": [], "confidence": 0.9, "because": None, **changes,
    }  # fmt: skip


COVERAGE = {"ran": ["loss-spike"], "skipped": {"overfitting": "no validation loss"}, "failed": {}}


@pytest.fixture
def run(store: Store) -> str:
    return store.create_run("r1").id


def test_findings_and_coverage_come_back(store: Store, run: str, clock: Any) -> None:
    opened = clock.now
    (saved,) = store.save_findings(run, [finding()], COVERAGE)
    assert (saved.rule, saved.status, saved.opened_at, saved.body["evidence"]) == (
        "loss-spike",
        "open",
        opened,
        [{"observed": "NaN"}],
    )
    assert store.coverage(run) == COVERAGE
    assert store.summary(run).open_findings == (("warning", "A spike"),)
    clock.now += 10
    (again,) = store.save_findings(run, [finding(last_step=9, severity="critical", title="Worse")], COVERAGE)
    assert (again.opened_at, again.last_step, again.severity, again.title) == (opened, 9, "critical", "Worse")


def test_what_a_person_decided_survives(store: Store, run: str) -> None:
    store.save_findings(run, [finding(), finding("plateau")], COVERAGE)
    assert store.set_finding_status(run, "loss-spike", "", "acknowledged").status == "acknowledged"
    assert store.set_finding_status(run, "plateau", "", "muted").status == "muted"
    store.save_findings(run, [finding(last_step=50), finding("plateau", status="resolved", resolved_step=50)], COVERAGE)
    assert {one.rule: one.status for one in store.findings(run)} == {"loss-spike": "acknowledged", "plateau": "muted"}
    summary = store.summary(run)
    assert summary.open_findings == () and summary.known_findings == (("warning", "A spike"),)
    assert store.set_finding_status(run, "plateau", "", "open").status == "open"


def test_a_finding_resolves_and_opens_again(store: Store, run: str, clock: Any) -> None:
    store.save_findings(run, [finding()], COVERAGE)
    clock.now += 5
    (over,) = store.save_findings(run, [finding(status="resolved", resolved_step=20)], COVERAGE)
    assert (over.status, over.resolved_at) == ("resolved", clock.now)
    clock.now += 5
    assert (
        store.save_findings(run, [finding(status="resolved", resolved_step=20)], COVERAGE)[0].resolved_at
        == over.resolved_at
    )
    assert store.save_findings(run, [finding()], COVERAGE)[0].status == "open"
    (gone,) = store.save_findings(run, [], COVERAGE)
    assert gone.status == "resolved" and gone.resolved_at == clock.now


def test_findings_of_all_runs_newest_first(store: Store, clock: Any) -> None:
    for run_id in ("r1", "r2"):
        clock.now += 1
        store.create_run(run_id)
        store.save_findings(run_id, [finding(), finding(subject="val/loss")], COVERAGE)
    assert [one.run_id for one in store.findings()] == ["r2", "r2", "r1", "r1"]
    assert len(store.findings(limit=3)) == 3
    store.set_finding_status("r1", "loss-spike", "val/loss", "muted")
    assert [(one.run_id, one.subject) for one in store.findings(statuses=["muted"])] == [("r1", "val/loss")]


def test_unknown_things_are_said_to_be(store: Store, run: str) -> None:
    with pytest.raises(UnknownFinding, match="plateau"):
        store.set_finding_status(run, "plateau", "", "muted")
    with pytest.raises(Refused, match="acknowledged"):
        store.set_finding_status(run, "plateau", "", "gone")
    for call in (
        store.run,
        store.summary,
        store.findings,
        store.coverage,
        store.samples,
        store.series_names,
        store.replay,
    ):
        with pytest.raises(UnknownRun):
            call("nope")  # type: ignore[operator]


def test_commands_wait_until_they_are_acknowledged(store: Store, run: str, clock: Any) -> None:
    first = store.add_command(run, "sample", {"prompt": "To be", "temperature": 0.5})
    second = store.add_command(run, "stop", {})
    assert store.pending_commands(run) == [first, second]
    events = ({"type": "run"}, {"type": "ack", "command": first.id, "ok": True, "text": "sampled", "step": 5})
    store.append(run, Batch("w", 1, events))
    assert store.pending_commands(run) == [second]
    done = store.commands(run)[0]
    assert (done.acknowledged_at, done.outcome, done.args) == (
        clock.now,
        "sampled",
        {"prompt": "To be", "temperature": 0.5},
    )
    store.append(run, Batch("w", 3, ({"type": "ack", "command": 999, "ok": False},)))
    assert store.pending_commands(run) == [second]
    assert [entry.kind for entry in store.timeline(run)] == ["ack", "ack"]


def test_a_run_cannot_acknowledge_another_runs_command(store: Store, run: str) -> None:
    command = store.add_command(run, "stop", {})
    store.append("r2", Batch("w", 1, ({"type": "run"}, {"type": "ack", "command": command.id})))
    assert store.pending_commands(run) == [command]


def test_a_warning_that_is_over_is_still_told(store: Store, run: str) -> None:
    over = finding(status="resolved", resolved_step=50)
    store.save_findings(run, [over, finding("plateau", severity="info", status="resolved", resolved_step=50)], COVERAGE)
    assert store.summary(run).open_findings == () and store.summary(run).known_findings == (("warning", "A spike"),)
    store.save_findings(run, [over | {"because": "divergence explains it"}], COVERAGE)
    assert store.summary(run).known_findings == (), "what another finding explains does not make the verdict"


def test_findings_are_chosen_counted_and_cut_short_in_the_database(store: Store, clock: Any) -> None:
    for run_id in ("r1", "r2", "r3"):
        store.create_run(run_id)
        clock.now += 1
        found = [finding(), finding("plateau", severity="info"), finding("divergence", severity="critical")]
        store.save_findings(run_id, found, COVERAGE)
    store.set_finding_status("r2", "divergence", "", "acknowledged")
    store.set_finding_status("r3", "divergence", "", "muted")
    store.set_finding_status("r1", "plateau", "", "acknowledged")
    over = [
        finding(status="resolved", resolved_step=9),
        finding("divergence", severity="critical", status="resolved", resolved_step=9),
    ]
    for run_id in ("r2", "r3"):
        store.save_findings(run_id, over, COVERAGE)

    def identities(**asked: Any) -> list[tuple[str, str]]:
        return [(one.run_id, one.rule) for one in store.findings(**asked)]

    for status in ("open", "acknowledged", "muted", "resolved"):
        every = [(one.run_id, one.rule) for one in store.findings() if one.status == status]
        assert identities(statuses=[status]) == every
        assert sum(store.count_findings(statuses=[status]).values()) == len(every)
    assert identities(statuses=["muted"]) == [("r3", "divergence")]
    assert identities(severities=["critical"], limit=2) == [("r3", "divergence"), ("r2", "divergence")]
    assert identities(rules=["plateau", "loss-spike"], statuses=["open"]) == [("r1", "loss-spike")]
    assert identities(rules=[]) == [] and identities(limit=1)[0][0] == "r3"
    assert store.count_findings() == {"loss-spike": 3, "plateau": 3, "divergence": 3}
    assert store.count_findings(statuses=["open"], severities=["critical", "warning"]) == {
        "divergence": 1,
        "loss-spike": 1,
    }
    assert [one.id for one in store.runs(ids={"r1", "r3", "gone"})] == ["r3", "r1"]
