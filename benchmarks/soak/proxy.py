"""A network that misbehaves by plan: an HTTP proxy between senders and a server that cuts, loses, doubles and reorders.

The plan is a list of faults, one a POST; past its end everything passes. Bodies are whole before they are sent on, so
that each fault is exactly what its name says.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterable, Iterator
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FAULTS = ("pass", "refuse", "cut", "lose", "double", "hold", "busy", "garbage", "half")
"""pass · refuse: nothing reaches the server · cut: half of the body does · lose: the answer gets lost · double: the server
gets it twice · hold: it reaches the server only after the next one · busy: 503 with Retry-After · garbage: an answer that
is no HTTP · half: half of the answer."""


class Proxy(ThreadingHTTPServer):
    """Listens on a free port of loopback and passes on to `upstream` (a port), as the plan says."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, upstream: int, plan: Iterable[str]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = upstream
        self.done: list[str] = []
        """The faults that came true, in order."""
        self.held: list[tuple[str, dict[str, str], bytes]] = []
        self._plan: Iterator[str] = iter(plan)
        self.lock = threading.Lock()
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """What RUNWELL_URL becomes."""
        return f"http://127.0.0.1:{self.server_port}"

    def next_fault(self) -> str:
        """What happens to this request."""
        with self.lock:
            fault = next(self._plan, "pass")
            self.done.append(fault)
            return fault

    def close(self) -> None:
        """Stop listening; what is held never arrives."""
        self.shutdown()
        self.server_close()
        self._thread.join()

    def handle_error(self, request: object, client_address: object) -> None:
        """Connections that break are what this is for."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def do_POST(self) -> None:
        """One batch and its fault."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        kept = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "content-length")}
        request = (self.path, kept, body)
        fault = self.server.next_fault()
        if fault == "busy":
            self._answer(503, b'{"detail": "busy"}', "Retry-After: 0\r\n")
        elif fault == "garbage":
            self.wfile.write(b"220 mail.example.org ready\r\n\r\n")
            self.close_connection = True
        elif fault in ("refuse", "cut", "lose", "hold"):
            self._swallow(fault, request)
        else:
            self._pass(fault, request)

    def _swallow(self, fault: str, request: tuple[str, dict[str, str], bytes]) -> None:
        """The sender gets no answer."""
        self.close_connection = True
        if fault == "hold":
            with self.server.lock:
                self.server.held.append(request)
        elif fault == "cut":
            _send_half(self.server.upstream, request)
        elif fault == "lose":
            self._forward(request)

    def _pass(self, fault: str, request: tuple[str, dict[str, str], bytes]) -> None:
        with self.server.lock:
            held, self.server.held = self.server.held, []
        answer = self._forward(request)
        for late in held:
            self._forward(late)
        if fault == "double":
            answer = self._forward(request)
        if answer is None:
            self.close_connection = True
            return
        status, data = answer
        if fault == "half":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(data) + data[: len(data) // 2])
            self.close_connection = True
            return
        self._answer(status, data)

    def _forward(self, request: tuple[str, dict[str, str], bytes]) -> tuple[int, bytes] | None:
        path, headers, body = request
        connection = HTTPConnection("127.0.0.1", self.server.upstream, timeout=30)
        try:
            connection.request("POST", path, body, headers)
            response = connection.getresponse()
            return response.status, response.read()
        except (OSError, HTTPException):
            return None  # the server is away, or was killed in the middle
        finally:
            connection.close()

    def _answer(self, status: int, data: bytes, more: str = "") -> None:
        head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n{more}Content-Length: {len(data)}\r\n\r\n"
        self.wfile.write(head.encode() + data)

    def log_message(self, *args: object) -> None:
        """Says nothing."""


def _send_half(port: int, request: tuple[str, dict[str, str], bytes]) -> None:
    path, headers, body = request
    lines = [f"POST {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + body[: len(body) // 2])
