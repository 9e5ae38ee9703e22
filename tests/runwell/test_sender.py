"""The sender, one turn at a time with a clock of its own; and once with its thread over real HTTP."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from runwell.bell import Bell
from runwell.courier import Courier
from runwell.report import Report
from runwell.sender import HEARTBEAT_SECONDS, LOOK_SECONDS, MAX_BACKOFF_SECONDS, Sender
from runwell.spool import Spool
from runwell.transport import Answer, HttpTransport
from runwell.wire import FRAMES_TYPE

MakeSpool = Callable[..., Spool]


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make_sender(collector: Any, said: Any, clock: Clock) -> Callable[..., Sender]:
    def make(spool: Spool, url: str = "http://here", transport: Any = None, **more: Any) -> Sender:
        transport = transport or collector
        courier = Courier(spool, transport, said)
        return Sender(spool, courier, said, url=url, new_courier=lambda left: Courier(left, transport, said), **more)

    return make


def log(spool: Spool, steps: range) -> None:
    for step in steps:
        spool.metrics({"a": 1.0}, step, 0.0)


def test_a_turn_sends_what_is_new(make_spool: MakeSpool, make_sender: Any, collector: Any, clock: Clock) -> None:
    spool = make_spool()
    sender = make_sender(spool, clock=clock)
    log(spool, range(5))
    sender.turn()
    assert collector.steps("r1") == list(range(5))


def test_an_idle_run_beats_every_few_seconds(
    make_spool: MakeSpool, make_sender: Any, collector: Any, clock: Clock
) -> None:
    spool = make_spool()
    sender = make_sender(spool, clock=clock)
    for _ in range(100):
        sender.turn()
        clock.now += 0.1
    beats = [batch for _, batch in collector.posts if not batch.events]
    assert len(beats) == pytest.approx(10 / HEARTBEAT_SECONDS, abs=1)


def test_a_server_that_is_away_is_asked_less_and_less_often(
    make_spool: MakeSpool, make_sender: Any, collector: Any, clock: Clock
) -> None:
    spool = make_spool()
    sender = make_sender(spool, clock=clock)
    collector.away = True
    tries: list[float] = []
    post = collector.post
    collector.post = lambda *args: (tries.append(clock.now), post(*args))[1]
    for _ in range(2000):
        clock.now += max(sender.turn(), 0.001)
    gaps = [after - before for before, after in itertools.pairwise(tries)]
    assert gaps[0] < 1 and max(gaps) <= MAX_BACKOFF_SECONDS + 0.2
    assert min(gaps[-3:]) >= MAX_BACKOFF_SECONDS / 2
    assert len(set(gaps)) > len(gaps) / 2, "with jitter"
    collector.away = False
    clock.now += MAX_BACKOFF_SECONDS
    sender.turn()
    assert [event["type"] for event in collector.of("r1")] == ["run"]


def test_a_run_that_may_not_begin_yet_waits_in_the_spool(
    make_spool: MakeSpool, make_sender: Any, collector: Any, clock: Clock
) -> None:
    """429: too many new runs from this machine. The records are not at fault, so none is halved, refused or dropped."""
    spool = make_spool()
    sender = make_sender(spool, clock=clock)
    log(spool, range(5))
    collector.script = [Answer(429, {"detail": "more than 2 new runs a minute"}, 30.0)] * 2
    began = clock.now
    sender.turn()
    while collector.script or not collector.steps("r1"):
        clock.now += 0.5
        log(spool, [int(clock.now * 2) + 100])
        sender.turn()
    assert clock.now - began >= 60.0
    steps = collector.steps("r1")
    assert steps[:5] == [0, 1, 2, 3, 4] and len(steps) == len(set(steps)) > 100
    assert not (spool.folder / "refused.jsonl").exists() and spool.dropped == 0


def test_a_server_that_asks_for_rest_gets_it_with_jitter(
    make_spool: MakeSpool, make_sender: Any, collector: Any, clock: Clock
) -> None:
    waits = set()
    for number in range(8):
        spool = make_spool(writer=f"w-{number}")
        sender = make_sender(spool, clock=clock)
        collector.script = [Answer(503, {"detail": "busy"}, 20.0)]
        began = clock.now
        sender.turn()
        while collector.script or not collector.steps("r1"):
            clock.now += 0.5
            log(spool, range(1))
            sender.turn()
        waits.add(clock.now - began)
        collector.events.clear()
    assert all(20.0 <= wait <= 41.0 for wait in waits), waits
    assert len(waits) > 1, "they do not all come back in the same instant"


def test_a_run_whose_records_an_overloaded_server_does_not_take_beats_all_the_same(
    make_spool: MakeSpool, make_sender: Any, collector: Any, clock: Clock
) -> None:
    spool = make_spool()
    sender = make_sender(spool, clock=clock)
    sender.turn()
    post, busy, tries = collector.post, True, list[float]()

    def overloaded(run_id: str, body: bytes, content_type: str, report: Report | None = None) -> Answer:
        if busy and content_type == FRAMES_TYPE:
            tries.append(clock.now)
            return Answer(503, {"detail": "busy"}, 4.0)
        return post(run_id, body, content_type, report)

    collector.post = overloaded
    log(spool, range(5))
    beats = []
    for _ in range(400):
        seen = len(collector.posts)
        sender.turn()
        beats += [clock.now] * (len(collector.posts) - seen)
        clock.now += 0.5
    assert max(after - before for before, after in itertools.pairwise(beats)) <= 10.0 and len(beats) > 20
    assert min(after - before for before, after in itertools.pairwise(tries)) >= 4.0, "it is left alone as it asked"
    assert not collector.steps("r1") and spool.dropped == 0
    busy = False
    for _ in range(20):
        clock.now += 1
        sender.turn()
    assert collector.steps("r1") == [0, 1, 2, 3, 4]


def test_every_batch_says_how_much_waits_behind_it(
    make_spool: MakeSpool, make_sender: Any, collector: Any, clock: Clock
) -> None:
    spool = make_spool(limit_mib=4)
    log(spool, range(100))
    make_sender(spool, clock=clock).turn()
    assert collector.reports[-1].written == 101 and collector.reports[-1].spool_percent == 25
    assert collector.reports[-1].dropped == 0


def test_while_the_server_is_away_the_spool_is_still_prepared(
    make_spool: MakeSpool, make_sender: Any, collector: Any, clock: Clock
) -> None:
    spool = make_spool()
    sender = make_sender(spool, clock=clock)
    collector.away = True
    sender.turn()
    log(spool, range(9000))
    sender.turn()
    assert list(spool.folder.glob("spare*"))


def test_dropped_records_are_reported_as_soon_as_there_is_room(
    make_spool: MakeSpool, make_sender: Any, collector: Any, clock: Clock
) -> None:
    spool = make_spool(limit_mib=4)
    sender = make_sender(spool, clock=clock)
    collector.away = True
    log(spool, range(150_000))
    dropped = spool.dropped_total
    collector.away = False
    for _ in range(5):
        sender.turn()
        clock.now += 1
    log(spool, range(150_000, 150_003))
    sender.turn()
    events = collector.of("r1")
    (alert,) = [event for event in events if event["type"] == "alert"]
    assert alert["dropped"] == dropped and spool.dropped == 0
    assert len(collector.steps("r1")) == 150_003 - dropped
    assert collector.steps("r1")[-3:] == [150_000, 150_001, 150_002]


def test_what_others_left_for_this_server_is_sent_too(
    make_spool: MakeSpool, make_sender: Any, collector: Any, clock: Clock
) -> None:
    left, elsewhere, alive = make_spool("old"), make_spool("other", url="http://there"), make_spool("alive")
    for spool in (left, elsewhere, alive):
        log(spool, range(7))
    left.close(0)
    elsewhere.close(0)
    sender = make_sender(make_spool("new"), clock=clock)
    for _ in range(5):
        sender.turn()
    assert collector.steps("old") == list(range(7))
    assert not left.folder.parent.exists()
    assert collector.of("other") == [] and elsewhere.folder.exists()
    assert collector.of("alive") == [] and alive.folder.exists()
    alive.close(0)
    clock.now += LOOK_SECONDS + 1
    for _ in range(5):
        sender.turn()
    assert collector.steps("alive") == list(range(7)), "it looks again now and then"


def test_a_left_spool_that_cannot_be_sent_stays(
    make_spool: MakeSpool, make_sender: Any, collector: Any, clock: Clock
) -> None:
    left = make_spool("old")
    log(left, range(7))
    left.close(0)
    spool = make_spool("new")
    sender = make_sender(spool, clock=clock)
    post = collector.post
    collector.post = lambda run_id, *rest: collector.script.pop() if run_id == "old" else post(run_id, *rest)
    collector.script = [ConnectionResetError("x")] * 9
    for _ in range(3):
        sender.turn()
    assert left.folder.exists()


def test_the_thread_survives_whatever_happens(
    make_spool: MakeSpool, make_sender: Any, collector: Any, said: Any
) -> None:
    spool = make_spool()
    broken = [True]
    post = collector.post

    def fail_once(*args: Any) -> Any:
        if broken.pop() if broken else False:
            raise RuntimeError("a bug")
        return post(*args)

    collector.post = fail_once
    sender = make_sender(spool)
    sender.start()
    log(spool, range(5))
    collector.wait_for(lambda: collector.steps("r1") == list(range(5)))
    assert sender.finish(30) == 0
    assert said == ["sending failed unexpectedly (RuntimeError('a bug')); records wait in the spool, trying again"]


def test_over_http_with_token_and_keep_alive(
    make_spool: MakeSpool, make_sender: Any, make_server: Any, collector: Any
) -> None:
    server = make_server()
    spool = make_spool()
    sender = make_sender(spool, transport=HttpTransport(server.url, "secret"))
    sender.start()
    log(spool, range(1000))
    assert sender.flush(30) == 0
    assert collector.steps("r1") == list(range(1000))
    assert set(server.tokens) == {"Bearer secret"}
    assert sender.finish(30) == 0


def test_an_idle_connection_that_the_server_closed_is_no_outage(make_server: Any, collector: Any) -> None:
    server = make_server()
    transport = HttpTransport(server.url)
    body = b'{"writer":"w","first_seq":1,"events":[{"type":"run"}]}'
    assert transport.post("r1", body, "application/json", Report(0)).status == 200
    assert transport._connection is not None and transport._connection.sock is not None
    transport._connection.sock.shutdown(2)
    assert transport.post("r1", body, "application/json", Report(0)).value["duplicates"] == 1
    transport.close()


def test_bodies_are_compressed_for_a_server_elsewhere(make_server: Any, collector: Any) -> None:
    server = make_server()
    near, far = HttpTransport(server.url), HttpTransport(server.url)
    far._compresses = True  # as for any address that is not loopback, of which a test has none
    assert not near._compresses and HttpTransport("http://example.org")._compresses
    from runwell.frames import encode_event_frame, encode_header

    body = encode_header("r1", "w", 1) + encode_event_frame(b'{"type":"run"}') * 50
    assert far.post("r1", body, "application/vnd.runwell.frames", Report(1)).value["stored"] == 50
    far.close()


def test_an_answer_that_is_no_http_is_an_outage_not_a_crash(make_spool: MakeSpool) -> None:
    import socket
    import threading

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"220 mail.example.org ready\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(OSError, match="cannot be read"):
            HttpTransport(f"http://127.0.0.1:{listener.getsockname()[1]}").post(
                "r", b"{}", "application/json", Report(0)
            )
        thread.join()


def test_what_is_written_during_a_post_goes_with_the_next_turn(
    make_spool: MakeSpool, make_sender: Any, collector: Any, clock: Clock
) -> None:
    spool = make_spool()
    sender = make_sender(spool, clock=clock)
    log(spool, range(3))
    post = collector.post
    collector.post = lambda *args: (log(spool, range(3, 5)), post(*args))[1]
    wait = sender.turn()
    assert collector.steps("r1") == [0, 1, 2] and len(collector.posts) == 1
    assert wait == pytest.approx(HEARTBEAT_SECONDS, abs=0.01)
    collector.post = post
    sender.turn()
    assert collector.steps("r1") == [0, 1, 2, 3, 4]


def test_a_sleeping_sender_is_woken_by_a_record_and_by_a_number_that_was_on_its_way(
    make_spool: MakeSpool, make_sender: Any, collector: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runwell.sender.HEARTBEAT_SECONDS", 1e6)  # nothing else wakes it
    spool, held = make_spool(), [7]

    def settle() -> None:
        if held:
            log(spool, range(held[0], held.pop() + 1))

    sender = make_sender(spool, before=settle, held=lambda: bool(held))
    sender.start()
    for step in range(3):
        wait_until(lambda: spool.listening)
        log(spool, range(step, step + 1))
        wait_until(lambda step=step: step in collector.steps("r1"))
    wait_until(lambda: spool.listening)
    held.append(8)
    spool.nudge()
    wait_until(lambda: 8 in collector.steps("r1"))
    assert collector.steps("r1") == [7, 0, 1, 2, 8]
    sender.finish(30)


def test_a_bell_rung_twice_is_heard_once_also_in_the_middle_of_a_ring() -> None:
    bell = Bell()
    assert not bell.wait(0.0)
    bell.ring()
    bell.ring()
    assert bell.wait(0.0) and not bell.wait(-1.0)
    threading.Timer(0.01, bell.ring).start()
    assert bell.wait(60.0)


def wait_until(done: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not done():
        assert time.monotonic() < end
        time.sleep(0.002)
