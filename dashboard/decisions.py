"""What a person decides about a finding: stored, told to every open page, and taken into the run's verdict."""

from __future__ import annotations

from dashboard import present
from dashboard.records import FindingRecord
from dashboard.services import Services


def decide(services: Services, run_id: str, rule: str, subject: str, status: str) -> FindingRecord:
    """Give a finding the status `open`, `acknowledged`, `muted` or `resolved`. Raises UnknownRun, UnknownFinding, Refused."""
    record = services.store.set_finding_status(run_id, rule, subject, status)
    services.hub.publish(
        "findings", run_id, present.findings(services.store.run(run_id).verdict, services.store.findings(run_id))
    )
    # A muted finding no longer counts in the verdict, and only the watcher knows the rest of it.
    services.watcher.notify(run_id)
    return record
