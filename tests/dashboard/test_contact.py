"""Runs that this server did not start: what their heartbeats, locks and pids say, whatever the clock does."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dashboard.deletion import deletable
from dashboard.keeper import Keeper
from dashboard.launcher import Launcher
from dashboard.lifecycle import GIVEN_UP, GONE_AFTER_SECONDS, STOP_GRACE_SECONDS
from dashboard.live import Hub
from dashboard.processes import hostname
from dashboard.records import State
from dashboard.settings import Settings
from dashboard.store import Store
from dashboard.supervisor import identity
from dashboard.writers import LOST_AFTER_SECONDS
from runwell.folder import try_lock
from runwell.wire import Batch


@pytest.fixture
def passed(clock: Any) -> Any:
    """Time that only passes, beside the clock that can be set."""
    return type(clock)(0.0)


@pytest.fixture
def look(store: Store, tmp_path: Path, clock: Any, passed: Any) -> Callable[[], State]:
    """Looks once more at the run, and gives its state."""
    keeper = Keeper(store, tmp_path, store.append, lambda _: None, clock, passed, clock())
    return lambda: keeper.look(store.run("mine"), None)[0].state


def begin(store: Store, clock: Any, **fields: Any) -> None:
    store.append("mine", Batch("w-1", 1, ({"type": "run", "time": clock(), **fields},)))


def wait(clock: Any, passed: Any, seconds: float) -> None:
    """Time passes, and the clock with it."""
    clock.pass_(seconds)
    passed.pass_(seconds)


def dead_pid() -> int:
    child = os.posix_spawn(sys.executable, [sys.executable, "-c", ""], {})
    os.waitpid(child, 0)
    return child


def test_a_run_whose_process_is_gone_is_crashed_after_silence_and_running_when_it_comes_back(
    look: Callable[[], State], store: Store, clock: Any, passed: Any
) -> None:
    begin(store, clock, host=hostname(), pid=dead_pid(), pid_started_at=1.0)
    wait(clock, passed, GONE_AFTER_SECONDS - 1)
    assert look() is State.RUNNING
    wait(clock, passed, 1)
    assert look() is State.CRASHED and "process is gone" in store.run("mine").state_reason
    me = identity(os.getpid())
    fields = {"host": hostname(), "pid": me["pid"], "pid_started_at": me["started_at"]}
    store.append("mine", Batch("w-2", 1, ({"type": "run", "time": clock() + 1, **fields},)))
    wait(clock, passed, GONE_AFTER_SECONDS)
    assert look() is State.RUNNING, "it came back, and its process lives"


def test_a_run_elsewhere_is_lost_and_comes_back(
    look: Callable[[], State], store: Store, clock: Any, passed: Any
) -> None:
    begin(store, clock, host="another-machine", pid=1)
    for seconds in (LOST_AFTER_SECONDS, 1000):
        wait(clock, passed, seconds)
        assert look() is State.LOST
    wait(clock, passed, 1)
    store.append("mine", Batch("w-1", 2, ()))
    assert look() is State.RUNNING


def test_a_lost_run_can_be_ended_by_hand_and_comes_back_all_the_same(
    store: Store, hub: Hub, tmp_path: Path, clock: Any
) -> None:
    """Its machine is gone: nothing would ever be heard, and a run that has not ended is not deleted."""
    launcher = Launcher(store, hub, Settings(home=tmp_path, data=tmp_path, database_url="unused"), clock)
    for host, pid, state in (("another-machine", 1, State.STOPPED), (hostname(), os.getpid(), State.LOST)):
        store.append(host, Batch("w", 1, ({"type": "run", "time": clock(), "host": host, "pid": pid},)))
        store.set_state(host, State.LOST)
        assert launcher.stop_run(host).state is state, "one whose process lives is asked, and no more"
    run = store.run("another-machine")
    assert run.state_reason == GIVEN_UP and deletable(store, [run.id])[0] == [run]
    point = {"type": "metrics", "step": 1, "time": clock() + 1, "a": 1.0}
    store.append(run.id, Batch("w", 2, (point,)))
    assert store.run(run.id).state is State.RUNNING and store.pending_commands(run.id)[0].kind == "stop"


def test_a_servers_own_absence_makes_nobody_lost(store: Store, tmp_path: Path, clock: Any, passed: Any) -> None:
    begin(store, clock, host="another-machine", pid=1)
    wait(clock, passed, 10 * LOST_AFTER_SECONDS)
    keeper = Keeper(store, tmp_path, store.append, lambda _: None, clock, passed, clock())
    assert keeper.look(store.run("mine"), None)[0].state is State.RUNNING
    wait(clock, passed, LOST_AFTER_SECONDS)
    assert keeper.look(store.run("mine"), None)[0].state is State.LOST


def test_a_writers_lock_proves_life_where_its_pid_means_nothing(
    look: Callable[[], State], store: Store, clock: Any, passed: Any, tmp_path: Path
) -> None:
    """A container that shares the folder and the host's name: its pids are not ours."""
    folder = tmp_path / "spool" / "mine" / "w-1"
    folder.mkdir(parents=True)
    held = try_lock(folder / "lock")
    assert held is not None
    (folder / "writer.json").write_text("{}")
    begin(store, clock, host=hostname(), pid=dead_pid(), pid_started_at=1.0)
    wait(clock, passed, GONE_AFTER_SECONDS)
    assert look() is State.RUNNING
    os.close(held)
    assert look() is State.CRASHED


def test_a_run_that_crashed_was_resumed_and_crashed_again_is_crashed_and_told_once(
    look: Callable[[], State], store: Store, clock: Any, passed: Any
) -> None:
    dead: dict[str, Any] = {"host": hostname(), "pid": dead_pid(), "pid_started_at": 1.0}
    begin(store, clock, **dead)
    for number in (2, 3):
        for _ in range(3):
            wait(clock, passed, GONE_AFTER_SECONDS)
            assert look() is State.CRASHED
        assert len(store.timeline("mine", ["state"])) == number - 1
        run = {"type": "run", "time": clock(), **dead}
        store.append("mine", Batch(f"w-{number}", 1, (run, {"type": "rewind", "time": clock(), "step": 10})))
        assert store.run("mine").state is State.RUNNING


@pytest.mark.parametrize("pid", [-5, 2**62, -(2**62)])
def test_a_pid_that_no_process_can_have_keeps_nobody_running_for_ever(
    look: Callable[[], State], store: Store, clock: Any, passed: Any, pid: int
) -> None:
    begin(store, clock, host=hostname(), pid=pid, pid_started_at="NaN")
    wait(clock, passed, GONE_AFTER_SECONDS)
    assert look() is State.CRASHED


@pytest.mark.parametrize("jump", [3600.0, -7200.0, 86400.0])
def test_a_clock_that_jumps_makes_nobody_lost_and_nobody_running_for_ever(
    look: Callable[[], State], store: Store, clock: Any, passed: Any, jump: float
) -> None:
    begin(store, clock, host="another-machine", pid=1)
    assert look() is State.RUNNING
    clock.pass_(jump)
    assert look() is State.RUNNING
    for _ in range(2):
        wait(clock, passed, LOST_AFTER_SECONDS / 2)
        state = look()
    assert state is State.LOST, "silence counts again from the jump"
    wait(clock, passed, 1)
    store.append("mine", Batch("w-1", 2, ()))
    assert look() is State.RUNNING, "and a heartbeat ends it"


def test_a_clock_that_jumps_cuts_no_grace_time_short(store: Store, tmp_path: Path, clock: Any, passed: Any) -> None:
    keeper = Keeper(store, tmp_path, store.append, lambda _: None, clock, passed, clock())
    assert keeper._since("mine", "asked", False) is None
    assert keeper._since("mine", "asked", True) == 0.0
    clock.pass_(1e6)
    passed.pass_(STOP_GRACE_SECONDS - 1)
    assert keeper._since("mine", "asked", True) == STOP_GRACE_SECONDS - 1


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ('{"url": "http://127.0.0.1:8420"}', True),
        ('{"url": "http://localhost:9000"}', False),
        ('{"url": "http://[x"}', False),
        ("[]", False),
        ("{", False),
    ],
)
def test_a_live_process_that_sends_to_another_port_is_told_from_one_that_hangs(
    store: Store, clock: Any, passed: Any, tmp_path: Path, written: str, told: bool
) -> None:
    keeper = Keeper(
        store, tmp_path, store.append, lambda _: None, clock, passed, clock(), "http://127.0.0.1:9000"
    )  # fmt: skip
    folder = tmp_path / "spool" / "mine" / "w-1"
    folder.mkdir(parents=True)
    (folder / "writer.json").write_text(written)
    begin(store, clock, host=hostname(), pid=os.getpid())
    for seconds in (GONE_AFTER_SECONDS / 2, GONE_AFTER_SECONDS / 2):
        assert keeper.look(store.run("mine"), None)[0].state is State.RUNNING
        wait(clock, passed, seconds)
    run = keeper.look(store.run("mine"), None)[0]
    assert (run.state is State.LOST) is told
    assert run.state_reason.startswith("lost contact: it sends to http://127.0.0.1:8420") is told
    store.append("mine", Batch("w-1", 2, ()))
    wait(clock, passed, 1)
    store.append("mine", Batch("w-1", 2, ()))
    assert keeper.look(store.run("mine"), None)[0].state is State.RUNNING, "it is heard again"
