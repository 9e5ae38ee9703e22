"""A small HTTP client for the command line: JSON in, JSON out, one clear sentence when it fails. Standard library only.

The logging path does not use it: `runwell.transport` has a connection of its own, and `runwell.sender` never raises.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from runwell.home import Environment


class ServerError(Exception):
    """The server said no, or is not there. The message is the sentence to show."""


class Client:
    """Talks to the Runwell server that `environment` names."""

    def __init__(self, environment: Environment, timeout_seconds: float = 10.0) -> None:
        self._url = environment.url.rstrip("/")
        self._token = environment.token
        self._timeout_seconds = timeout_seconds

    @property
    def url(self) -> str:
        """The server's address, without a slash at the end."""
        return self._url

    def get(self, path: str, **query: Any) -> Any:
        """The JSON at `path`. Raises `ServerError`."""
        given = {name: value for name, value in query.items() if value is not None}
        return self._call("GET", path + ("?" + urllib.parse.urlencode(given, doseq=True) if given else ""), None)

    def post(self, path: str, body: Any) -> Any:
        """What the server answers to `body` sent to `path`. Raises `ServerError`."""
        return self._call("POST", path, json.dumps(body).encode())

    def alive(self) -> bool:
        """Whether a Runwell server answers at the address."""
        try:
            return isinstance(self.get("/api/v1/health"), dict)
        except ServerError:
            return False

    def _call(self, method: str, path: str, body: bytes | None) -> Any:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        request = urllib.request.Request(self._url + path, data=body, headers=headers, method=method)
        # A proxy in the environment must not see (or swallow) what is said to one's own machine.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=self._timeout_seconds) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            raise ServerError(_detail(error)) from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise ServerError(
                f"no Runwell server answers at {self._url} ({reason}); start one with `runwell up`, or set RUNWELL_URL"
            ) from None


def _detail(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.loads(error.read())["detail"])
    except (ValueError, KeyError, TypeError):
        return f"the server answered {error.code} {error.reason}"
