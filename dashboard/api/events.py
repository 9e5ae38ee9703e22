"""`POST /runs/{id}/events`: where writers send their batches. Everything else about a batch is the collector's."""

from __future__ import annotations

import time
from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from dashboard import present
from dashboard.api.border import Json, announced_size, client_of, read_body, services
from dashboard.api.intake import Intake
from dashboard.api.newcomers import Newcomers
from dashboard.deliveries import Delivery
from dashboard.errors import Busy, Refused
from dashboard.frames import decode_delivery
from dashboard.writers import is_servers_own
from runwell.fields import event_schemas
from runwell.report import HEADER, Report, decode
from runwell.wire import FRAMES_TYPE, MAX_STEP, RUN_ID, Batch, check_run_id, decode_json_batch, shorten

router = APIRouter(tags=["events"])

_BODY = {
    "requestBody": {
        "required": True,
        "description": "A batch of events as JSON, or a writer's frames as they lie in its spool.",
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["writer", "first_seq", "events"],
                    "properties": {
                        "writer": {
                            "type": "string",
                            "pattern": f"^{RUN_ID.pattern}$",
                            "description": "1 to 64 letters, digits, '.', '_' and '-'",
                        },
                        "first_seq": {
                            "type": "integer",
                            "minimum": 1,
                            "maximum": MAX_STEP,
                            "description": "number of the first event; no gaps",
                        },
                        "events": {
                            "type": "array",
                            "items": {"anyOf": event_schemas()},
                            "description": "see docs/architecture.md",
                        },
                    },
                }
            },
            FRAMES_TYPE: {"schema": {"type": "string", "format": "binary"}},
        },
    }
}


@router.post("/runs/{run_id}/events", openapi_extra=_BODY)
async def post_events(run_id: str, request: Request) -> Json:
    """Store a batch of one writer, exactly once however often it is sent; answers with the commands that wait."""
    check_run_id(run_id)
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    report = decode(request.headers.get(HEADER, ""))
    intake: Intake = request.app.state.intake
    try:
        with intake.room(announced_size(request)):
            body = await read_body(request)
            async with intake.turn():
                if await request.is_disconnected():
                    raise ClientDisconnect  # it has given up waiting, and sends this again
                return Json(await run_in_threadpool(_store, request, run_id, content_type, body, report))
    except Busy:
        if report is not None:
            services(request).collector.turned_away(run_id, report)
        raise


def _store(request: Request, run_id: str, content_type: str, body: bytes, report: Report | None) -> dict[str, Any]:
    """Decode and store on a thread: neither may hold up the event loop."""
    parts = services(request)
    batch = _decode(run_id, content_type, body)
    if is_servers_own(batch.writer):
        raise Refused(f"writer {batch.writer!r} is the server's own name; take another one")
    newcomers: Newcomers = request.app.state.newcomers
    newcomers.admit(client_of(request), run_id, parts.store.has_run)
    receipt = parts.collector.accept(run_id, batch, report)
    return {
        "stored_through": receipt.stored_through,
        "stored": receipt.stored,
        "duplicates": receipt.duplicates,
        "refused": [{"seq": seq, "reason": reason} for seq, reason in receipt.refused],
        "commands": [present.order(command) for command in parts.store.pending_commands(run_id)],
    }


def _decode(run_id: str, content_type: str, body: bytes) -> Batch | Delivery:
    if content_type != FRAMES_TYPE:
        return decode_json_batch(body)[0]
    meant, delivery = decode_delivery(body, time.time())
    if meant != run_id:
        raise Refused(f"the frames are of run {shorten(meant)}, the address says {shorten(run_id)}")
    return delivery
