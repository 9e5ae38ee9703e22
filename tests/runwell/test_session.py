"""Runs at a prompt and in notebooks: a cell that is run again leaves no run open, and those that belong together stay."""

from __future__ import annotations

import code
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import runwell
from runwell import api
from runwell.frames import decode_frames
from runwell.run import Run
from runwell.session import execution

Enter = Callable[[str], dict[str, Any]]


@pytest.fixture
def prompt(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Enter]:
    """Enters inputs at a prompt of Python's own; gives the names that are known there."""
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    names: dict[str, Any] = {"runwell": runwell}
    console = code.InteractiveConsole(names)

    def enter(text: str) -> dict[str, Any]:
        assert not console.push(text + "\n"), "it waits for more"
        return names

    yield enter
    for run in list(api._runs.open):
        run.finish(timeout=0)


def ended(*runs: Run) -> list[str]:
    return [run.ended for run in runs]


def test_an_input_that_is_entered_again_finishes_the_run_of_the_time_before(
    prompt: Enter, capsys: pytest.CaptureFixture[str]
) -> None:
    again = "run = runwell.init('p'); run.log({'a': 1})"
    first: Run = prompt(again)["run"]
    capsys.readouterr()
    second: Run = prompt(again)["run"]
    assert ended(first, second) == ["finished", ""] and runwell.current() is second
    said = capsys.readouterr().err.splitlines()
    assert said[0] == (
        f"runwell: run {first.id} is finished, because another one begins in this session; "
        "runwell.init(…, alongside=True) keeps both open"
    )


def test_runs_of_one_input_stand_beside_each_other_and_others_when_that_is_asked_for(prompt: Enter) -> None:
    a, b = prompt("a, b = [runwell.init('p', name=name) for name in 'ab']")["b"], prompt("pass")["a"]
    prompt("def train(): return runwell.init('p')\n")
    c: Run = prompt("c = runwell.init('p', alongside=True)")["c"]
    assert ended(a, b, c) == ["", "", ""]
    d: Run = prompt("d = [train() for _ in range(2)]")["d"]
    assert ended(a, b, c, *d) == ["finished", "finished", "finished", "", ""]


def test_threads_begin_and_keep_runs_of_their_own(prompt: Enter) -> None:
    names = prompt("run = runwell.init('p')")
    found: list[Run] = []
    thread = threading.Thread(target=lambda: found.append(runwell.init("of a thread")))
    thread.start()
    thread.join()
    prompt("other = runwell.init('p')")
    assert ended(names["run"], *found, names["other"]) == ["finished", "", ""]


def test_an_exception_at_a_prompt_is_no_end(prompt: Enter, capsys: pytest.CaptureFixture[str]) -> None:
    run: Run = prompt("run = runwell.init('p')")["run"]
    sys.excepthook(NameError, NameError("a slip of the pen"), None)
    assert run.last_words.end(run.reported) == ("finished", "") and run.ended == ""


def test_cells_are_told_apart_by_their_number(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shell = SimpleNamespace(execution_count=1)
    assert execution() is None, "a script"
    monkeypatch.setattr(sys, "ps1", "In : ", raising=False)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))  # type: ignore[arg-type]
    first, second = runwell.init("p"), runwell.init("p")
    assert ended(first, second) == ["", ""]
    shell.execution_count = 2
    third = runwell.init("p")
    assert ended(first, second, third) == ["finished", "finished", ""]
    third.finish(timeout=0)


@pytest.mark.slow
def test_pythons_own_prompt(home: Path, tmp_path: Path) -> None:
    typed = "import runwell\nrun = runwell.init('p', name='one')\n1 / 0\nrun = runwell.init('p', name='two')\n1 / 0\n"
    environment = {**os.environ, "RUNWELL_HOME": str(home), "RUNWELL_URL": "http://127.0.0.1:9"}
    done = subprocess.run(
        [sys.executable, "-i"], input=typed, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0 and done.stderr.count("is finished, because another one begins") == 1
    ends = {}
    for path in (home / "spool").glob("*/*/*.seg"):
        begun, *_, end = decode_frames(path.read_bytes(), torn=True).batch.events
        ends[begun["name"]] = end["state"], end["reason"]
    assert ends == {"one": ("finished", "another run began in the same session"), "two": ("finished", "")}
