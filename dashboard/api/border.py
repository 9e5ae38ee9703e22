"""What every route shares: bounded reading of bodies, strict JSON answers, and errors as `{"detail": one sentence}`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from dashboard.errors import (
    Busy,
    Conflict,
    DashboardError,
    DeletedRun,
    Refused,
    SequenceGap,
    StoreError,
    TooLarge,
    TooManyRuns,
    UnknownFinding,
    UnknownRun,
)
from dashboard.present import encode
from dashboard.services import Services
from runwell.wire import WireError, loads, shorten
from trainer.config import ConfigError

log = logging.getLogger(__name__)

MAX_BODY = 8 * 2**20
MAX_SMALL_BODY = 256 * 2**10
BODY_SECONDS = 30.0
"""A body that takes longer is given up, so that slow senders cannot hold the server."""


class Json(Response):
    """An answer as strict JSON: non-finite numbers are strings."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """The bytes of the answer."""
        return encode(content)


def services(request: Request) -> Services:
    """The parts of the server that this request reached."""
    found: Services = request.app.state.services
    return found


async def read_body(request: Request, limit: int = MAX_BODY) -> bytes:
    """The whole body. Raises TooLarge when it is longer than `limit` bytes or comes too slowly."""
    encoding = request.headers.get("content-encoding", "identity").lower()
    if encoding != "identity":
        raise HTTPException(415, f"Content-Encoding {shorten(encoding)} is not taken here; send the body as it is")
    too_large = TooLarge(f"the body is larger than {limit // 1024:,} KiB; send less at once")
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced[:20]) > limit:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    raise too_large
    except TimeoutError:
        raise TooLarge(f"the body did not come within {BODY_SECONDS:.0f} seconds; send less at once") from None
    return bytes(body)


def client_of(request: Request) -> str:
    """The address that asks; behind a proxy all clients have the proxy's."""
    return request.client.host if request.client else ""


def announced_size(request: Request, limit: int = MAX_BODY) -> int:
    """How large the body says that it is; the limit when it does not, or says more."""
    announced = request.headers.get("content-length", "")
    return min(int(announced[:20]), limit) if announced.isdecimal() else limit


async def read_object(request: Request) -> dict[str, Any]:
    """A small JSON object. Raises WireError, TooLarge."""
    value = loads(await read_body(request, MAX_SMALL_BODY) or b"{}")
    if not isinstance(value, dict):
        raise WireError(f"the body must be a JSON object, not {shorten(value)}")
    return value


def error(status: int, detail: str, **more: Any) -> Json:
    """An error's answer."""
    return Json({"detail": detail, **more}, status)


STATUS: dict[type[DashboardError], int] = {
    UnknownRun: 404,
    DeletedRun: 410,
    UnknownFinding: 404,
    SequenceGap: 409,
    Conflict: 409,
    TooLarge: 413,
    Refused: 422,
    StoreError: 503,
    Busy: 503,
    TooManyRuns: 429,
}


_ERROR = {
    "application/json": {
        "schema": {
            "type": "object",
            "required": ["detail"],
            "properties": {"detail": {"type": "string", "description": "one sentence: what was seen, what is allowed"}},
        }
    }
}
ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"description": "What was sent is not allowed, or not known", "content": _ERROR},
    503: {"description": "The server cannot take it just now; send it again later", "content": _ERROR},
}
"""What every route may answer beside its own, for the API's description of itself."""


def add_error_answers(app: FastAPI) -> None:
    """Make every exception an answer in one sentence."""

    def answer(kind: type[Exception], make: Callable[[Any], Response]) -> None:
        async def handle(_: Request, exception: Exception) -> Response:
            return make(exception)

        app.add_exception_handler(kind, handle)

    answer(DashboardError, _of_ours)
    answer(WireError, lambda e: error(400, str(e)))
    answer(ConfigError, lambda e: error(422, str(e), setting=e.setting))
    answer(RequestValidationError, lambda e: error(422, _first(e)))
    answer(HTTPException, lambda e: error(e.status_code, str(e.detail)))
    answer(ClientDisconnect, lambda e: error(400, "the sender went away before the body was complete"))
    answer(Exception, _unexpected)


def _of_ours(exception: DashboardError) -> Response:
    status = next((STATUS[kind] for kind in type(exception).__mro__ if kind in STATUS), 400)
    if isinstance(exception, SequenceGap):
        return error(status, str(exception), expected_seq=exception.expected_seq)
    if isinstance(exception, DeletedRun):
        return error(status, str(exception), deleted=exception.run_id)
    if isinstance(exception, Busy | TooManyRuns):
        answer = error(status, str(exception))
        answer.headers["Retry-After"] = str(exception.retry_after_seconds)
        return answer
    return error(status, str(exception))


def _first(exception: RequestValidationError) -> str:
    """FastAPI's list of faults as one sentence about the first."""
    fault = exception.errors()[0]
    where = ".".join(str(part) for part in fault["loc"][1:]) or "the request"
    seen = fault.get("input")
    return f"{where[:80]} = {shorten(seen)} is not allowed: {str(fault['msg'])[:1].lower()}{str(fault['msg'])[1:200]}"


def _unexpected(exception: Exception) -> Response:
    # Starlette logs the traceback itself; the sender gets no inside of ours.
    return error(500, "the server could not do this; its log says why, and what was sent is not stored")


async def not_found(request: Request) -> Response:
    """For every address below /api that no route has."""
    return error(404, f"there is nothing at {shorten(request.url.path, 200)}; /docs lists what there is")
