"""A run of several processes: whose last words end it, how, and who keeps it running."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dashboard.records import State
from dashboard.store import Store
from dashboard.writers import LOST_AFTER_SECONDS
from runwell.wire import Batch

Rank = Callable[..., Any]


@pytest.fixture
def rank(new_writer: Callable[..., Any], clock: Any) -> Callable[[str], Rank]:
    """Another process of the run, that has introduced itself; events get the time of the clock."""

    def begin(name: str, **fields: Any) -> Rank:
        writer = new_writer(name=name)

        def send(*events: dict[str, Any]) -> Any:
            return writer(*({"time": clock(), **event} for event in events))

        send({"type": "run", **fields})
        return send

    return begin


def end(state: str = "finished", **fields: Any) -> dict[str, Any]:
    return {"type": "state", "state": state, **fields}


def kinds(store: Store) -> list[tuple[str, str]]:
    return [(entry.kind, entry.data["state"]) for entry in store.timeline("r1", ["state", "left"])]


def test_a_run_goes_on_until_the_last_of_its_processes_has_ended(store: Store, rank: Any, clock: Any) -> None:
    first, second = rank("a"), rank("b")
    first(end())
    assert store.run("r1").state is State.RUNNING and kinds(store) == [("left", "finished")]
    clock.pass_(LOST_AFTER_SECONDS / 2)
    second()
    clock.pass_(LOST_AFTER_SECONDS)
    second(end("stopped", reason="asked to"))
    run = store.run("r1")
    assert (run.state, run.state_reason, run.ended_at) == (State.STOPPED, "asked to", clock())
    assert kinds(store) == [("left", "finished"), ("state", "stopped")]
    assert [(one.forked, one.ended_at is not None, one.said["state"]) for one in store.writers("r1")] == [
        (False, True, "finished"), (False, True, "stopped"),
    ]  # fmt: skip


def test_who_is_not_heard_any_more_keeps_nobody_waiting(store: Store, rank: Any, clock: Any) -> None:
    rank("killed")
    clock.pass_(LOST_AFTER_SECONDS)
    rank("b")(end())
    assert store.run("r1").state is State.FINISHED and kinds(store) == [("state", "finished")]


def test_nobody_was_silent_before_this_server_began(store: Store, url: str, rank: Any, clock: Any, point: Any) -> None:
    rank("a")
    clock.pass_(10 * LOST_AFTER_SECONDS)
    after_a_restart = Store.open(url, clock)
    run = {"type": "run", "time": clock()}
    after_a_restart.append("r1", Batch("b", 1, (run, {**end(), "time": clock()})))
    after_a_restart.close()
    assert store.run("r1").state is State.RUNNING


def test_the_first_crash_tells_how_it_ended_whatever_the_others_say(store: Store, rank: Any, clock: Any) -> None:
    ranks = [rank(name) for name in "abcd"]
    ranks[0](end())
    ranks[1](end("crashed", reason="CUDA out of memory", exit_code=1))
    run = store.run("r1")
    assert run.state is State.RUNNING and "one of its 4 processes crashed (CUDA out of memory)" in run.state_reason
    clock.pass_(1)
    ranks[2](end("crashed", reason="connection reset by peer"))
    clock.pass_(1)
    ranks[3](end("stopped", reason="SIGTERM", step=9))
    run = store.run("r1")
    assert (run.state, run.state_reason, run.exit_code) == (State.CRASHED, "CUDA out of memory", 1)
    assert kinds(store)[-1] == ("state", "crashed"), "what is replayed, exported and judged says the same"


def test_a_rank_that_crashed_and_was_started_again_is_forgiven(store: Store, rank: Any, clock: Any, point: Any) -> None:
    first, second = rank("a"), rank("b")
    second(end("crashed", reason="a bad batch"))
    again = rank("b2")
    assert store.run("r1").state_reason == ""
    first(end())
    again(point(5, clock(), loss=1.0), end())
    assert (store.run("r1").state, store.run("r1").state_reason) == (State.FINISHED, "")


def test_what_a_dead_rank_left_forgives_nobody_however_late_it_is_first_heard_of(store: Store, rank: Any) -> None:
    rank("a")(end("crashed", reason="CUDA out of memory"))
    left = ({"type": "run", "time": 1e9}, {"time": 2e9, **end()})
    store.append("r1", Batch("b", 1, left), alive=False)
    assert (store.run("r1").state, store.run("r1").state_reason) == (State.CRASHED, "CUDA out of memory")


def test_a_rank_that_goes_on_under_a_new_name_forgives_nobody(store: Store, rank: Any) -> None:
    first, _ = rank("a"), rank("w-0123456789ab")
    first(end("crashed", reason="CUDA out of memory"))
    rank("w-0123456789ab.17")(end())
    assert (store.run("r1").state, store.run("r1").state_reason) == (State.CRASHED, "CUDA out of memory")


def test_a_run_that_ended_is_running_when_a_rank_resumes_and_ends_with_it(store: Store, rank: Any, clock: Any) -> None:
    for state in ("crashed", "finished"):
        clock.pass_(1)
        send = rank(f"rank-{state}")
        assert store.run("r1").state is State.RUNNING
        send(end(state))
        assert store.run("r1").state == state
    assert [kind for kind, _ in kinds(store)] == ["state", "state"]


def test_one_that_said_its_end_and_goes_on_is_waited_for_again(store: Store, rank: Any, clock: Any, point: Any) -> None:
    first, second = rank("a"), rank("b")
    first(end("crashed"))
    clock.pass_(1)
    first(point(1, clock(), loss=1.0))
    second(end())
    assert store.run("r1").state is State.RUNNING
    first(end())
    assert store.run("r1").state is State.FINISHED


def test_a_forked_child_neither_holds_a_run_nor_brings_it_back_by_beating(
    store: Store, rank: Any, clock: Any, point: Any
) -> None:
    parent = rank("a", pid=11, host="box")
    child = rank("c", pid=12, host="box", forked=True)
    child(point(1, clock(), child=1.0))
    assert store.run("r1").pid == 11
    parent(end())
    heard_at = store.run("r1").last_event_at
    clock.pass_(5)
    child()
    assert (store.run("r1").state, store.run("r1").last_event_at) == (State.FINISHED, heard_at)
    child(point(2, clock(), child=1.0))
    assert store.run("r1").state is State.RUNNING, "it trains on"


def test_the_servers_word_ends_a_run_and_a_beat_of_who_never_said_so_brings_it_back(
    store: Store, rank: Any, new_writer: Any, clock: Any
) -> None:
    first, second = rank("a"), rank("b")
    first(end())
    new_writer(name="launcher")({**end("crashed", reason="its process is gone"), "time": clock()})
    assert store.run("r1").state is State.CRASHED
    clock.pass_(1)
    first()
    assert store.run("r1").state is State.CRASHED, "it has ended: a beat of it was on its way"
    second()
    run = store.run("r1")
    assert (run.state, run.state_reason, run.ended_at) == (State.RUNNING, "", None)


def test_a_resume_is_known_by_who_sends_it_and_not_by_its_clock(
    store: Store, rank: Any, clock: Any, point: Any
) -> None:
    rank("a")(end("crashed"))
    behind = clock() - 3600
    run = {"type": "run", "time": behind}
    store.append("r1", Batch("left", 1, (run,)), alive=False)
    store.append("r1", Batch("unknown", 1, (run,)))
    assert store.run("r1").state is State.CRASHED
    store.append("r1", Batch("resumed", 1, (run, point(1, behind, loss=1.0))), alive=True)
    assert (store.run("r1").state, store.run("r1").ended_at) == (State.RUNNING, None)
    clock.pass_(LOST_AFTER_SECONDS)
    store.append("r1", Batch("resumed", 3, ({**end(), "time": behind},)), alive=True)
    assert store.run("r1").state is State.FINISHED


def test_what_a_dead_process_left_is_no_sign_of_life(store: Store, rank: Any, clock: Any, point: Any) -> None:
    rank("a")
    rank("b")
    heard_at = clock()
    clock.pass_(LOST_AFTER_SECONDS)
    store.set_state("r1", State.LOST)
    store.append("r1", Batch("a", 2, (point(1, clock(), loss=1.0),)), alive=False)
    run, (first, _) = store.run("r1"), store.writers("r1")
    assert (run.state, run.last_step, run.last_event_at, first.last_contact_at) == (State.LOST, 1, heard_at, heard_at)
    store.append("r1", Batch("b", 2, ({**end(), "time": clock()},)), alive=False)
    assert store.run("r1").state is State.FINISHED
    store.append("r1", Batch("a", 3, (point(2, clock() + 1, loss=1.0),)), alive=False)
    assert store.run("r1").state is State.FINISHED, "it came late, of a time after that"


def test_a_process_that_went_on_under_a_new_name_is_one_process(store: Store, rank: Any) -> None:
    rank("w-0123456789ab")
    rank("w-0123456789ab.17")(end())
    assert store.run("r1").state is State.FINISHED
