"""The SDK where it is used: several ranks of one run, several runs of one process, cells of a notebook."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import runwell
from runwell.wire import Event

RANK = """
import os, runwell
run = runwell.init("p", config={"rank": int(os.environ["RANK"])})
for step in range(200):
    run.log({f"rank{os.environ['RANK']}/loss": step}, step=step)
"""


@pytest.mark.slow
def test_ranks_that_share_a_run_id_are_writers_of_one_run(home: Path, make_server: Any, collector: Any) -> None:
    environment = {
        **os.environ,
        "RUNWELL_HOME": str(home),
        "RUNWELL_URL": make_server().url,
        "RUNWELL_RUN_ID": "shared",
    }
    ranks = [
        subprocess.Popen([sys.executable, "-c", RANK], env=environment | {"RANK": str(rank)}, stderr=subprocess.DEVNULL)
        for rank in range(3)
    ]
    assert [rank.wait(timeout=120) for rank in ranks] == [0, 0, 0]
    assert {run for run, _ in collector.events} == {"shared"} and len(collector.events) == 3
    for rank in range(3):
        steps = [event["step"] for event in collector.of("shared") if f"rank{rank}/loss" in event]
        assert steps == list(range(200))


def test_runs_of_one_process_do_not_mix(
    home: Path, make_server: Any, collector: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNWELL_URL", make_server().url)
    runs = [runwell.init("p", name=str(number)) for number in range(4)]
    threads = [
        threading.Thread(target=lambda run=run, n=n: [run.log({f"of{n}": s}, step=s) for s in range(500)])
        for n, run in enumerate(runs)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    runwell.log({"current": 1.0})
    for run in runs:
        run.finish()
    for number, run in enumerate(runs):
        metrics = [event for event in collector.of(run.id) if event["type"] == "metrics"]
        assert [event["step"] for event in metrics if f"of{number}" in event] == list(range(500))
        others = [name for event in metrics for name in event if name.startswith("of") and name != f"of{number}"]
        assert not others
        assert ("current" in metrics[-1]) is (number == 3), "the module acts on the run that was begun last"


def test_in_a_notebook_cells_begin_runs_again_inside_a_running_loop(
    home: Path, make_server: Any, collector: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cells run inside an event loop, are run again without a `finish`, and are interrupted."""
    monkeypatch.setenv("RUNWELL_URL", make_server().url)
    begun: list[runwell.Run] = []

    async def cell(interrupted: bool) -> None:
        run = runwell.init("notebook")
        begun.append(run)
        for step in range(100):
            runwell.log({"loss": 1 / (step + 1)}, step=step)
            if interrupted and step == 50:
                raise KeyboardInterrupt
        await asyncio.sleep(0)

    for interrupted in (False, True, False):
        try:
            asyncio.run(cell(interrupted))
        except KeyboardInterrupt:
            assert interrupted
    assert runwell.current() is begun[-1]
    for run in begun:
        run.finish()
    counts = [sum(event["type"] == "metrics" for event in collector.of(run.id)) for run in begun]
    assert counts == [100, 51, 100], "each run has what was logged to it, also those that were left open"


def test_a_run_that_was_left_open_is_ended_with_python(home: Path, tmp_path: Path) -> None:
    source = "import runwell\nfor n in range(3): runwell.init('p', name=str(n)).log({'a': n})\nprint(len(runwell.api._runs.open))"
    environment = {**os.environ, "RUNWELL_HOME": str(home), "RUNWELL_URL": "http://127.0.0.1:9"}
    done = subprocess.run([sys.executable, "-c", source], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and done.stdout == "3\n", done.stderr
    from runwell.frames import decode_frames

    ends: list[Event] = []
    for path in sorted((home / "spool").glob("*/*/*.seg")):
        ends.append(decode_frames(path.read_bytes(), torn=True).batch.events[-1])
    assert [(end["type"], end["state"]) for end in ends] == [("state", "finished")] * 3
