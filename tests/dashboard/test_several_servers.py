"""Several servers on one PostgreSQL: pages are live wherever a point was stored, and one server alone judges a run."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import sqlalchemy as sa

from dashboard.collector import MAX_RELAYED, Collector
from dashboard.errors import StoreError
from dashboard.judgement import THROUGH
from dashboard.launcher import Launcher
from dashboard.live import Client, Hub
from dashboard.records import State
from dashboard.relay import Relay, joined
from dashboard.settings import Settings
from dashboard.store import Store
from dashboard.store.peers import News
from dashboard.watcher import Watcher
from diagnostics.engine import Engine
from runwell.wire import Batch
from trainer.presets import build

pytestmark = pytest.mark.slow

RUN = {"type": "run", "project": "p", "time": 1e9}
PATIENCE_SECONDS = 60.0
NAN = float("nan")


class Server:
    """The parts of a server that take in, tell and judge. `judged` names the runs of which it made an engine."""

    def __init__(self, url: str) -> None:
        self.store, self.hub = Store.open(url), Hub()
        self.judged: list[str] = []
        self.watcher = Watcher(self.store, self.hub, engine=self._engine)
        self.collector = Collector(self.store, self.hub, self.watcher.notify, lambda: 0.0)
        self.relay = Relay(self.store, self.hub, self.collector, self.watcher.notify)
        self._parts: list[Any] = []
        self._next: dict[str, int] = {}
        self.heard: list[News] = []

    def _engine(self, config: Any, project: str) -> Engine:
        self.judged.append(project)
        return Engine(config=config)

    def start(self, *parts: Any) -> None:
        for part in parts:
            part.start()
            self._parts.append(part)

    def send(self, run_id: str, *events: dict[str, Any], writer: str = "w") -> None:
        first = self._next.get(run_id, 1)
        self._next[run_id] = first + len(events)
        self.collector.accept(run_id, Batch(writer, first, events))

    def hear(self, count: int) -> None:
        """Take in so many pieces of news."""
        news: list[News] = []
        until(lambda: len(news) >= count, lambda: news.extend(self.store.peers.hear(1.0)))
        self.heard += news
        self.relay.take(news)

    def stop(self) -> None:
        for part in reversed(self._parts):
            part.stop()
        self.store.close()


def until(done: Callable[[], Any], meanwhile: Callable[[], Any] = lambda: time.sleep(0.02)) -> None:
    """Go on until it is so; a test that waits for ever fails in the end."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not done():
        assert time.monotonic() < end, "it did not come to be so"
        meanwhile()


def points(*steps: int, value: float = 2.0) -> list[dict[str, Any]]:
    return [{"type": "metrics", "step": step, "time": 1e9 + step, "train/loss": value} for step in steps]


@pytest.fixture
def servers(empty_postgres: str) -> Iterator[Callable[[], Server]]:
    made: list[Server] = []

    def make() -> Server:
        made.append(Server(empty_postgres))
        return made[-1]

    yield make
    for server in made:
        server.stop()


async def received(client: Client) -> list[dict[str, Any]]:
    return [json.loads(text) for text in await client.next()]


def test_a_page_gets_what_another_server_stored_and_lists_get_the_row(servers: Callable[[], Server]) -> None:
    here, there = servers(), servers()
    here.store.peers.hear(0.0)

    async def story() -> Sequence[dict[str, Any]]:
        page, runs = here.hub.attach("r1", None, None), here.hub.attach(None, None, None)
        await page.next()
        await runs.next()
        there.send("r1", RUN, *points(1, 2))
        there.send("r1", *points(3), {"type": "log", "text": "x", "time": 5.0})
        here.hear(2)
        here.collector.tick()
        return [*(await received(page)), *(await received(runs))]

    told, log, row, delivery, listed = asyncio.run(story())
    assert told["series"]["train/loss"]["step"] == [1, 2, 3]
    assert log["lines"] == [{"number": 5, "time": 5.0, "stream": "stdout", "text": "x"}]
    assert [writer["stored"] for writer in delivery["writers"]] == [5]
    assert row["type"] == listed["type"] == "run" and listed["summary"]["latest"] == {"train/loss": 2.0}
    assert there.store.peers.hear(0.0) == [], "nobody hears what it said itself"


def test_what_nobody_watched_is_not_read_and_a_page_that_may_have_missed_it_is_told(
    servers: Callable[[], Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = servers(), servers()
    here.store.peers.hear(0.0)
    snapshot = here.hub.seq
    there.send("r1", RUN, *points(1))
    with monkeypatch.context() as patched:
        patched.setattr(here.store, "replay", None)
        here.hear(1)

    async def hellos() -> list[bool]:
        seen = (snapshot, here.hub.seq)
        clients = [here.hub.attach("r1", since, here.hub.epoch) for since in seen]
        clients.append(here.hub.attach("another", snapshot, here.hub.epoch))
        return [(await received(client))[0]["replayed"] for client in clients]

    assert asyncio.run(hellos()) == [False, True, True]


def test_a_flood_and_points_before_a_rewind_are_fetched_by_the_page(servers: Callable[[], Server]) -> None:
    here, there = servers(), servers()
    here.store.peers.hear(0.0)

    async def story() -> list[dict[str, Any]]:
        page = here.hub.attach("r1", None, None)
        await page.next()
        there.send("r1", RUN, *points(*range(MAX_RELAYED + 1)))
        here.hear(1)
        there.collector.accept("r1", Batch("resumed", 1, ({"type": "rewind", "step": 10, "time": 2e9},)))
        there.send("r1", *points(12))
        here.hear(2)
        here.collector.tick()
        return await received(page)

    found = [(one["type"], one.get("step"), one.get("replayed")) for one in asyncio.run(story())]
    assert found[:3] == [("hello", None, False), ("rewind", 10, None), ("rewind", 12, None)]
    assert [kind for kind, _, _ in found[3:]] == ["run", "delivery"]


def test_one_server_judges_and_the_other_shows_what_it_says(servers: Callable[[], Server]) -> None:
    first, second = servers(), servers()
    for server in (first, second):
        server.start(server.watcher, server.relay)
    first.send("r1", RUN, *points(1, 2, 3))
    second._next["r1"] = 1
    second.send("r1", *points(*range(4, 30), value=NAN), writer="w-other")
    for server in (first, second):
        until(lambda server=server: server.store.coverage("r1").get(THROUGH) == 30)
    assert first.store.run("r1").verdict == second.store.run("r1").verdict == "critical"
    assert len(first.judged) + len(second.judged) == 1
    judge, other = (first, second) if first.judged else (second, first)
    until(lambda: any(message.kind == "findings" for message in list(other.hub._ring)))
    assert {finding.status for finding in other.store.findings("r1")} == {"open"}

    for record in other.store.findings("r1"):
        other.store.set_finding_status("r1", record.rule, record.subject, "muted")
    other.watcher.notify("r1")
    until(lambda: judge.store.run("r1").verdict == "healthy")
    assert not other.judged


def test_when_the_one_that_judges_is_killed_another_goes_on(
    servers: Callable[[], Server], empty_postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dashboard.watcher.TAKE_OVER_SECONDS", 0.2)
    here = servers()
    code = """if 1:
        import sys
        from dashboard.store import Store
        store = Store.open(sys.argv[1])
        print(store.peers.take("r1"), flush=True)
        sys.stdin.read()
    """
    killed = subprocess.Popen(
        [sys.executable, "-c", code, empty_postgres], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert killed.stdout and killed.stdin
    assert killed.stdout.readline() == "True\n"
    here.start(here.watcher)
    here.send("r1", RUN, *points(1, 2, 3))
    here.watcher.drain(PATIENCE_SECONDS)
    assert not here.store.peers.take("r1") and here.judged == []
    os.kill(killed.pid, signal.SIGKILL)
    until(lambda: here.store.coverage("r1").get(THROUGH) == 4)
    assert here.judged == ["p"]
    killed.communicate()


def test_claims_are_of_one_run_and_can_be_given_back(servers: Callable[[], Server]) -> None:
    one, other = servers().store.peers, servers().store.peers
    assert one.take("a") and one.take("a") and other.take("b")
    assert not other.take("a") and not one.take("b")
    one.leave("a")
    one.leave("b")
    assert other.take("a") and not one.take("a") and not one.take("b")


def test_a_database_that_comes_back_is_listened_to_again_and_the_pages_are_told(
    servers: Callable[[], Server], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("dashboard.relay.RETRY_SECONDS", 0.01)
    here, there = servers(), servers()
    assert here.store.peers.take("r1")
    here.store.peers.hear(0.0)
    here.start(here.relay)
    with there.store._database.engine.begin() as connection:
        mine = sa.text(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND query ~ :what"
        )
        for what in ("^LISTEN runwell", "pg_try_advisory_lock"):
            assert connection.execute(mine, {"what": what}).rowcount == 1
    with pytest.raises(StoreError, match="cannot be asked about other servers"):
        monkeypatch.setattr("dashboard.store.peers.SURE_SECONDS", 0.0)
        until(lambda: not here.store.peers.take("r1"))
    assert there.store.peers.take("r1") and not here.store.peers.take("r1")

    async def story() -> list[dict[str, Any]]:
        until(lambda: "heard again" in caplog.text)
        page = here.hub.attach("r1", None, None)
        await page.next()
        there.send("r1", RUN, *points(1))
        return await asyncio.wait_for(received(page), PATIENCE_SECONDS)

    assert [one["type"] for one in asyncio.run(story())] == ["points"]


def test_a_run_is_launched_by_the_server_in_whose_home_its_folder_lies(
    servers: Callable[[], Server], tmp_path: Any
) -> None:
    homes = [tmp_path / "one", tmp_path / "other"]
    launchers = []
    for home in homes:
        server = servers()
        settings = Settings(home=home, data=home / "data", database_url="unused")
        launchers.append(Launcher(server.store, server.hub, settings, command=lambda path: [sys.executable, "-c", ""]))
    run = launchers[0].submit(build({}))
    launchers[1].reconcile()
    assert launchers[1]._store.run(run.id).state is State.QUEUED and not (homes[1] / "runs" / run.id).exists()
    launchers[0].reconcile()
    assert launchers[0]._store.run(run.id).state is not State.QUEUED
    launchers[1].reconcile()
    assert not (homes[1] / "runs" / run.id).exists()
    until(lambda: launchers[0]._store.run(run.id).state.ended, launchers[0].reconcile)
    for launcher in launchers:
        launcher.stop()


def test_news_of_one_run_are_joined_where_they_follow_each_other() -> None:
    told = [
        News("events", "a", 1, 3), News("findings", "a"), News("events", "b", 1, 1), News("events", "a", 4, 4),
        News("events", "a", 9, 9), News("older", "a", 10, 11), News("run", "b"), News("findings", "a"),
    ]  # fmt: skip
    assert joined(told) == [
        News("events", "a", 1, 4), News("events", "b", 1, 1), News("events", "a", 9, 9), News("older", "a", 10, 11),
        News("run", "b"), News("findings", "a"),
    ]  # fmt: skip
