"""What the rules say of runs, and what people decide about it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.concurrency import run_in_threadpool

from dashboard import present
from dashboard.api.border import Json, read_object, services
from dashboard.decisions import decide
from dashboard.errors import Refused
from dashboard.relaunch import children_of, outcomes
from runwell.wire import shorten

router = APIRouter(tags=["findings"])

STATUSES = ("open", "acknowledged", "muted", "resolved")


@router.get("/findings")
def get_all(
    request: Request,
    status: Annotated[list[str] | None, Query(description="; ".join(STATUSES))] = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
) -> Json:
    """Findings of all runs, newest first."""
    for name in status or []:
        if name not in STATUSES:
            raise Refused(f"status {shorten(name)} is unknown; it takes one of {', '.join(STATUSES)}")
    found = services(request).store.findings(statuses=status, limit=limit)
    return Json({"findings": [present.finding(one) for one in found]})


@router.get("/runs/{run_id}/findings")
def get_of_run(run_id: str, request: Request) -> Json:
    """A run's verdict, its findings newest first, what became of their fixes, and coverage: which rules ran, and why others could not."""
    store = services(request).store
    run, findings = store.run(run_id), store.findings(run_id)
    fixes = present.fixes(outcomes(store, children_of(store, run), findings))
    return Json(present.findings(run.verdict, findings) | {"fixes": fixes, "coverage": dict(store.coverage(run_id))})


_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["status"],
                    "properties": {
                        "status": {"enum": list(STATUSES)},
                        "subject": {
                            "type": "string",
                            "description": "which of the rule's findings, when there are several",
                        },
                    },
                }
            }
        },
    }
}


@router.post("/runs/{run_id}/findings/{rule}/status", openapi_extra=_BODY)
async def post_status(run_id: str, rule: str, request: Request) -> Json:
    """Acknowledge, mute, resolve or reopen a finding."""
    body = await read_object(request)
    status, subject = body.get("status"), body.get("subject") or ""
    if not isinstance(status, str) or not isinstance(subject, str):
        raise Refused(
            f"status is {shorten(status)} and subject {shorten(subject)}; both take text, status one of {', '.join(STATUSES)}"
        )
    record = await run_in_threadpool(decide, services(request), run_id, rule, subject, status)
    return Json(present.finding(record))
