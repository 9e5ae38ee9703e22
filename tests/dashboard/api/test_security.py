"""Who may speak: tokens, Host and Origin, for pages, API and WebSocket alike; and what every answer carries."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.websockets import WebSocketDisconnect

from dashboard import security
from dashboard.settings import Settings

TOKEN = "a-long-secret-token"
LIVE = "ws://127.0.0.1:8420/api/v1/live"
PATHS = ["/", "/launch", "/api/v1/runs", "/openapi.json", "/docs", "/_dash-layout", "/api/typo"]


@pytest.fixture
def guarded(open_app: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr("dashboard.api.login.WRONG_TOKEN_SECONDS", 0.0)
    with open_app(dataclasses.replace(settings, host="0.0.0.0", token=TOKEN, allowed_hosts=("box.lan",))) as client:
        yield client


def bearer(token: str = TOKEN) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


# -- token -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PATHS)
def test_nothing_is_shown_without_the_token(guarded: Any, path: str) -> None:
    answer = guarded.get(path)
    assert answer.status_code == 401 and "RUNWELL_TOKEN" in answer.json()["detail"]
    assert guarded.get(path, headers=bearer("wrong-token-here")).status_code == 401
    assert guarded.get(path, headers={"Authorization": f"Basic {TOKEN}"}).status_code == 401
    assert guarded.get(path, headers={"Cookie": f"{security.COOKIE}={TOKEN}"}).status_code == 401
    assert guarded.get(path, headers=bearer()).status_code in (200, 404)


@pytest.mark.parametrize(
    "path", ["/api/v1/launches", "/api/v1/runs/r1/events", "/api/v1/runs/r1/commands", "/_dash-update-component"]
)
def test_nothing_is_changed_without_the_token(guarded: Any, path: str) -> None:
    assert guarded.post(path, json={}).status_code == 401
    assert guarded.post(path, json={}, headers=bearer()).status_code != 401


def test_health_is_open(guarded: Any) -> None:
    assert guarded.get("/api/v1/health").json()["status"] == "ok"


def test_the_socket_asks_for_the_token(guarded: Any) -> None:
    with pytest.raises(WebSocketDisconnect), guarded.websocket_connect(LIVE):
        pass
    with guarded.websocket_connect(LIVE, headers=bearer()) as socket:
        assert socket.receive_json()["type"] == "hello"


def test_a_browser_is_led_to_the_login_and_back(guarded: Any) -> None:
    asked = guarded.get("/run/r1?tab=samples", headers={"Accept": "text/html"})
    assert asked.status_code == 303 and asked.headers["location"] == "/login?next=%2Frun%2Fr1%3Ftab%3Dsamples"
    form = guarded.get(asked.headers["location"])
    assert form.status_code == 200 and 'value="/run/r1?tab=samples"' in form.text
    wrong = guarded.post("/login", data={"token": "guess", "next": "/"})
    assert wrong.status_code == 401 and "not this server" in wrong.text and "set-cookie" not in wrong.headers
    right = guarded.post("/login", data={"token": TOKEN, "next": "/run/r1?tab=samples"})
    assert right.status_code == 303 and right.headers["location"] == "/run/r1?tab=samples"
    cookie = right.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=lax" in cookie and TOKEN not in cookie
    assert guarded.get("/").status_code == 200  # the client kept the cookie
    value = cookie.split("=", 1)[1].split(";")[0]
    with guarded.websocket_connect(LIVE, headers={"Cookie": f"{security.COOKIE}={value}"}) as socket:
        assert socket.receive_json()["type"] == "hello"


def test_the_login_needs_no_token_where_there_is_none(client: Any) -> None:
    assert client.get("/login").headers["location"] == "/"
    assert client.post("/login", data={"token": "x", "next": "/launch"}).headers["location"] == "/launch"


@pytest.mark.parametrize(
    "target",
    ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)", "", "/a\nb", "\\\\evil"],
)
def test_the_login_leads_nowhere_else(target: str) -> None:
    assert security.local_path(target) == "/"


def test_the_login_form_is_not_a_hole(guarded: Any) -> None:
    page = guarded.get("/login", params={"next": '/"><script>alert(1)</script>'}).text
    assert "<script" not in page
    assert guarded.post("/login", content=b"token=" + b"x" * 10_000).status_code == 413
    assert guarded.post("/login", content=b"\xff\xfe=&&&").status_code == 401


def test_secrets_are_compared_whole() -> None:
    assert security.equal("abc", "abc")
    for given in ("", "ab", "abcd", "abC", "ab\ud800"):
        assert not security.equal(given, "abc")
    assert security.session_value("one-token") != security.session_value("other-token")


# -- Host ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1:8420", "localhost:8420", "LOCALHOST", "[::1]:8420", "127.0.0.1"])
def test_names_of_this_machine_are_answered(client: Any, host: str) -> None:
    assert client.get("/api/v1/runs", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example:8420", "localhost.evil.example", "10.0.0.5:8420", "", "box.lan"]
)
def test_other_names_are_refused_on_loopback(client: Any, host: str) -> None:
    for path in ("/", "/api/v1/runs", "/api/v1/health"):
        answer = client.get(path, headers={"Host": host})
        assert answer.status_code == 403 and "RUNWELL_ALLOWED_HOSTS" in answer.json()["detail"]
    with pytest.raises(WebSocketDisconnect), client.websocket_connect(LIVE, headers={"Host": host}):
        pass


def test_beyond_loopback_addresses_and_allowed_names_are_answered(guarded: Any) -> None:
    for host in ("10.0.0.5:8420", "[fe80::1]:8420", "box.lan:8420", "127.0.0.1:8420"):
        assert guarded.get("/api/v1/runs", headers={"Host": host, **bearer()}).status_code == 200
    assert guarded.get("/api/v1/runs", headers={"Host": "evil.example", **bearer()}).status_code == 403


# -- Origin ----------------------------------------------------------------------------------------------------------

OTHERS = [
    "http://evil.example",
    "null",
    "http://127.0.0.1:9999",
    "https://localhost.evil.example",
    "file://127.0.0.1:8420",
    "garbage",
]


@pytest.mark.parametrize("origin", OTHERS)
def test_another_sites_page_changes_nothing(client: Any, origin: str) -> None:
    for path in ("/api/v1/launches", "/api/v1/runs/r1/stop", "/login", "/_dash-update-component"):
        answer = client.post(path, content=b"{}", headers={"Origin": origin})
        assert answer.status_code == 403 and "another site" in answer.json()["detail"]
    with pytest.raises(WebSocketDisconnect), client.websocket_connect(LIVE, headers={"Origin": origin}):
        pass


def test_a_browser_that_hides_the_origin_still_says_that_it_is_another_site(client: Any) -> None:
    assert client.post("/api/v1/launches", json={}, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403


def test_our_own_page_and_programs_may(client: Any, send: Any) -> None:
    send({"type": "run"})
    ours = {"Origin": "http://127.0.0.1:8420"}
    assert client.post("/api/v1/runs/r1/commands", json={"kind": "stop"}, headers=ours).status_code == 201
    assert client.post("/api/v1/runs/r1/commands", json={"kind": "stop"}).status_code == 201
    with client.websocket_connect(LIVE, headers=ours) as socket:
        assert socket.receive_json()["type"] == "hello"


# -- headers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/api/v1/runs", "/api/typo", "/docs", "/login", "/_dash-dependencies"])
def test_every_answer_keeps_the_page_to_itself(client: Any, path: str) -> None:
    headers = client.get(path).headers
    for name, value in security.HEADERS.items():
        assert headers[name] == value
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "http:" not in headers["content-security-policy"] and "unsafe-eval" not in headers["content-security-policy"]


def test_refusals_carry_the_headers_too(client: Any) -> None:
    assert client.get("/", headers={"Host": "evil.example"}).headers["x-content-type-options"] == "nosniff"
