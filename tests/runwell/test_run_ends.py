"""How a run begins and ends, and what becomes of its records: with a server, without one, and with one that comes late."""

from __future__ import annotations

import logging
import math
import threading
from pathlib import Path
from typing import Any

import pytest

import runwell
from runwell import api
from runwell.ending import end_of
from runwell.run import Run
from runwell.spool import Spool
from tests.logged import points, stored


def test_where_the_run_is_is_printed(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = runwell.init()
    run.finish(timeout=0)
    assert capsys.readouterr().err == f"runwell: run {run.id} is at http://127.0.0.1:9/run/{run.id}\n"


def test_a_run_that_has_ended_takes_nothing_and_says_so(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    run.finish(timeout=0)
    run.finish("crashed", timeout=0)
    caplog.clear()
    run.log({"a": 1})
    run.log({"a": 1})
    run.sample("p", "t")
    assert [record.message.partition(": ")[2].partition(":")[0] for record in caplog.records] == [
        "log() wrote nothing",
        "the sample record was not written",
    ]
    assert [event["state"] for event in stored(run) if event["type"] == "state"] == ["finished"]


def test_who_does_not_want_to_wait_for_the_end_of_one_run_costs_no_other_its_last_word(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(timeout: float) -> int:
        raise KeyboardInterrupt

    first, second = runwell.init(), runwell.init()
    waited: list[float] = []
    monkeypatch.setattr(first._writer.sender, "finish", interrupted)
    monkeypatch.setattr(second._writer.sender, "finish", lambda timeout: waited.append(timeout) or 0)
    api._leaving.ends()
    assert [stored(run)[-1]["state"] for run in (first, second)] == ["finished", "finished"] and waited == [0.0]


def test_nothing_is_written_after_a_runs_last_word(run: Run) -> None:
    assert run.say_end("finished") and not run.say_end("crashed")
    run.log({"a": 1}, step=1)
    run.output("and another thing")
    assert [event["type"] for event in stored(run)] == ["run", "state"]
    run.leave(0)


def test_a_device_that_hangs_keeps_nobody_from_leaving_at_once(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run._late, "settle", lambda: pytest.fail("it waits for the device"))
    api._leaving.is_cut_off(9)
    end = stored(run)[-1]
    assert (end["state"], end["reason"]) == ("crashed", "left by os._exit(9)")


def test_a_thread_that_holds_a_run_up_keeps_nobody_from_leaving(run: Run) -> None:
    inside, done = threading.Event(), threading.Event()

    def hold() -> None:
        assert isinstance(run._spool, Spool)
        with run._spool.lock:
            inside.set()
            done.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    inside.wait(60)
    assert not run.is_free(0.01)
    done.set()
    thread.join()
    assert run.is_free(0.01)


def test_without_a_server_the_end_says_where_the_records_are(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    run.log({"a": 1})
    run.finish()
    (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "the server at http://127.0.0.1:9 has not taken everything (it does not answer" in record.message
    assert f"3 records wait in {run._environment.spool / run.id}" in record.message
    assert record.message.endswith("they are sent by the next run or by `runwell sync`")
    assert [event["type"] for event in stored(run)] == ["run", "metrics", "state"]


@pytest.mark.parametrize(
    ("error", "end"),
    [
        (None, ("finished", "")),
        (TypeError("bad\nthing"), ("crashed", "TypeError: bad\nthing")),
        (ValueError(), ("crashed", "ValueError")),
        (KeyboardInterrupt(), ("stopped", "interrupted from the keyboard")),
        (SystemExit(0), ("finished", "")),
        (SystemExit(3), ("crashed", "SystemExit: 3")),
    ],
)
def test_how_a_run_ends(home: Path, error: BaseException | None, end: tuple[str, str]) -> None:
    assert end_of(type(error) if error else None, error) == end
    run = runwell.init()
    run._writer.sender.finish(0)  # nobody to send to: keeps the test short
    if error is None:
        with run:
            run.log({"a": 1})
    else:
        with pytest.raises(type(error)), run:
            raise error
    state = stored(run)[-1]
    assert (state["type"], state["state"], state["reason"]) == ("state", *end)


def test_the_module_acts_on_the_current_run(home: Path) -> None:
    with pytest.raises(runwell.NoRun, match=r"there is no run: call runwell.init\(project=…\) first"):
        runwell.log({"a": 1})
    outer, inner = runwell.init("outer"), runwell.init("inner")
    runwell.log({"a": 1})
    inner.finish(timeout=0)
    runwell.log({"b": 1})
    assert points(inner) == [{"step": 0, "a": 1.0}] and points(outer) == [{"step": 0, "b": 1.0}]
    outer.finish(timeout=0)
    with pytest.raises(runwell.NoRun):
        runwell.finish()


def test_runs_that_have_ended_are_let_go(home: Path) -> None:
    for _ in range(3):
        runwell.init().finish(timeout=0)
    last = runwell.init()
    assert api._runs.open == [last]
    last.finish(timeout=0)


def test_ids(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert api.new_run_id(0.0).startswith("19700101-000000-") and len(api.new_run_id()) == 22
    assert api.new_run_id(0.0) != api.new_run_id(0.0)
    monkeypatch.setenv("RUNWELL_RUN_ID", "given")
    given, resumed = runwell.init(), runwell.init(resume="older")
    assert (given.id, resumed.id) == ("given", "older")
    assert given.url == "http://127.0.0.1:9/run/given"
    for run in (given, resumed):
        run.finish(timeout=0)
    with pytest.raises(runwell.WireError, match=r"run id '\.\./x' is not allowed"):
        runwell.init(resume="../x")


def test_a_bad_address_sends_nowhere_and_says_so(
    home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("RUNWELL_URL", "localhost")
    run = runwell.init()
    run.log({"a": 1})
    run.finish()
    assert "RUNWELL_URL = 'localhost' is not allowed" in caplog.text and "records wait in the spool" in caplog.text
    assert "3 records wait" in caplog.text
    with pytest.raises(runwell.SettingError, match="RUNWELL_URL"):
        runwell.init(strict=True)


def test_a_folder_that_cannot_be_written_costs_no_training(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    home.write_text("a file where the folder should be")
    run = runwell.init()
    run.log({"a": math.nan})
    run.finish()
    assert "cannot be written" in caplog.text and "records are kept in memory" in caplog.text
    assert "3 records were in memory only and are lost" in caplog.text


def test_what_is_in_memory_is_told_from_what_waits_on_disk(
    run: Run, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.log({"a": 1})
    assert isinstance(run._spool, Spool)
    monkeypatch.setattr(run._spool, "in_memory_after", lambda acked: 1)
    run.finish(timeout=0)
    assert "2 records wait in " in caplog.text and "; 1 records were in memory only and are lost" in caplog.text


def test_from_memory_everything_still_arrives(
    home: Path, make_server: Any, collector: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.write_text("a file where the folder should be")
    monkeypatch.setenv("RUNWELL_URL", make_server().url)
    run = runwell.init()
    for step in range(100):
        run.log({"a": math.nan, "b": -math.inf}, step=step)
    run.finish()
    assert collector.steps(run.id) == list(range(100))


def test_nan_and_infinities_reach_the_server(
    home: Path, make_server: Any, collector: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNWELL_URL", make_server().url)
    with runwell.init() as run:
        run.log({"n": math.nan, "p": math.inf, "m": -math.inf}, step=1)
        run.checkpoint("x", 1, val_loss=math.nan)
    _, metrics, checkpoint, state = collector.of(run.id)
    assert math.isnan(metrics["n"]) and metrics["p"] == math.inf and metrics["m"] == -math.inf
    assert math.isnan(checkpoint["val_loss"]) and state["state"] == "finished"
    assert list((home / "spool").iterdir()) == [], "what the server has is not kept"


def test_a_server_that_comes_late_gets_everything_once(
    home: Path, make_server: Any, collector: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = make_server().server_port
    monkeypatch.setenv("RUNWELL_URL", f"http://127.0.0.1:{port}")
    collector.away = True
    run = runwell.init()
    for step in range(500):
        run.log({"a": step}, step=step)
        if step == 250:
            collector.away = False
    run.flush(30)
    collector.lose_answers = True
    run.log({"a": 1}, step=500)
    collector.wait_for(lambda: 500 in collector.steps(run.id))
    collector.lose_answers = False
    run.finish()
    assert collector.steps(run.id) == list(range(501))


def test_the_next_run_sends_what_the_last_one_could_not(
    home: Path, make_server: Any, collector: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = make_server()
    monkeypatch.setenv("RUNWELL_URL", server.url)
    collector.away = True
    first = runwell.init()
    first.log({"a": math.nan}, step=3)
    first.finish()
    collector.away = False
    second = runwell.init()
    collector.wait_for(lambda: len(collector.of(first.id)) == 3)
    second.finish()
    assert [event["type"] for event in collector.of(first.id)] == ["run", "metrics", "state"]
    assert list((home / "spool").iterdir()) == []


def test_commands_come_once_each(home: Path, make_server: Any, collector: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNWELL_URL", make_server().url)
    command = {"id": 4, "kind": "set", "args": {"learning_rate_factor": 0.5}}
    run = runwell.init()
    assert run.commands() == []
    collector.commands = [command]
    for step in range(3):
        run.log({"a": 1}, step=step)
        run.flush(30)
    assert run.commands() == [command] and run.commands() == []
    run.acknowledge(4, True, "halved", step=2)
    run.finish()
    assert [event["command"] for event in collector.of(run.id) if event["type"] == "ack"] == [4]
