"""Back-pressure: more than the server can store is sent away with a time to come back, heartbeats still pass, nothing is lost."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import Any

import pytest

from dashboard.api import intake as intake_module
from dashboard.api.intake import SMALL_BYTES, Intake
from dashboard.errors import Busy
from runwell.report import HEADER


def test_room_is_bounded_in_bytes_and_given_back() -> None:
    intake = Intake(max_bytes=10_000, max_batches=3)
    with intake.room(9_000):
        with pytest.raises(Busy, match=r"1 batches .* send it again in 1 s"), intake.room(SMALL_BYTES + 1):
            pass
        with intake.room(100), intake.room(SMALL_BYTES), pytest.raises(Busy), intake.room(1):
            pass
    with pytest.raises(ValueError), intake.room(9_000):
        raise ValueError
    with intake.room(9_000):
        pass


def test_one_batch_is_always_taken_however_large() -> None:
    with Intake(max_bytes=10).room(8 * 2**20):
        pass


def test_an_overloaded_server_says_when_to_come_back(client: Any, send: Any) -> None:
    assert send({"type": "run"}).status_code == 200
    intake: Intake = client.app.state.intake
    with ExitStack() as stack:
        stack.enter_context(intake.room(64 * 2**20))
        full = send(*({"type": "log", "text": "x" * 1000} for _ in range(10)), first_seq=2)
        assert full.status_code == 503 and full.headers["Retry-After"] == "1"
        assert "nothing of this one was taken" in full.json()["detail"]
        assert send(first_seq=2).status_code == 200, "a heartbeat passes"
        assert client.get("/api/v1/runs/r1").status_code == 200, "reading goes on"
    assert send({"type": "log", "text": "x"}, first_seq=2).json()["stored_through"] == 2


def test_a_store_that_does_not_keep_up_sends_away_before_the_sender_gives_up(
    client: Any, send: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake_module, "TURN_SECONDS", 0.05)
    intake: Intake = client.app.state.intake
    monkeypatch.setattr(intake, "_turns", asyncio.Semaphore(0))
    late = send({"type": "run"})
    assert late.status_code == 503 and late.headers["Retry-After"] == "1"
    monkeypatch.setattr(intake, "_turns", asyncio.Semaphore(1))
    assert [send({"type": "run"}).status_code for _ in range(3)] == [200, 200, 200], "turns are given back"
    assert intake._batches == intake._bytes == 0


def test_receipts_over_http(client: Any, send: Any) -> None:
    send({"type": "run", "time": 1}, {"type": "metrics", "step": 1, "time": 2, "a": 1})
    send({"type": "metrics", "step": 1, "time": 2, "a": 1}, first_seq=2)
    body = '{"writer":"w","first_seq":3,"events":[{"type":"metrics","step":2,"time":100,"a":1}]}'
    said = {HEADER: "written=13, dropped=4, spool=12, now=105.5"}
    assert client.post("/api/v1/runs/r1/events", content=body, headers=said).status_code == 200
    send({"type": "alert", "title": "9 records were dropped", "dropped": 9}, first_seq=4)
    whole = client.get("/api/v1/runs/r1/delivery").json()
    assert whole["dropped"] == 9
    (one,) = whole["writers"]
    assert one.pop("last_contact_at") > 0
    assert one == {
        "writer": "w", "stored": 4, "missing": 0, "behind": 9, "lag_seconds": 5.5, "duplicates": 1, "refused": 0,
        "dropped": 4, "spool_percent": 12, "ended_at": None,
    }  # fmt: skip
    assert client.get("/api/v1/runs/none/delivery").status_code == 404


@pytest.mark.parametrize("turn", [False, True], ids=["no room", "no turn"])
def test_a_sender_that_is_turned_away_is_known_to_be_behind(
    client: Any, send: Any, monkeypatch: pytest.MonkeyPatch, turn: bool
) -> None:
    def post(first: int, written: int, now: float) -> int:
        record = {"type": "run"} if first == 1 else {"type": "log", "text": "x" * SMALL_BYTES}
        batch = {"writer": "w", "first_seq": first, "events": [record]}
        said = {HEADER: f"written={written}, now={now}, writer=w"}
        return client.post("/api/v1/runs/r1/events", json=batch, headers=said).status_code

    assert post(1, 1, 100.0) == 200
    intake: Intake = client.app.state.intake
    monkeypatch.setattr(intake_module, "TURN_SECONDS", 0.01)
    with ExitStack() as stack:
        if turn:
            monkeypatch.setattr(intake, "_turns", asyncio.Semaphore(0))
        else:
            stack.enter_context(intake.room(64 * 2**20))
        assert post(2, 31, 112.5) == 503
    (one,) = client.get("/api/v1/runs/r1/delivery").json()["writers"]
    assert (one["stored"], one["behind"], one["lag_seconds"]) == (1, 30, 12.5)


def test_a_report_that_is_nonsense_costs_no_batch(client: Any, send: Any) -> None:
    body = '{"writer":"w","first_seq":1,"events":[{"type":"run"}]}'
    assert (
        client.post("/api/v1/runs/r1/events", content=body, headers={HEADER: "hello, =, written=x"}).status_code == 200
    )
