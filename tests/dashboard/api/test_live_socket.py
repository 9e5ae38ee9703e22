"""The WebSocket as a page sees it: hello, points as they come, gaps filled, non-finite values as strings."""

from __future__ import annotations

import json
from typing import Any

import pytest
from starlette.websockets import WebSocketDisconnect

from dashboard.api import live_socket
from dashboard.services import Services

URL = "ws://127.0.0.1:8420/api/v1/live"
RUN = {"type": "run", "project": "p"}


def point(step: int, value: Any = 1.0) -> dict[str, Any]:
    return {"type": "metrics", "step": step, "time": 1.0, "train/loss": value}


def until(socket: Any, kind: str) -> dict[str, Any]:
    """The next message of that type."""
    while True:
        message = json.loads(socket.receive_text(), parse_constant=pytest.fail)
        if message["type"] == kind:
            return message  # type: ignore[no-any-return]


def test_from_post_to_page_with_nan(client: Any, send: Any, services: Services) -> None:
    with client.websocket_connect(f"{URL}?run=r1") as socket:
        hello = socket.receive_json()
        assert (hello["type"], hello["epoch"], hello["replayed"]) == ("hello", services.hub.epoch, False)
        send(RUN, point(1, float("nan")), point(2, float("-inf")), {"type": "sample", "step": 2, "text": "<b>"})
        points = until(socket, "points")
        assert points["run"] == "r1" and points["epoch"] == services.hub.epoch
        assert points["series"]["train/loss"] == {"step": [1, 2], "time": [1.0, 1.0], "value": ["NaN", "-Infinity"]}
        assert until(socket, "sample")["text"] == "<b>"
        assert until(socket, "findings")["findings"]  # a NaN loss is an illness, and the page hears of it


def test_a_page_that_comes_back_misses_nothing(client: Any, send: Any, services: Services) -> None:
    with client.websocket_connect(f"{URL}?run=r1") as socket:
        send(RUN, point(1))
        seq = until(socket, "points")["seq"]
    send(point(2), {"type": "log", "text": "x"}, first_seq=3)
    with client.websocket_connect(f"{URL}?run=r1&since={seq}&epoch={services.hub.epoch}") as socket:
        assert until(socket, "hello")["replayed"]
        assert until(socket, "points")["series"]["train/loss"]["step"] == [2]
    with client.websocket_connect(f"{URL}?run=r1&since={seq}&epoch=another") as socket:
        assert not until(socket, "hello")["replayed"]


@pytest.mark.parametrize("since", ["", "x", "-1", "9" * 40, "1.5"])
def test_a_wrong_since_is_no_gap_to_fill(client: Any, since: str, services: Services) -> None:
    with client.websocket_connect(f"{URL}?run=r1&since={since}&epoch={services.hub.epoch}") as socket:
        assert not socket.receive_json()["replayed"]


def test_the_list_hears_of_runs(client: Any, send: Any) -> None:
    with client.websocket_connect(URL) as socket:
        socket.receive_json()
        send(RUN, point(1, 2.5))
        row = until(socket, "run")
        assert row["run"] == "r1" and row["summary"]["latest"] == {"train/loss": 2.5}
        assert row["summary"]["id"] == "r1" and row["summary"]["sparkline"] == [2.5]


def test_what_a_page_says_is_ignored(client: Any, send: Any) -> None:
    with client.websocket_connect(f"{URL}?run=r1") as socket:
        socket.receive_json()
        socket.send_text("hello?")
        send(RUN, point(1))
        assert until(socket, "points")["series"]["train/loss"]["step"] == [1]


def test_a_page_that_chooses_gets_points_of_what_it_chose_last(client: Any, send: Any) -> None:
    with client.websocket_connect(f"{URL}?run=r1&choose=1") as socket:
        socket.send_json({"series": ["val/loss"]})
        assert socket.receive_json()["type"] == "hello"
        send(RUN, point(1))
        assert until(socket, "series")["names"] == ["train/loss"]
        socket.send_json({"series": ["train/loss"]})
        assert until(socket, "chosen")["series"] == 1
        send(point(2), first_seq=3)
        assert until(socket, "points")["series"]["train/loss"]["step"] == [2]


@pytest.mark.parametrize(
    "said",
    ["", "hello?", "[" * 100_000, '{"series": 1}', '{"series": [1]}', '{"series": null}', "x" * (2**20 + 1), b"\xff"],
)
@pytest.mark.parametrize("first", [True, False])
def test_a_choice_without_sense_closes_the_stream_with_a_reason(client: Any, said: str | bytes, first: bool) -> None:
    with client.websocket_connect(f"{URL}?run=r1&choose=1") as socket:
        if not first:
            socket.send_json({"series": []})
            socket.receive_json()
        socket.send_text(said) if isinstance(said, str) else socket.send_bytes(said)
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_text()
    assert closed.value.code == live_socket.SENSELESS and "series" in closed.value.reason


def test_a_page_that_went_is_forgotten(client: Any, services: Services) -> None:
    with client.websocket_connect(URL) as socket:
        socket.receive_json()
        assert services.hub.clients == 1
    assert services.hub.clients == 0


def test_a_slow_page_is_sent_away(client: Any, services: Services) -> None:
    with client.websocket_connect(f"{URL}?run=r1") as socket:
        socket.receive_json()
        (page,) = services.hub._clients
        page.dropped = True
        page.offer("x")
        with pytest.raises(WebSocketDisconnect) as closed:
            while True:
                socket.receive_text()
        assert closed.value.code == live_socket.TRY_AGAIN


def test_pages_are_bounded(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_socket, "MAX_CLIENTS", 0)
    with client.websocket_connect(URL) as socket, pytest.raises(WebSocketDisconnect) as closed:
        socket.receive_text()
    assert closed.value.code == live_socket.TRY_AGAIN
