"""The live stream: numbered, serialised once, gaps filled, points collected, slow pages let go."""

from __future__ import annotations

import asyncio
import json
import math
import threading
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard import live, messages
from dashboard.live import Client, Hub


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def hub(clock: Clock) -> Hub:
    return Hub(clock, epoch="e1")


def columns(*steps: int, value: float = 1.0) -> dict[str, list[float]]:
    return {"step": list(steps), "time": [float(step) for step in steps], "value": [value] * len(steps)}


async def attached(hub: Hub, *args: Any) -> tuple[Client, list[dict[str, Any]]]:
    client = hub.attach(*args)
    return client, [json.loads(text) for text in await client.next()]


def test_the_first_message_says_where_the_stream_is(hub: Hub) -> None:
    hub.publish("run", "r1", {"summary": {}})
    _, (hello,) = asyncio.run(attached(hub, "r1", None, None))
    assert hello == {"seq": 1, "epoch": "e1", "type": "hello", "replayed": False}


def row(run_id: str, heard: float, **fields: Any) -> dict[str, Any]:
    return {
        "id": run_id,
        "parent": None,
        "state": "running",
        "last_event_at": heard,
        "latest": {"a": math.nan},
    } | fields


def test_a_row_in_which_nothing_is_new_is_only_heard_of_by_its_own_page(hub: Hub) -> None:
    async def story() -> list[list[dict[str, Any]]]:
        clients = hub.attach("r1", None, None), hub.attach(None, None, None)
        for summary in (row("r1", 1.0), row("r1", 2.0), row("r2", 3.0), row("r1", 4.0, state="lost"), row("r1", 5.0)):
            hub.publish_run(summary)
        return [[json.loads(text) for text in await client.next()][1:] for client in clients]

    page, lists = asyncio.run(story())
    assert [one["type"] for one in page] == ["run", "heard", "run", "run"]
    assert page[1]["at"] == 2.0
    assert [(one["run"], one["summary"]["state"]) for one in lists] == [
        ("r1", "running"), ("r2", "running"), ("r1", "lost"), ("r1", "running"),
    ]  # fmt: skip


def test_a_row_that_is_forgotten_is_sent_again(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MAX_ROWS", 2)

    async def story() -> list[dict[str, Any]]:
        lists = hub.attach(None, None, None)
        for name in ("r1", "r2", "r2", "r1", "r3", "r2"):
            hub.publish_run(row(name, 1.0))
        return [json.loads(text) for text in await lists.next()][1:]

    assert [one["run"] for one in asyncio.run(story())] == ["r1", "r2", "r3", "r2"]


def test_the_row_of_a_relaunch_reaches_the_page_of_its_parent_and_nothing_else_of_it_does(hub: Hub) -> None:
    async def story() -> list[dict[str, Any]]:
        page = hub.attach("r1", None, None)
        hub.publish_run(row("r2", 1.0, parent="r1"))
        hub.publish_run(row("r2", 2.0, parent="r1"))
        hub.publish("log", "r2", {"lines": []})
        return [json.loads(text) for text in await page.next()][1:]

    assert [(one["type"], one["run"]) for one in asyncio.run(story())] == [("run", "r2")]


def test_a_gap_is_filled_with_what_the_page_watches(hub: Hub) -> None:
    for number in range(5):
        hub.publish("log", f"r{number % 2}", {"lines": [number]})
    _, (hello, *missed) = asyncio.run(attached(hub, "r0", 1, "e1"))
    assert hello["replayed"] and hello["seq"] == 5
    assert [(one["seq"], one["lines"]) for one in missed] == [(3, [2]), (5, [4])]


@pytest.mark.parametrize(("since", "epoch"), [(None, "e1"), (1, "other"), (1, None), (99, "e1")])
def test_a_gap_that_cannot_be_filled_is_said(hub: Hub, since: int | None, epoch: str | None) -> None:
    hub.publish("run", "r1", {})
    hub.publish("run", "r1", {})
    _, received = asyncio.run(attached(hub, "r1", since, epoch))
    assert [one["type"] for one in received] == ["hello"] and not received[0]["replayed"]


def test_what_the_ring_has_forgotten_cannot_be_filled(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "RING_BYTES", 2000)
    for number in range(50):
        hub.publish("log", "r1", {"lines": ["x" * 100, number]})
    _, old = asyncio.run(attached(hub, "r1", 1, "e1"))
    assert not old[0]["replayed"] and len(old) == 1
    _, new = asyncio.run(attached(hub, "r1", 48, "e1"))
    assert new[0]["replayed"] and [one["seq"] for one in new[1:]] == [49, 50]


@pytest.mark.parametrize(("limit", "value"), [("REPLAY_MESSAGES", 20), ("REPLAY_BYTES", 20 * 120)])
def test_a_page_that_missed_too_much_is_told_so_and_stays(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    monkeypatch.setattr(live, limit, value)
    for number in range(60):
        hub.publish("log", f"r{number % 2}", {"lines": ["x" * 60]})
    client, long_away = asyncio.run(attached(hub, "r1", 1, "e1"))
    assert [one["type"] for one in long_away] == ["hello"] and not long_away[0]["replayed"] and not client.dropped
    _, lately = asyncio.run(attached(hub, "r1", 50, "e1"))
    assert lately[0]["replayed"] and len(lately) == 6


def test_a_page_of_all_runs_gets_no_points(hub: Hub) -> None:
    async def story() -> list[str]:
        client = hub.attach(None, None, None)
        hub.publish_points("r1", {"a": columns(1)})
        hub.publish("log", "r1", {"lines": []})
        hub.publish("run", "r1", {"summary": {}})
        hub.publish("findings", "r2", {"findings": []})
        return [json.loads(text)["type"] for text in await client.next()]

    assert asyncio.run(story()) == ["hello", "run", "findings"]


def test_points_are_collected_and_none_is_lost_or_doubled(hub: Hub, clock: Clock) -> None:
    async def story() -> list[dict[str, Any]]:
        client = hub.attach("r1", None, None)
        for step in range(100):
            hub.publish_points("r1", {"a": columns(step)})
            clock.now += 0.01
            hub.flush()
        clock.now += 1
        hub.flush()
        return [json.loads(text) for text in await client.next()][1:]

    received = asyncio.run(story())
    assert [step for one in received for step in one["series"]["a"]["step"]] == list(range(100))
    assert len(received) <= 22
    assert [one["seq"] for one in received] == list(range(1, len(received) + 1))


def test_points_come_before_what_happened_after_them(hub: Hub) -> None:
    async def story() -> list[str]:
        client = hub.attach("r1", None, None)
        hub.publish_points("r1", {"a": columns(1)})
        hub.publish_points("r1", {"a": columns(2)})
        hub.publish("rewind", "r1", {"step": 1})
        return [json.loads(text)["type"] for text in await client.next()]

    assert asyncio.run(story()) == ["hello", "points", "points", "rewind"]


def test_non_finite_values_are_strings(hub: Hub) -> None:
    async def story() -> str:
        client = hub.attach("r1", None, None)
        hub.publish_points(
            "r1", {"a": {"step": [1, 2, 3], "time": [1.0] * 3, "value": [math.nan, math.inf, -math.inf]}}
        )
        return (await client.next())[1]

    assert json.loads(asyncio.run(story()), parse_constant=pytest.fail)["series"]["a"]["value"] == [
        "NaN",
        "Infinity",
        "-Infinity",
    ]


def test_a_message_is_serialised_once_for_all(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[object] = []
    real: Callable[[object], str] = live.dumps
    monkeypatch.setattr(live, "dumps", lambda value: counted.append(value) or real(value))

    async def story() -> list[list[str]]:
        clients = [hub.attach("r1", None, None) for _ in range(20)]
        counted.clear()
        hub.publish("log", "r1", {"lines": []})
        return [await client.next() for client in clients]

    received = asyncio.run(story())
    assert len(counted) == 1 and len({texts[1] for texts in received}) == 1


def test_points_that_no_page_watches_are_serialised_when_one_asks(
    hub: Hub, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[object] = []
    real: Callable[[object], str] = live.dumps
    for module in (live, messages):
        monkeypatch.setattr(module, "dumps", lambda value: counted.append(value) or real(value))
    for start in (0, 5, 10):
        hub.publish_points("r1", {"a": columns(*range(start, start + 5), value=math.inf)})
        hub.publish_points("r1", {"a": columns(start + 100)})
        clock.now += 1
        hub.flush()
        clock.now += 1
    assert not counted
    for _ in range(2):
        _, (hello, *missed) = asyncio.run(attached(hub, "r1", 1, "e1"))
        assert hello["replayed"] and [one["seq"] for one in missed] == [2, 3, 4, 5, 6]
        assert missed[1]["series"]["a"] == {"step": [5, 6, 7, 8, 9], "time": [5, 6, 7, 8, 9], "value": ["Infinity"] * 5}
    assert sum("a" in one for one in counted) == 5  # type: ignore[operator]


def test_a_page_gets_points_of_the_series_that_it_chose_and_hears_of_new_ones(hub: Hub, clock: Clock) -> None:
    async def story() -> list[list[dict[str, Any]]]:
        hub.publish_points("r1", {"a": columns(1), "b": columns(1)})
        few, every = hub.attach("r1", 0, "e1", frozenset({"b"})), hub.attach("r1", None, None)
        for step, names in ((2, "ab"), (3, "a"), (4, "ac")):
            clock.now += 1
            hub.publish_points("r1", {name: columns(step) for name in names})
        hub.choose(few, frozenset({"a", "c", "nothing"}))
        clock.now += 1
        hub.publish_points("r1", {name: columns(5) for name in "abc"})
        return [[json.loads(text) for text in await client.next()] for client in (few, every)]

    few, every = asyncio.run(story())
    told = [
        (one["type"], one.get("names") or (one.get("series") and sorted(one["series"])))
        for one in few
        if one["type"] != "chosen"
    ]
    assert told == [
        ("hello", None), ("series", ["a", "b"]), ("points", ["b"]), ("series", ["a", "b"]), ("points", ["b"]), ("series", ["c"]),
        ("points", ["a", "c"]),
    ]  # fmt: skip
    assert [one["series"] for one in few if one["type"] == "chosen"] == [3]
    assert few[-1] == every[-1] | {"series": {name: columns(5) for name in "ac"}}
    assert [sorted(one["series"]) for one in every[1:]] == [["a", "b"], ["a"], ["a", "c"], ["a", "b", "c"]]


def test_points_that_no_page_watches_are_bounded_too(hub: Hub, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "RING_BYTES", 100_000)
    for _ in range(50):
        hub.publish_points("r1", {"a": columns(*range(200))})
        clock.now += 1
    assert hub._ring_bytes <= 100_000 and len(hub._ring) == 10
    _, old = asyncio.run(attached(hub, "r1", 20, "e1"))
    assert not old[0]["replayed"]


def test_a_slow_page_is_dropped_and_others_go_on(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "CLIENT_MESSAGES", 10)

    async def story() -> tuple[bool, int, int]:
        slow, quick = hub.attach("r1", None, None), hub.attach("r1", None, None)
        seen = 0
        for _ in range(30):
            hub.publish("log", "r1", {"lines": []})
            seen += len(await quick.next())
        assert await slow.next() == []
        return slow.dropped, seen, hub.clients

    assert asyncio.run(story()) == (True, 31, 1)


def test_threads_publish_in_one_order(hub: Hub) -> None:
    async def story() -> list[int]:
        client = hub.attach("r1", None, None)
        threads = [threading.Thread(target=lambda: [hub.publish("log", "r1", {}) for _ in range(50)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return [json.loads(text)["seq"] for text in await client.next()][1:]

    assert asyncio.run(story()) == list(range(1, 201))


@given(st.lists(st.floats() | st.sampled_from([1.0, 2.0]), max_size=300), st.integers(8, 40))
def test_thinning_keeps_extremes_ends_and_non_finite_points(values: list[float], most: int) -> None:
    kept = messages.thin(values, most)
    assert kept == sorted(set(kept)) and len(kept) <= max(most + 2, 10)
    if not values:
        return
    assert kept[0] == 0 and kept[-1] == len(values) - 1
    finite = [value for value in values if math.isfinite(value)]
    shown = [values[index] for index in kept]
    if finite:
        assert min(finite) in shown and max(finite) in shown
    assert any(not math.isfinite(value) for value in shown) == (len(finite) < len(values))
