"""`runwell sql`, `backup` and `prune`: what they print, what they leave alone, and one sentence for each mistake."""

from __future__ import annotations

import math
from contextlib import closing
from pathlib import Path

import pytest

from dashboard.store import Store
from runwell.cli import main
from runwell.wire import Batch, loads

DAY = 86_400.0
NOW = 1_800_000_000.0


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store with four runs, a day apart; the newest goes on."""
    monkeypatch.delenv("RUNWELL_DATABASE_URL", raising=False)
    monkeypatch.setenv("RUNWELL_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("time.time", lambda: NOW)
    moment = [NOW]
    with closing(Store.open(tmp_path / "home" / "runwell.db", lambda: moment[0])) as store:
        for number, state in enumerate(["running", "finished", "crashed", "finished"]):
            moment[0] = NOW - DAY * number
            points = [
                {"type": "metrics", "step": step, "time": NOW, "loss": value} for step, value in enumerate(VALUES)
            ]
            end = {"type": "state", "state": state, "time": NOW + 1}
            store.append(f"r{number}", Batch("w", 1, ({"type": "run", "name": f"n{number}"}, *points, end)))
    return tmp_path / "home"


VALUES = [1.5, math.nan, math.inf]


def runs_of(home: Path) -> list[str]:
    with closing(Store.open(home / "runwell.db")) as store:
        return [run.id for run in store.runs()]


def test_an_answer_as_table_csv_and_json(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    question = "SELECT step, value FROM points WHERE run = 'r1' ORDER BY step"
    assert main(["sql", question]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "step  value",
        "----  --------",
        "0     1.5",
        "1     NaN",
        "2     Infinity",
    ]
    assert main(["sql", question, "--format", "csv"]) == 0
    assert capsys.readouterr().out == "step,value\n0,1.5\n1,NaN\n2,Infinity\n"
    assert main(["sql", question, "--format", "json", "--limit", "2"]) == 0
    said = capsys.readouterr()
    assert loads(said.out) == [{"step": 0, "value": 1.5}, {"step": 1, "value": "NaN"}]
    assert said.err == "runwell sql: only the first 2 rows are shown; --limit gives more\n"
    assert main(["sql", "SELECT CAST('ab' AS BLOB) AS b", "--format", "json"]) == 0
    assert loads(capsys.readouterr().out) == [{"b": "6162"}]


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("DROP TABLE runs", "only SELECT is answered here"),
        ("SELECT x FROM points", "SQL: no such column: x. There are: runs ("),
    ],
)
def test_what_cannot_be_answered_is_one_sentence(
    home: Path, capsys: pytest.CaptureFixture[str], question: str, said: str
) -> None:
    assert main(["sql", question]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"runwell sql: {said}") and error.count("\n") == 1 and len(runs_of(home)) == 4


def test_a_backup_goes_beside_the_store_or_where_it_is_told(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["backup"]) == 0
    (made,) = (home / "backups").glob("runwell-*.db")
    assert capsys.readouterr().out.startswith(f"wrote {made} (")
    target = tmp_path / "mine.db"
    assert main(["backup", str(target)]) == 0
    with closing(Store.open(target)) as copy:
        assert len(copy.runs()) == 4
    capsys.readouterr()
    assert main(["backup", str(target)]) == 1
    assert (
        capsys.readouterr().err
        == f"runwell backup: {target} exists; a backup never writes over a file, give another name\n"
    )


def test_prune_says_first_and_deletes_only_when_told(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prune", "--older-than", "1.5"]) == 0
    assert (
        capsys.readouterr().out
        == "would delete r2  n2  crashed\nwould delete r3  n3  finished\n2 runs would go; --yes deletes\n"
    )
    assert runs_of(home) == ["r0", "r1", "r2", "r3"]
    assert main(["prune", "--older-than", "1.5", "--state", "finished", "--yes"]) == 0
    assert capsys.readouterr().out == "deleting r3  n3  finished\n1 run deleted\n"
    assert runs_of(home) == ["r0", "r1", "r2"]
    assert main(["prune", "--keep", "1", "--yes"]) == 0
    assert runs_of(home) == ["r0", "r1"], "the newest that has ended is kept, and the one that goes on"
    capsys.readouterr()
    assert main(["prune", "r0", "r1", "--yes"]) == 0
    assert capsys.readouterr().err == "keeping r0  n0  running: stop it first\n"
    assert runs_of(home) == ["r0"], "a run that goes on is never deleted"


def test_prune_tells_of_the_files_and_deletes_them_when_told(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for run_id in ("r1", "r2", "r3"):
        (home / "runs" / run_id / "checkpoints").mkdir(parents=True)
        (home / "runs" / run_id / "checkpoints" / "model").write_bytes(bytes(10**6))
    held = "2.0 MB of checkpoints and output"
    for flags, said in (
        ([], f"{held} would stay in {home / 'runs'}; --checkpoints deletes them as well"),
        (["--checkpoints"], f"{held} would go as well"),
        (["--checkpoints", "--yes"], f"{held} deleted as well"),
    ):
        assert main(["prune", "r2", "r3", *flags]) == 0
        assert capsys.readouterr().out.splitlines()[-1] == said
    assert main(["prune", "r1", "--yes"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("1.0 MB of checkpoints and output stay in ")
    assert sorted(path.name for path in (home / "runs").iterdir()) == ["r1"] and runs_of(home) == ["r0"]


def test_prune_without_a_choice_deletes_nothing(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prune", "--yes"]) == 2
    assert "say which runs" in capsys.readouterr().err
    assert main(["prune", "nope", "--yes"]) == 1
    assert "there is no run 'nope'" in capsys.readouterr().err and len(runs_of(home)) == 4


@pytest.mark.parametrize("command", [["sql", "SELECT 1"], ["backup"], ["prune", "--keep", "0"]])
def test_no_store_is_one_sentence_and_makes_none(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("RUNWELL_DATABASE_URL", raising=False)
    nowhere = tmp_path / "nowhere"
    assert main([*command, "--home", str(nowhere)]) == 1
    assert f"there is no store at {nowhere / 'runwell.db'}; say where it lies with --home" in capsys.readouterr().err
    assert not nowhere.exists()


def test_a_run_that_is_not_there_and_a_number_that_is_none_are_told_with_what_to_do(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["prune", "nosuch"]) == 1
    assert "there is no run 'nosuch'; the page Runs and `runwell runs` list" in capsys.readouterr().err
    for command in (
        ["prune", "--keep", "-1"],
        ["sql", "--limit", "0", "SELECT 1"],
        ["runs", "--limit", "x"],
        ["up", "--port", "http"],
    ):
        with pytest.raises(SystemExit):
            main(command)
        assert "is not allowed; it takes a whole number from" in capsys.readouterr().err
