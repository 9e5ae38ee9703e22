"""Exactly once in effect, whatever the network does: plans of faults between a real sender and the real server."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import runwell
from benchmarks.soak.proxy import FAULTS, Proxy
from dashboard.api.events import _decode
from dashboard.errors import SequenceGap, UnknownRun
from dashboard.receipts import receipts
from dashboard.store import Store
from runwell import sender
from runwell.courier import Courier, Outcome
from runwell.report import Report
from runwell.spool import Spool
from runwell.transport import Answer
from tests.serving import serving

RUN_EVENT = {"type": "run", "project": "p"}
IN_PROCESS = ("pass", "refuse", "lose", "double", "hold", "busy")


class BadNetwork:
    """A transport that does to each batch what the plan says; behind it the server's own decoding and store."""

    def __init__(self, store: Store, plan: list[str]) -> None:
        self.store, self.plan = store, plan
        self.held: list[tuple[str, bytes, str]] = []

    def post(self, run_id: str, body: bytes, content_type: str, report: Report) -> Answer:
        fault = self.plan.pop(0) if self.plan else "pass"
        if fault == "busy":
            return Answer(503, {"detail": "busy"}, 1.0)
        if fault == "hold":
            self.held.append((run_id, body, content_type))
        if fault in ("refuse", "hold"):
            raise ConnectionResetError(fault)
        late, self.held = self.held, []
        answer = self._take(run_id, body, content_type)
        for request in late:
            self._take(*request)
        if fault == "double":
            answer = self._take(run_id, body, content_type)
        if fault == "lose":
            raise ConnectionResetError(fault)
        return answer

    def _take(self, run_id: str, body: bytes, content_type: str) -> Answer:
        try:
            receipt = self.store.append(run_id, _decode(run_id, content_type, body))
        except SequenceGap as gap:
            return Answer(409, {"detail": str(gap), "expected_seq": gap.expected_seq})
        except UnknownRun as unknown:
            return Answer(404, {"detail": str(unknown)})
        return Answer(200, {"stored_through": receipt.stored_through, "stored": receipt.stored})

    def close(self) -> None:
        pass


@settings(
    max_examples=25, deadline=None, database=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(
    plan=st.lists(st.sampled_from(IN_PROCESS), max_size=30),
    bursts=st.lists(st.integers(1, 40), min_size=1, max_size=6),
    killed_after=st.none() | st.integers(0, 20),
)
def test_any_plan_of_faults_stores_every_record_once(
    tmp_path_factory: pytest.TempPathFactory, plan: list[str], bursts: list[int], killed_after: int | None
) -> None:
    folder = tmp_path_factory.mktemp("wire")
    store = Store.open(folder / "runwell.db")
    meta = {"url": "http://here", "run_event": RUN_EVENT}
    spool = Spool(folder / "spool", "r1", "w-1", limit_bytes=2**26, warn=lambda *_: None, meta=meta)
    spool.event(RUN_EVENT)
    network = BadNetwork(store, list(plan))
    courier = Courier(spool, network, lambda *_: None)
    step = 0
    for posts, burst in enumerate(bursts, 1):
        for _ in range(burst):
            spool.metrics({"loss": float(step)}, step, 0.0)
            step += 1
        courier.send()
        if killed_after == posts:
            # the sender is killed: the next one knows what lies in the folder, and no more
            courier = Courier(spool, network, lambda *_: None)
    for _ in range(len(plan) + len(bursts) + 10):
        if courier.send() is Outcome.IDLE:
            break
    assert courier.waiting == 0
    found = [event["step"] for _, event in store.replay("r1") if event["type"] == "metrics"]
    assert found == list(range(step)), "each once, in order"
    (receipt,) = receipts(store.writers("r1"), {})
    assert (receipt.missing, receipt.stored) == (0, step + 1)
    spool.close(courier.ack.acked)
    store.close()


# -- over sockets --------------------------------------------------------------------------------------------------


@pytest.fixture
def proxied(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[list[str]], Proxy]]:
    """A real server behind a proxy with a plan, and a quick sender that talks to the proxy."""
    monkeypatch.setattr(sender, "FIRST_BACKOFF_SECONDS", 0.01)
    monkeypatch.setattr(sender, "MAX_BACKOFF_SECONDS", 0.05)
    made: list[Proxy] = []
    with serving(tmp_path / "server") as port:

        def make(plan: list[str]) -> Proxy:
            made.append(Proxy(port, plan))
            monkeypatch.setenv("RUNWELL_URL", made[-1].url)
            return made[-1]

        yield make
        for proxy in made:
            proxy.close()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_over_a_bad_network_every_record_arrives_once(
    proxied: Callable[[list[str]], Proxy], tmp_path: Path, seed: int
) -> None:
    faults = random.Random(seed).choices(FAULTS, k=40)
    proxy = proxied(faults)
    run = runwell.init("p")
    for step in range(2000):
        run.log({"loss": float(step), "grad_norm": 1.0}, step=step)
        if step % 50 == 0:
            run.flush(timeout=0.5)  # many small batches, each of which meets its fault
    run.finish(timeout=120)
    assert len(proxy.done) > len(faults), "every fault of the plan came true"
    store = Store.open(tmp_path / "server" / "runwell.db")
    try:
        found = [event["step"] for _, event in store.replay(run.id) if event["type"] == "metrics"]
        assert found == list(range(2000))
        assert store.run(run.id).state == "finished"
        (receipt,) = receipts(store.writers(run.id), {})
        assert receipt.missing == 0 and receipt.refused == 0 and receipt.duplicates > 0, (
            "doubles came, and were stored once"
        )
    finally:
        store.close()


def test_the_proxy_does_what_its_plan_says(proxied: Callable[[list[str]], Proxy], home: Path) -> None:
    """Without it, the test above could pass for want of faults."""
    from runwell.transport import HttpTransport

    proxy = proxied(["refuse", "cut", "lose", "garbage", "half", "hold", "busy", "double", "pass"])
    transport = HttpTransport(proxy.url)

    def post() -> Any:
        body = b'{"writer":"w","first_seq":1,"events":[{"type":"run"}]}'
        try:
            answer = transport.post("r1", body, "application/json", Report(1))
        except OSError as error:
            return type(error)
        return answer.status, answer.value.get("duplicates")

    got = [post() for _ in range(9)]
    broken = [isinstance(answer, type) for answer in got]
    assert broken == [True, True, True, True, True, True, False, False, False], got
    assert got[6][0] == 503 and got[7] == (200, 1) and got[8] == (200, 1)
    transport.close()
