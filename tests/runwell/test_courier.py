"""The courier: every answer a server can give, and in the end every record is there once."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from runwell.courier import Courier, Outcome
from runwell.outbox import load_ack, open_left
from runwell.spool import Spool
from runwell.transport import Answer

MakeSpool = Callable[..., Spool]


def log(spool: Spool, steps: range) -> None:
    for step in steps:
        spool.metrics({"a": 1.0 * step}, step, 0.0)


def deliver(courier: Courier, tries: int = 200) -> Outcome:
    """Send until nothing waits or the server is away."""
    for _ in range(tries):
        outcome = courier.send()
        if outcome is not Outcome.SENT:
            return outcome
    raise AssertionError("it goes on for ever")


def test_everything_arrives_once(make_spool: MakeSpool, collector: Any, said: Any) -> None:
    spool = make_spool()
    courier = Courier(spool, collector, said)
    log(spool, range(40_000))
    assert deliver(courier) is Outcome.IDLE
    log(spool, range(40_000, 40_010))
    assert deliver(courier) is Outcome.IDLE
    assert collector.steps("r1") == list(range(40_010))
    assert courier.waiting == 0 and len(spool.segments) == 1
    assert load_ack(spool.folder).acked == 40_011
    assert not said


def test_answers_that_are_lost_double_nothing(make_spool: MakeSpool, collector: Any, said: Any) -> None:
    spool = make_spool()
    courier = Courier(spool, collector, said)
    for chunk in range(20):
        log(spool, range(chunk * 10, chunk * 10 + 10))
        collector.lose_answers = chunk % 3 == 0
        courier.send()
    collector.lose_answers = False
    assert deliver(courier) is Outcome.IDLE
    assert collector.steps("r1") == list(range(200))


@pytest.mark.parametrize(
    "trouble", [ConnectionRefusedError("x"), TimeoutError("x"), Answer(500, {}), Answer(503, {}), Answer(429, {})]
)
def test_trouble_of_the_servers_is_waited_out(make_spool: MakeSpool, collector: Any, said: Any, trouble: Any) -> None:
    spool = make_spool()
    courier = Courier(spool, collector, said)
    log(spool, range(5))
    collector.script = [trouble]
    assert courier.send() is Outcome.AWAY
    assert courier.trouble and courier.waiting == 6
    assert deliver(courier) is Outcome.IDLE
    assert collector.steps("r1") == list(range(5)) and not said


def left_behind(spool: Spool, collector: Any, said: Any, *, steps: int) -> Spool:
    """What a process leaves that has logged so many steps and sent the first ten of them."""
    courier = Courier(spool, collector, said)
    log(spool, range(10))
    deliver(courier)
    log(spool, range(10, steps))
    spool.close(courier.ack.acked)
    left = open_left(spool.folder, said)
    assert left is not None
    return left


def test_after_a_restart_only_the_rest_is_sent(make_spool: MakeSpool, collector: Any, said: Any) -> None:
    left = left_behind(make_spool(), collector, said, steps=15)
    collector.posts.clear()
    second = Courier(left, collector, said)
    assert deliver(second) is Outcome.IDLE
    assert [batch.first_seq for _, batch in collector.posts] == [12]
    assert collector.steps("r1") == list(range(15))
    assert {report.alive for report in collector.reports[:-1]} == {True} and collector.reports[-1].alive is False
    left.close(second.ack.acked)


def test_a_lost_ack_file_costs_a_resend_and_nothing_else(make_spool: MakeSpool, collector: Any, said: Any) -> None:
    spool = make_spool()
    log(spool, range(10))
    deliver(Courier(spool, collector, said))
    (spool.folder / "ack.json").unlink()
    assert deliver(Courier(spool, collector, said)) is Outcome.IDLE
    assert collector.steps("r1") == list(range(10))


def test_an_ack_file_that_is_ahead_of_the_server_is_corrected(make_spool: MakeSpool, collector: Any, said: Any) -> None:
    spool = make_spool()
    courier = Courier(spool, collector, said)
    log(spool, range(10))
    deliver(courier)
    key = ("r1", "w-1")
    collector.events[key] = collector.events[key][:4]  # the server lost its last seconds
    log(spool, range(10, 12))
    assert deliver(courier) is Outcome.IDLE
    assert collector.steps("r1") == list(range(12))


def gone(run_id: str = "r1") -> Answer:
    return Answer(410, {"detail": f"run {run_id!r} was deleted", "deleted": run_id})


def test_what_was_left_of_a_deleted_run_goes_with_it(make_spool: MakeSpool, collector: Any, said: Any) -> None:
    left = left_behind(make_spool(), collector, said, steps=40_000)
    second = Courier(left, collector, said)
    collector.script = [gone("another"), *[gone()] * 10]
    assert deliver(second) is Outcome.AWAY, "it is not this run that was deleted"
    assert deliver(second) is Outcome.IDLE
    assert second.waiting == 0 and second.dropped == 39_990 and collector.steps("r1") == list(range(10))
    left.close(second.ack.acked)
    assert not left.folder.exists()
    assert said[-1].startswith("run 'r1' was deleted: it is removed from ")


def test_a_run_that_was_deleted_while_it_goes_on_is_begun_again(
    make_spool: MakeSpool, collector: Any, said: Any
) -> None:
    spool = make_spool()
    courier = Courier(spool, collector, said)
    log(spool, range(10))
    deliver(courier)
    collector.events.clear()
    collector.script = [gone()]
    assert courier.beat() is Outcome.SENT
    assert deliver(courier) is Outcome.IDLE and collector.of("r1")[0]["type"] == "run"
    log(spool, range(10, 20))
    assert deliver(courier) is Outcome.IDLE and collector.steps("r1") == list(range(10, 20))
    collector.events.clear()
    collector.script = [gone(), gone()]
    assert courier.beat() is Outcome.SENT
    assert deliver(courier) is Outcome.AWAY, "deleted twice with nothing new in between: it does not insist"


def test_a_server_that_forgot_all_gets_what_is_left_under_a_new_name(
    make_spool: MakeSpool, collector: Any, said: Any
) -> None:
    spool = make_spool()
    courier = Courier(spool, collector, said)
    log(spool, range(50_000))
    deliver(courier)
    kept_from = spool.segments[0].first_seq
    collector.events.clear()
    log(spool, range(50_000, 50_010))
    assert deliver(courier) is Outcome.IDLE
    assert collector.of("r1")[0]["type"] == "run", "the run is introduced again"
    assert collector.steps("r1")[-10:] == list(range(50_000, 50_010))
    assert len(set(collector.steps("r1"))) == len(collector.steps("r1"))
    assert "are sent as a new writer" in said[0]
    assert load_ack(spool.folder).alias.startswith("w-1.")
    assert kept_from > 1
    # and a third life of the same records does not double them
    again = Courier(spool, collector, said)
    log(spool, range(50_010, 50_012))
    before = len(collector.steps("r1"))
    assert deliver(again) is Outcome.IDLE
    assert len(collector.steps("r1")) == before + 2


def test_a_server_that_forgot_and_is_missing_released_records(make_spool: MakeSpool, collector: Any, said: Any) -> None:
    spool = make_spool()
    courier = Courier(spool, collector, said)
    log(spool, range(50_000))
    deliver(courier)
    key = ("r1", "w-1")
    collector.events[key] = collector.events[key][:100]  # restored from an old backup
    log(spool, range(50_000, 50_003))
    assert deliver(courier) is Outcome.IDLE
    first = spool.segments[0].first_seq
    assert "are not in its spool any more" in said[0]
    assert collector.steps("r1") == [*range(99), *range(first - 2, 50_003)]


def test_a_hole_between_segments_does_not_hold_up_the_rest(make_spool: MakeSpool, collector: Any, said: Any) -> None:
    spool = make_spool()
    log(spool, range(70_000))
    spool.close(0)
    paths = sorted(spool.folder.glob("*.seg"))
    paths[1].unlink()
    left = open_left(spool.folder, said)
    assert left is not None
    courier = Courier(left, collector, said)
    assert deliver(courier) is Outcome.IDLE
    steps = collector.steps("r1")
    assert steps[-1] == 69_999 and steps == sorted(set(steps)) and len(steps) < 70_000
    assert "are not in its spool any more" in said[0]
    left.close(courier.ack.acked)


def test_a_server_that_has_more_than_this_machine(make_spool: MakeSpool, collector: Any, said: Any) -> None:
    spool = make_spool()
    courier = Courier(spool, collector, said)
    log(spool, range(3))
    collector.script = [Answer(409, {"detail": "gap", "expected_seq": 500})]
    assert deliver(courier) is Outcome.IDLE
    assert collector.steps("r1") == [0, 1, 2]
    assert "this machine has not" in said[0]


def test_a_server_that_asks_for_the_same_record_for_ever_is_not_hammered(
    make_spool: MakeSpool, collector: Any, said: Any
) -> None:
    spool = make_spool()
    courier = Courier(spool, collector, said)
    collector.script = [Answer(409, {"expected_seq": 1})] * 50
    assert deliver(courier, tries=5) is Outcome.AWAY
    assert "again and again" in courier.trouble


@pytest.mark.parametrize("status", [400, 413, 422])
def test_one_bad_record_is_found_set_aside_and_named_once(
    make_spool: MakeSpool, collector: Any, said: Any, status: int
) -> None:
    spool = make_spool()
    courier = Courier(spool, collector, said)
    log(spool, range(1000))
    collector.poison = lambda event: event.get("step") in (333, 700)
    assert deliver(courier) is Outcome.IDLE
    assert collector.steps("r1") == [step for step in range(1000) if step not in (333, 700)]
    assert len(said) == 1
    path = spool.folder / "refused.jsonl"
    assert said[0] == f"the server refused record 335 of run r1: poison; it is kept in {path}, the rest is sent"
    assert [json.loads(line)["seq"] for line in path.read_text().splitlines()] == [335, 702]
    assert len(collector.posts) < 100, "found by halving"


def test_a_server_that_refuses_even_an_empty_batch_costs_no_record(
    make_spool: MakeSpool, collector: Any, said: Any
) -> None:
    spool = make_spool()
    courier = Courier(spool, collector, said)
    log(spool, range(100))
    collector.script = [Answer(400, {"detail": "no"})] * 30
    assert deliver(courier) is Outcome.AWAY
    collector.script = []
    assert deliver(courier) is Outcome.IDLE
    assert collector.steps("r1") == list(range(100))


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_token_is_said_once_and_nothing_is_lost(
    make_spool: MakeSpool, collector: Any, said: Any, status: int
) -> None:
    spool = make_spool()
    courier = Courier(spool, collector, said)
    collector.script = [Answer(status, {"detail": "wrong token"})] * 3
    for _ in range(3):
        assert courier.send() is Outcome.AWAY
    assert said == ["the server refuses to take records: wrong token; set RUNWELL_TOKEN. They wait in the spool"]
    assert deliver(courier) is Outcome.IDLE


@pytest.mark.parametrize("answer", [Answer(200, {}), Answer(404, {}), Answer(301, {}), Answer(405, {"detail": "no"})])
def test_something_else_that_answers_is_not_taken_for_a_server(
    make_spool: MakeSpool, collector: Any, said: Any, answer: Answer
) -> None:
    spool = make_spool()
    courier = Courier(spool, collector, said)
    log(spool, range(3))
    collector.script = [answer] * 2
    assert courier.send() is Outcome.AWAY and courier.send() is Outcome.AWAY
    assert len(said) == 1 and "RUNWELL_URL" in said[0] and "wait in the spool" in said[0]
    assert courier.waiting == 4 and not courier.reached


def test_what_the_server_refused_by_name_is_said_once(make_spool: MakeSpool, collector: Any, said: Any) -> None:
    spool = make_spool()
    courier = Courier(spool, collector, said)
    spool.event({"type": "state", "state": "dancing"})
    log(spool, range(3))
    assert deliver(courier) is Outcome.IDLE
    assert collector.steps("r1") == [0, 1, 2]
    assert len(said) == 1 and "state field 'state' is 'dancing'" in said[0]


def test_a_heartbeat_fetches_commands_and_stores_nothing(make_spool: MakeSpool, collector: Any, said: Any) -> None:
    heard: list[Any] = []
    spool = make_spool()
    courier = Courier(spool, collector, said, heard.extend)
    deliver(courier)
    collector.commands = [{"id": 1, "kind": "stop", "args": {}}, "nonsense"]
    before = len(collector.of("r1"))
    assert courier.beat() is Outcome.IDLE
    assert heard == [{"id": 1, "kind": "stop", "args": {}}]
    assert len(collector.of("r1")) == before


def test_a_heartbeat_to_a_server_that_forgot_introduces_the_run_again(
    make_spool: MakeSpool, collector: Any, said: Any
) -> None:
    spool = make_spool()
    courier = Courier(spool, collector, said)
    deliver(courier)
    collector.events.clear()
    courier.beat()
    assert deliver(courier) is Outcome.IDLE
    assert [event["type"] for event in collector.of("r1")] == ["run"]
    assert courier.beat() is Outcome.IDLE
