"""The whole application in this process, with its store in a folder of the test's own and no worker ever started."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from dashboard.app import create_app
from dashboard.services import Services
from dashboard.settings import Settings
from dashboard.workers import WorkerFolder

BASE = "http://127.0.0.1:8420"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.from_environment({"RUNWELL_HOME": str(tmp_path / "home")}, first_run=False)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders of the runs whose worker would have been started."""
    found: list[Path] = []
    monkeypatch.setattr(WorkerFolder, "start", lambda self, environment: found.append(self.path))
    return found


@pytest.fixture
def open_app(started: list[Path]) -> Callable[[Settings], Any]:
    """A context: the application and a client that speaks to it as a browser on this machine would."""

    @contextmanager
    def opened(settings: Settings) -> Iterator[TestClient]:
        with TestClient(
            create_app(settings), base_url=BASE, raise_server_exceptions=False, follow_redirects=False
        ) as client:
            yield client

    return opened


@pytest.fixture
def client(open_app: Callable[[Settings], Any], settings: Settings) -> Iterator[TestClient]:
    with open_app(settings) as client:
        yield client


@pytest.fixture
def services(client: TestClient) -> Services:
    app = client.app
    assert isinstance(app, FastAPI)
    found: Services = app.state.services
    return found


@pytest.fixture
def strict() -> Callable[[bytes | str], Any]:
    """Parse JSON as other languages do: bare NaN is an error."""

    def refuse(word: str) -> Any:
        raise AssertionError(f"bare {word} is not JSON")

    return lambda text: json.loads(text, parse_constant=refuse)


@pytest.fixture
def send(client: TestClient) -> Callable[..., Any]:
    """POST events of a writer as JSON text (bare NaN stays bare), and give the whole answer."""

    def post(*events: Any, run: str = "r1", writer: str = "w", first_seq: int = 1) -> Any:
        body = json.dumps({"writer": writer, "first_seq": first_seq, "events": events})
        return client.post(
            f"/api/v1/runs/{run}/events", content=body.encode(), headers={"Content-Type": "application/json"}
        )

    return post
