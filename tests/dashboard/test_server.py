"""The real server process: its address, a port in use, a home in use, and a clean end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from dashboard.server import serve
from dashboard.settings import Settings

START = """
import sys
from pathlib import Path
from dashboard.server import serve
from dashboard.settings import Settings
sys.exit(serve(Settings.from_environment({"RUNWELL_HOME": sys.argv[1]}, port=int(sys.argv[2]), first_run=False)))
"""


@contextmanager
def running(home: Path, port: int = 0) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server process, once it has said where it is."""
    command = [sys.executable, "-c", START, str(home), str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                assert process.stderr is not None
                pytest.fail(process.stderr.read())
            yield process, line.split()[3]
        finally:
            if process.poll() is None:
                process.kill()


def settings(home: Path, port: int = 0) -> Settings:
    return Settings.from_environment({"RUNWELL_HOME": str(home)}, port=port, first_run=False)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_says_where_it_is_and_ends_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    with running(tmp_path) as (process, url):
        with urllib.request.urlopen(url + "/api/v1/health", timeout=30) as answer:
            assert json.loads(answer.read())["status"] == "ok" and "server" not in answer.headers
        os.kill(process.pid, number)
        goodbye, said = process.communicate(timeout=60)
        assert process.returncode == 0 and said == "" and goodbye == "Runwell has ended.\n"
    # What it held is free again: the next one starts on the same home and port.
    with running(tmp_path, int(url.rsplit(":", 1)[1])) as (_, again):
        assert again == url


@pytest.mark.slow
def test_it_ends_while_pages_watch(tmp_path: Path) -> None:
    with running(tmp_path) as (process, url):
        host, port = url.removeprefix("http://").split(":")
        with closing(socket.create_connection((host, int(port)), timeout=30)) as page:
            page.sendall(
                f"GET /api/v1/live HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
            )
            assert b"101" in page.recv(4096)
            process.terminate()
            _, said = process.communicate(timeout=60)
        assert process.returncode == 0 and said == ""


@pytest.mark.slow
def test_two_servers_do_not_share_a_home(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with running(tmp_path) as (process, url):
        assert serve(settings(tmp_path)) == 2
        said = capsys.readouterr().err
        assert f"process {process.pid}" in said and url in said and "--home" in said and said.count("\n") == 1
        assert serve(settings(tmp_path, int(url.rsplit(":", 1)[1]))) == 2
        said = capsys.readouterr().err
        assert f"by the Runwell server of {tmp_path}" in said and "--port" in said
        process.kill()
        process.wait()
    with running(tmp_path):  # a killed server leaves no lock behind
        pass


def test_a_port_in_use_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(socket.socket()) as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert serve(settings(tmp_path, port)) == 2
    said = capsys.readouterr().err
    assert said == f"runwell up: port {port} on 127.0.0.1 is in use; stop what uses it, or choose another with --port\n"


def test_a_home_that_cannot_be_used_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("in the way")
    assert serve(settings(tmp_path / "file" / "home")) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"runwell up: {tmp_path}/file/home cannot be used") and said.count("\n") == 1


def test_a_store_that_cannot_be_read_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "runwell.db").write_bytes(b"no database " * 1000)
    assert serve(settings(tmp_path)) == 2
    said = capsys.readouterr().err
    assert "runwell.db cannot be read as a database" in said and said.count("\n") == 1


def test_an_unknown_address_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    elsewhere = Settings.from_environment(
        {"RUNWELL_HOME": str(tmp_path), "RUNWELL_TOKEN": "a long secret"}, host="192.0.2.1", port=0, first_run=False
    )
    assert serve(elsewhere) == 2
    said = capsys.readouterr().err
    assert "192.0.2.1" in said and "--host" in said and said.count("\n") == 1
