"""Several runs in one file: one is read and the others are named; a run that was resumed under another name is still one."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from runwell.apart import OneRun
from runwell.cli import main
from runwell.runlog import UnreadableLog, read_events


def read(text: str, one: OneRun | None = None) -> tuple[list[dict[str, Any]], list[str]]:
    told: list[str] = []
    return list(read_events(io.StringIO(text, newline=""), name="t", on_problem=told.append, one=one)), told


ROWS = [(run, step, 4.5 - step / 10 + at) for at, run in enumerate(("base", "fast", "wide")) for step in range(5)]
MIXED = sorted(ROWS, key=lambda row: row[1])


@pytest.mark.parametrize("rows", [ROWS, MIXED])
@pytest.mark.parametrize("column", ["run", "Run_ID", "seed", "optimizer"])
def test_the_first_run_of_a_table_is_read_and_the_others_are_named(rows: list[Any], column: str) -> None:
    text = f"{column},step,loss\n" + "".join(f"{run},{step},{loss}\n" for run, step, loss in rows)
    events, told = read(text)
    assert [(event["step"], event["loss"]) for event in events] == [(step, 4.5 - step / 10) for step in range(5)]
    assert len(told) == 1 and f"`{column}`" in told[0] and "base, not fast, wide" in told[0]


@pytest.mark.parametrize("rows", [ROWS, MIXED])
def test_json_lines_of_several_runs(rows: list[Any]) -> None:
    text = "".join(json.dumps({"run": run, "step": step, "loss": loss}) + "\n" for run, step, loss in rows)
    events, told = read(text, OneRun("wide"))
    assert told == [] and [event["loss"] for event in events] == [6.5 - step / 10 for step in range(5)]


def test_columns_of_several_runs() -> None:
    text = "Step,a-1 - train/loss,a-1 - train/loss__MIN,b-2 - train/loss,b-2 - train/loss__MIN\n0,4.5,4,5.5,5\n1,4.25,4,5.25,5\n"
    events, told = read(text)
    assert [event["train/loss"] for event in events] == [4.5, 4.25] and "a-1, not b-2" in told[0]
    assert [event["train/loss"] for event in read(text, OneRun("b-2"))[0]] == [5.5, 5.25]


def test_a_run_resumed_under_another_name_is_one_run() -> None:
    rows = [*(("a", step) for step in range(100)), *(("b", step) for step in range(90, 200))]
    events, told = read("run,step,loss\n" + "".join(f"{run},{step},{4 - step / 100}\n" for run, step in rows))
    assert told == [] and len(events) == 210


def test_a_column_that_changes_with_each_row_tells_no_runs_apart() -> None:
    events, told = read("step,seed,loss\n" + "".join(f"{step},{step * 7},{4 - step / 100}\n" for step in range(50)))
    assert told == [] and len(events) == 50


def test_a_name_that_no_row_has_is_refused_with_those_there_are() -> None:
    with pytest.raises(UnreadableLog, match=r"names no run 'x'; it names base, fast, wide"):
        read("run,step,loss\n" + "".join(f"{run},{step},{loss}\n" for run, step, loss in ROWS), OneRun("x"))


def test_diagnose_judges_each_run_of_a_table_and_import_asks_for_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNWELL_HOME", str(tmp_path / "home"))
    path = tmp_path / "runs.csv"
    path.write_text(
        "run,step,loss\n" + "".join(f"{run},{step},{loss}\n" for run, step, loss in [*ROWS, ("wide", 5, "nan")])
    )
    assert main(["diagnose", str(path), "--format", "json"]) == 2
    reports = json.loads(capsys.readouterr().out)
    assert [(report["source"], report["verdict"]) for report in reports] == [
        (f"{path} (base)", "healthy"), (f"{path} (fast)", "healthy"), (f"{path} (wide)", "critical"),
    ]  # fmt: skip
    assert main(["diagnose", str(path), "--run", "fast"]) == 0
    assert main(["import", str(path)]) == 1
    assert "name another with --run" in capsys.readouterr().err
    assert main(["import", str(path), "--run", "wide"]) == 0
