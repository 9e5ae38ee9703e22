"""`runwell export`: what it writes is what was logged, and `runwell diagnose` judges it as the server judged the run."""

from __future__ import annotations

import json
import math
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from dashboard.live import Hub
from dashboard.store import Store
from dashboard.watcher import Watcher
from runwell.cli import main
from runwell.wire import Batch, loads

LOSSES = [4.2, 5.1, 3.8, 6.2, 4.5, 7.8, 5.2, math.inf, math.nan, -math.inf]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("RUNWELL_DATABASE_URL", "RUNWELL_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RUNWELL_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def judged(home: Path) -> list[dict[str, Any]]:
    """A run in the store, judged as the server does it; its findings."""
    store = Store.open(home / "runwell.db")
    begin = {"type": "run", "time": 1e9, "project": "p", "config": {"max_steps": 10, "learning_rate": math.inf}}
    points = [
        {"type": "metrics", "step": s, "time": 1e9 + s, "train/loss": x, "train/learning_rate": 0.1} for s, x in enumerate(LOSSES)
    ]  # fmt: skip
    odd = {"type": "note", "time": 1e9, "whatever": [1, math.nan], "text": "Grüße\u2028"}
    store.append("r1", Batch("w", 1, (begin, *points, odd)))
    watcher = Watcher(store, Hub())
    watcher.start()
    watcher.drain(30)
    watcher.stop()
    found = [dict(record.body) for record in store.findings("r1")]
    store.close()
    return found


def test_every_event_comes_out_as_it_went_in(judged: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "r1"]) == 0
    lines = capsys.readouterr().out.split("\n")
    assert lines[-1] == "" and len(lines) == len(LOSSES) + 3, "one line an event, also with a line separator inside"
    events = [json.loads(line, parse_constant=lambda bare: pytest.fail(f"bare {bare}")) for line in lines[:-1]]
    shown = [event["train/loss"] for event in events if event["type"] == "metrics"]
    assert shown == [*LOSSES[:7], "Infinity", "NaN", "-Infinity"]
    assert events[0]["config"] == {"max_steps": 10, "learning_rate": "Infinity"}
    assert events[-1]["whatever"] == [1, "NaN"] and events[-1]["text"] == "Grüße\u2028"


def test_what_was_exported_is_judged_as_the_run_was(
    judged: list[dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "run.jsonl"
    assert main(["export", "r1", "--output", str(path)]) == 0
    assert capsys.readouterr().out == f"wrote {path}\n"
    assert main(["diagnose", str(path), "--format", "json"]) == 2
    (report,) = loads(capsys.readouterr().out)
    assert report["verdict"] == "critical" and "non-finite-loss" in [found["rule"] for found in report["findings"]]

    def told(findings: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
        keys = ("rule", "severity", "title", "first_step", "detected_step", "last_step", "evidence", "causes")
        return sorted(tuple(json.dumps(found[key]) for key in keys) for found in findings)

    assert told(report["findings"]) == told(judged)


def test_a_damaged_store_leaves_no_half_a_file(
    judged: list[dict[str, Any]], home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(sqlite3.connect(home / "runwell.db")) as connection:
        connection.execute("UPDATE blocks SET steps = x'7a'")
        connection.commit()
    assert main(["export", "r1", "--output", str(tmp_path / "run.jsonl")]) == 1
    assert "restore a backup" in capsys.readouterr().err and list(tmp_path.glob("run*")) == []


def test_an_ending_that_is_no_format_is_told_what_it_gets(
    judged: list[dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, told in (("run.xyz", 1), ("run", 1), ("run.jsonl", 0)):
        assert main(["export", "r1", "--output", str(tmp_path / name)]) == 0
        assert (tmp_path / name).read_text().startswith('{"time"')
        assert capsys.readouterr().err.count("ends in none of .jsonl, .csv and .parquet: it gets JSON lines") == told
    assert main(["export", "r1", "--output", str(tmp_path / "run.txt"), "--format", "csv"]) == 0
    assert capsys.readouterr().err == ""


def test_no_store_no_run_and_no_place_are_one_sentence_each_and_leave_nothing(
    judged: list[dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = tmp_path / "nowhere"
    for argv, sentence in (
        (["r1", "--home", str(nowhere)], f"there is no store at {nowhere / 'runwell.db'}; say where it lies with --home"),
        (["r2"], "there is no run 'r2'"),
        (["r1", "--output", str(nowhere / "x.jsonl")], f"cannot write {nowhere / 'x.jsonl'}: No such file or directory"),
    ):  # fmt: skip
        assert main(["export", *argv]) == 1
        error = capsys.readouterr().err
        assert error.startswith(f"runwell export: {sentence}") and error.count("\n") == 1
    assert not nowhere.exists()
