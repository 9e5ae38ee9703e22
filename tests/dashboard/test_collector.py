"""The collector stores first, then tells: points, lines, samples and rewinds in order, rows of lists once a second."""

from __future__ import annotations

import asyncio
import json
import math
from typing import Any

import pytest

from dashboard.collector import Collector
from dashboard.errors import SequenceGap, StoreError
from dashboard.live import Hub
from dashboard.store import Store
from runwell.report import Report
from runwell.wire import Batch, refusal

RUN = {"type": "run", "project": "p", "time": 1.0}


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def collector(store: Store, hub: Hub, told: list[str], clock: Any) -> Collector:
    return Collector(store, hub, told.append, clock)


def received(
    hub: Hub, collector: Collector, *batches: Batch, run_id: str | None = "r1", ticks: int = 0
) -> list[dict[str, Any]]:
    async def story() -> list[str]:
        client = hub.attach(run_id, None, None)
        for batch in batches:
            collector.accept("r1", batch)
        for _ in range(ticks):
            collector.tick()
        return await client.next()

    return [json.loads(text) for text in asyncio.run(story())][1:]


def test_everything_new_is_told_in_order(hub: Hub, collector: Collector, told: list[str]) -> None:
    batch = Batch(
        "w", 1,
        (
            RUN, {"type": "metrics", "step": 1, "time": 5.0, "a": math.nan}, refusal("bad"),
            {"type": "log", "text": "hello", "time": 6.0}, {"type": "sample", "step": 1, "time": 7.0, "prompt": "p", "text": "t"},
            {"type": "rewind", "step": 0, "time": 8.0}, {"type": "metrics", "step": 1, "time": 9.0, "a": 2.0},
        ),
    )  # fmt: skip
    found = received(hub, collector, batch)
    assert [one["type"] for one in found] == ["points", "sample", "rewind", "points", "log"]
    assert found[0]["series"] == {"a": {"step": [1], "time": [5.0], "value": ["NaN"]}}
    assert found[3]["series"]["a"]["value"] == [2.0]
    assert found[4]["lines"] == [{"number": 3, "time": 6.0, "stream": "stdout", "text": "hello"}]
    assert found[4]["lines"][0]["number"] == collector._store.logs("r1")[0].number
    assert told == ["r1"]


def test_what_a_script_tells_reaches_every_page_at_once_and_in_bounds(hub: Hub, collector: Collector) -> None:
    alerts = [{"type": "alert", "title": f"T{number}", "level": "critical", "time": 5.0} for number in range(50)]
    (found,) = received(hub, collector, Batch("w", 1, (RUN, *alerts)), run_id=None)
    assert (found["type"], found["run"], len(found["alerts"])) == ("alert", "r1", 20)
    assert found["alerts"][-1] == {"title": "T49", "text": "", "level": "critical", "step": None, "time": 5.0}


def test_what_was_sent_before_is_not_told_again(hub: Hub, collector: Collector, told: list[str]) -> None:
    events = (RUN, {"type": "metrics", "step": 1, "time": 5.0, "a": 1.0}, {"type": "log", "text": "x", "time": 5.0})
    first = Batch("w", 1, events)
    longer = Batch("w", 1, (*events, {"type": "metrics", "step": 2, "time": 6.0, "a": 2.0}))
    received(hub, collector, first)
    assert received(hub, collector, first) == []
    hub._sent_at.clear()
    (points,) = received(hub, collector, longer)
    assert points["series"]["a"]["step"] == [2]
    assert told == ["r1", "r1"]


def test_late_points_that_a_rewind_may_have_hidden_are_not_sent_but_fetched(
    hub: Hub, collector: Collector, clock: Any
) -> None:
    old = ({"type": "metrics", "step": step, "time": 5.0, "a": 1.0} for step in (10, 11, 12))
    collector.accept("r1", Batch("killed", 1, (RUN, next(old))))
    collector.accept("r1", Batch("resumed", 1, ({"type": "rewind", "step": 5, "time": 9.0},)))
    received(hub, collector, run_id="r1", ticks=1)
    clock.now += 1
    found = received(hub, collector, Batch("killed", 3, tuple(old)), ticks=1)
    assert [(one["type"], one.get("step")) for one in found] == [("rewind", 11), ("heard", None), ("delivery", None)]
    clock.now += 1
    fresh = Batch("resumed", 2, ({"type": "metrics", "step": 6, "time": 10.0, "a": 3.0},))
    assert [one["type"] for one in received(hub, collector, fresh, ticks=1)] == ["points", "run", "delivery"]


def test_what_was_not_stored_is_not_told(hub: Hub, collector: Collector, told: list[str]) -> None:
    collector.accept("r1", Batch("w", 1, (RUN,)))
    with pytest.raises(SequenceGap):
        collector.accept("r1", Batch("w", 9, ({"type": "log", "text": "x"},)))
    assert hub.seq == 0 and told == ["r1"]


def test_what_waits_because_nothing_can_be_stored_is_told_as_behind(
    hub: Hub, collector: Collector, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def point(step: int) -> dict[str, Any]:
        return {"type": "metrics", "step": step, "time": 100.0 + step, "a": 1.0}

    collector.accept("r1", Batch("w", 1, (RUN, point(1))), Report(2, 0, 0, 101.0))
    (one,) = collector.receipts("r1")
    assert (one.behind, one.lag_seconds) == (0, 0.0)
    with monkeypatch.context() as full:

        def fail(*_: Any, **__: Any) -> None:
            raise StoreError("the disk is full")

        full.setattr(store, "append", fail)
        with pytest.raises(StoreError):
            collector.accept("r1", Batch("w", 3, (point(2), point(3))), Report(502, 0, 40, 132.0))
    (one,) = collector.receipts("r1")
    assert (one.stored, one.behind, one.lag_seconds, one.spool_percent) == (2, 500, 30.0, 40)
    collector.accept("r1", Batch("w", 3, tuple(point(step) for step in range(2, 502))), Report(502, 0, 0, 640.0))
    (one,) = collector.receipts("r1")
    assert (one.stored, one.behind, one.lag_seconds) == (502, 0, 0.0)


def test_rows_of_lists_come_at_most_once_a_second(hub: Hub, collector: Collector, clock: Any) -> None:
    def beat(seq: int) -> list[dict[str, Any]]:
        batch = Batch("w", seq, ({"type": "metrics", "step": seq, "time": 1.0, "train/loss": float(seq)},))
        return received(hub, collector, batch, run_id=None, ticks=3)

    collector.accept("r1", Batch("w", 1, (RUN,)))
    (row,) = beat(2)
    assert (row["type"], row["run"], row["summary"]["latest"]) == ("run", "r1", {"train/loss": 2.0})
    assert beat(3) == []
    clock.now += 1
    assert beat(4)[0]["summary"]["latest"] == {"train/loss": 4.0}
    clock.now += 1
    assert received(hub, collector, run_id=None, ticks=1) == []


def test_a_heartbeat_is_heard_and_what_it_says_of_the_delivery_is_told_when_it_is_new(
    hub: Hub, collector: Collector, clock: Any
) -> None:
    async def story() -> list[list[dict[str, Any]]]:
        page, told = hub.attach("r1", None, None), []
        collector.accept("r1", Batch("w", 1, (RUN,)))
        for report in (None, Report(1), Report(1), Report(7, spool_percent=90), Report(7, spool_percent=90)):
            collector.accept("r1", Batch("w", 2, ()), report)
            clock.now += 1
            collector.tick()
            told.append([json.loads(text) for text in await page.next() if '"hello"' not in text])
        return told

    told = asyncio.run(story())
    assert [[one["type"] for one in some] for some in told] == [
        ["run", "delivery"], ["heard"], ["heard"], ["heard", "delivery"], ["heard"],
    ]  # fmt: skip
    (writer,) = told[3][1]["writers"]
    assert (writer["writer"], writer["behind"], writer["spool_percent"]) == ("w", 6, 90)


def test_a_checkpoint_is_told_to_the_pages_of_its_run(hub: Hub, collector: Collector) -> None:
    saved = {"type": "checkpoint", "step": 5, "path": "x", "time": 5.0}
    (found,) = received(hub, collector, Batch("w", 1, (RUN, saved)))
    assert (found["type"], found["run"], found["step"]) == ("checkpoint", "r1", 5)


def test_a_deleted_run_is_passed_over(store: Store, hub: Hub, collector: Collector) -> None:
    collector.accept("r1", Batch("w", 1, (RUN,)))
    store.delete_run("r1")
    assert received(hub, collector, run_id=None, ticks=1) == []


def test_what_cannot_be_read_for_a_moment_is_told_later_of_every_run(
    hub: Hub, collector: Collector, store: Store, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for run_id in ("r1", "r2", "r3"):
        collector.accept(run_id, Batch("w", 1, (RUN,)))
    read = store.summary

    def fail(run_id: str) -> Any:
        if run_id == "r1":
            raise StoreError("the database is locked")
        return read(run_id)

    async def told() -> list[str]:
        client = hub.attach(None, None, None)
        with monkeypatch.context() as locked:
            locked.setattr(store, "summary", fail)
            for _ in range(2):
                with pytest.raises(StoreError):
                    collector.tick()
                clock.now += 1
        found = [json.loads(text)["run"] for text in (await client.next())[1:]]
        collector.tick()
        return found + [json.loads(text)["run"] for text in await client.next()]

    assert asyncio.run(told()) == ["r2", "r3", "r1"], "those after it do not wait until it can be read"


def test_the_thread_sends_what_waits_and_ends(hub: Hub, collector: Collector) -> None:
    async def story() -> list[str]:
        client = hub.attach(None, None, None)
        collector.start()
        collector.accept("r1", Batch("w", 1, (RUN,)))
        await client.next()
        texts = await asyncio.wait_for(client.next(), 30)
        collector.stop()
        return texts

    assert [json.loads(text)["type"] for text in asyncio.run(story())] == ["run"]
