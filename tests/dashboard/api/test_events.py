"""POST events: whatever comes, the good is stored once, the bad is named, and nothing answers 5xx."""

from __future__ import annotations

import json
import math
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboard.api.events import _decode
from dashboard.errors import DashboardError
from dashboard.writers import LIFE_WRITER, OUTPUT_WRITER, WATCH_WRITER
from runwell import frames
from runwell.wire import FRAMES_TYPE, WireError

RUN = {"type": "run", "project": "p"}
URL = "/api/v1/runs/r1/events"


def segment(first_seq: int = 1, run: str = "r1") -> bytes:
    keys = frames.encode_keys(1, ["train/loss", "lr"])
    body = frames.encode_header(run, "w", first_seq)
    if first_seq == 1:
        body += frames.encode_event_frame(json.dumps(RUN).encode())
    return (
        body
        + keys
        + frames.encode_scalars(1, 5, 10.0, [math.nan, math.inf])
        + frames.encode_scalars(1, 6, 11.0, [-math.inf, 0.5])
    )


def test_json_in_receipt_out(send: Any, client: Any) -> None:
    answer = send(RUN, {"type": "metrics", "step": 1, "time": 2.0, "a": 1.0}, {"type": "metrics", "a": 1})
    assert answer.status_code == 200
    assert answer.json() == {
        "stored_through": 3, "stored": 2, "duplicates": 0, "commands": [],
        "refused": [{"seq": 3, "reason": "a metrics record needs a step, a whole number from 0 to 2^53"}],
    }  # fmt: skip
    again = send(RUN, {"type": "metrics", "step": 1, "time": 2.0, "a": 1.0}, {"type": "metrics", "a": 1}).json()
    assert (again["stored"], again["duplicates"], again["refused"]) == (0, 3, [])


@pytest.mark.parametrize("writer", [LIFE_WRITER, OUTPUT_WRITER, WATCH_WRITER])
def test_nobody_speaks_in_the_name_of_the_server(client: Any, writer: str) -> None:
    body = {"writer": writer, "first_seq": 1, "events": [RUN, {"type": "state", "state": "crashed"}]}
    answer = client.post(URL, json=body)
    assert (answer.status_code, answer.json()["detail"]) == (
        422, f"writer {writer!r} is the server's own name; take another one",
    )  # fmt: skip
    assert client.get("/api/v1/runs/r1").status_code == 404


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "compressed"])
def test_frames_as_they_lie_on_disk(client: Any, strict: Any, packed: bool) -> None:
    body = frames.compress(segment()) if packed else segment()
    answer = client.post(URL, content=body, headers={"Content-Type": FRAMES_TYPE})
    assert answer.status_code == 200 and answer.json()["stored"] == 3
    found = strict(client.get("/api/v1/runs/r1/series?name=train/loss").content)
    assert found["step"] == [5, 6] and found["last"] == ["NaN", "-Infinity"] and found["time"] == [10.0, 11.0]


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize("form", ["%s", '"%s"'], ids=["bare", "text"])
def test_non_finite_values_from_post_to_get(client: Any, strict: Any, value: str, form: str) -> None:
    body = (
        '{"writer":"w","first_seq":1,"events":[{"type":"run"},{"type":"metrics","step":3,"time":1,"train/loss":%s}]}'
        % (form % value)
    )
    assert client.post(URL, content=body).json()["refused"] == []
    found = strict(client.get("/api/v1/runs/r1/series?name=train/loss").content)
    assert found["last"] == [value] and found["nonfinite"] == [1] and found["min"] == ["NaN"]
    assert strict(client.get("/api/v1/runs/r1").content)["latest"] == {"train/loss": value}
    assert strict(client.get("/api/v1/runs").content)["runs"][0]["sparkline"] == [value]


def test_a_gap_says_which_number_is_next(send: Any) -> None:
    send(RUN)
    answer = send({"type": "metrics", "step": 1, "a": 1}, first_seq=7)
    assert answer.status_code == 409 and answer.json()["expected_seq"] == 2 and "from 2" in answer.json()["detail"]


def test_a_run_that_nobody_announced_is_unknown(send: Any) -> None:
    answer = send({"type": "metrics", "step": 1, "a": 1})
    assert answer.status_code == 404 and "`run` event" in answer.json()["detail"]
    assert send().status_code == 404


def test_a_heartbeat_fetches_commands(send: Any, client: Any) -> None:
    send(RUN)
    asked = client.post(
        "/api/v1/runs/r1/commands", json={"kind": "sample", "args": {"prompt": "To be", "temperature": 0.5}}
    )
    assert asked.status_code == 201
    (command,) = send(first_seq=2).json()["commands"]
    assert command == {"id": asked.json()["id"], "kind": "sample", "args": {"prompt": "To be", "temperature": 0.5}}
    send({"type": "ack", "command": command["id"], "ok": True, "text": "done"}, first_seq=2)
    assert send(first_seq=3).json()["commands"] == []
    assert client.get("/api/v1/runs/r1/commands").json()["commands"][0]["outcome"] == "done"


BAD = {
    "nothing": b"", "no json": b"hello", "not an object": b"[1]", "no writer": b'{"first_seq":1,"events":[]}',
    "no events": b'{"writer":"w","first_seq":1}', "events no list": b'{"writer":"w","first_seq":1,"events":5}',
    "a writer with a slash": b'{"writer":"a/b","first_seq":1,"events":[]}', "seq zero": b'{"writer":"w","first_seq":0,"events":[{}]}',
    "seq as text": b'{"writer":"w","first_seq":"1","events":[{}]}', "huge seq": b'{"writer":"w","first_seq":1e99,"events":[{}]}',
    "not utf-8": b'{"writer":"\xff","first_seq":1,"events":[]}', "deep": b"[" * 200_000, "a number without end": b"1" * 200_000,
    "cut": b'{"writer":"w","first_seq":1,"events":[{"type":"run"}',
}  # fmt: skip


@pytest.mark.parametrize("body", BAD.values(), ids=BAD.keys())
def test_what_is_no_batch_is_refused_in_one_sentence(client: Any, body: bytes) -> None:
    answer = client.post(URL, content=body)
    assert 400 <= answer.status_code < 500
    detail = answer.json()["detail"]
    assert isinstance(detail, str) and 10 < len(detail) < 400 and "\n" not in detail
    assert client.get("/api/v1/runs").json() == {"runs": []}


@pytest.mark.parametrize(
    "event",
    [
        5, None, [], {}, {"type": 5}, {"type": "metrics", "step": -1, "a": 1}, {"type": "metrics", "step": 2**60, "a": 1},
        {"type": "metrics", "step": 1, "a": "high"}, {"type": "metrics", "step": 1, "": 1}, {"type": "metrics", "step": 1, "a\nb": 1},
        {"type": "metrics", "step": 1, "x" * 300: 1}, {"type": "state", "state": "glorious"}, {"type": "rewind"}, {"type": "sample"},
        {"type": "ack"}, {"type": "run", "config": 5}, {"type": "log", "text": ["x"]}, {"type": "metrics", "step": 1, "time": "NaN", "a": 1},
    ],
)  # fmt: skip
def test_one_bad_record_never_costs_the_batch(send: Any, client: Any, event: Any) -> None:
    answer = send(RUN, event, {"type": "metrics", "step": 1, "time": 1, "good": 2})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["stored"] == 2 and body["stored_through"] == 3
    assert [one["seq"] for one in body["refused"]] == [2] and body["refused"][0]["reason"]
    assert client.get("/api/v1/runs/r1/series?name=good").json()["last"] == [2.0]


def test_strange_but_allowed_things_are_kept(send: Any, client: Any, strict: Any) -> None:
    name = "loss/😀 'quoted\" ; DROP TABLE runs <b>"
    text = "\u202e\x00\x1b[31m</script> \ud800 line\nline"
    answer = send(
        RUN | {"config": {"nested": {"deep": [1, float("nan")]}}},
        {"type": "metrics", "step": 1, "time": 1, name: 2},
        {"type": "log", "text": text},
    )
    assert answer.json()["refused"] == []
    assert strict(client.get("/api/v1/runs/r1/series").content) == {"names": [name]}
    assert client.get("/api/v1/runs/r1/series", params={"name": name}).json()["last"] == [2.0]
    (line,) = client.get("/api/v1/runs/r1/logs").json()["lines"]
    assert "</script>" in line["text"] and "\x00" not in line["text"]
    assert strict(client.get("/api/v1/runs/r1").content)["config"]["nested"]["deep"] == [1, "NaN"]


@pytest.mark.parametrize("run", ["a b", "x" * 65, "-x", "é", ".."])
def test_a_run_id_has_a_shape(client: Any, run: str) -> None:
    answer = client.post(f"/api/v1/runs/{run}/events", json={"writer": "w", "first_seq": 1, "events": [RUN]})
    assert answer.status_code in (400, 404) and isinstance(answer.json()["detail"], str)


def test_a_body_that_is_too_large_is_not_read(client: Any) -> None:
    answer = client.post(URL, content=b" " * (8 * 2**20 + 1))
    assert answer.status_code == 413 and "8,192 KiB" in answer.json()["detail"]

    def endless() -> Any:
        for _ in range(20):
            yield b" " * 2**20

    assert client.post(URL, content=endless()).status_code == 413


def test_a_bomb_is_not_unpacked(client: Any) -> None:
    bomb = zlib.compress(segment() + bytes(300 * 2**20))
    assert len(bomb) < 2**20
    answer = client.post(URL, content=bomb, headers={"Content-Type": FRAMES_TYPE})
    assert answer.status_code == 400 and "larger than" in answer.json()["detail"]


def test_a_packed_transfer_is_refused(client: Any) -> None:
    answer = client.post(URL, content=b"x", headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 415 and "gzip" in answer.json()["detail"]


def test_frames_of_another_run_are_refused(client: Any) -> None:
    answer = client.post(URL, content=segment(run="r2"), headers={"Content-Type": FRAMES_TYPE})
    assert answer.status_code == 422 and "'r2'" in answer.json()["detail"]


@given(st.binary(max_size=400) | st.binary(max_size=60).map(lambda tail: segment()[:-30] + tail))
@settings(max_examples=300)
def test_no_bytes_break_the_frames_decoder(body: bytes) -> None:
    try:
        _decode("r1", FRAMES_TYPE, body)
    except (WireError, DashboardError) as error:
        assert str(error)


def test_what_was_left_of_a_deleted_run_is_refused_so_that_its_sender_drops_it(client: Any, send: Any) -> None:
    writer = "w-0123456789ab"
    send({"type": "run"}, {"type": "state", "state": "finished"}, writer=writer)
    assert client.delete("/api/v1/runs/r1").status_code == 200
    answer = send({"type": "metrics", "step": 1, "a": 1.0}, writer=writer, first_seq=3)
    assert (answer.status_code, answer.json()["deleted"]) == (410, "r1") and "was deleted" in answer.json()["detail"]
    assert client.get("/api/v1/runs").json() == {"runs": []}
