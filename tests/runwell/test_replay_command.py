"""`runwell replay`: today's rules over stored runs, held against what the server stored. Nothing is written."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from dashboard.live import Hub
from dashboard.store import Store
from dashboard.watcher import Watcher
from runwell.cli import main
from runwell.commands.replay import compare
from runwell.wire import Batch

SPIKY = [*(4.0 - 0.01 * step for step in range(100)), *[9.0] * 5, *[3.0] * 40]
BLOWN = [4.2, 4.1, 4.0, 3.9, math.nan, math.inf]
CALM = "[projects.tiny.loss-spike]\nrise = 1e6\n"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home whose store holds two runs of two projects, judged as the server does it."""
    for name in ("RUNWELL_DATABASE_URL", "RUNWELL_DATA"):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "home"
    monkeypatch.setenv("RUNWELL_HOME", str(home))
    store = Store.open(home / "runwell.db")
    for run_id, losses in (("tiny", SPIKY), ("large", BLOWN)):
        begin: dict[str, Any] = {"type": "run", "time": 1e9, "project": run_id, "config": {"vocab_size": 65}}
        points = [{"type": "metrics", "step": n, "time": 1e9 + n, "train/loss": x} for n, x in enumerate(losses)]
        store.append(run_id, Batch("w", 1, (begin, *points)))
    watcher = Watcher(store, Hub())
    watcher.start()
    watcher.drain(30)
    watcher.stop()
    store.close()
    return home


def answers(capsys: Any, *flags: str) -> tuple[int, dict[str, Any]]:
    status = main(["replay", "--format", "json", *flags])
    text = capsys.readouterr().out
    found = json.loads(text, parse_constant=lambda bare: pytest.fail(f"bare {bare}"))
    return status, {answer["run"]: answer for answer in found}


def test_the_same_rules_come_to_the_same(home: Path, capsys: Any) -> None:
    status, found = answers(capsys)
    assert status == 0 and set(found) == {"tiny", "large"}
    assert all(not (answer["added"] or answer["gone"] or answer["changed"]) for answer in found.values())
    assert found["large"]["verdict"] == {"before": "critical", "after": "critical"}
    assert main(["replay"]) == 0
    assert capsys.readouterr().out == "2 runs replayed, none differ\n"


def test_other_thresholds_are_tried_and_nothing_is_written(home: Path, tmp_path: Path, capsys: Any) -> None:
    settings = tmp_path / "tried.toml"
    settings.write_text(CALM)
    before = stored(home)
    status, found = answers(capsys, "--settings", str(settings))
    assert status == 1
    assert [finding["rule"] for finding in found["tiny"]["gone"]] == ["loss-spike"]
    assert not found["large"]["gone"], "another project's thresholds are its own"
    assert main(["replay", "--settings", str(settings)]) == 1
    out = capsys.readouterr().out
    assert "  - " in out and "[loss-spike, known at step 10" in out
    assert out.endswith("2 runs replayed, 1 differs\n")
    assert stored(home) == before


def test_the_settings_file_of_the_home_counts(home: Path, capsys: Any) -> None:
    (home / "rules.toml").write_text(CALM)
    assert answers(capsys)[0] == 1
    assert answers(capsys, "large")[0] == 0, "only the runs that were named"
    assert set(answers(capsys, "--project", "tiny")[1]) == {"tiny"}


def test_what_came_after_the_stored_verdict_is_left_out(home: Path, capsys: Any) -> None:
    store = Store.open(home / "runwell.db")
    store.append("tiny", Batch("w", 2 + len(SPIKY), ({"type": "metrics", "step": 500, "time": 2e9, "train/loss": math.nan},)))  # fmt: skip
    store.close()
    assert answers(capsys, "tiny")[0] == 0


def test_a_run_that_was_never_judged_shows_all_its_findings(home: Path, capsys: Any) -> None:
    store = Store.open(home / "runwell.db")
    points = tuple({"type": "metrics", "step": n, "time": 1e9, "train/loss": x} for n, x in enumerate(BLOWN))
    store.append("new", Batch("w", 1, ({"type": "run", "time": 1e9}, *points)))
    store.close()
    status, found = answers(capsys, "new")
    assert status == 1 and found["new"]["verdict"] == {"before": "unknown", "after": "critical"}
    (added,) = [finding for finding in found["new"]["added"] if finding["rule"] == "non-finite-loss"]
    assert added["evidence"][0]["observed"] == "NaN"


def test_a_muted_finding_stays_muted(home: Path, capsys: Any) -> None:
    store = Store.open(home / "runwell.db")
    for record in store.findings("large"):
        store.set_finding_status("large", record.rule, record.subject, "muted")
    store.set_verdict("large", "healthy")
    store.close()
    assert answers(capsys, "large")[0] == 0


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["nobody"], "nobody"),
        (["--settings", "none.toml"], "--settings none.toml cannot be read: No such file"),
        (["--home", "elsewhere"], "there is no store at "),
    ],
)
def test_bad_input_gets_one_sentence(
    home: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch, flags: list[str], sentence: str
) -> None:
    monkeypatch.chdir(home)
    assert main(["replay", *flags]) == 2
    said = capsys.readouterr()
    assert said.err.startswith("runwell replay: ") and sentence in said.err
    assert said.err.count("\n") == 1 and said.out == ""


def test_findings_are_compared_by_what_a_reader_acts_on() -> None:
    finding = {"rule": "plateau", "subject": "", "severity": "info", "status": "open", "confidence": 0.5, "title": "a"}
    worse = {**finding, "severity": "warning", "confidence": 0.9, "title": "b"}
    other = {**finding, "subject": "x"}
    assert compare([finding], [{**finding, "confidence": 0.9, "title": "b"}]) == ([], [], [])
    assert compare([finding], [worse, other]) == ([other], [], [(worse, {"severity": ("info", "warning")})])
    assert compare([finding, other], [finding]) == ([], [other], [])


def stored(home: Path) -> tuple[list[Any], list[Any]]:
    """Everything that a judgement writes, as plain values."""
    store = Store.open(home / "runwell.db")
    try:
        runs = store.runs()
        verdicts = [(run.id, run.verdict, repr(store.coverage(run.id))) for run in runs]
        return verdicts, [repr(record) for run in runs for record in store.findings(run.id)]
    finally:
        store.close()
