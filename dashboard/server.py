"""Runs the server: `serve(settings)`. One process, one port; a lock keeps two servers off one home.

`python -m dashboard.server` starts it with what the environment says; `runwell up` is the same with flags.
"""

from __future__ import annotations

import asyncio
import dataclasses
import errno
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import uvicorn

from dashboard.app import create_app
from dashboard.errors import DashboardError, SettingsError
from dashboard.services import Services
from dashboard.settings import Settings

GRACE_SECONDS = 3
"""How long open requests may take to end once the server was told to; sockets of pages are closed at once."""


class _Server(uvicorn.Server):
    """Says where it is once it answers, and what goes on when it ends."""

    def __init__(self, config: uvicorn.Config, url: str, services: Services) -> None:
        super().__init__(config)
        self._url, self._services = url, services

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then print the address."""
        await super().startup(sockets)
        if self.started:
            print(f"Runwell is at {self._url}  (Ctrl-C ends the server; training goes on)", flush=True)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End, then say how many runs train on without the server."""
        going_on = len(self._services.launcher.active())
        await super().shutdown(sockets)
        runs = "1 run trains on and is" if going_on == 1 else f"{going_on} runs train on and are"
        print("Runwell has ended." + (f" {runs} found again at the next start." if going_on else ""), flush=True)


def serve(settings: Settings) -> int:
    """Serve until SIGINT or SIGTERM. 0 after a clean end, 2 with one sentence when it cannot start."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        with _bound(settings) as listening, _locked(settings):
            actual = dataclasses.replace(settings, port=listening.getsockname()[1])
            _note(actual)
            return _run(actual, listening)
    except DashboardError as problem:
        return _refuse(str(problem))
    except OSError as problem:
        return _refuse(
            f"{settings.home} cannot be used: {problem.strerror or problem} ({problem.filename or settings.home})"
        )


def _run(settings: Settings, listening: socket.socket) -> int:
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        ws="websockets-sansio",
        ws_max_size=64 * 1024,  # pages only listen
        ws_per_message_deflate=False,  # each message would be compressed anew for every page
        timeout_graceful_shutdown=GRACE_SECONDS,
        proxy_headers=False,
    )
    # uvicorn raises the signal again after its shutdown; by then everything has ended, and the end is a clean one.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    server = _Server(config, settings.url, app.state.services)
    asyncio.run(server.serve(sockets=[listening]))
    return 0 if server.started else 1


@contextmanager
def _bound(settings: Settings) -> Iterator[socket.socket]:
    """A socket on the wanted port. Raises SettingsError in one sentence."""
    family, kind, protocol, _, address = _resolve(settings)
    listening = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(2048)
    except OSError as problem:
        listening.close()
        raise SettingsError(_why_not(settings, problem)) from problem
    with listening:
        yield listening


def _resolve(settings: Settings) -> tuple[int, int, int, str, tuple[str | int, ...]]:
    try:
        found = socket.getaddrinfo(
            settings.host.strip("[]"), settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError as problem:
        raise SettingsError(f"--host {settings.host} is no address of this machine ({problem.strerror})") from problem
    return found[0]  # type: ignore[return-value]


def _why_not(settings: Settings, problem: OSError) -> str:
    place = f"port {settings.port} on {settings.host}"
    if problem.errno == errno.EADDRINUSE:
        other = _holder(settings.lock_file)
        by = f" by the Runwell server of {settings.home} (process {other['pid']})" if other else ""
        return f"{place} is in use{by}; stop what uses it, or choose another with --port"
    if problem.errno in (errno.EACCES, errno.EPERM):
        return f"{place} may not be used by this user; choose one above 1023 with --port"
    return f"{place} cannot be used: {problem.strerror or problem}; choose another with --host and --port"


# -- one server a home -----------------------------------------------------------------------------------------------


@contextmanager
def _locked(settings: Settings) -> Iterator[IO[str]]:
    """Hold the home's lock; the system gives it back however this process ends. Raises SettingsError when it is held."""
    settings.home.mkdir(parents=True, exist_ok=True)
    with settings.lock_file.open("a+", encoding="utf-8") as file:
        if not _try_lock(file):
            other = _read(settings.lock_file) or {"pid": "unknown", "url": "an unknown address"}
            raise SettingsError(
                f"a Runwell server (process {other['pid']}) already uses {settings.home}; open {other['url']}, "
                "stop that server, or give this one another --home"
            )
        yield file


def _try_lock(file: IO[str]) -> bool:
    try:
        import fcntl
    except ImportError:  # not a POSIX system: SQLite's own locks still keep the data whole
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _note(settings: Settings) -> None:
    """Write into the lock file who holds it, for the message of the next one who comes."""
    settings.lock_file.write_text(json.dumps({"pid": os.getpid(), "url": settings.url}), encoding="utf-8")


def _holder(path: Path) -> dict[str, object] | None:
    """What the lock file says, if a server holds it just now."""
    try:
        with path.open("a+", encoding="utf-8") as file:
            return None if _try_lock(file) else _read(path)
    except OSError:
        return None


def _read(path: Path) -> dict[str, object] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and {"pid", "url"} <= found.keys() else None


def _refuse(sentence: str) -> int:
    print(f"runwell up: {sentence}", file=sys.stderr, flush=True)
    return 2


def main() -> int:
    """Serve as the environment says."""
    try:
        settings = Settings.read()
    except SettingsError as problem:
        return _refuse(str(problem))
    return serve(settings)


if __name__ == "__main__":
    sys.exit(main())
