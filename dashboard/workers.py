"""The folder of one launched run and the processes behind it: start it, find it again, signal it.

Everything that must survive a restart of the server is a file in the folder, so this class keeps nothing in memory but
the handle of a supervisor that it started itself (a parent must wait for its children, or they stay as zombies).
Knows nothing of stores and states.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dashboard import supervisor
from dashboard.lifecycle import Presence
from dashboard.output import Cursor
from dashboard.processes import Exit, Process, read_exit, read_process

CONFIG_FILE, STOP_FILE, CURSOR_FILE = "config.json", "stop.json", "reading.json"


WorkerCommand = Callable[[Path], list[str]]
"""From a config file to the command line of its worker."""


def trainer_command(config: Path) -> list[str]:
    """Our own trainer. `-P`: a `trainer.py` in somebody's working folder must not take the place of ours."""
    return [sys.executable, "-P", "-m", "trainer", "--config", str(config)]


class WorkerFolder:
    """`$home/runs/<id>`: what was asked (`config.json`), what happened (see `dashboard.supervisor`), what was read."""

    def __init__(self, path: Path, command: WorkerCommand = trainer_command) -> None:
        """`command` says what to run for a config file; the trainer unless told otherwise."""
        self.path = path
        self._command = command
        self._cursor: Cursor | None = None
        self._supervisor: subprocess.Popen[bytes] | None = None

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Put the settings where the worker reads them. Raises OSError when the folder cannot be written."""
        self.path.mkdir(parents=True, exist_ok=True)
        supervisor.write_json(self.path / CONFIG_FILE, dict(config))

    def start(self, environment: Mapping[str, str]) -> None:
        """Start supervisor and worker, unless that was tried before (also by a server that is gone). Raises OSError."""
        if self.claimed or self._supervisor is not None:
            return
        worker = self._command(self.path / CONFIG_FILE)
        with (self.path / supervisor.OUTPUT_FILE).open("ab") as output:
            self._supervisor = subprocess.Popen(
                [sys.executable, "-P", "-m", "dashboard.supervisor", str(self.path), *worker],
                cwd=self.path,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C at the server's terminal must not reach it
            )

    @property
    def has_config(self) -> bool:
        """Whether the settings lie where the worker reads them."""
        return (self.path / CONFIG_FILE).exists()

    @property
    def output(self) -> Path:
        """Where the worker's standard output and standard error go."""
        return self.path / supervisor.OUTPUT_FILE

    @property
    def claimed(self) -> bool:
        """Whether a supervisor ever took this run."""
        return (self.path / supervisor.CLAIM_FILE).exists()

    @property
    def booting(self) -> bool:
        """Whether a supervisor that we started is still on its way to its claim."""
        return self._supervisor is not None and self._supervisor.poll() is None

    @property
    def exit(self) -> Exit | None:
        """How the worker ended, once that is written down."""
        return read_exit(self.path / supervisor.EXIT_FILE)

    @property
    def worker(self) -> Process | None:
        """The worker's process, dead or alive; None before it was started."""
        return read_process(self.path / supervisor.WORKER_FILE)

    def presence(self) -> Presence:
        """Whether the worker lives. A living supervisor counts: it is about to say how the worker ended."""
        self.reap()
        keeper = read_process(self.path / supervisor.CLAIM_FILE)
        if keeper is None and not self.booting:
            return Presence.GONE if self.claimed or self._supervisor is not None else Presence.UNKNOWN
        known = [process for process in (self.worker, keeper) if process is not None]
        living = self.booting or any(process.alive() for process in known)
        return Presence.ALIVE if living else Presence.GONE

    def reap(self) -> None:
        """Take note of a supervisor of ours that has ended, so that it leaves no zombie."""
        if self._supervisor is not None:
            self._supervisor.poll()

    def close(self) -> None:
        """Let go of a supervisor that goes on without us: the interpreter would warn of a child nobody waited for."""
        if self._supervisor is not None and self._supervisor.poll() is None:
            self._supervisor.returncode = 0

    # -- stopping ----------------------------------------------------------------------------------------------------

    def ask_to_stop(self, at: float) -> None:
        """Write down that a person asked for the end (the first time counts). `at` is seconds since 1970."""
        if self.stop_asked_at is None:
            supervisor.write_json(self.path / STOP_FILE, {"asked_at": at})

    def kill(self, worker: Process, at: float) -> None:
        """SIGKILL to the worker and its children, written down first: its end is then our doing, not a crash."""
        supervisor.write_json(self.path / STOP_FILE, {"asked_at": self.stop_asked_at or at, "killed": True})
        worker.kill_group()

    @property
    def killed(self) -> bool:
        """Whether `kill` was used."""
        return self._read(STOP_FILE).get("killed") is True

    @property
    def stop_asked_at(self) -> float | None:
        """When a person asked for the end, in seconds since 1970; None when nobody did."""
        asked = _number(self._read(STOP_FILE).get("asked_at"))
        return asked if asked is not None or not (self.path / STOP_FILE).exists() else 0.0

    # -- how far its output was read ---------------------------------------------------------------------------------

    @property
    def cursor(self) -> Cursor:
        """How far the output was read. On the first look after a restart: the range that was being stored."""
        if self._cursor is None:
            found = self._read(CURSOR_FILE)
            values = [value for name in ("first_seq", "start", "end") if isinstance(value := found.get(name), int)]
            self._cursor = Cursor(*values) if len(values) == 3 else Cursor()
        return self._cursor

    def intend(self, cursor: Cursor) -> None:
        """Write down which range is about to be stored, before it is: after a crash it is read again, and is the same."""
        self._write_cursor(cursor, settled=False)

    def stored(self, cursor: Cursor) -> None:
        """Take note that everything before `cursor` is stored."""
        self._cursor = cursor

    def settle(self) -> None:
        """Write down that the worker has ended and all that it left was stored: nobody needs to look here again."""
        self._write_cursor(self.cursor, settled=True)

    @property
    def settled(self) -> bool:
        """Whether `settle` was called, by this server or an earlier one."""
        return self._read(CURSOR_FILE).get("settled") is True

    def _write_cursor(self, cursor: Cursor, *, settled: bool) -> None:
        value = {"first_seq": cursor.first_seq, "start": cursor.start, "end": cursor.end, "settled": settled}
        supervisor.write_json(self.path / CURSOR_FILE, value)
        self._cursor = cursor

    def _read(self, name: str) -> dict[str, Any]:
        try:
            value = json.loads((self.path / name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return value if isinstance(value, dict) else {}


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
