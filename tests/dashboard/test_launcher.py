"""The launcher with real processes, a real store and a clock of the test's own: nothing is lost, doubled, or forgotten."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dashboard.errors import StoreError
from dashboard.launcher import Launcher
from dashboard.lifecycle import GONE_AFTER_SECONDS, SILENT_AFTER_SECONDS, STOP_GRACE_SECONDS, STOPPING
from dashboard.live import Hub
from dashboard.processes import hostname
from dashboard.records import State
from dashboard.settings import Settings
from dashboard.store import Store
from dashboard.supervisor import identity
from runwell.wire import Batch
from trainer.config import TrainConfig

pytestmark = pytest.mark.slow

WAITS = "import signal; print('up'); signal.pause()"
POLITE = """
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: (print("checkpoint written"), sys.exit(0)))
print("up")
while True: signal.pause()
"""
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up')\nwhile True: signal.pause()"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    home = tmp_path / "home"
    return Settings(home=home, data=home / "data", database_url="unused", max_active_runs=2, token="a-long-secret")


@pytest.fixture
def make(
    store: Store, hub: Hub, settings: Settings, clock: Any, workers_end: Callable[[Path], None]
) -> Iterator[Callable[..., Launcher]]:
    """Launchers whose worker is a few lines of Python; all of their workers are ended afterwards."""
    made: list[Launcher] = []

    def make(code: str = WAITS, **changes: Any) -> Launcher:
        launcher = Launcher(
            store, hub, dataclasses.replace(settings, **changes), clock,
            command=lambda _: [sys.executable, "-u", "-c", code],
        )  # fmt: skip
        launcher._find_again()
        made.append(launcher)
        return launcher

    yield make
    workers_end(settings.home)
    for launcher in made:
        launcher.stop()


@pytest.fixture
def until(store: Store, eventually: Callable[..., Any]) -> Callable[..., Any]:
    """Looks at the runs again and again until a run is in a state."""

    def until(launcher: Launcher, run_id: str, state: State) -> Any:
        def there() -> Any:
            launcher.reconcile()
            run = store.run(run_id)
            return run if run.state is state else None

        return eventually(there, what=f"{run_id} is {state}")

    return until


@pytest.fixture
def printed(store: Store, eventually: Callable[..., Any]) -> Callable[..., Any]:
    """Looks at the runs again and again until a run has printed a line."""

    def printed(launcher: Launcher, run_id: str, text: str) -> None:
        def there() -> bool:
            launcher.reconcile()
            return text in lines(store, run_id)

        eventually(there, what=f"{run_id} printed {text!r}")

    return printed


def lines(store: Store, run_id: str) -> list[str]:
    return [line.text for line in store.logs(run_id, limit=10_000)]


def test_runs_wait_their_turn_and_can_be_cancelled(make: Callable[..., Launcher], store: Store, until: Any) -> None:
    launcher = make(max_active_runs=1)
    first, second, third = (launcher.submit(TrainConfig(name=name)).id for name in ("first", "second", "third"))
    assert [run.state_reason for run in store.queued()] == [
        "waiting: next to start", "waiting: 1 run before it", "waiting: 2 runs before it",
    ]  # fmt: skip
    launcher.reconcile()
    launcher.reconcile()
    assert [run.id for run in launcher.active()] == [first]
    assert [run.state_reason for run in store.queued()] == ["waiting: next to start", "waiting: 1 run before it"]
    assert launcher.stop_run(second).state is State.CANCELLED
    launcher.reconcile()
    assert [(run.id, run.state_reason) for run in store.queued()] == [(third, "waiting: next to start")]
    launcher.stop_run(first)
    until(launcher, first, State.STOPPED)
    until(launcher, third, State.STARTING)
    assert store.run(second).state is State.CANCELLED and not (launcher._folder(second).claimed)


def test_a_worker_gets_what_it_needs_and_no_secrets(
    store: Store, hub: Hub, settings: Settings, clock: Any, until: Any
) -> None:
    code = "import os, json; print(json.dumps(dict(os.environ)))"
    environ = {"PATH": os.environ["PATH"], "CUDA_VISIBLE_DEVICES": "0", "AWS_SECRET_ACCESS_KEY": "x", "CUDA_TOKEN": "y"}
    launcher = Launcher(store, hub, settings, clock, environ=environ, command=lambda _: [sys.executable, "-c", code])
    run = launcher.submit(TrainConfig())
    until(launcher, run.id, State.CRASHED)
    seen = json.loads(lines(store, run.id)[0])
    assert seen["RUNWELL_RUN_ID"] == run.id and seen["RUNWELL_URL"] == settings.url
    assert seen["RUNWELL_HOME"] == str(settings.home) and seen["RUNWELL_TOKEN"] == settings.token
    assert seen["CUDA_VISIBLE_DEVICES"] == "0"
    assert "AWS_SECRET_ACCESS_KEY" not in seen and "CUDA_TOKEN" not in seen
    launcher.stop()


def test_the_settings_reach_the_worker_whole(make: Callable[..., Launcher], settings: Settings) -> None:
    config = TrainConfig(name="mine", learning_rate=3e-4)
    run = make().submit(config)
    written = json.loads((settings.home / "runs" / run.id / "config.json").read_text())
    assert TrainConfig.from_mapping(written) == config
    assert run.name == "mine" and run.launched and dict(run.config) == config.to_mapping()


def test_a_crash_says_why_and_keeps_every_line_once(make: Callable[..., Launcher], store: Store, until: Any) -> None:
    launcher = make("print('line one')\nprint('\\x1b[31mline two\\x1b[0m')\nraise ValueError('loss is nan')")
    run = until(launcher, launcher.submit(TrainConfig()).id, State.CRASHED)
    assert run.exit_code == 1 and run.state_reason == "exit status 1: ValueError: loss is nan"
    shown = lines(store, run.id)
    assert shown[:2] == ["line one", "line two"] and shown[-1] == "ValueError: loss is nan"
    for _ in range(3):
        launcher.reconcile()
    assert lines(store, run.id) == shown
    (entry,) = store.timeline(run.id, ["state"])
    assert entry.data["state"] == "crashed" and entry.data["last_lines"][-1] == "ValueError: loss is nan"
    assert not launcher.active()


def test_sigkill_is_seen_even_when_no_server_was_there(
    make: Callable[..., Launcher], store: Store, until: Any, printed: Any, settings: Settings, eventually: Any
) -> None:
    first = make()
    run_id = first.submit(TrainConfig()).id
    printed(first, run_id, "up")
    worker = first._folder(run_id).worker
    assert worker is not None
    # The first server is gone from here on; its supervisor is a process of its own.
    os.kill(worker.pid, signal.SIGKILL)
    eventually(lambda: (settings.home / "runs" / run_id / "exit.json").exists())
    run = until(make(), run_id, State.CRASHED)
    assert run.exit_code == -9 and run.state_reason.startswith("killed by SIGKILL")
    assert lines(store, run_id) == ["up"]


def test_a_living_worker_is_found_again_and_holds_its_place(
    make: Callable[..., Launcher], store: Store, printed: Any, until: Any
) -> None:
    first = make(max_active_runs=1)
    run_id = first.submit(TrainConfig()).id
    printed(first, run_id, "up")
    waiting = first.submit(TrainConfig()).id
    second = make(max_active_runs=1)
    second.reconcile()
    assert [run.id for run in second.active()] == [run_id] and store.run(waiting).state is State.QUEUED
    second.stop_run(run_id)
    until(second, run_id, State.STOPPED)
    until(second, waiting, State.STARTING)


def test_a_start_that_a_killed_server_did_not_finish_is_finished_once(
    make: Callable[..., Launcher], store: Store, printed: Any
) -> None:
    run_id = make().submit(TrainConfig()).id
    store.set_state(run_id, State.STARTING)
    launchers = [make(), make()]
    for launcher in launchers:
        launcher.reconcile()
    printed(launchers[0], run_id, "up")
    assert lines(store, run_id) == ["up"]


def test_output_cut_off_by_a_killed_server_is_stored_once(
    make: Callable[..., Launcher], store: Store, hub: Hub, settings: Settings, clock: Any, until: Any
) -> None:
    code = "[print('line', n) for n in range(50)]"

    def killed_after_storing(run_id: str, batch: Batch) -> Any:
        receipt = store.append(run_id, batch)
        if any(event["type"] == "log" for event in batch.events):
            raise KeyboardInterrupt  # the server dies between the store and its own note
        return receipt

    command = lambda _: [sys.executable, "-c", code]  # noqa: E731
    dying = Launcher(store, hub, settings, clock, ingest=killed_after_storing, command=command)
    run_id = dying.submit(TrainConfig()).id
    with pytest.raises(KeyboardInterrupt):
        until(dying, run_id, State.CRASHED)
    until(make(code), run_id, State.CRASHED)
    assert lines(store, run_id) == [f"line {n}" for n in range(50)]
    dying.stop()


def test_stopping_is_shown_asked_once_and_ends_in_stopped(
    make: Callable[..., Launcher], store: Store, printed: Any, until: Any
) -> None:
    launcher = make(POLITE)
    run_id = launcher.submit(TrainConfig()).id
    printed(launcher, run_id, "up")
    assert launcher.stop_run(run_id).state_reason == STOPPING
    launcher.stop_run(run_id)
    assert [command.kind for command in store.commands(run_id)] == ["stop"]
    run = until(launcher, run_id, State.STOPPED)
    assert run.exit_code == 0 and lines(store, run_id) == ["up", "checkpoint written"]
    assert launcher.stop_run(run_id).state is State.STOPPED, "stopping what has ended changes nothing"


def test_a_worker_that_does_not_end_is_killed_after_the_grace_time_only(
    make: Callable[..., Launcher], store: Store, printed: Any, until: Any, clock: Any
) -> None:
    launcher = make(STUBBORN)
    run_id = launcher.submit(TrainConfig()).id
    printed(launcher, run_id, "up")
    launcher.stop_run(run_id)
    launcher.reconcile()
    clock.pass_(STOP_GRACE_SECONDS - 1)
    launcher.reconcile()
    assert launcher._folder(run_id).worker.alive()  # type: ignore[union-attr]
    clock.pass_(1)
    run = until(launcher, run_id, State.STOPPED)
    assert run.exit_code == -9 and "did not end in time" in run.state_reason


def test_a_worker_that_hangs_after_its_end_gives_its_place_back(
    make: Callable[..., Launcher], store: Store, printed: Any, eventually: Any, clock: Any
) -> None:
    launcher = make(STUBBORN)
    run_id = launcher.submit(TrainConfig()).id
    printed(launcher, run_id, "up")
    store.append(run_id, Batch("w-1", 1, ({"type": "state", "state": "finished", "time": clock()},)))
    launcher.reconcile()
    assert [run.id for run in launcher.active()] == [run_id]
    clock.pass_(STOP_GRACE_SECONDS)

    def given_back() -> bool:
        launcher.reconcile()
        return not launcher.active()

    eventually(given_back)
    assert store.run(run_id).state is State.FINISHED, "what the worker said of its end stands"


def test_a_request_to_stop_survives_a_killed_server(make: Callable[..., Launcher], printed: Any, until: Any) -> None:
    first = make(POLITE)
    run_id = first.submit(TrainConfig()).id
    printed(first, run_id, "up")
    first.stop_run(run_id)  # and killed before its next look sends the signal
    until(make(), run_id, State.STOPPED)


def test_a_living_silent_worker_is_lost_and_running_again_when_it_is_heard(
    make: Callable[..., Launcher], store: Store, printed: Any, clock: Any
) -> None:
    launcher = make()
    run_id = launcher.submit(TrainConfig()).id
    printed(launcher, run_id, "up")
    store.append(run_id, Batch("w-1", 1, ({"type": "metrics", "step": 1, "time": clock(), "loss": float("nan")},)))
    clock.pass_(SILENT_AFTER_SECONDS - 1)
    launcher.reconcile()
    assert store.run(run_id).state is State.RUNNING
    clock.pass_(100 * SILENT_AFTER_SECONDS)
    launcher.reconcile()
    lost = store.run(run_id)
    assert lost.state is State.LOST and lost.state_reason.startswith("lost contact: its process lives")
    assert [run.id for run in launcher.active()] == [run_id], "it keeps its place"
    clock.pass_(1)
    store.append(run_id, Batch("w-1", 2, ()))
    launcher.reconcile()
    assert store.run(run_id).state is State.RUNNING and store.run(run_id).state_reason == ""


def test_what_a_killed_script_left_in_its_spool_is_taken_up_before_it_is_called_crashed(
    make: Callable[..., Launcher], store: Store, clock: Any, settings: Settings
) -> None:
    code = """
import math, os, signal, runwell
run = runwell.init("mine")
for step in range(1, 1001):
    run.log({"loss": math.nan if step == 1000 else float(step)}, step=step)
os.kill(os.getpid(), signal.SIGKILL)
"""
    environment = {"RUNWELL_HOME": str(settings.home), "RUNWELL_RUN_ID": "mine", "RUNWELL_URL": "http://127.0.0.1:9"}
    with subprocess.Popen([sys.executable, "-c", code], env=environment, stderr=subprocess.DEVNULL) as process:
        began = identity(process.pid)["started_at"]
    assert process.returncode == -9
    who = {"type": "run", "time": clock(), "host": hostname(), "pid": process.pid, "pid_started_at": began}
    store.append("mine", Batch("w-1", 1, (who,)))
    launcher = make()
    clock.pass_(GONE_AFTER_SECONDS)
    launcher.reconcile()
    assert store.run("mine").state is State.CRASHED
    found = [(event["step"], event["loss"]) for _, event in store.replay("mine") if event["type"] == "metrics"]
    assert found[:-1] == [(step, float(step)) for step in range(1, 1000)]
    assert found[-1][0] == 1000 and math.isnan(found[-1][1])


def test_a_launched_run_that_was_resumed_by_hand_is_not_judged_by_its_old_end(
    make: Callable[..., Launcher], store: Store, until: Any, clock: Any, settings: Settings
) -> None:
    launcher = make("raise SystemExit(1)")
    run_id = launcher.submit(TrainConfig()).id
    until(launcher, run_id, State.CRASHED)
    me = identity(os.getpid())
    end = settings.home / "runs" / run_id / "exit.json"
    end.write_text(
        json.dumps({"returncode": 1, "ended_at": me["started_at"] - 60})
    )  # it ended before this process began
    clock.pass_(10)
    again = {"type": "run", "time": clock(), "host": hostname(), "pid": me["pid"], "pid_started_at": me["started_at"]}
    store.append(run_id, Batch("w-2", 1, (again,)))
    launcher.reconcile()
    assert store.run(run_id).state is State.RUNNING


def test_a_folder_that_cannot_be_used_is_a_crash_with_a_sentence(
    make: Callable[..., Launcher], store: Store, settings: Settings, until: Any
) -> None:
    launcher = make()
    run_id = launcher.submit(TrainConfig()).id
    folder = settings.home / "runs" / run_id
    (folder / "config.json").unlink()
    folder.rmdir()
    folder.write_text("in the way")
    run = until(launcher, run_id, State.CRASHED)
    assert run.state_reason.startswith("its worker could not be started: ")
    assert not launcher.active()


def test_a_supervisor_that_dies_at_once_is_a_crash_and_is_not_started_for_ever(
    make: Callable[..., Launcher], store: Store, until: Any, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    launcher = make()
    broken = settings.home / "broken-python"
    broken.parent.mkdir(parents=True, exist_ok=True)
    broken.write_text("#!/bin/sh\necho started >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr("dashboard.workers.sys.executable", str(broken))
    run = until(launcher, launcher.submit(TrainConfig()).id, State.CRASHED)
    assert run.state_reason.endswith("its last line: started") and lines(store, run.id) == ["started"]


def test_one_runs_trouble_costs_only_itself(
    make: Callable[..., Launcher], store: Store, until: Any, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    launcher = make("pass", max_active_runs=5)
    sick, well = (launcher.submit(TrainConfig(name=name)).id for name in ("sick", "well"))
    look = launcher._keeper.look

    def trouble(run: Any, folder: Any) -> Any:
        if run.id == sick:
            raise ZeroDivisionError("by design")
        return look(run, folder)

    monkeypatch.setattr(type(launcher._keeper), "look", lambda _, run, folder: trouble(run, folder))
    until(launcher, well, State.CRASHED)
    assert sum("cannot be looked after" in record.message for record in caplog.records) == 1


def test_a_home_that_cannot_be_written_launches_nothing_and_says_so(
    make: Callable[..., Launcher], store: Store, settings: Settings
) -> None:
    settings.home.mkdir(parents=True, exist_ok=True)
    (settings.home / "runs").write_text("in the way")
    with pytest.raises(StoreError, match=r"cannot be written: .*; nothing was launched"):
        make().submit(TrainConfig())
    assert store.runs() == []
    (settings.home / "runs").unlink()
