"""The command line's frame: every command has help, errors are sentences, missing extras are named."""

from __future__ import annotations

import importlib
import io
import sys
from pathlib import Path

import pytest

from runwell import cli
from runwell.commands import demo, runs

ROW = {
    "id": "20260101-000000-abcdef", "name": "a run", "state": "running", "verdict": "healthy", "last_step": 12,
    "train_loss": 2.34567, "best_val_loss": "NaN", "created_at": 1000.0,
}  # fmt: skip


def test_every_command_says_what_it_is_for(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["--help"])
    assert end.value.code == 0
    shown = capsys.readouterr().out
    for name in cli.COMMANDS:
        assert name in shown
        assert importlib.import_module(cli.MODULES[name]).__doc__.startswith("`runwell")


def test_an_unknown_command_names_those_that_exist(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["upp"])
    assert end.value.code == 2
    told = capsys.readouterr().err
    assert "diagnose" in told
    assert told.endswith("did you mean up?\n")


@pytest.mark.parametrize("flags", [["--format", "yaml"], ["--verbose"], ["--map"]])
@pytest.mark.parametrize(("command", "status"), [("diagnose", 3), ("watch", 3), ("replay", 2)])
def test_a_flag_typed_wrongly_never_looks_like_a_sick_run(command: str, status: int, flags: list[str]) -> None:
    try:
        ended = cli.main([command, "x.csv", *flags])
    except SystemExit as end:
        ended = end.code  # type: ignore[assignment]
    assert ended == status


def test_a_terminal_of_few_characters_gets_question_marks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    log, out = tmp_path / "x.csv", io.BytesIO()
    log.write_text("step,loss\n1,3.5\n2,3.0\n")
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(out, encoding="ascii"))
    assert cli.main(["diagnose", str(log)]) == 0
    sys.stdout.flush()
    assert b"train ?? 3.5 ? 3\n" in out.getvalue()


def test_an_unknown_flag_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["runs", "--colour", "red"]) == 2
    assert "unknown argument '--colour'; see `runwell runs --help`" in capsys.readouterr().err


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def missing(args: object) -> int:
        raise ModuleNotFoundError("No module named 'uvicorn'", name="fastapi.applications")

    monkeypatch.setattr("runwell.commands.up.run", missing)
    assert cli.main(["up"]) == 1
    assert "pip install 'runwell[server]'" in capsys.readouterr().err


def test_ctrl_c_ends_without_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(args: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("runwell.commands.runs.run", interrupted)
    assert cli.main(["runs"]) == 130


def test_a_server_that_is_away_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RUNWELL_URL", "http://127.0.0.1:9")
    for command in (["runs"], ["stop", "some-run"]):
        assert cli.main(command) == 1
        error = capsys.readouterr().err
        assert "no Runwell server answers at http://127.0.0.1:9" in error and "runwell up" in error
        assert error.count("\n") == 1


def test_a_run_as_a_row() -> None:
    assert runs.cells(ROW, 1090.0) == (
        "20260101-000000-abcdef",
        "a run",
        "running",
        "healthy",
        "12",
        "2.346",
        "NaN",
        "1m",
    )


def test_control_characters_in_names_never_reach_the_terminal() -> None:
    shown = runs.table([runs.cells({**ROW, "name": "evil\x1b[31m\u202e"}, 0.0)])
    assert "\x1b" not in shown and "\u202e" not in shown


@pytest.mark.parametrize(("seconds", "text"), [(-1, "0s"), (59, "59s"), (60, "1m"), (7200, "2h"), (200_000, "2d")])
def test_ages(seconds: float, text: str) -> None:
    assert runs.age(seconds) == text


def test_the_demo_has_one_healthy_and_three_sick_runs_that_the_trainer_accepts() -> None:
    from trainer.presets import build

    assert sorted(bool(plan.expected) for plan in demo.DEMO) == [False, True, True, True]
    for plan in demo.DEMO:
        assert build({"preset": "minimal", **demo.TINY, **plan.changes, "name": plan.name}).project == "demo"


def test_the_demo_says_when_a_run_was_not_told_right() -> None:
    sick, healthy = demo.Watched(demo.DEMO[0], "a", "finished"), demo.Watched(demo.DEMO[-1], "b", "finished")
    assert not sick.as_expected and healthy.as_expected
    sick.found["non-finite-loss"] = healthy.found["plateau"] = 3.0
    assert sick.as_expected and not healthy.as_expected
    assert "UNEXPECTED" in demo.line(healthy)


def test_the_command_line_starts_without_heavy_modules() -> None:
    import subprocess

    code = "import sys, runwell.cli; runwell.cli.build_parser(); print(sorted({'numpy','torch','dash','fastapi'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
