"""Who may speak to the server: tokens, Host and Origin, and the headers that keep pages to themselves. Pure ASGI.

- **Token**, when one is set: as `Authorization: Bearer`, or as the cookie that `/login` gives. The cookie holds a value
  derived from the token, never the token.
- **Host** must be a name of this server. Another name means that somebody's domain was pointed at this address (DNS
  rebinding) to make a browser believe that their page and ours are one. An address, unlike a name, cannot be pointed
  elsewhere, so a server that listens beyond loopback also answers to any IP address.
- **Origin** must be this server where something is changed and on the WebSocket: no other site's page may act here.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import socket
from http.cookies import CookieError, SimpleCookie
from urllib.parse import quote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashboard.present import encode
from dashboard.settings import Settings

COOKIE = "runwell_session"
LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})
OPEN_PATHS = frozenset({"/login", "/api/v1/health"})
"""Answered without a token: the way in, and what a container's health check asks."""
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline'",  # Dash writes its start-up and its clientside callbacks into the page
        "style-src 'self' 'unsafe-inline'",  # Plotly and Mantine set styles on elements
        "img-src 'self' data: blob:",  # Plotly saves a chart as an image through a blob
        "font-src 'self' data:",
        "connect-src 'self'",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)

HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Guard:
    """ASGI middleware around the whole application: pages, API and WebSocket alike."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app, self._settings = app, settings
        own = {settings.host.lower()} if not settings.loopback else set()
        names = {socket.gethostname().lower()} if not settings.loopback else set()
        self._hosts = LOOPBACK | own | names | {name.lower() for name in settings.allowed_hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer what is not allowed; pass on the rest, with the headers added on its way back."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is None:
            await self._app(scope, receive, _with_headers(send))
        elif scope["type"] == "websocket":
            # Closing before accepting answers the handshake with 403.
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": "not allowed"})
        else:
            await refusal(scope, receive, _with_headers(send))

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self._is_ours(host):
            return _no(
                403, f"Host {host[:100]!r} is not a name of this server; open it as {self._settings.url}, "
                "or add the name to RUNWELL_ALLOWED_HOSTS"
            )  # fmt: skip
        changes = scope["type"] == "websocket" or scope["method"] not in SAFE_METHODS
        if changes and not _same_origin(headers, host):
            return _no(403, "a request from another site's page is not allowed here")
        if self._settings.token and scope["path"] not in OPEN_PATHS and not self._knows_token(headers):
            return _ask_for_token(scope, headers)
        return None

    def _is_ours(self, host: str) -> bool:
        name = _without_port(host).lower()
        return name in self._hosts or (not self._settings.loopback and _is_address(name))

    def _knows_token(self, headers: Headers) -> bool:
        token = self._settings.token or ""
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and equal(given.strip(), token):
            return True
        return equal(_cookie(headers.get("cookie", "")), session_value(token))


def session_value(token: str) -> str:
    """What the cookie of a browser that has shown the token holds."""
    return hmac.new(token.encode(), b"runwell session 1", hashlib.sha256).hexdigest()


def equal(given: str, wanted: str) -> bool:
    """Compare secrets in a time that tells nothing of where they differ."""
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), wanted.encode())


def local_path(path: str) -> str:
    """The path to go to after the login, "/" unless it surely stays on this server."""
    parts = urlsplit(path)
    fine = path.startswith("/") and not path.startswith(("//", "/\\")) and not parts.scheme and not parts.netloc
    return path if fine and path.isprintable() and "\\" not in path else "/"


def _no(status: int, detail: str) -> Response:
    return Response(encode({"detail": detail}), status, media_type="application/json")


def _ask_for_token(scope: Scope, headers: Headers) -> Response:
    wants_page = scope["type"] == "http" and scope["method"] == "GET" and "text/html" in headers.get("accept", "")
    if wants_page and not scope["path"].startswith("/api/"):
        query = scope.get("query_string", b"").decode("latin-1")
        target = quote(scope["path"] + (f"?{query}" if query else ""), safe="")
        return RedirectResponse(f"/login?next={target}", 303)
    answer = _no(
        401, "this server asks for a token: send it as 'Authorization: Bearer …' (RUNWELL_TOKEN), or sign in at /login"
    )
    answer.headers["WWW-Authenticate"] = "Bearer"
    return answer


def _same_origin(headers: Headers, host: str) -> bool:
    """Programs send no Origin; browsers always do where it matters, and it must be the host that was asked."""
    origin = headers.get("origin")
    if origin is None:
        return headers.get("sec-fetch-site", "none") in ("none", "same-origin")
    parts = urlsplit(origin)
    return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def _cookie(header: str) -> str:
    try:
        found = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""


def _with_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
        await send(message)

    return send_with_headers
