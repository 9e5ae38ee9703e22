"""A run that is resumed by several ranks, or again and again: whose points are seen, and whose words count."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dashboard.records import State
from dashboard.store import Store

RESUMED = 1e9 + 1000
"""When the resumed ranks begin, in seconds since 1970; the first attempt logged a step a second up to 1e9 + 199."""


@pytest.fixture
def ranks(writer: Any, new_writer: Callable[..., Any], point: Any) -> tuple[Any, Any]:
    """Two ranks that begin to resume a run of 200 steps, and have logged nothing yet."""
    writer(*[point(step, loss=1.0) for step in range(200)])
    found = new_writer(name="rank0"), new_writer(name="rank1")
    for rank in found:
        rank({"type": "run", "time": RESUMED})
    return found


def steps(point: Any, since: float, first: int, count: int, **values: float) -> list[dict[str, Any]]:
    return [point(first + number, since + number, **values) for number in range(count)]


def rewind(time: float, step: int = 100) -> dict[str, Any]:
    return {"type": "rewind", "time": time, "step": step}


def test_a_rank_need_not_rewind_itself_to_be_seen(store: Store, ranks: Any, point: Any) -> None:
    ranks[0](rewind(RESUMED + 1))
    ranks[1](*steps(point, RESUMED + 2, 101, 50, gpu=0.5))
    ranks[0](*steps(point, RESUMED + 2, 101, 50, loss=2.0))
    ranks[1](*steps(point, RESUMED + 60, 151, 50, gpu=0.5))
    assert store.series("r1", "gpu").step.tolist() == list(range(101, 201))
    assert store.series("r1", "loss").last.tolist() == [1.0] * 101 + [2.0] * 50
    assert store.run("r1").last_step == 200 and store.summary("r1").latest["gpu"] == 0.5


def test_ranks_that_all_rewind_to_one_step_have_resumed_once(store: Store, ranks: Any, point: Any) -> None:
    ranks[0](rewind(RESUMED + 1), *steps(point, RESUMED + 2, 101, 5, loss=2.0))
    ranks[1]({"type": "config", "time": RESUMED + 3, "config": {"rank": 1}})
    ranks[1](rewind(RESUMED + 4), *steps(point, RESUMED + 5, 101, 50, gpu=0.5))
    ranks[0](*steps(point, RESUMED + 7, 106, 45, loss=2.0))
    assert store.series("r1", "loss").step.tolist() == list(range(151))
    assert store.series("r1", "gpu").step.tolist() == list(range(101, 151))
    assert [entry.kind for entry in store.timeline("r1")] == ["rewind", "rewind"]


def test_a_rank_that_begins_and_rewinds_late_does_not_hide_the_others_for_good(
    store: Store, ranks: Any, new_writer: Callable[..., Any], point: Any
) -> None:
    ranks[0](rewind(RESUMED + 1), *steps(point, RESUMED + 2, 101, 5, loss=2.0))
    late = new_writer(name="late")
    late({"type": "run", "time": RESUMED + 7}, rewind(RESUMED + 8), point(101, RESUMED + 9, gpu=0.5))
    ranks[0](*steps(point, RESUMED + 10, 106, 45, loss=2.0))
    seen = store.series("r1", "loss").step.tolist()
    assert seen[-45:] == list(range(106, 151)) and seen[:101] == list(range(101))


def test_a_second_resume_at_the_same_step_hides_the_first(
    store: Store, ranks: Any, new_writer: Callable[..., Any], point: Any
) -> None:
    ranks[0](rewind(RESUMED + 1), *steps(point, RESUMED + 2, 101, 50, loss=2.0))
    again = new_writer(name="again")
    again({"type": "run", "time": RESUMED + 900}, rewind(RESUMED + 901), point(101, RESUMED + 902, loss=3.0))
    assert store.series("r1", "loss").last.tolist() == [1.0] * 101 + [3.0]
    ranks[1](*steps(point, RESUMED + 3, 101, 50, gpu=0.5))  # of the first resume, from a spool that was left
    assert store.series("r1", "gpu").step.tolist() == []


def test_what_a_writer_from_before_says_of_its_end_is_old_and_what_the_server_says_of_now_is_not(
    store: Store, writer: Any, ranks: Any, new_writer: Callable[..., Any], point: Any
) -> None:
    server = new_writer(name="launcher")
    server({"type": "state", "state": "crashed", "time": RESUMED - 100})
    ranks[0](rewind(RESUMED + 1), *steps(point, RESUMED + 2, 101, 5, loss=2.0))
    writer({"type": "state", "state": "stopped", "time": RESUMED - 200})
    assert store.run("r1").state is State.RUNNING
    server({"type": "state", "state": "crashed", "reason": "gone", "time": RESUMED + 100})
    assert (store.run("r1").state, store.run("r1").state_reason) == (State.CRASHED, "gone")
