"""Real processes: the supervisor outlives whoever started it, claims a run once, and writes down how the worker ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dashboard import supervisor
from dashboard.processes import Exit, Process, read_exit, read_process

pytestmark = pytest.mark.slow


def supervise(folder: Path, code: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-P", "-m", "dashboard.supervisor", str(folder), sys.executable, "-u", "-c", code]
    return subprocess.Popen(command, start_new_session=True)


def test_the_exit_status_and_the_output_are_kept(tmp_path: Path) -> None:
    assert supervise(tmp_path, "print('said'); import sys; sys.exit(3)").wait(30) == 0
    end = read_exit(tmp_path / "exit.json")
    assert end is not None and end.returncode == 3 and end.words == "exit status 3"
    assert (tmp_path / "output.log").read_text() == "said\n"
    assert not list(tmp_path.glob(".*")), "no half-written file is left"


def test_sigkill_of_the_worker_is_written_down(tmp_path: Path, eventually: Callable[..., Any]) -> None:
    process = supervise(tmp_path, "import signal; signal.pause()")
    worker = eventually(lambda: read_process(tmp_path / "worker.json"))
    assert worker.alive() and os.getpgid(worker.pid) == worker.pid, "it leads a group of its own"
    os.kill(worker.pid, signal.SIGKILL)
    assert process.wait(30) == 0
    assert read_exit(tmp_path / "exit.json").returncode == -9  # type: ignore[union-attr]
    assert not worker.alive()


def test_ending_the_supervisor_ends_the_worker_politely_and_is_written_down(
    tmp_path: Path, eventually: Callable[..., Any]
) -> None:
    code = "import signal, sys\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\nprint('ready')\nsignal.pause()"
    process = supervise(tmp_path, code)
    eventually(lambda: (tmp_path / "output.log").exists() and "ready" in (tmp_path / "output.log").read_text())
    process.terminate()
    assert process.wait(30) == 0
    assert read_exit(tmp_path / "exit.json").returncode == 7  # type: ignore[union-attr]


def test_a_run_is_started_once_however_many_supervisors_try(tmp_path: Path) -> None:
    tries = [supervise(tmp_path, "print('ran')") for _ in range(4)]
    assert sorted(process.wait(30) for process in tries) == [0, 1, 1, 1]
    assert (tmp_path / "output.log").read_text() == "ran\n"


def test_a_claim_works_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object) -> None:
        raise PermissionError("hard links are not supported here")

    monkeypatch.setattr("os.link", no_links)
    assert supervisor.claim(tmp_path)
    assert not supervisor.claim(tmp_path)
    claimed = read_process(tmp_path / "supervisor.json")
    assert claimed is not None and claimed.pid == os.getpid() and claimed.alive()


def test_a_worker_that_cannot_be_started_is_an_end_with_a_sentence(tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", "dashboard.supervisor", str(tmp_path), str(tmp_path / "no-such-program")]
    assert subprocess.run(command, check=False).returncode == 0
    end = read_exit(tmp_path / "exit.json")
    assert end is not None and end.words.startswith("could not start: ")


def test_a_worker_goes_on_when_its_supervisor_is_killed(tmp_path: Path, eventually: Callable[..., Any]) -> None:
    process = supervise(tmp_path, "import sys; print('up'); sys.stdin.read(); import signal; signal.pause()")
    worker = eventually(lambda: read_process(tmp_path / "worker.json"))
    process.kill()
    process.wait(30)
    assert worker.alive()
    assert worker.kill_group()
    eventually(lambda: not worker.alive())
    assert read_exit(tmp_path / "exit.json") is None, "nobody was there to see it"


def test_a_process_is_told_from_a_later_one_under_its_pid() -> None:
    own = supervisor.identity(os.getpid())
    assert Process(own["pid"], own["started_at"]).alive()
    assert not Process(own["pid"], own["started_at"] - 3600).alive()
    assert Process(own["pid"], None).alive()


def test_a_zombie_is_not_alive(eventually: Callable[..., Any]) -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    process = Process(child.pid)
    eventually(lambda: not process.alive())
    child.wait()


def test_only_processes_are_signalled_never_groups_of_ours_or_init() -> None:
    assert not Process(0).terminate()
    assert not Process(1).kill_group()
    assert not Process(os.getpid(), 0.0).kill_group(), "another process's start time: not the one that is meant"


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"pid": "x"}', '{"pid": true}', '{"pid": 0}', '{"returncode": null}']
)
def test_a_damaged_file_is_no_file(tmp_path: Path, content: str) -> None:
    path = tmp_path / "worker.json"
    path.write_text(content)
    assert read_process(path) is None and read_exit(path) is None


def test_ends_are_said_in_words() -> None:
    assert Exit(-11, 0.0).words == "killed by SIGSEGV (a crash in native code)"
    assert Exit(-64, 0.0).words == "killed by SIGRTMAX"
    assert Exit(-99, 0.0).words == "killed by signal 99"
    assert json.loads(json.dumps(Exit(2, 0.0).words)) == "exit status 2"
