"""The API fuzzed from its own schema: whatever is sent, the answer is strict JSON in one sentence, and never a 5xx.

Seeded: the same cases every time. `FUZZ_EXAMPLES` (cases for each route and kind) makes it longer; `make soak` does.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import hypothesis
import pytest
import schemathesis
from hypothesis import strategies as st
from starlette.testclient import TestClient

from dashboard.services import Services

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "12"))
MODES = (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE)
SLOWEST_SECONDS = 20.0
"""No single answer may take so long, on however busy a machine: that would be a hang, not a slow test."""
SENT = ("method", "url", "params", "headers", "json", "content")
POINTS = [
    {"type": "metrics", "step": step, "time": step, "train/loss": value}
    for step, value in enumerate([1.0, "NaN", "Infinity", -1e308, 5e-324])
]
REST = [
    {"type": "sample", "step": 1, "time": 1, "prompt": "To be", "text": "or"},
    {"type": "log", "text": "line"},
    {"type": "checkpoint", "step": 2, "path": "/x"},
    {"type": "alert", "title": "t", "step": 2},
]
FINDING = {
    "rule": "plateau", "subject": "", "severity": "info", "title": "t", "status": "open", "first_step": 1,
    "detected_step": 2, "last_step": 3, "evidence": {}, "causes": [], "remedies": [], "confidence": 1.0, "because": "",
}  # fmt: skip
KNOWN = {"run_id": "r1", "rule": "plateau"}
"""Names that exist, so that not every address ends at 404."""

ask = hypothesis.settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize=True,
    phases=(hypothesis.Phase.generate, hypothesis.Phase.shrink),
    suppress_health_check=list(hypothesis.HealthCheck),
)


def test_whatever_is_sent_no_route_fails_or_hangs(
    client: TestClient, services: Services, send: Callable[..., Any], strict: Callable[[bytes], Any]
) -> None:
    send({"type": "run", "config": {"max_steps": 10}}, *POINTS, *REST)
    services.store.save_findings("r1", [FINDING], {"ran": [], "skipped": {}, "failed": {}})
    schema = schemathesis.openapi.from_dict(client.app.openapi())  # type: ignore[attr-defined]
    seen: Counter[tuple[str, int]] = Counter()
    for route in [found.ok() for found in schema.get_all_operations()]:
        # nothing can be wrong with a question that takes nothing but names
        for mode in MODES if route.body or route.query else MODES[:1]:
            _fuzz(client, route, mode, seen, strict)
    statuses = {status for _, status in seen}
    assert {200, 201, 400, 404, 422} <= statuses, f"the fuzz does not get far: {seen}"
    assert seen["POST /api/v1/runs/{run_id}/events", 200], "no batch was taken"
    assert client.get("/api/v1/health").json()["status"] == "ok"
    assert client.get("/api/v1/runs/r1/series?name=train/loss").json()["count"][:1] == [1]


def _fuzz(
    client: TestClient, route: Any, mode: Any, seen: Counter[tuple[str, int]], strict: Callable[[bytes], Any]
) -> None:
    through = [0]

    @ask
    @hypothesis.given(case=route.as_strategy(generation_mode=mode), known=st.booleans())
    def every_answer_is_sound(case: Any, known: bool) -> None:
        if known and case.path_parameters:
            case.path_parameters.update({name: KNOWN[name] for name in case.path_parameters})
            if isinstance(case.body, dict) and isinstance(case.body.get("events"), list):
                case.body |= {"writer": "fuzz", "first_seq": through[0] + 1}
        given = case.as_transport_kwargs(base_url=str(client.base_url))
        if isinstance(given.get("data"), (bytes, str)):
            given["content"] = given.pop("data")
        try:
            began = time.monotonic()
            answer = client.request(**{name: value for name, value in given.items() if name in SENT})
        except UnicodeEncodeError:
            return  # the client itself cannot put it on the wire
        assert time.monotonic() - began < SLOWEST_SECONDS
        _check(answer, strict)
        if (
            answer.status_code == 200
            and b"stored_through" in answer.content
            and given.get("json", {}).get("writer") == "fuzz"
        ):
            through[0] = answer.json()["stored_through"]
        seen[route.label, answer.status_code] += 1

    every_answer_is_sound()


def _check(answer: Any, strict: Callable[[bytes], Any]) -> None:
    assert answer.status_code < 500, answer.text
    said = strict(answer.content)
    if answer.status_code >= 400:
        detail = said["detail"]
        assert isinstance(detail, str) and 0 < len(detail) < 1000 and "\n" not in detail


# -- what a generator does not think of ------------------------------------------------------------------------------

BOMB = 200_000
HOSTILE: dict[str, bytes] = {
    "deep arrays": b"[" * BOMB,
    "deep objects": b'{"a":' * BOMB,
    "a deep event": b'{"writer":"h","first_seq":1,"events":[' + b'{"type":"x","a":' * BOMB + b"1" + b"}" * BOMB + b"]}",
    "ten thousand digits": b'{"writer":"h","first_seq":1,"events":[{"type":"run"},{"type":"metrics","step":1,"a":%s}]}'
    % (b"9" * 10_000),
    "ten thousand digits of a fraction": b'{"writer":"h","first_seq":1,"events":[{"type":"run"},{"type":"metrics","step":1,"a":0.%s}]}'
    % (b"9" * 10_000),
    "a huge exponent": b'{"writer":"h","first_seq":1,"events":[{"type":"run"},{"type":"metrics","step":1,"a":1e999999999}]}',
    "a step of ten thousand digits": b'{"writer":"h","first_seq":1,"events":[{"type":"run"},{"type":"metrics","step":%s}]}'
    % (b"9" * 10_000),
    "a sequence number of ten thousand digits": b'{"writer":"h","first_seq":%s,"events":[{"type":"run"}]}'
    % (b"9" * 10_000),
    "bare NaN as a key": b'{"writer":"h","first_seq":1,"events":[{NaN: 1}]}',
    "the same key a thousand times": b'{"writer":"h","first_seq":1,"events":[{"type":"run"%s}]}'
    % (b',"type":"run"' * 1000),
    "two hundred thousand empty events": b'{"writer":"h","first_seq":1,"events":[%s{}]}' % (b"{}," * (BOMB - 1)),
    "a byte order mark": b"\xef\xbb\xbf{}",
    "utf-16": '{"writer":"h","first_seq":1,"events":[]}'.encode("utf-16"),
    "an overlong encoding": b'{"writer":"\xc0\xaf","first_seq":1,"events":[]}',
}
NAMES = [
    "a/b/c", "../../etc/passwd", "it's \"quoted\"", "new\nline", "nul\0", "\x1b[31m", "\u202eright to left", "😀" * 60,
    "\ud800", "x" * 2**20, "", " ", "NaN", "type", "; DROP TABLE runs", "<script>alert(1)</script>", "%s%n", "{0.__class__}",
]  # fmt: skip


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_bodies_get_one_sentence_everywhere(client: TestClient, strict: Any, body: bytes) -> None:
    for path in ("runs/h/events", "launches", "runs/h/commands", "runs/h/findings/plateau/status"):
        _check(client.post(f"/api/v1/{path}", content=body), strict)


def test_hostile_names_are_refused_by_name_or_kept_whole(client: TestClient, send: Any, strict: Any) -> None:
    events = [{"type": "metrics", "step": 1, "time": 1, name: 1.5} for name in NAMES]
    answer = send({"type": "run"}, *events, run="h")
    assert answer.status_code == 200, answer.text
    refused = {NAMES[one["seq"] - 2]: one["reason"] for one in answer.json()["refused"]}
    assert {"new\nline", "nul\0", "\ud800", "x" * 2**20, "", "type", "\x1b[31m"} <= refused.keys()
    assert all(len(reason) < 400 for reason in refused.values())
    kept = [name for name in NAMES if name not in refused]
    assert strict(client.get("/api/v1/runs/h/series").content)["names"] == kept
    for name in kept:
        assert client.get("/api/v1/runs/h/series", params={"name": name}).json()["last"] == [1.5]


def test_hostile_text_everywhere_else_is_kept_as_text(client: TestClient, send: Any, strict: Any) -> None:
    huge = "y" * 2**18
    for number, text in enumerate([*NAMES[:8], huge]):
        run = f"t{number}"
        answer = send(
            {"type": "run", "project": text, "name": text, "tags": [text], "host": text, "config": {text: text}},
            {"type": "sample", "step": 1, "prompt": text, "text": text},
            {"type": "alert", "title": text, "text": text},
            {"type": text or "x", "anything": [text]},
            run=run,
        )
        assert answer.status_code == 200, answer.text
        for path in ("", "/samples", "/timeline", "/logs", "/findings", "/series", "/commands"):
            _check(client.get(f"/api/v1/runs/{run}{path}"), strict)
    _check(client.get("/api/v1/runs"), strict)


def test_addresses_and_questions_of_every_kind(client: TestClient, strict: Any) -> None:
    for name in ["%00", "%0a", "%2e%2e", "%F0%9F%98%80", "%ff", "a" * 5000, "'", "%2Fapi", "NaN"]:
        for path in (f"/api/v1/runs/{name}", f"/api/v1/runs/{name}/series?name={name}", f"/api/v1/runs?project={name}"):
            _check(client.get(path), strict)
        _check(client.post(f"/api/v1/runs/{name}/stop"), strict)
    for number in ["9" * 10_000, "-1", "1e9", "NaN", "0x10", "", "1" + "0" * 30]:
        for field in ("from", "to", "buckets", "limit", "after"):
            for path in ("series", "logs", "samples"):
                _check(client.get(f"/api/v1/runs/h/{path}", params={"name": "a", field: number}), strict)
    _check(client.get("/api/v1/runs/h/series?" + "&".join(["name=a"] * 5000)), strict)


def test_numbers_at_every_edge_come_back_as_they_were(client: TestClient, send: Any, strict: Any) -> None:
    numbers = [0.0, -0.0, 5e-324, 1.7976931348623157e308, -1.7976931348623157e308, 2.0**53, math.pi]
    send({"type": "run"}, *({"type": "metrics", "step": n, "time": n, "a": x} for n, x in enumerate(numbers)), run="h")
    found = strict(client.get("/api/v1/runs/h/series?name=a").content)
    assert [json.dumps(value) for value in found["last"]] == [json.dumps(value) for value in numbers]
