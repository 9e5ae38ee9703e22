"""The whole application in a thread of the test's own process, on a free port: what a sender needs, and a test can look into."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from dashboard.app import create_app
from dashboard.settings import Settings


@contextmanager
def serving(home: Path) -> Iterator[int]:
    """The number of the port."""
    app = create_app(Settings.from_environment({"RUNWELL_HOME": str(home)}, first_run=False))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical", ws="none"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()
