"""Fixtures for tests that need the real thing: a server process of one's own, and facts that come true in time.

`server` is a real `runwell up` on a free port with an empty home; `make_server` makes others. `eventually` polls a fact
until it holds, for tests must never sleep and hope.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest
from hypothesis import HealthCheck, settings

# How long a case takes is the machine's business, which other work may keep busy.
settings.register_profile("runwell", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("search", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("runwell")  # no test needs luck; --hypothesis-profile=search looks for what these examples miss

ROOT = Path(__file__).parent.parent
START_SECONDS = 60.0
FACT_SECONDS = 60.0

T = TypeVar("T")

TINY = {
    "n_layer": 1, "n_head": 2, "n_embd": 16, "n_ff": 32, "context_length": 16, "batch_size": 2, "tokenizer": "byte",
    "dataset": "tiny.txt", "eval_batches": 1, "eval_interval": 1000, "sample_interval": 0, "sample_tokens": 8,
    "warmup_steps": 1, "device": "cpu", "checkpoint_interval": 0, "learning_rate": 1e-3, "max_steps": 40,
}  # fmt: skip
"""Settings of a run that takes seconds on one core."""


def wait_for(fact: Callable[[], T], *, seconds: float = FACT_SECONDS, what: str = "") -> T:
    """The fact's value as soon as it is true; fails with what was last seen when it does not become so in time."""
    deadline = time.monotonic() + seconds
    seen: Any = None
    while time.monotonic() < deadline:
        seen = fact()
        if seen:
            return cast(T, seen)
        time.sleep(0.05)
    raise AssertionError(f"not true within {seconds:g} s: {what or fact}; last seen: {seen!r}")


class Server:
    """A `runwell up` process of the test's own. `url`, `home`, `store_url` and `data` name what it serves."""

    def __init__(self, home: Path, environment: dict[str, str]) -> None:
        self.home = home
        self.data = home / "data"
        self.store_url = f"sqlite:///{home / 'runwell.db'}"
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = home.parent / f"{home.name}-server.log"
        self.environment = _environment(home, self.url) | environment
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Server:
        """Start it and wait until it answers."""
        command = [sys.executable, "-P", "-m", "runwell.cli", "up", "--host", "127.0.0.1", "--port", str(self.port)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--home", str(self.home), "--no-first-run"],
                cwd=ROOT, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        wait_for(self._answers, seconds=START_SECONDS, what="the server answers")
        return self

    def stop(self) -> int:
        """End it with SIGTERM, as a person would; its exit status."""
        return self._end(signal.SIGTERM)

    def kill(self) -> int:
        """SIGKILL: no chance to tidy up."""
        return self._end(signal.SIGKILL)

    def restart(self) -> Server:
        """Start it again on the same port and home (after `stop` or `kill`; a running one is stopped first)."""
        if self.process is not None:
            self.stop()
        return self.start()

    def get(self, path: str) -> Any:
        """The JSON at `/api/v1` + path."""
        return self._call("GET", path, None)

    def post(self, path: str, body: Any) -> Any:
        """The answer to a JSON body sent to `/api/v1` + path. Raises HTTPError for 4xx."""
        return self._call("POST", path, json.dumps(body).encode())

    def launch(self, **settings: Any) -> str:
        """Launch a tiny run with some settings of its own; its id."""
        self.tiny_text()
        return str(self.post("/launches", TINY | settings)["id"])

    def tiny_text(self) -> Path:
        """A 20 kB text in the data folder, made on the spot."""
        path = self.data / "tiny.txt"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(f"Line {n} says that {n * 7919 % 1000} is a number.\n" for n in range(500)))
        return path

    def worker_pid(self, run_id: str) -> int:
        """The pid of a launched run's worker, once it is there."""
        path = self.home / "runs" / run_id / "worker.json"
        wait_for(path.exists, what=f"{path} exists")
        return int(json.loads(path.read_text())["pid"])

    def close(self) -> None:
        """End the server and every worker that it started: workers outlive it by design."""
        self.kill()
        end_workers(self.home)

    def _end(self, number: signal.Signals) -> int:
        process, self.process = self.process, None
        if process is None:
            return 0
        process.send_signal(number)
        return process.wait(timeout=30)

    def _answers(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"the server ended with {self.process.returncode}:\n{self.log.read_text()}")
        try:
            return isinstance(self.get("/health"), dict)
        except (OSError, ValueError):
            return False

    def _call(self, method: str, path: str, body: bytes | None) -> Any:
        request = urllib.request.Request(f"{self.url}/api/v1{path}", data=body, method=method)
        request.add_header("Content-Type", "application/json")
        with _opener().open(request, timeout=20) as answer:
            return json.loads(answer.read())


def end_workers(home: Path) -> None:
    """End every worker under a home, those included that a supervisor is only about to start."""
    for folder in [path.parent for path in home.glob("runs/*/output.log")]:
        worker, end, reading = folder / "worker.json", folder / "exit.json", folder / "reading.json"

        def known(worker: Path = worker, end: Path = end, reading: Path = reading) -> bool:
            return worker.exists() or end.exists() or (reading.exists() and json.loads(reading.read_text())["settled"])

        wait_for(known, what=f"it is known which process {folder.name} is")
        with contextlib.suppress(ProcessLookupError):
            if worker.exists() and not end.exists():
                os.kill(int(json.loads(worker.read_text())["pid"]), signal.SIGKILL)


@pytest.fixture
def workers_end() -> Callable[[Path], None]:
    """Ends every worker under a home; see `end_workers`."""
    return end_workers


@pytest.fixture
def eventually() -> Callable[..., Any]:
    """Waits for a fact: `eventually(lambda: server.get(...)["state"] == "finished")`. See `wait_for`."""
    return wait_for


@pytest.fixture
def make_server(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Makes servers that are not started yet: `make_server("name", RUNWELL_MAX_ACTIVE_RUNS="1").start()`."""
    made: list[Server] = []

    def make(name: str = "home", **environment: str) -> Server:
        made.append(Server(tmp_path / name, environment))
        return made[-1]

    yield make
    for server in made:
        server.close()


@pytest.fixture
def server(make_server: Callable[..., Server]) -> Server:
    """A real server process that answers, on a free port with an empty home."""
    return make_server().start()


def _environment(home: Path, url: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    return kept | {
        "RUNWELL_HOME": str(home), "RUNWELL_URL": url, "FIRST_RUN": "0", "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1",
    }  # fmt: skip


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(urllib.request.ProxyHandler({}))
