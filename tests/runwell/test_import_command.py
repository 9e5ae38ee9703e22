"""`runwell export` and `runwell import`: what goes out comes back, and of a file that is broken nothing is stored."""

from __future__ import annotations

import gzip
import math
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from dashboard.store import Store
from runwell.cli import main
from runwell.wire import Batch

POINTS: list[dict[str, Any]] = [
    {"type": "metrics", "step": 0, "time": 1e9, "a": 0.1, "b": math.nan},
    {"type": "metrics", "step": 2**53, "time": 1e9 + 0.25, "a": math.inf},
    {"type": "metrics", "step": 1, "time": 1e9 + 0.5, "b": -math.inf, 'odd, "name"': 5e-324},
]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("RUNWELL_DATABASE_URL", raising=False)
    monkeypatch.setenv("RUNWELL_HOME", str(tmp_path / "home"))
    rest = [
        {"type": "sample", "step": 1, "time": 1e9, "prompt": "p", "text": "t"},
        {"type": "note", "time": 1e9, "x": [1]},
    ]
    with closing(Store.open(tmp_path / "home" / "runwell.db")) as store:
        begin = {"type": "run", "name": "n", "pid": 5, "config": {"lr": 1.0}, "time": 1e9}
        store.append(
            "r1", Batch("w", 1, (begin, *POINTS, *rest, {"type": "state", "state": "crashed", "time": 1e9 + 9}))
        )
    return tmp_path / "home"


def imported(home: Path) -> list[tuple[Any, list[dict[str, Any]]]]:
    """The runs that were imported, each with its events."""
    with closing(Store.open(home / "runwell.db")) as store:
        return [(run, [event for _, event in store.replay(run.id)]) for run in store.runs(project="imported")]


def test_a_late_writer_from_before_a_resume_is_not_in_a_table(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What a killed process had left in its spool, and the next run on that machine sent."""
    with closing(Store.open(home / "runwell.db")) as store:
        old = [{"type": "metrics", "step": step, "time": float(step), "a": 1.0} for step in range(10)]
        store.append("r2", Batch("w", 1, ({"type": "run", "time": 0.0}, *old[:6])))
        resumed = ({"type": "rewind", "step": 3, "time": 20.0}, {"type": "metrics", "step": 4, "time": 21.0, "a": 2.0})
        store.append("r2", Batch("v", 1, resumed))
        store.append("r2", Batch("w", 8, tuple(old[6:])))
        seen = store.series("r2", "a")
    assert main(["export", "r2", "--format", "csv"]) == 0
    rows = [line.split(",") for line in capsys.readouterr().out.splitlines()[1:]]
    assert [(int(step), float(value)) for step, _, value in rows] == list(zip(seen.step, seen.last, strict=True))


def test_a_name_that_a_table_cannot_keep_is_said(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "r1", "--format", "csv"]) == 0 and capsys.readouterr().err == ""
    with closing(Store.open(home / "runwell.db")) as store:
        store.append("r1", Batch("v", 1, ({"type": "metrics", "step": 1, "time": 1e9, "seed": 1.0, " b": 2.0},)))
    assert main(["export", "r1", "--format", "csv"]) == 0
    said = capsys.readouterr().err
    assert "may take 'b', 'seed', ' b' for the name of a run" in said and "jsonl and parquet keep every name" in said
    with closing(Store.open(home / "runwell.db")) as store:
        for run_id, names in (
            ("r2", ("step ", "loss")),
            ("r3", ("metric", "value", "loss")),
            ("r4", ("nan", "0", "lr")),
        ):
            numbers = dict.fromkeys(names, 0.25)
            store.append(
                run_id, Batch("w", 1, ({"type": "run"}, {"type": "metrics", "step": 1, "time": 1e9, **numbers}))
            )
    told = []
    for run_id in ("r2", "r3", "r4"):
        assert main(["export", run_id, "--format", "csv"]) == 0
        told.append(capsys.readouterr().err)
    assert "may take 'step ' for" in told[0] and "may take 'metric', 'value' for" in told[1] and told[2] == ""


def test_a_series_that_is_called_like_a_number_comes_back_from_a_table(home: Path, tmp_path: Path) -> None:
    point = {"type": "metrics", "step": 1, "time": 1e9, "0": 2.0, "nan": 3.0}
    with closing(Store.open(home / "runwell.db")) as store:
        store.append("r2", Batch("w", 1, ({"type": "run"}, point)))
    assert main(["export", "r2", "--output", str(tmp_path / "r2.csv")]) == 0
    assert main(["import", str(tmp_path / "r2.csv")]) == 0
    ((_, events),) = imported(home)
    assert [event for event in events if event["type"] == "metrics"] == [point]


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_every_number_comes_back(home: Path, tmp_path: Path, form: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / f"run.{form}"
    assert main(["export", "r1", "--output", str(path)]) == 0 and list(tmp_path.glob("*.part")) == []
    assert main(["import", str(path)]) == 0
    ((run, events),) = imported(home)
    assert f"{path}: run {run.id}, " in capsys.readouterr().out
    assert repr([event for event in events if event["type"] == "metrics"]) == repr(POINTS)
    assert (run.name, run.project, run.pid) == (path.name, "imported", None)
    whole = form == "jsonl"
    assert run.state.value == ("crashed" if whole else "finished") and dict(run.config) == (
        {"lr": 1.0} if whole else {}
    )
    assert {"sample", "note"} <= {event["type"] for event in events} or not whole


def test_rows_that_a_resume_has_hidden_are_left_out_of_tables(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(Store.open(home / "runwell.db")) as store:
        points = [{"type": "metrics", "step": step, "time": 1.0, "a": 1.0} for step in range(4)]
        again = {"type": "metrics", "step": 2, "time": 2.0, "a": 9.0}
        store.append("r2", Batch("w", 1, ({"type": "run"}, *points, {"type": "rewind", "step": 1, "time": 1.5}, again)))
    assert main(["export", "r2", "--format", "csv"]) == 0
    assert capsys.readouterr().out == "step,time,a\n0,1.0,1.0\n1,1.0,1.0\n2,2.0,9.0\n"


def test_a_table_holds_the_points_that_the_curves_show(home: Path, tmp_path: Path) -> None:
    """Of a step that was logged again after a resume, the newer numbers; what was not logged again stays."""

    def points(steps: Any, time: float, **values: float) -> list[dict[str, Any]]:
        return [{"type": "metrics", "step": step, "time": time, **values} for step in steps]

    with closing(Store.open(home / "runwell.db")) as store:
        old = [*points(range(12), 1.0, a=1.0, b=1.0), {"type": "rewind", "step": 8, "time": 2.0}]
        new = [*points(range(7, 11), 3.0, a=2.0), {"type": "rewind", "step": 9, "time": 4.0}]
        events = [{"type": "run"}, *old, *new, *points([9, 10], 5.0, a=3.0), *points([8], 5.0, a=4.0, b=4.0)]
        store.append("r2", Batch("w", 1, tuple(events)))
        shown = [store.series("r2", name) for name in ("a", "b")]
    assert main(["export", "r2", "--output", str(tmp_path / "r2.csv")]) == 0
    assert main(["import", str(tmp_path / "r2.csv")]) == 0
    ((run, _),) = imported(home)
    with closing(Store.open(home / "runwell.db")) as store:
        for name, seen in zip(("a", "b"), shown, strict=True):
            back = store.series(run.id, name)
            assert (back.step.tolist(), back.last.tolist()) == (seen.step.tolist(), seen.last.tolist()), name


def test_a_parquet_file_needs_a_name(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "r1", "--format", "parquet"]) == 2
    assert "say where it goes with --output FILE" in capsys.readouterr().err


BROKEN = {
    "half.jsonl": (b'{"type":"metrics","step":1,"a":1}\n{"type":"metr\n', "line 2"),
    "step.jsonl": (b'{"type":"metrics","step":1,"a":1}\n{"type":"metrics","step":-5,"a":1}\n', "line 2: step = -5"),
    "bad.csv": (b"step,a\n1,2.5\n2,x\n", "line 3"),
    "cut.jsonl.gz": (gzip.compress(b'{"type":"metrics","step":1,"a":1}\n' * 99)[:-12], "cut off or damaged"),
    "no.parquet": (b"PAR1 and then nothing", "cannot be read as Parquet"),
    "empty.jsonl": (b"", "is empty"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_of_a_broken_file_nothing_is_stored(
    home: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    content, said = BROKEN[name]
    (tmp_path / name).write_bytes(content)
    (tmp_path / "good.csv").write_text("step,a\n1,2.5\n")
    assert main(["import", str(tmp_path / name), str(tmp_path / "good.csv")]) == 1
    shown = capsys.readouterr()
    assert said in shown.err and shown.err.count("\n") == 1 and name in shown.err
    assert [run.name for run, _ in imported(home)] == ["good.csv"]


def test_a_table_without_steps_is_refused(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table({"a": [1.0]}), tmp_path / "a.parquet")
    assert main(["import", str(tmp_path / "a.parquet")]) == 1
    assert "has no column `step`, only a" in capsys.readouterr().err and imported(home) == []


def test_a_table_without_rows_is_refused(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import pyarrow
    import pyarrow.parquet

    path = tmp_path / "none.parquet"
    columns = {"step": pyarrow.array([], pyarrow.int64()), "loss": pyarrow.array([], pyarrow.float64())}
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    assert main(["import", str(path)]) == 1
    assert "holds no records; nothing of it was stored" in capsys.readouterr().err and imported(home) == []


def test_an_imported_run_is_judged(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "sick.jsonl"
    path.write_text(
        "".join(f'{{"step": {step}, "loss": {"NaN" if step > 30 else 4 - step / 20}}}\n' for step in range(60))
    )
    assert main(["import", str(path)]) == 0
    ((run, _),) = imported(home)
    with closing(Store.open(home / "runwell.db")) as store:
        assert "non-finite-loss" in {found.rule for found in store.findings(run.id)}
    rows = len(path.read_text().splitlines())
    assert run.verdict == "critical" and f", {rows} records, critical\n" in capsys.readouterr().out


def test_records_without_a_time_come_when_those_around_them_did(home: Path, tmp_path: Path) -> None:
    lines = ['{"type":"config","config":{"max_steps":60}}']
    for step in range(60):
        lines.append(f'{{"type":"metrics","step":{step},"time":{step / 10},"train/loss":{4 - step / 20}}}')
        lines += [f'{{"type":"checkpoint","step":{step},"path":"c"}}'] if step % 20 == 19 else []
    (tmp_path / "relative.jsonl").write_text("\n".join(lines))
    assert main(["import", str(tmp_path / "relative.jsonl")]) == 0
    ((run, _),) = imported(home)
    with closing(Store.open(home / "runwell.db")) as store:
        assert [entry.time for entry in store.timeline(run.id, ["checkpoint"])] == [1.9, 3.9, 5.9]
        assert (run.started_at, run.ended_at) == (0.0, 5.9)
        assert "stalled-run" not in {found.rule for found in store.findings(run.id)}


def test_series_are_stored_under_the_names_of_what_they_are(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "x.csv"
    log.write_text("step,Verlust,lr\n1,3.5,0.1\n2,nan,0.1\n")
    assert main(["import", str(log), "--map", "Verlust=train_loss", "--map", "absent=val_loss"]) == 0
    said = capsys.readouterr()
    assert said.out.endswith("critical\n") and "has no series 'absent', which --map names" in said.err
    ((_, events),) = imported(home)
    assert next(event["train/loss"] for event in events if event["type"] == "metrics") == 3.5
    log.write_text("step,Verlust,train/loss\n1,3.5,0.1\n")
    for pair, why in (
        (
            "Verlust=train_loss",
            "--map Verlust: there is a series train/loss beside it already; nothing of it was stored",
        ),
        ("Verlust=", "--map Verlust= names no role, and an import leaves no series out"),
        ("Verlust=los", "--map: 'Verlust' is mapped to 'los', which is no role"),
    ):
        assert main(["import", str(log), "--map", pair]) == 1
        assert why in capsys.readouterr().err
    assert len(imported(home)) == 1


def test_a_loss_that_ends_before_its_log_is_told(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What becomes of NaN where it is written as null."""
    rows = [f'{{"step": {at}, "loss": {3.0 if at < 50 else "null"}, "lr": 0.001}}' for at in range(100)]
    (tmp_path / "nulls.jsonl").write_text("\n".join(rows) + "\n")
    assert main(["import", str(tmp_path / "nulls.jsonl")]) == 0
    assert "training loss ends at step 49, the log does not" in capsys.readouterr().err
