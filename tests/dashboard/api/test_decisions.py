"""A person's word about a finding is stored, and the run's verdict follows it at once."""

from __future__ import annotations

import math

from starlette.testclient import TestClient

from dashboard.services import Services
from runwell.wire import Batch


def sick_run(services: Services) -> None:
    points = [{"type": "metrics", "step": step, "train/loss": 3.0 if step < 20 else math.nan} for step in range(1, 40)]
    services.store.append("r1", Batch("w", 1, ({"type": "run", "name": "sick"}, *points)))
    services.watcher.notify("r1")
    services.watcher.drain(20)


def test_a_muted_finding_leaves_the_verdict_and_comes_back(client: TestClient, services: Services) -> None:
    sick_run(services)
    before = client.get("/api/v1/runs/r1/findings").json()
    assert before["verdict"] == "critical"
    for status, verdict in (("muted", "healthy"), ("open", "critical"), ("acknowledged", "critical")):
        for finding in before["findings"]:
            answer = client.post(
                f"/api/v1/runs/r1/findings/{finding['rule']}/status",
                json={"status": status, "subject": finding["subject"]},
            )
            assert answer.status_code == 200 and answer.json()["status"] == status
        services.watcher.drain(20)
        assert client.get("/api/v1/runs/r1").json()["verdict"] == verdict
