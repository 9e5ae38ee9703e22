"""Looks at processes of this machine: which still live, how they ended, what their exit means in words.

Knows pids and files, nothing of runs. A process is named by pid and start time, because pids are used again.
"""

from __future__ import annotations

import json
import os
import signal
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

START_TOLERANCE_SECONDS = 3.0
"""How far two readings of one process's start may lie apart: the kernel counts from boot, and the wall clock is adjusted."""

SIGNAL_HINTS = {
    "SIGKILL": "often the system's out-of-memory killer, or someone's `kill -9`",
    "SIGSEGV": "a crash in native code",
    "SIGBUS": "a crash in native code, or a full disk under a mapped file",
    "SIGABRT": "native code gave up, often CUDA or an assertion",
    "SIGTERM": "someone asked it to end",
    "SIGINT": "Ctrl-C",
    "SIGHUP": "its terminal was closed",
    "SIGXCPU": "a limit on CPU time",
}


@dataclass(frozen=True, slots=True)
class Process:
    """A process that can be found again. `started_at` is seconds since 1970, None when unknown."""

    pid: int
    started_at: float | None = None

    def alive(self) -> bool:
        """Whether this very process runs; a zombie, or another process under its pid, does not count."""
        try:
            found = psutil.Process(self.pid)
            same = self.started_at is None or abs(found.create_time() - self.started_at) <= START_TOLERANCE_SECONDS
            return same and found.status() != psutil.STATUS_ZOMBIE
        except (psutil.NoSuchProcess, ValueError, OverflowError):
            return False  # a number that no process can have is some script's invention
        except psutil.AccessDenied:
            return True  # it is there, and it is not ours to look into

    def terminate(self) -> bool:
        """Ask this process to end (SIGTERM). False when it is gone."""
        return self._signal(signal.SIGTERM, group=False)

    def kill_group(self) -> bool:
        """End this process and its children at once (SIGKILL to its group). False when it is gone."""
        return self._signal(signal.SIGKILL, group=True)

    def _signal(self, number: signal.Signals, *, group: bool) -> bool:
        # pid 0 and 1 and our own group must never be hit, whatever a damaged file says.
        if self.pid <= 1 or not self.alive():
            return False
        try:
            if group and os.getpgid(self.pid) == self.pid != os.getpgrp():
                os.killpg(self.pid, number)
            else:
                os.kill(self.pid, number)
        except ProcessLookupError:
            return False
        return True


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process ended: `returncode` as in `subprocess` (-9: killed by signal 9), `ended_at` in seconds since 1970."""

    returncode: int
    ended_at: float
    error: str = ""

    @property
    def by_signal(self) -> str:
        """The signal's name, or empty when it ended by itself."""
        return _signal_name(-self.returncode) if self.returncode < 0 else ""

    @property
    def words(self) -> str:
        """The end as a person reads it: `killed by SIGKILL (often …)`, `exit status 1`."""
        if self.error:
            return self.error
        if not self.by_signal:
            return f"exit status {self.returncode}"
        hint = SIGNAL_HINTS.get(self.by_signal)
        return f"killed by {self.by_signal}" + (f" ({hint})" if hint else "")


def writes_to(spool: Path) -> bool:
    """Whether a process holds a writer's folder below this one, seen by its lock, which no death and no SIGKILL outlives.

    Stronger than a pid: it also holds across containers that share the folder, where pids mean nothing.
    """
    # a folder without writer.json may be in the making: its lock must not be touched
    return any(_is_locked(path.with_name("lock")) for path in spool.glob("*/writer.json"))


def _is_locked(path: Path) -> bool:
    try:
        import fcntl
    except ImportError:  # not a POSIX system
        return False
    try:
        with path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
    except OSError:
        pass
    return False


def read_process(path: Path) -> Process | None:
    """The process that `worker.json` or `supervisor.json` names; None when there is no such (readable) file."""
    found = _read(path)
    pid, started_at = found.get("pid"), found.get("started_at")
    if not isinstance(pid, int) or isinstance(pid, bool) or pid <= 1:
        return None
    return Process(pid, float(started_at) if isinstance(started_at, (int, float)) else None)


def read_exit(path: Path) -> Exit | None:
    """How the process ended, from `exit.json`; None when it is not there (yet)."""
    found = _read(path)
    returncode, ended_at = found.get("returncode"), found.get("ended_at")
    if not isinstance(returncode, int) or not isinstance(ended_at, (int, float)):
        return None
    return Exit(returncode, float(ended_at), str(found.get("error", "")))


def hostname() -> str:
    """This machine's name, as the SDK reports it."""
    return socket.gethostname()


def _read(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
