"""New runs are limited by client and minute; runs that are there are never held up, and nothing that had to wait is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dashboard.api import newcomers as module
from dashboard.api.newcomers import Newcomers
from dashboard.errors import TooManyRuns
from dashboard.settings import Settings


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def never(_: str) -> bool:
    return False


def test_a_client_gets_its_runs_back_evenly_and_others_are_not_touched() -> None:
    clock = Clock()
    newcomers = Newcomers(3, clock)
    for number in range(3):
        newcomers.admit("a", f"r{number}", never)
    with pytest.raises(TooManyRuns, match=r"more than 3 new runs a minute .*RUNWELL_MAX_NEW_RUNS.* again in 20 s"):
        newcomers.admit("a", "r3", never)
    newcomers.admit("a", "r0", never)  # its own runs go on
    newcomers.admit("a", "old", lambda _: True)  # and those that the store knows
    newcomers.admit("b", "r4", never)
    clock.now += 19
    with pytest.raises(TooManyRuns, match="again in 1 s"):
        newcomers.admit("a", "r3", never)
    clock.now += 1
    newcomers.admit("a", "r3", never)
    clock.now += 3600
    for _ in range(3):
        newcomers.begin("a")
    with pytest.raises(TooManyRuns):
        newcomers.begin("a")


def test_what_is_kept_in_mind_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_REMEMBERED", 5)
    newcomers = Newcomers(600, Clock())
    for number in range(50):
        newcomers.admit(f"client-{number}", f"r{number}", never)
    assert len(newcomers._known) == len(newcomers._left) == 5


def test_too_many_runs_are_told_when_to_come_back_and_nothing_is_lost(open_app: Any, tmp_path: Path) -> None:
    environ = {"RUNWELL_HOME": str(tmp_path / "home"), "RUNWELL_MAX_NEW_RUNS": "2"}
    with open_app(Settings.from_environment(environ, first_run=False)) as client:
        clock = Clock()
        client.app.state.newcomers = Newcomers(2, clock)

        def send(run: str, first_seq: int = 1, event: Any = None) -> Any:
            body = {"writer": "w", "first_seq": first_seq, "events": [event or {"type": "run", "time": 1}]}
            return client.post(f"/api/v1/runs/{run}/events", json=body)

        assert [send(run).status_code for run in ("r1", "r2")] == [200, 200]
        late = send("r3")
        assert late.status_code == 429 and late.headers["Retry-After"] == "30"
        assert "more than 2 new runs a minute" in late.json()["detail"] and "again in 30 s" in late.json()["detail"]
        assert client.get("/api/v1/runs/r3").status_code == 404
        assert client.post("/api/v1/launches", json={"config": {}}).status_code == 429
        assert send("r1", 2, {"type": "log", "text": "x", "time": 2}).status_code == 200
        clock.now += 30
        assert send("r3").json()["stored_through"] == 1
