"""The processes of a soak: a server that can be killed, squeezed and slowed, and writers that log at a pace."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from dashboard.store import Store

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 180.0


class Server:
    """A server on a port and home of its own. Nothing runs before `start`."""

    def __init__(self, folder: Path, *, commit_seconds: float = 0.0) -> None:
        self.home = folder / "server"
        self.home.mkdir(parents=True, exist_ok=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.log = folder / "server.log"
        self.commit_seconds = commit_seconds
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> Server:
        """Start it, and wait until it answers."""
        command = ["-m", "benchmarks.soak.slow_server", str(self.home), str(self.port), str(self.commit_seconds)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *command], cwd=ROOT, env=environment(self.home, self.url),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        wait_until(self.answers, "the server answers")
        return self

    def answers(self) -> bool:
        """Whether it is there."""
        assert self.process is not None
        if self.process.poll() is not None:
            raise RuntimeError(f"the server ended with {self.process.returncode}: {self.log.read_text()[-2000:]}")
        try:
            return bool(self.get("/health"))
        except (OSError, ValueError):
            return False

    def get(self, path: str) -> Any:
        """The JSON at `/api/v1` + path. Raises OSError."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{self.url}/api/v1{path}", timeout=20) as answer:
            return json.loads(answer.read())

    def kill(self) -> None:
        """SIGKILL: no chance to tidy up."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """As a person ends it."""
        self._end(signal.SIGTERM)

    def limit_files(self, size: int) -> None:
        """No file of the server grows past so many bytes: its disk is full. -1 gives it room again."""
        assert self.process is not None
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    def log_size(self) -> int:
        """Bytes of the file that each commit of SQLite grows."""
        return (self.home / "runwell.db-wal").stat().st_size

    def steps(self, run_id: str) -> list[int]:
        """The step of every stored record of a run, in the order of arrival, straight from its store."""
        store = Store.open(self.home / "runwell.db")
        try:
            return [event["step"] for _, event in store.replay(run_id) if event["type"] == "metrics"]
        finally:
            store.close()

    def _end(self, number: signal.Signals) -> None:
        process, self.process = self.process, None
        if process is not None:
            process.send_signal(number)
            process.wait(timeout=60)


class Writer:
    """A process that trains nothing and logs; see `writer.py`. `runs` are the ids of its runs, known at once."""

    def __init__(self, folder: Path, url: str, *arguments: str, home: Path | None = None) -> None:
        self.home = home or folder / "client"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.soak.writer", *arguments], cwd=ROOT, env=environment(self.home, url),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the writer did not begin: {self.process.communicate()[1]}")
        self.runs: list[str] = json.loads(line)

    def end(self) -> dict[str, Any]:
        """Let it end by itself: `{"steps": each run's, "p50_us", "p99_us", "worst_us"}`, and `said` on standard error."""
        out, said = self.process.communicate(timeout=PATIENCE_SECONDS)
        if self.process.returncode:
            raise RuntimeError(f"the writer ended with {self.process.returncode}: {said[-2000:]}")
        return {**json.loads(out.splitlines()[-1]), "said": said}

    def kill(self) -> int:
        """SIGKILL in the middle; the last step that it says it had logged."""
        self.process.kill()
        assert self.process.stdout is not None
        lines = [line for line in self.process.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
        self.process.communicate()
        return int(lines[-1]) if lines else -1


def sync(home: Path, url: str) -> None:
    """Send what killed writers left."""
    command = [sys.executable, "-m", "runwell.cli", "sync"]
    subprocess.run(
        command, cwd=ROOT, env=environment(home, url), check=True, capture_output=True, timeout=PATIENCE_SECONDS
    )


def environment(home: Path, url: str) -> dict[str, str]:
    """What a process of a soak is told: nothing of the person who runs it."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    return kept | {"RUNWELL_HOME": str(home), "RUNWELL_URL": url, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}


def wait_until(fact: Any, what: str, seconds: float = PATIENCE_SECONDS) -> None:
    """Wait for a fact; TimeoutError when it does not come true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if fact():
            return
        time.sleep(0.05)
    raise TimeoutError(f"after {seconds:g} s it is not true that {what}")
