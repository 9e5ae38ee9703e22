"""A store whose process is killed: everything that was acknowledged is there, once, and the rest can be sent again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from dashboard.errors import SequenceGap, StoreError
from dashboard.store import Store
from dashboard.store.together import _Job
from runwell.wire import Batch

SHARED = """
import sys
from dashboard.store import Store
from runwell.wire import Batch
store = Store.open(sys.argv[1])
name = sys.argv[2]
store.append("both", Batch(name, 1, ({"type": "run", "time": 0.0},)))
for round in range(2):  # everything is sent twice, as after a lost answer
    for seq in range(2, 202, 20):
        events = tuple({"type": "metrics", "step": seq + k, "time": 1.0, name: 1.0, "a": 1.0} for k in range(20))
        store.append("both", Batch(name, seq, events))
        store.append(f"only-{name}", Batch(name, seq - 1, ({"type": "run"}, *events[1:])))
"""

CHILD = """
import sys
from dashboard.store import Store
from runwell.wire import Batch
store = Store.open(sys.argv[1])
store.append("r1", Batch("w", 1, ({"type": "run", "time": 0.0},)))
seq = 2
while True:
    events = tuple({"type": "metrics", "step": seq + k, "time": float(seq + k), "a": float(seq + k)} for k in range(50))
    print(store.append("r1", Batch("w", seq, events)).stored_through, flush=True)
    seq += 50
"""


@pytest.mark.slow
@pytest.mark.parametrize("batches", [1, 17, 40])
def test_nothing_acknowledged_is_lost_when_the_process_is_killed(path: Path, batches: int) -> None:
    with subprocess.Popen([sys.executable, "-c", CHILD, str(path)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        acknowledged = [int(child.stdout.readline()) for _ in range(batches)][-1]
        os.kill(child.pid, signal.SIGKILL)
        acknowledged = max([acknowledged, *map(int, child.stdout.read().split())])
        assert child.wait() == -signal.SIGKILL
    with closing(Store.open(path)) as store:
        receipt = store.append("r1", Batch("w", 2, ()))
        assert receipt.stored_through >= acknowledged
        steps = store.series("r1", "a", buckets=10**6).step.tolist()
        assert steps == list(range(2, receipt.stored_through + 1))  # whole batches, nothing twice
        assert [number for number, _ in store.replay("r1")] == list(range(1, receipt.stored_through + 1))


def test_many_threads_lose_nothing(store: Store) -> None:
    def write(name: str) -> None:
        store.append("r1", Batch(name, 1, ({"type": "run"},)))
        for seq in range(2, 12):
            store.append("r1", Batch(name, seq, ({"type": "metrics", "step": seq, "time": 1.0, f"{name}/a": 1.0},)))

    threads = [threading.Thread(target=write, args=(f"w{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(store.series_names("r1")) == [f"w{number}/a" for number in range(8)]
    assert [number for number, _ in store.replay("r1")] == list(range(1, 89))


def test_those_who_wait_together_are_stored_together_and_refused_alone(store: Store) -> None:
    store.append("r1", Batch("w", 1, ({"type": "run"},)))
    point: dict[str, Any] = {"type": "metrics", "step": 1, "time": 1.0, "a": 1.0}
    batches = {"a": 1, "b": 1, "gap": 7, "c": 1}
    outcomes: dict[str, object] = {}

    def write(name: str, first_seq: int) -> None:
        try:
            outcomes[name] = store.append("r1", Batch(name, first_seq, (point,))).stored
        except SequenceGap as gap:
            outcomes[name] = gap.expected_seq

    commits: list[object] = []
    sa.event.listen(store._database.engine, "commit", commits.append)
    with store._appending._together._turn:  # as if another commit were under way
        threads = [threading.Thread(target=write, args=item) for item in batches.items()]
        for thread in threads:
            thread.start()
        while len(store._appending._together._waiting) < len(threads):
            threading.Event().wait(0.001)
    for thread in threads:
        thread.join()
    assert outcomes == {"a": 1, "b": 1, "gap": 1, "c": 1} and len(commits) == 1
    assert store.series("r1", "a").last.tolist() == [1.0, 1.0, 1.0]


def test_what_fails_for_all_is_tried_for_each_alone(store: Store) -> None:
    """Such as a disk that is full for one large batch and not for the small ones beside it."""

    def fail(connection: sa.Connection) -> None:
        raise RuntimeError("no room")

    jobs = [_Job(lambda connection: connection.execute(sa.text("SELECT 1")).scalar()), _Job(fail)]
    store._appending._together._do_all(jobs)
    assert jobs[0].value == 1 and jobs[0].error is None
    assert isinstance(jobs[1].error, RuntimeError)


def test_names_that_were_new_in_a_transaction_that_was_undone_are_made_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch is stored together with others, one of those fails the whole, and each is stored alone after that."""
    store.append("r1", Batch("w", 1, ({"type": "run"},)))

    def undone_and_done(work: Any) -> Any:
        with pytest.raises(ZeroDivisionError), store._database.write() as connection:
            work(connection)
            raise ZeroDivisionError
        with store._database.write() as connection:
            return work(connection)

    monkeypatch.setattr(store._appending._together, "do", undone_and_done)
    point = {"type": "metrics", "step": 1, "time": 1.0, "new": 1.0, "too": 2.0}
    assert store.append("r1", Batch("w", 2, (point,))).stored == 1
    assert store.series("r1", "too").last.tolist() == [2.0]


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_when_all_connections_are_in_use_it_is_said_and_no_fault_of_ours(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.append("r1", Batch("w", 1, ({"type": "run"},)))
    monkeypatch.setattr(store._database.engine.pool, "_timeout", 0)
    with ExitStack() as held, pytest.raises(StoreError, match="more is asked of the database than it has"):
        for _ in range(100):
            held.enter_context(store._database.read())
    assert store.run("r1").id == "r1"


def test_two_processes_share_a_database(store: Store, url: str) -> None:
    with closing(Store.open(url)) as other:
        store.append("r1", Batch("a", 1, ({"type": "run"}, {"type": "metrics", "step": 1, "time": 1.0, "x": 1.0})))
        other.append("r1", Batch("a", 1, ({"type": "run"}, {"type": "metrics", "step": 1, "time": 1.0, "x": 1.0})))
        other.append("r1", Batch("b", 1, ({"type": "metrics", "step": 2, "time": 2.0, "x": 2.0},)))
        assert store.series("r1", "x").step.tolist() == other.series("r1", "x").step.tolist() == [1, 2]


@pytest.mark.slow
def test_collectors_beside_each_other_store_everything_once(url: str) -> None:
    """Two processes on one database, with runs of their own and one that both write."""
    with closing(Store.open(url)) as store:
        children = [subprocess.Popen([sys.executable, "-c", SHARED, url, name]) for name in ("x", "y")]
        while any(child.poll() is None for child in children):  # readers see whole moments meanwhile
            for run in store.runs():
                numbers = [number for number, _ in store.replay(run.id)]
                assert numbers == list(range(1, len(numbers) + 1))
                store.series(run.id, "a", buckets=10)
        assert [child.returncode for child in children] == [0, 0]
        assert store.series("both", "a").count.sum() == 400 and len(list(store.replay("both"))) == 402
        for name in ("x", "y"):
            assert store.series("both", name).step.tolist() == list(range(2, 202))
            assert store.series(f"only-{name}", "a").count.sum() == 190


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_a_full_disk_is_said_and_costs_nothing_stored(store: Store) -> None:
    store.append("r1", Batch("w", 1, ({"type": "run"}, {"type": "metrics", "step": 1, "time": 1.0, "a": 1.0})))
    with store._database.read() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
    with store._database.engine.connect() as connection:
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
        big = tuple({"type": "log", "text": "x" * 10_000} for _ in range(50))
    with pytest.raises(StoreError, match=r"full.*nothing was changed"):
        store.append("r1", Batch("w", 3, big))
    assert store.series("r1", "a").last.tolist() == [1.0] and store.logs("r1") == []
    with store._database.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count=1000000")
    assert store.append("r1", Batch("w", 3, big)).stored == 50
