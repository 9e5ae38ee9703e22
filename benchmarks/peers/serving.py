"""A tracker's own server as a process on a free port, for the time of a measurement. Standard library only."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

PATIENCE_SECONDS = 120.0
_END_SECONDS = 60.0


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def started(name: str, arguments: list[str], folder: Path, ready: Callable[[], bool]) -> Iterator[None]:
    """`python -m NAME ARGUMENTS` until the block is left; what it says lies in the folder. Raises RuntimeError when it is not ready in time."""
    with (folder / f"{name}.log").open("w") as log:
        process = subprocess.Popen([sys.executable, "-m", name, *arguments], stdout=log, stderr=log, cwd=folder)
    try:
        wait_until(lambda: process.poll() is not None or ready(), f"{name} answers")
        if process.poll() is not None:
            raise RuntimeError(
                f"{name} ended with {process.returncode}: {(folder / f'{name}.log').read_text()[-1000:]}"
            )
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=_END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def answer(url: str) -> bytes | None:
    """What is there; None while nobody answers, or with an error."""
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE_SECONDS) as found:
            return bytes(found.read())
    except (urllib.error.URLError, ConnectionError):
        return None


def wait_until(fact: Callable[[], bool], what: str) -> None:
    """Wait for a fact; RuntimeError when it does not come true."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not fact():
        if time.monotonic() > deadline:
            raise RuntimeError(f"after {PATIENCE_SECONDS:g} s it is not true that {what}")
        time.sleep(0.2)
