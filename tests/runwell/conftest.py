"""A collector that can be told to misbehave, in process and over real HTTP on loopback; spools and runs on `tmp_path`."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import runwell
from runwell.frames import decode_frames
from runwell.report import Report
from runwell.run import Run
from runwell.spool import Spool
from runwell.transport import Answer
from runwell.wire import FRAMES_TYPE, REFUSED, Batch, Event, WireError, decode_json_batch

ROOT = str(Path(__file__).parents[2])
if ROOT not in sys.path:
    sys.path.append(ROOT)  # benchmarks.soak is run from the repository's root and not installed


class Collector:
    """Stores batches exactly once in effect, as the server does. It is also a transport that needs no network."""

    def __init__(self) -> None:
        self.events: dict[tuple[str, str], list[Event]] = {}
        self.away = False
        self.posts: list[tuple[str, Batch]] = []
        self.reports: list[Report] = []
        self.commands: list[dict[str, Any]] = []
        self.script: list[Answer | OSError] = []
        """Answers given, in order, instead of its own."""
        self.poison: Callable[[Event], bool] = lambda event: False
        """A batch that holds such an event is refused as a whole."""
        self.lose_answers = False
        """Store, but let the answer be lost on the way."""
        self.changed = threading.Condition()

    def post(self, run_id: str, body: bytes, content_type: str, report: Report | None = None) -> Answer:
        if report is not None:
            self.reports.append(report)
        if self.away:
            raise ConnectionRefusedError("nobody listens")
        if self.script:
            answer = self.script.pop(0)
            if isinstance(answer, OSError):
                raise answer
            return answer
        with self.changed:
            answer = self._take(run_id, body, content_type)
            self.changed.notify_all()
        if self.lose_answers:
            raise ConnectionResetError("cut off")
        return answer

    def close(self) -> None:
        pass

    def _take(self, run_id: str, body: bytes, content_type: str) -> Answer:
        try:
            if content_type == FRAMES_TYPE:
                found = decode_frames(body)
                assert found.run_id == run_id
                batch, refused = found.batch, found.refused
            else:
                batch, refused = decode_json_batch(body)
        except WireError as error:
            return Answer(400, {"detail": str(error)})
        self.posts.append((run_id, batch))
        key = (run_id, batch.writer)
        if not any(run == run_id for run, _ in self.events) and not any(
            event["type"] == "run" for event in batch.events
        ):
            return Answer(404, {"detail": f"there is no run {run_id}"})
        through = len(self.events.get(key, []))
        if batch.first_seq > through + 1:
            return Answer(409, {"detail": "a gap", "expected_seq": through + 1})
        if any(map(self.poison, batch.events)):
            return Answer(422, {"detail": "poison"})
        fresh = batch.events[through + 1 - batch.first_seq :]
        self.events.setdefault(key, []).extend(fresh)
        return Answer(
            200,
            {
                "stored_through": through + len(fresh),
                "stored": len(fresh),
                "duplicates": len(batch.events) - len(fresh),
                "refused": [{"seq": seq, "reason": reason} for seq, reason in refused],
                "commands": self.commands,
            },
        )

    def of(self, run_id: str) -> list[Event]:
        """All stored events of a run, writer by writer, refused ones left out."""
        return [
            event
            for (run, _), events in self.events.items()
            if run == run_id
            for event in events
            if event["type"] != REFUSED
        ]

    def steps(self, run_id: str) -> list[int]:
        return [event["step"] for event in self.of(run_id) if event["type"] == "metrics"]

    def wait_for(self, fact: Callable[[], bool]) -> None:
        """Block until a post makes the fact true; fails after a minute."""
        with self.changed:
            assert self.changed.wait_for(fact, timeout=60), "it did not come true"


class Server(ThreadingHTTPServer):
    """The collector behind real HTTP/1.1 with keep-alive."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, collector: Collector, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.collector = collector
        self.tokens: list[str | None] = []
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def stop(self) -> None:
        self.shutdown()
        self.server_close()
        self.thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.tokens.append(self.headers.get("Authorization"))
        run_id = self.path.split("/")[-2]
        try:
            answer = self.server.collector.post(run_id, body, self.headers["Content-Type"])
        except OSError:
            self.close_connection = True
            return
        data = json.dumps(answer.value).encode()
        head = f"HTTP/1.1 {answer.status} X\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
        self.wfile.write(head.encode() + data)

    def log_message(self, *args: object) -> None:
        pass


class Said(list[str]):
    """Collects what would have been said: a `Warn` for parts that are tested alone."""

    def __init__(self) -> None:
        super().__init__()
        self.causes: set[str] = set()

    def __call__(self, cause: str, sentence: str) -> None:
        if cause not in self.causes:
            self.causes.add(cause)
            self.append(sentence)


@pytest.fixture
def collector() -> Collector:
    return Collector()


@pytest.fixture
def make_server(collector: Collector) -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def make(port: int = 0) -> Server:
        servers.append(Server(collector, port))
        return servers[-1]

    yield make
    for server in servers:
        server.stop()


@pytest.fixture
def said() -> Said:
    return Said()


RUN_EVENT = {"type": "run", "project": "p"}


@pytest.fixture
def make_spool(tmp_path: Path, said: Said) -> Iterator[Callable[..., Spool]]:
    spools: list[Spool] = []

    def make(run_id: str = "r1", writer: str = "w-1", *, limit_mib: float = 64, url: str = "http://here") -> Spool:
        meta = {"url": url, "run_event": RUN_EVENT}
        spool = Spool(tmp_path / "spool", run_id, writer, limit_bytes=int(limit_mib * 2**20), warn=said, meta=meta)
        spool.event(RUN_EVENT)
        spools.append(spool)
        return spool

    yield make
    for spool in spools:
        spool.close(0)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty Runwell home with no server behind its address, for `runwell.init`."""
    for name in ("RUNWELL_RUN_ID", "RUNWELL_TOKEN", "RUNWELL_SPOOL_MIB", "RUNWELL_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RUNWELL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RUNWELL_URL", "http://127.0.0.1:9")  # the discard port: nobody listens
    return tmp_path / "home"


@pytest.fixture
def run(home: Path) -> Iterator[Run]:
    """A run that writes to an empty home."""
    run = runwell.init(project="p", name="n")
    yield run
    run.finish(timeout=0)
