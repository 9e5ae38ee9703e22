"""Real servers, real workers, real SIGKILLs: nothing that was logged is missing, nothing is doubled, and each run says how it ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dashboard.store import Store

pytestmark = pytest.mark.slow

LONG = {"max_steps": 1_000_000, "eval_interval": 1_000_000, "checkpoint_interval": 0}
"""A run that goes on until something happens to it."""

TRAINING = """
import math, sys, threading, time, runwell
planned = int(sys.argv[1])
ended = threading.Event()
if not planned:
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
run = runwell.init(project="mine")
print(run.id, flush=True)
step = 0
while step < planned or not (planned or ended.is_set()):
    step += 1
    loss = math.nan if step % 7 == 0 else math.inf if step % 11 == 0 else -math.inf if step % 13 == 0 else 1 / step
    run.log({"loss": loss}, step=step)
    if not planned:
        time.sleep(0.001)
run.finish()
print(step, flush=True)
"""
"""Somebody's own script: logs so many steps, or (0) about 1,000 a second until its standard input is closed."""


class Script:
    """A running script. `run_id` is known at once."""

    def __init__(self, server: Any, count: int, environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", TRAINING, str(count)], env=server.environment | environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.run_id = self.process.stdout.readline().strip()

    def end(self) -> tuple[int, str]:
        """Let it end; the number of steps that it logged, and what it said on standard error."""
        out, err = self.process.communicate(timeout=120)
        assert self.process.returncode == 0, err
        return int(out), err


def steps(server: Any, run_id: str, name: str = "train/loss") -> list[int]:
    """The step of every stored point, in the order of arrival, straight from the store."""
    store = Store.open(server.home / "runwell.db")
    try:
        return [event["step"] for _, event in store.replay(run_id) if event["type"] == "metrics" and name in event]
    finally:
        store.close()


def spooled_steps(server: Any, run_id: str) -> int:
    """The last step that lies in the run's spool; 0 when all of it was taken and removed."""
    from runwell.frames import decode_frames

    last = 0
    for path in server.home.glob(f"spool/{run_id}/*/*.seg"):
        with contextlib.suppress(FileNotFoundError):
            events = decode_frames(path.read_bytes(), torn=True).batch.events
            last = max([last, *(event["step"] for event in events if event["type"] == "metrics")])
    return last


def state(server: Any, run_id: str) -> str:
    return str(server.get(f"/runs/{run_id}")["state"])


def known(server: Any, run_id: str) -> bool:
    return any(run["id"] == run_id for run in server.get("/runs")["runs"])


def reached(server: Any, run_id: str, step: int) -> bool:
    return (server.get(f"/runs/{run_id}")["last_step"] or 0) >= step


def lines(server: Any, run_id: str) -> list[str]:
    return [line["text"] for line in server.get(f"/runs/{run_id}/logs?limit=1000")["lines"]]


def timeline(server: Any, run_id: str, kind: str) -> list[dict[str, Any]]:
    return [entry for entry in server.get(f"/runs/{run_id}/timeline")["timeline"] if entry["kind"] == kind]


def assert_each_step_once(found: list[int], last: int) -> None:
    assert found == list(range(1, last + 1)), f"missing or doubled among {len(found)} points"


def sync(server: Any) -> None:
    command = [sys.executable, "-P", "-m", "runwell.cli", "sync"]
    subprocess.run(command, env=server.environment, check=True, timeout=120, capture_output=True)


@pytest.fixture
def script() -> Iterator[Callable[..., Script]]:
    """Starts somebody's own training script with the SDK; it is ended with the test."""
    started: list[Script] = []

    def script(server: Any, count: int = 0, **environment: str) -> Script:
        started.append(Script(server, count, environment))
        return started[-1]

    yield script
    for one in started:
        one.process.kill()
        one.process.communicate()


# -- workers -------------------------------------------------------------------------------------------------------


def test_a_killed_worker_is_crashed_with_its_last_lines_and_all_its_points(server: Any, eventually: Any) -> None:
    run_id = server.launch(**LONG)
    eventually(lambda: reached(server, run_id, 30))
    os.kill(server.worker_pid(run_id), signal.SIGKILL)
    logged = spooled_steps(server, run_id)
    eventually(lambda: state(server, run_id) == "crashed")
    run = server.get(f"/runs/{run_id}")
    assert run["exit_code"] == -9 and run["state_reason"].startswith("killed by SIGKILL")
    found = steps(server, run_id)
    assert len(found) >= max(30, logged)
    assert_each_step_once(found, len(found))
    assert any("steps" in line for line in lines(server, run_id)), "its output is shown"
    assert [entry["state"] for entry in timeline(server, run_id, "state")] == ["crashed"]


def test_stop_writes_a_checkpoint_and_ends_in_stopped(server: Any, eventually: Any) -> None:
    run_id = server.launch(**LONG)
    eventually(lambda: reached(server, run_id, 10))
    shown = server.post(f"/runs/{run_id}/stop", {})
    assert shown["state_reason"] == "stopping: writing a checkpoint"
    eventually(lambda: state(server, run_id) == "stopped")
    run = eventually(lambda: (run := server.get(f"/runs/{run_id}"))["exit_code"] is not None and run)
    assert run["exit_code"] == 0
    assert run["state_reason"] == f"stopped from the page at step {run['last_step']:,}", "not by some signal"
    checkpoints = timeline(server, run_id, "checkpoint")
    assert checkpoints and checkpoints[-1]["step"] == run["last_step"]
    assert list((server.home / "runs" / run_id / "checkpoints").iterdir())
    assert_each_step_once(steps(server, run_id), run["last_step"])


def test_runs_beyond_the_limit_wait_and_then_start(make_server: Any, eventually: Any) -> None:
    server = make_server(RUNWELL_MAX_ACTIVE_RUNS="1").start()
    first, second, third = server.launch(**LONG), server.launch(max_steps=5), server.launch(max_steps=5)
    eventually(lambda: state(server, first) == "running")
    eventually(lambda: server.get(f"/runs/{third}")["state_reason"] == "waiting: 1 run before it")
    assert state(server, second) == state(server, third) == "queued"
    assert server.post(f"/runs/{second}/stop", {})["state"] == "cancelled"
    server.post(f"/runs/{first}/stop", {})
    eventually(lambda: state(server, third) == "finished")
    assert state(server, second) == "cancelled" and not (server.home / "runs" / second / "output.log").exists()


def test_a_broken_checkpoint_is_one_clear_sentence(server: Any, eventually: Any) -> None:
    good = server.launch(max_steps=5)
    eventually(lambda: state(server, good) == "finished")
    weights = sorted((server.home / "runs" / good / "checkpoints").rglob("*.safetensors"))
    assert weights
    for path in weights:
        path.write_bytes(path.read_bytes()[:100])
    before = steps(server, good)
    resumed = server.launch(max_steps=10, resume=good)
    run = eventually(lambda: (run := server.get(f"/runs/{resumed}"))["state"] == "crashed" and run)
    assert "checkpoint" in run["state_reason"] and "Traceback" not in run["state_reason"]
    assert "\n" not in run["state_reason"] and run["exit_code"] != 0
    assert steps(server, good) == before, "what was stored before is untouched"


def test_a_sick_run_is_told_while_it_runs(server: Any, eventually: Any) -> None:
    run_id = server.launch(**LONG | {"fault": "log-zero", "fault_step": 15})
    found = eventually(lambda: server.get(f"/runs/{run_id}/findings")["findings"])
    told = [(finding["rule"], finding["severity"]) for finding in found if not finding["because"]]
    assert told == [("non-finite-loss", "critical")], "one primary cause; what it explains is not told beside it"
    assert state(server, run_id) == "running", "a sick run is not stopped for being sick"
    assert server.get(f"/runs/{run_id}")["verdict"] == "critical"
    last = server.get(f"/runs/{run_id}/series?name=train/loss")["last"]
    assert {"NaN", "Infinity", "-Infinity"} & {value for value in last if isinstance(value, str)}


# -- servers -------------------------------------------------------------------------------------------------------


def test_a_killed_server_misses_nothing_and_finds_its_worker_again(server: Any, eventually: Any) -> None:
    run_id = server.launch(**LONG)
    eventually(lambda: reached(server, run_id, 20))
    worker = server.worker_pid(run_id)
    server.kill()
    away = spooled_steps(server, run_id)
    eventually(lambda: spooled_steps(server, run_id) > away + 20, what="the worker trains on without a server")
    ahead = spooled_steps(server, run_id)
    server.restart()
    eventually(lambda: reached(server, run_id, ahead))
    assert server.worker_pid(run_id) == worker and state(server, run_id) == "running"
    newest = server.get(f"/runs/{run_id}")["last_step"]
    eventually(lambda: reached(server, run_id, newest + 20), what="live goes on")
    server.post(f"/runs/{run_id}/stop", {})
    eventually(lambda: state(server, run_id) == "stopped")
    assert_each_step_once(steps(server, run_id), server.get(f"/runs/{run_id}")["last_step"])
    shown = lines(server, run_id)
    assert shown and shown.count(shown[0]) == 1, "its first line of output was not stored again by the second server"


def test_ctrl_c_ends_the_server_cleanly_and_its_worker_goes_on(server: Any, eventually: Any) -> None:
    run_id = server.launch(**LONG)
    eventually(lambda: reached(server, run_id, 10))
    worker = server.worker_pid(run_id)
    os.killpg(server.process.pid, signal.SIGINT)  # as a terminal does it: to the whole group
    assert server.process.wait(timeout=30) == 0
    assert "1 run trains on and is found again at the next start" in server.log.read_text()
    seen = spooled_steps(server, run_id)
    eventually(lambda: spooled_steps(server, run_id) > seen + 20, what="the worker trains on")
    server.process = None
    server.restart()
    assert server.worker_pid(run_id) == worker
    server.post(f"/runs/{run_id}/stop", {})
    eventually(lambda: state(server, run_id) == "stopped")
    assert_each_step_once(steps(server, run_id), server.get(f"/runs/{run_id}")["last_step"])


def test_a_worker_killed_while_the_server_is_away_is_known_afterwards(server: Any, eventually: Any) -> None:
    run_id = server.launch(**LONG)
    eventually(lambda: reached(server, run_id, 20))
    worker = server.worker_pid(run_id)
    server.kill()
    before = spooled_steps(server, run_id)
    eventually(lambda: spooled_steps(server, run_id) > before + 20)
    os.kill(worker, signal.SIGKILL)
    eventually(lambda: (server.home / "runs" / run_id / "exit.json").exists())
    logged = spooled_steps(server, run_id)
    server.restart()
    eventually(lambda: state(server, run_id) == "crashed")
    run = server.get(f"/runs/{run_id}")
    assert run["exit_code"] == -9 and run["state_reason"].startswith("killed by SIGKILL")
    assert_each_step_once(steps(server, run_id), logged)


# -- scripts of one's own ------------------------------------------------------------------------------------------


def test_a_script_that_ran_before_any_server_is_all_there_in_the_end(
    make_server: Any, script: Any, eventually: Any
) -> None:
    server = make_server()
    running = script(server, 2000)
    _, err = running.end()
    assert "runwell sync" in err, "it says where the records wait and how they are sent"
    server.start()
    sync(server)
    eventually(lambda: state(server, running.run_id) == "finished")
    assert_each_step_once(steps(server, running.run_id, "loss"), 2000)
    columns = server.get(f"/runs/{running.run_id}/series?name=loss&buckets=2000")
    at = dict(zip(columns["step"], columns["last"], strict=True))
    assert (at[7], at[11], at[13]) == ("NaN", "Infinity", "-Infinity") and at[2] == 0.5


def test_a_server_that_comes_later_gets_everything_by_itself(make_server: Any, script: Any, eventually: Any) -> None:
    server = make_server()
    running = script(server)
    eventually(lambda: spooled_steps(server, running.run_id) > 500)
    server.start()
    eventually(lambda: known(server, running.run_id))
    logged, _ = running.end()
    eventually(lambda: state(server, running.run_id) == "finished")
    assert_each_step_once(steps(server, running.run_id, "loss"), logged)


def test_a_full_spool_says_so_counts_what_it_dropped_and_keeps_the_rest(
    make_server: Any, script: Any, eventually: Any
) -> None:
    server = make_server()
    running = script(server, 250_000, RUNWELL_SPOOL_MIB="4")  # about 8 MB, into a spool of 4
    logged, err = running.end()
    assert "is full" in err and "dropped" in err
    server.start()
    sync(server)
    eventually(lambda: state(server, running.run_id) == "finished")
    found = steps(server, running.run_id, "loss")
    assert_each_step_once(found, len(found))
    dropped = sum(entry.get("dropped", 0) for entry in timeline(server, running.run_id, "alert"))
    assert dropped > 0 and len(found) + dropped == logged, "what is missing is counted to the last record"
