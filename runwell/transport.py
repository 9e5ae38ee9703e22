"""One keep-alive HTTP connection to the server: bytes out, an answer in. It decides nothing; `courier` does.

Standard library only, and `http.client` is loaded with the first transport, because it is half of what `import runwell`
would cost.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from urllib.parse import quote, urlsplit

from runwell import report as reports
from runwell.frames import compress
from runwell.report import Report
from runwell.wire import FRAMES_TYPE, WireError, loads

if TYPE_CHECKING:
    from http.client import HTTPConnection

TIMEOUT_SECONDS = 10.0
MAX_ANSWER_BYTES = 4 * 1024 * 1024
LOOPBACK = ("127.0.0.1", "localhost", "::1")
JSON_TYPE = "application/json"
MAX_RETRY_AFTER_SECONDS = 60.0


class Answer(NamedTuple):
    """What the server said: the status and its JSON object (empty when it was none)."""

    status: int
    value: dict[str, Any]
    retry_after_seconds: float = 0.0
    """How long the server asks to be left alone; 0 when it does not say."""

    @property
    def detail(self) -> str:
        """The server's own sentence, or the bare status."""
        return str(self.value.get("detail") or f"status {self.status}")


class Transport(Protocol):
    """How bodies reach a server. `post` raises `OSError` when there is no answer."""

    def post(self, run_id: str, body: bytes, content_type: str, report: Report) -> Answer:
        """Send one batch for a run, and beside it what the sender says of itself."""

    def close(self) -> None:
        """Let go of the connection."""


class HttpTransport:
    """Posts batches to `url`, with `token` as bearer when not empty. Not thread-safe: one thread owns it."""

    def __init__(self, url: str, token: str = "", timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        # Loaded here, in the thread that begins the run: a process that forks while another thread is in the middle of an
        # import leaves its child with half a module for ever. `encodings.idna` is what every look-up of a host loads.
        import encodings.idna  # noqa: F401
        import http.client  # noqa: F401

        parts = urlsplit(url)
        self._secure, self._host, self._prefix = parts.scheme == "https", parts.hostname or "", parts.path.rstrip("/")
        self._port = parts.port
        self._timeout_seconds = timeout_seconds
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        # on one's own machine bytes are cheaper than the time to squeeze them
        self._compresses = self._host not in LOOPBACK
        self._connection: HTTPConnection | None = None

    def post(self, run_id: str, body: bytes, content_type: str, report: Report) -> Answer:
        """Send one batch for a run. Raises `OSError` when there is no whole answer; sending again is safe."""
        if self._compresses and content_type == FRAMES_TYPE:
            body = compress(body)
        path = f"{self._prefix}/api/v1/runs/{quote(run_id, safe='')}/events"
        headers = {**self._headers, "Content-Type": content_type, "Accept": JSON_TYPE}
        headers[reports.HEADER] = reports.encode(report._replace(now=time.time()))
        reused = self._connection is not None
        try:
            return self._exchange(path, body, headers)
        except ConnectionError:
            if not reused:
                raise
            # a server may close an idle connection at any time: that is no outage, a fresh one tells
            return self._exchange(path, body, headers)

    def close(self) -> None:
        """Let go of the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _exchange(self, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        from http.client import HTTPException

        try:
            connection = self._connection = self._connection or self._connect()
            connection.request("POST", path, body, headers)
            response = connection.getresponse()
            data = response.read(MAX_ANSWER_BYTES)
            if response.length and len(data) < MAX_ANSWER_BYTES:
                raise ConnectionResetError("the answer was cut off")
            if response.will_close or not response.isclosed():
                self.close()
            return Answer(response.status, _object(data), _seconds(response.headers.get("Retry-After", "")))
        except HTTPException as error:
            self.close()
            raise ConnectionError(f"the answer cannot be read: {error!r}") from None
        except OSError:
            self.close()
            raise

    def _connect(self) -> HTTPConnection:
        from http.client import HTTPConnection, HTTPSConnection

        if not self._host:
            raise OSError("RUNWELL_URL is no address")
        kind = HTTPSConnection if self._secure else HTTPConnection
        return kind(self._host, self._port, timeout=self._timeout_seconds)


def _seconds(text: str) -> float:
    """A Retry-After in seconds; 0 for a date, nonsense or none."""
    return min(float(text), MAX_RETRY_AFTER_SECONDS) if text.isdecimal() and len(text) < 10 else 0.0


def _object(data: bytes) -> dict[str, Any]:
    try:
        value = loads(data)
    except WireError:
        return {}
    return value if isinstance(value, dict) else {}
